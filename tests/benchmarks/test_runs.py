"""Runs in processes of their own: limits, faults, resuming."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import planted
import processes
import psutil
import pytest
from deem_crowd_benchmarks import suites
from deem_crowd_benchmarks.running import evaluation, isolation, methods, runs
from deem_crowd_benchmarks.running.methods import Method
from deem_crowd_benchmarks.sets import label_sets
from deem_crowd_benchmarks.sets.label_set import LabelSet
from planted import tiny

from deem_crowd.exceptions import DataError, ParameterError

SETS = Path(__file__).parents[3] / "shared" / "data"
LIMITS = isolation.Limits(60, 8e9)


def perform(tmp_path, data, chosen, seeds=(0,), limits=LIMITS, **kwargs):
    plan = runs.plan(label_sets.sources(data), chosen, list(seeds))
    return runs.perform(plan, tmp_path / "out", limits=limits, **kwargs)


def planted_method(kind: type, **parameters) -> Method:
    return Method(kind.__name__, kind, parameters)


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        (planted.Vote, "ok", ""),
        (planted.Raises, "failed", "RuntimeError: no such luck"),
        (planted.Refuses, "refused", "not for more than one class"),
        (planted.Dies, "crash", "SIGSEGV"),
        (planted.Exits, "crash", "status 7"),
        (planted.Invents, "invalid", "1 label that no worker gave ('unheard of')"),
        (planted.Improper, "invalid", "probabilities: no distribution for 20 tasks"),
        (planted.Lists, "invalid", "returned a list, not a Series"),
        (planted.Thread, "ok", ""),
        (planted.Talks, "failed", "ValueError: xxx"),
        (planted.TalksLast, "crash", "status 1"),
    ],
)
def test_every_end_is_a_row_with_its_reason(tmp_path, kind, status, words) -> None:
    (row,) = perform(tmp_path, tiny(), [planted_method(kind)])
    assert row["status"] == status
    assert words in row["reason"]
    assert len(row["reason"]) < 1000
    assert runs.read_rows(tmp_path / "out") == [row]


def test_a_method_does_not_draw_from_the_seed_that_drew_the_truth(tmp_path) -> None:
    """The law draws true labels with the first draws of its generator, and so would the method."""
    (source,) = label_sets.sources("law:copies@200")
    truth = source.load(0)
    same = evaluation.evaluate(truth, Method("same", planted.Guesses), 0)
    assert same.measures["accuracy"] > 0.9  # what this is about
    chosen = [planted_method(planted.Guesses), planted_method(planted.Vote)]
    drawn, vote = perform(tmp_path, "law:copies@200", chosen)
    assert 0.2 < drawn["accuracy"] < 0.5
    again = evaluation.evaluate(truth, Method("again", planted.Guesses), drawn["method_seed"])
    assert again.measures["accuracy"] == drawn["accuracy"]
    assert "method_seed" not in vote
    for seed in (
        0,
        1,
        2**30,
        2**31 - 1,
    ):  # many libraries take no seed beyond a signed number of 32 bits
        (run,) = runs.plan([source], [chosen[0]], [seed])
        assert run.method_seed != seed
        assert 0 <= run.method_seed < 2**31
    told = Method("told", planted.Guesses, {"random_state": 5})
    assert "method_seed" not in perform(tmp_path, "law:copies@200", [told])[0]
    given = runs.plan(label_sets.sources(tiny()), [chosen[0]], [0, 1])
    assert [run.method_seed for run in given] == [0, 1]  # nothing was drawn from these


def test_time_limit(tmp_path) -> None:
    limits = isolation.Limits(2.0, None)
    chosen = [planted_method(planted.Hangs), planted_method(planted.Vote)]
    began = time.monotonic()
    found = perform(tmp_path, tiny(), chosen, limits=limits)
    assert time.monotonic() - began < 60
    assert [row["status"] for row in found] == ["time", "ok"]
    assert found[0]["reason"] == "not done after 2 s"


def test_a_first_fit_that_hangs_meets_the_limit(tmp_path) -> None:
    limits = isolation.Limits(1.0, None)
    (row,) = perform(tmp_path, tiny(), [planted_method(planted.HangsAtFirst)], limits=limits)
    assert (row["status"], row["reason"]) == ("time", "not done after 1 s")


LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's prctl")


def gone(folder: Path) -> bool:
    """Tell whether none of the processes lives that have left their numbers in a folder."""
    numbers = [int(path.name) for path in folder.iterdir()]
    assert len(numbers) >= 2
    living = [n for n in numbers if psutil.pid_exists(n)]
    return all(psutil.Process(n).status() == psutil.STATUS_ZOMBIE for n in living)


@LINUX
@pytest.mark.parametrize(("end", "status"), [("well", "ok"), ("hangs", "time"), ("dies", "crash")])
def test_nothing_that_a_method_starts_outlives_its_run(tmp_path, end, status) -> None:
    (tmp_path / "pids").mkdir()
    method = planted_method(planted.Leaves, folder=str(tmp_path / "pids"), end=end)
    (row,) = perform(tmp_path, tiny(), [method], limits=isolation.Limits(3.0, None))
    assert row["status"] == status, row["reason"]
    assert gone(tmp_path / "pids")


@LINUX
def test_nothing_outlives_a_harness_that_is_killed(tmp_path) -> None:
    (tmp_path / "pids").mkdir()
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(planted.__file__).parent)!r})
        import planted
        from deem_crowd_benchmarks.running.isolation import isolated
        isolated(planted.leave, {str(tmp_path / "pids")!r})
        """)
    process = processes.start("-c", program)
    while len(os.listdir(tmp_path / "pids")) < 2:
        assert psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait()[0] == -signal.SIGKILL
    until = time.monotonic() + 20
    while not gone(tmp_path / "pids"):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux")
def test_memory_limit(tmp_path) -> None:
    kinds = (planted.Eats, planted.EatsTorch, planted.Vote)
    chosen = [planted_method(kind) for kind in kinds]
    found = perform(tmp_path, tiny(), chosen, limits=isolation.Limits(100, 1e9))
    assert [row["status"] for row in found] == ["memory", "memory", "ok"]
    assert all("1 GB" in row["reason"] for row in found[:2])


def test_a_task_without_a_label_counts_as_wrong(tmp_path) -> None:
    chosen = [planted_method(planted.Vote), planted_method(planted.Loses)]
    found = suites.benchmark(data=tiny(), methods=chosen, out=tmp_path / "out")
    whole, lost = runs.read_rows(tmp_path / "out")
    assert whole["coverage"] == 1
    assert lost["coverage"] == 0.95
    assert lost["accuracy"] == lost["label_accuracy"] == pytest.approx(whole["accuracy"] - 0.05)
    assert lost["warnings"] == ["1 of 20 tasks has no label (0) and counts as wrong."]
    assert found.overview.header[-1] == "coverage %"
    assert [cells[-1] for cells in found.overview.rows] == ["100.0", "95.0"]
    assert [table.title.partition(":")[0] for table in found.details].count("Coverage") == 1


def test_what_was_done_is_not_done_again(tmp_path) -> None:
    method = planted_method(planted.Peeks, folder=str(tmp_path))
    first = perform(tmp_path, [tiny("one"), tiny("two", 22)], [method], seeds=(0, 1))
    assert len(list(tmp_path.glob("*-*"))) == 4
    again = perform(tmp_path, [tiny("one"), tiny("two", 22)], [method], seeds=(0, 1, 2))
    assert len(list(tmp_path.glob("*-*"))) == 6
    assert [row for row in again if row["seed"] < 2] == first
    perform(tmp_path, tiny("one", seed=1), [method])  # other answers under the same name
    assert len(list(tmp_path.glob("*-*"))) == 7
    assert len(runs.read_rows(tmp_path / "out")) == 6


def test_failures_are_tried_again_when_asked(tmp_path) -> None:
    method = [planted_method(planted.Raises)]
    perform(tmp_path, tiny(), method)
    perform(tmp_path, tiny(), method)
    assert len((tmp_path / "out" / runs.RESULTS).read_text().splitlines()) == 1
    perform(tmp_path, tiny(), method, retry=True)
    assert len((tmp_path / "out" / runs.RESULTS).read_text().splitlines()) == 2


def test_two_runs_with_the_same_seeds_say_the_same(tmp_path) -> None:
    data = ["law:few-tasks", "sklearn:wine"]
    draws = [planted_method(planted.Draws)]
    found = [
        perform(tmp_path / str(i), data, draws, seeds=(0, 1), jobs=1 + i)
        + perform(tmp_path / str(i), data, methods.methods("deem, ds(n_iter=3)"), jobs=1 + i)
        for i in range(2)
    ]
    for one, other in zip(*found, strict=True):
        assert one["accuracy"] == other["accuracy"], one["method"]
        assert one["digest"] == other["digest"]
    drawn = {
        row["accuracy"] for row in found[0] if row["method"] == "Draws" and row["set"] == "wine"
    }
    assert len(drawn) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_a_run_that_was_killed_goes_on(tmp_path, how) -> None:
    program = tmp_path / "program.py"  # without a guard: a user's script may have none
    program.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(planted.__file__).parent)!r})
        import planted
        from deem_crowd_benchmarks import benchmark
        from deem_crowd_benchmarks.running.methods import Method
        from planted import tiny
        method = Method("peeks", planted.Peeks, {{"folder": {str(tmp_path)!r}}})
        benchmark(data=tiny(), methods=[method], seeds=8, out={str(tmp_path / "out")!r})
        """)
    )
    results = tmp_path / "out" / runs.RESULTS
    process = processes.start("-m", "program", cwd=tmp_path)
    while not results.exists() or results.read_bytes().count(b"\n") < 3:
        if psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE:
            pytest.fail(str(process.wait()))
        time.sleep(0.01)
    os.kill(process.pid, getattr(signal, how))
    process.wait()
    done = results.read_bytes().count(b"\n")
    assert 3 <= done < 8
    with results.open("ab") as file:  # as if the last line had been cut short
        file.write(b'{"key": "')
    method = Method("peeks", planted.Peeks, {"folder": str(tmp_path)})
    perform(tmp_path, tiny(), [method], seeds=range(8))
    lines = [json.loads(line) for line in results.read_bytes().splitlines()]
    assert sorted(row["seed"] for row in lines) == list(range(8))
    fits = [p.name.split("-")[1] for p in tmp_path.glob("*-*-*-*")]
    assert sorted(set(fits)) == [str(i) for i in range(8)]
    assert len(fits) <= 9  # the one that was under way when it was stopped


def test_processes_end_with_the_run_that_is_interrupted(tmp_path) -> None:
    chosen = [planted_method(planted.Vote), planted_method(planted.Hangs)]

    def report(run, row) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(tmp_path, tiny(), chosen, jobs=2, report=report)
    import psutil

    # the server that forks runs stays; nothing that it forked does
    left = [p for p in psutil.Process().children(recursive=True) if p.ppid() != os.getpid()]
    assert not left
    assert [row["method"] for row in runs.read_rows(tmp_path / "out")] == ["Vote"]
    assert not (tmp_path / "out" / "running").exists()


def test_a_damaged_file_is_named_with_its_line(tmp_path) -> None:
    perform(tmp_path, tiny(), [planted_method(planted.Vote)])
    path = tmp_path / "out" / runs.RESULTS
    path.write_text("not json\n" + path.read_text())
    with pytest.raises(DataError, match=r"results.jsonl, line 1, is no result"):
        runs.read_rows(tmp_path / "out")


def test_a_folder_that_another_process_writes_to(tmp_path) -> None:
    (tmp_path / "out" / "hits").mkdir(parents=True)
    (tmp_path / "out" / "running").write_text(str(os.getppid()))
    with pytest.raises(ParameterError, match="being written to by process"):
        perform(tmp_path, tiny(), [planted_method(planted.Vote)])
    (tmp_path / "out" / "running").write_text("999999999")  # long dead
    assert perform(tmp_path, tiny(), [planted_method(planted.Vote)])[0]["status"] == "ok"


def test_measures_of_a_set_worked_out_by_hand() -> None:
    # votes: t1 a a b, t2 b b, t3 a b, t4 b b b; gold a, a, b, b
    rows = [("t1", 0, "a"), ("t1", 1, "a"), ("t1", 2, "b"), ("t2", 0, "b"), ("t2", 1, "b")]
    rows += [("t3", 0, "a"), ("t3", 1, "b"), ("t4", 0, "b"), ("t4", 1, "b"), ("t4", 2, "b")]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    gold = pd.Series({"t1": "a", "t2": "a", "t3": "b", "t4": "b"})
    found = evaluation.evaluate(LabelSet("hand", frame, gold), methods.methods("mv")[0])
    assert found.sizes == {
        "n_tasks": 4,
        "n_workers": 3,
        "n_answers": 10,
        "n_classes": 2,
        "n_gold": 4,
    }
    assert found.measures["accuracy"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert found.measures["brier"] == pytest.approx((2 / 9 + 2 + 0.5 + 0) / 4)
    assert found.hits.tolist() == [1, 0, 0.5, 1]
    assert found.measures["log_loss"] == pytest.approx(
        -(np.log(2 / 3) + np.log(1e-15) + np.log(0.5)) / 4, rel=1e-6
    )


def test_confusions_of_the_busiest_workers() -> None:
    from deem_crowd_benchmarks.sets.laws import heavy_tail

    data = heavy_tail(0)
    found = evaluation.evaluate(data, methods.methods("deem")[0])
    busiest = data.answers["worker"].value_counts().index[:4].astype(str).tolist()
    assert [w["worker"] for w in found.workers] == busiest
    for worker in found.workers:
        gold = np.array(worker["gold"])
        assert gold.sum() == worker["answers"]
        by_gold = gold / gold.sum(1, keepdims=True)
        np.testing.assert_allclose(np.sum(worker["estimated"], 1), 1, atol=1e-3)
        assert np.abs(by_gold - worker["estimated"]).max() < 0.25


@pytest.mark.slow
@pytest.mark.skipif(not SETS.is_dir(), reason=f"the label sets are not there: {SETS.name} folder")
def test_crowd_kits_columns_agree_with_published_ones(tmp_path) -> None:
    """Dawid-Skene takes long on one set; what it reaches there is noted beside the tests of real sets."""
    names = ["bluebird", "sp_amt", "cf_amt", "zencrowd_us", "face"]
    data = [SETS / "crowd" / name for name in names]
    found = perform(tmp_path, data, methods.methods("ds(n_iter=100), mv"))
    found += perform(tmp_path / "product", [SETS / "crowd" / "product"], methods.methods("mv"))
    peers = pd.read_csv(SETS / "peers.csv").set_index("name")
    columns = {"ds(n_iter=100)": "DawidSkene (crowd-kit)", "mv": "majority vote, ties split"}
    for row in found:
        assert 100 * row["accuracy"] == pytest.approx(
            peers.loc[row["set"], columns[row["method"]]], abs=0.5
        ), (row["set"], row["method"])

"""``deem-crowd next``, ``suspects`` and ``keep`` write what the functions return."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call, same, table
from crowds import crowd

from deem_crowd import DEEMAggregator, decide

pytestmark = pytest.mark.usefixtures("same_fits_once")

FRAME, TRUTH = crowd(n=90, d=8, per_task=4, seed=5)
GOLD = TRUTH.rename_axis("task").rename("label").reset_index()
COMMANDS = ("next", "suspects", "keep")


@pytest.fixture(scope="module")
def agg() -> DEEMAggregator:
    return DEEMAggregator().fit(FRAME)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv(tmp_path / "answers.csv", index=False)
    GOLD.to_csv(tmp_path / "gold.csv", index=False)
    return tmp_path


def test_next_writes_what_next_tasks_returns(folder, agg) -> None:
    done = call("next answers.csv -n 12 -o next.csv")
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    same(pd.read_csv("next.csv"), decide.next_tasks(agg, 12))
    same(table("next answers.csv -n 5 --strategy entropy"), decide.next_tasks(agg, 5, "entropy"))


def test_next_takes_what_to_leave_out_what_is_new_and_what_it_costs(folder, agg) -> None:
    first = decide.next_tasks(agg, 10)
    first[["task"]].to_csv("asked.csv", index=False)
    pd.DataFrame({"task": ["new1", "new2"]}).to_csv("new.csv", index=False)
    costs = pd.Series({t: 1.0 + i for i, t in enumerate([*TRUTH.index, "new1", "new2"])})
    costs.rename_axis("task").rename("cost").to_csv("costs.csv")
    line = "next answers.csv -n 20 --exclude asked.csv --unanswered new.csv --costs costs.csv"
    expected = decide.next_tasks(
        agg, 20, exclude=first["task"], unanswered=["new1", "new2"], costs=costs
    )
    same(table(f"{line} --per-task-limit 9"), expected)
    # the only column beside the tasks may have any name, as in Python
    costs.rename_axis("task").rename("price in EUR").to_csv("costs.csv")
    same(table(f"{line} --per-task-limit 9"), expected)
    pd.DataFrame({"task": costs.index, "a": 1.0, "b": 2.0}).to_csv("costs.csv", index=False)
    done = call(line)
    assert done.exit_code == 1
    assert "missing columns 'cost'; found 'task', 'a', 'b'" in done.output


def test_next_asks_only_workers_who_are_there(folder, agg) -> None:
    here = FRAME["worker"].unique()[:3].tolist()
    pd.DataFrame({"skill": 0.5, "worker": here}).to_csv("here.csv", index=False)
    found = table("next answers.csv -n 12 --pairs --workers here.csv")
    same(found, decide.next_pairs(agg, 12, workers=here))
    assert set(found["worker"]) <= set(here)
    pd.DataFrame({"worker": [here[0], 999]}).to_csv("others.csv", index=False)
    done = call("next answers.csv --pairs --workers others.csv")
    assert done.exit_code == 1
    strange = (
        "worker '?999'? is not one of the .* of the model: .* Leave out workers without answers"
    )
    assert re.search(strange, " ".join(done.output.split()))
    done = call("next answers.csv --workers here.csv")
    assert done.exit_code == 2
    assert "no worker is chosen without --pairs" in done.output


def test_next_takes_records_of_json_and_a_sheet(folder, agg) -> None:
    first = decide.next_tasks(agg, 10)[["task"]]
    costs = pd.DataFrame({"task": TRUTH.index, "cost": 1.0 + np.arange(len(TRUTH))})
    first.to_json("asked.json", orient="records")
    costs.to_json("costs.json", orient="records")
    first.to_excel("asked.xlsx", index=False)
    expected = decide.next_tasks(
        agg, 20, exclude=first["task"], costs=costs.set_index("task")["cost"]
    )
    for asked in ("asked.json", "asked.xlsx"):
        same(table(f"next answers.csv -n 20 --exclude {asked} --costs costs.json"), expected)
    Path("costs.json").write_text(json.dumps(dict.fromkeys(TRUTH.index, 1.0)))
    done = call("next answers.csv --costs costs.json")
    assert done.exit_code == 1
    assert 'Give JSON records, [{"task": …, "cost": …}, …]' in done.output


def test_next_says_whom_to_ask(folder, agg) -> None:
    same(table("next answers.csv -n 6 --pairs"), decide.next_pairs(agg, 6))
    spread = decide.next_pairs(agg, 6, per_worker_limit=2)
    same(table("next answers.csv -n 6 --pairs --per-worker-limit 2"), spread)
    assert call("next answers.csv --per-worker-limit 2").exit_code == 2
    costs = pd.Series({f"w{i}": 1.0 + i for i in range(8)})
    costs.rename_axis("worker").rename("cost").to_csv("costs.csv")
    by_cost = decide.next_pairs(agg, 6, "expected_error_reduction", costs=costs)
    line = "next answers.csv -n 6 --pairs --costs costs.csv --strategy expected_error_reduction"
    same(table(line), by_cost)


def test_suspects_writes_what_the_functions_return(folder, agg) -> None:
    same(table("suspects answers.csv -n 15"), decide.suspect_answers(agg, 15))
    assert len(table("suspects answers.csv")) == len(FRAME)
    labels = decide.suspect_labels(agg, 8, labels=TRUTH)
    same(table("suspects answers.csv --labels gold.csv -n 8"), labels)


def test_keep_writes_what_reliable_returns(folder, agg) -> None:
    for option, arguments in (
        ("--precision 0.9", {"precision": 0.9}),
        ("--precision 0.7 --gold gold.csv", {"precision": 0.7, "gold": TRUTH}),
    ):
        done = call(f"keep answers.csv {option} -o keep.csv")
        assert done.exit_code == 0, done.output
        kept = decide.reliable(agg, **arguments)
        assert 0 < len(kept.labels) <= 90
        found = pd.read_csv("keep.csv").set_index("task")
        assert found["label"].to_dict() == kept.labels.to_dict()
        assert found["confidence"].to_numpy() == pytest.approx(kept.confidence.to_numpy())
        assert f"{len(found)} of 90 labels kept" in done.stderr
        assert f"at least {kept.lower_bound:.3f}" in done.stderr


def test_parameters_of_the_model_may_be_set(folder) -> None:
    shares = FRAME["label"].value_counts(normalize=True)
    shares = (shares**3 / (shares**3).sum()).round(12)
    chosen = DEEMAggregator(class_balance=shares.to_dict()).fit(FRAME)
    assert not np.allclose(chosen.probas_, DEEMAggregator().fit(FRAME).probas_)
    option = f"--set class_balance={json.dumps(shares.to_dict(), separators=(',', ':'))}"
    same(table(f"next answers.csv -n 5 {option}"), chosen.next_tasks(5))
    same(table(f"suspects answers.csv -n 5 {option}"), chosen.suspect_answers(5))
    kept = chosen.reliable(0.8)
    assert table(f"keep answers.csv --precision 0.8 {option}")["task"].tolist() == list(
        kept.labels.index
    )
    for command in (*COMMANDS, "report -o page.html"):
        for value, words in (("nothing=1", "no parameter 'nothing'"), ("n_iter=-1", "n_iter=-1")):
            done = call(f"{command} answers.csv --set {value}")
            assert done.exit_code == 2, done.output
            flat = " ".join(done.output.replace("│", " ").split())
            assert "--set" in flat
            assert words in flat


def test_known_labels_are_learned_from(folder) -> None:
    GOLD.head(30).to_csv("some.csv", index=False)
    taught = DEEMAggregator().fit(FRAME, gold=TRUTH.head(30))
    same(table("next answers.csv -n 9 --gold some.csv"), decide.next_tasks(taught, 9))
    same(table("suspects answers.csv -n 9 --gold some.csv"), decide.suspect_answers(taught, 9))


def test_where_nothing_is_to_do_there_is_an_empty_table_and_a_word(folder) -> None:
    done = call("next answers.csv --gold gold.csv -o next.csv")
    assert done.exit_code == 0, done.output
    assert len(pd.read_csv("next.csv")) == 0
    line, written = done.stderr.strip().splitlines()
    assert written == "Written: next.csv (0 rows)"
    assert line.startswith("warning: no tasks are left to ask: of 90 tasks all are settled")
    done = call("suspects answers.csv --labels gold.csv --gold gold.csv")
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.strip() == "warning: no label is in doubt: all 90 are certain to be right."
    done = call("keep answers.csv --precision 0.999999 -o keep.csv")
    assert done.exit_code == 0, done.output
    assert list(pd.read_csv("keep.csv").columns) == ["task", "label", "confidence"]
    assert "No label is kept" in done.stderr
    assert "a lower --precision" in done.stderr
    Path("none.csv").write_text("task,worker,label\n")
    for command in COMMANDS:
        done = call(f"{command} none.csv")
        assert done.exit_code == 0, done.output
        assert len(done.stdout.splitlines()) == 1
        assert len(done.stderr.strip().splitlines()) == 1


def test_more_than_there_is_comes_with_a_word(folder) -> None:
    done = call("next answers.csv -n 100000 -o next.csv")
    assert "100000 tasks were asked for" in done.stderr
    assert len(table("suspects answers.csv -n 100000")) == len(FRAME)


@pytest.mark.parametrize("command", COMMANDS)
def test_columns_may_have_other_names(folder, command) -> None:
    names = {"task": "item", "worker": "who", "label": "said"}
    FRAME.rename(columns=names).to_csv("other.csv", index=False)
    GOLD.rename(columns=names).to_csv("gold2.csv", index=False)
    line = f"{command} other.csv --task item --worker who --label said --gold gold2.csv"
    same(table(line), table(f"{command} answers.csv --gold gold.csv"))


@pytest.mark.parametrize("command", COMMANDS)
def test_no_input_is_overwritten(folder, command) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for line in ("answers.csv -o answers.csv", "answers.csv --gold gold.csv -o gold.csv"):
        done = call(f"{command} {line}")
        assert done.exit_code == 2
        assert "overwrite" in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("next answers.csv -n 0", 2, "greater than or equal to 1"),
        ("next answers.csv --pairs --strategy margin", 2, "--strategy"),
        ("next answers.csv --costs gold.csv", 1, "cost"),
        (
            "next answers.csv --costs few.csv",
            1,
            "--costs: costs are missing for 88 of 90 tasks: 't2', 't3', 't4', 't5', 't6', …. Give each task a "
            "cost, or leave it out with --exclude.",
        ),
        ("next answers.csv --costs negative.csv", 1, "--costs: costs of 90 tasks are not"),
        (
            "next answers.csv --costs words.csv",
            1,
            "--costs: costs of 1 task are no numbers: 't0' ('much')",
        ),
        (
            "next answers.csv --costs twice.csv",
            1,
            "--costs: costs name 2 tasks more than once: 't0', 't1'",
        ),
        (
            "next answers.csv --unanswered gold.csv",
            1,
            "--unanswered names 90 tasks that have a posterior already",
        ),
        (
            "next answers.csv --exclude far.csv",
            0,
            "warning: --exclude names 1 task that the model does not know ('far')",
        ),
        ("next answers.csv --exclude few.csv -o few.csv", 2, "overwrite"),
        ("next answers.csv --adapter csv --task item", 1, "missing columns 'item'"),
        ("next answers.csv --adapter csv --task a --adapter-set task=b", 2, "named twice"),
        ("next answers.csv --worker nobody", 1, "nobody"),
        ("suspects answers.csv --labels few.csv", 1, "Labels have one row a task"),
        ("suspects answers.csv --labels answers.csv", 1, "tasks have two labels ("),
        (
            "suspects answers.csv --labels far.csv --gold gold.csv --gold-label label",
            0,
            "--labels names 1 task without answers ('far')",
        ),
        (
            "keep answers.csv --precision 1.5",
            2,
            "for --precision: must be a number between 0 and 1",
        ),
        (
            "keep answers.csv --confidence 0",
            2,
            "for --confidence: must be a number between 0 and 1",
        ),
        (
            "next answers.csv --gold strange.csv",
            1,
            "--gold holds 1 label that no worker gave: 'c9'",
        ),
        ("aggregate answers.csv -o x.csv --gold strange.csv", 1, "--gold holds 1 label that no"),
        ("suspects answers.csv --labels strange.csv", 1, "--labels: 1 label that the model"),
        ("next answers.csv --gold far.csv", 0, "--gold names 1 task without answers ('far')"),
        (
            "keep answers.csv --gold strange.csv",
            0,
            "does not know: 'c9'. It knows 'c0', 'c1', 'c2'",
        ),
        ("keep nowhere.csv", 1, "nowhere.csv"),
        (
            "keep answers.csv --gold nolabel.csv",
            1,
            "error: --gold names no task that has a label",
        ),
        (
            "next answers.csv --gold nolabel.csv",
            0,
            "nolabel.csv: column 'label' is empty throughout (90 rows)",
        ),
        ("next answers.csv --exclude gap.csv", 1, "gap.csv: column 'task' is missing in 1 row"),
        ("next answers.csv --unanswered gap.csv", 1, "gap.csv: column 'task' is missing in 1 row"),
        ("next answers.csv --costs gap.csv", 1, "gap.csv: column 'task' is missing in 1 row"),
    ],
)
def test_bad_usage_and_bad_files(folder, line, status, message) -> None:
    costs = pd.DataFrame({"task": TRUTH.index, "cost": 1.0})
    costs.head(2).to_csv("few.csv", index=False)
    costs.assign(cost=-1.0).to_csv("negative.csv", index=False)
    pd.concat([costs, costs.head(2)]).to_csv("twice.csv", index=False)
    costs.assign(task=[None, *costs["task"][1:]]).to_csv("gap.csv", index=False)
    GOLD.assign(label=None).to_csv("nolabel.csv", index=False)
    costs.assign(cost=["much", *costs["cost"][1:]]).to_csv("words.csv", index=False)
    GOLD.head(1).assign(label="c9").to_csv("strange.csv", index=False)
    GOLD.head(1).assign(task="far").to_csv("far.csv", index=False)
    done = call(line)
    assert done.exit_code == status, done.output
    flat = " ".join(done.stderr.replace("│", " ").split())
    assert message in flat
    assert "Traceback" not in done.output


def test_results_call_ids_task_and_worker_whatever_the_input_does_and_are_taken_back(
    folder,
) -> None:
    names = {"task": "item_id", "worker": "who", "label": "verdict"}
    FRAME.rename(columns=names).to_csv("answers.csv", index=False)
    named = "answers.csv --task item_id --worker who --label verdict"
    for command in ("aggregate", "next --pairs -n 5", "suspects", "keep --precision 0.8"):
        found = table(f"{command} {named}")
        assert "task" in found
        assert not {*names.values()} & {*found}
    table(f"next -n 5 {named}").to_csv("asked.csv", index=False)
    asked = pd.read_csv("asked.csv")["task"]
    assert not set(table(f"next -n 5 {named} --exclude asked.csv")["task"]) & set(asked)
    table(f"keep --precision 0.8 {named}").to_csv("kept.csv", index=False)
    table(f"aggregate {named} --gold kept.csv")

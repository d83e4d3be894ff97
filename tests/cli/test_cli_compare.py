"""deem-crowd compare and demo: tables of several methods side by side."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from deem_crowd_benchmarks import demo
from shell_calls import TRUTH, call, csv, failed, folder

__all__ = ["folder"]


def test_compare_with_gold(folder: Path) -> None:
    gold = pd.DataFrame({"task": list(TRUTH), "label": list(TRUTH.values())})
    (folder / "gold.csv").write_text(csv(gold))
    result = call(
        "compare", "answers.csv", "--gold", "gold.csv", "--methods", "deem,kos,gold-mv,mv"
    )
    assert result.exit_code == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    for heading in ("accuracy", "log-loss", "seconds", "error", "12 tasks with gold"):
        assert heading in result.stdout
    assert "1.0000 *" in rows["deem"]
    assert "1.0000 *" in rows["mv"]
    assert "TypeError" in rows["gold-mv"]  # it wants gold to learn from; a row, not the end


def test_compare_names_true_labels_that_no_worker_gave(folder: Path) -> None:
    gold = pd.DataFrame({"task": list(TRUTH), "label": list(TRUTH.values())})
    gold.loc[0, "label"] = "Unheard of"
    (folder / "gold.csv").write_text(csv(gold))
    result = call("compare", "answers.csv", "--gold", "gold.csv", "--methods", "mv")
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stderr.split())
    assert "gold: 1 of 12 true labels is of a class that no worker gave ('Unheard of')" in said
    gold["label"] = gold["label"].str.swapcase()
    (folder / "gold.csv").write_text(csv(gold))
    result = call("compare", "answers.csv", "--gold", "gold.csv", "--methods", "mv")
    failed(result, 1)
    assert "no worker gave any of its true labels" in " ".join(result.stderr.split())


def test_compare_without_gold(folder: Path) -> None:
    result = call("compare", "answers.csv", "--methods", "deem,ds")
    assert result.exit_code == 0, result.stderr
    assert "agrees with mv" in result.stdout
    assert "agrees with deem" in result.stdout
    assert "accuracy" not in result.stdout
    assert "mv" not in [line.split()[0] for line in result.stdout.splitlines() if line.strip()]


def test_a_method_agrees_with_itself_and_ties_are_explained(folder: Path) -> None:
    answers = pd.DataFrame(
        [(1, "a", "x"), (1, "b", "y"), (2, "a", "x"), (2, "b", "x"), (3, "a", "y"), (3, "c", "y"), (4, "c", "x")],
        columns=["task", "worker", "label"],
    )  # fmt: skip
    answers.to_csv("tied.csv", index=False)
    result = call("compare", "tied.csv", "--methods", "mv,deem,wawa")
    rows = dict(re.findall(r"^ *(\w+) +([\d.]+) ", result.stdout, re.M))
    assert rows["mv"] == "1.0000"
    assert "The votes of 1 of 4 tasks are tied" in result.stdout
    answers[1:].to_csv("settled.csv", index=False)
    result = call("compare", "settled.csv", "--methods", "deem,mv")
    rows = dict(re.findall(r"^ *(\w+) +([\d. ]+) ", result.stdout, re.M))
    assert rows["mv"].split()[0] == rows["deem"].split()[1] == "1.0000"
    assert "No votes are tied." in result.stdout


def test_compare_refuses_what_it_cannot_do(folder: Path) -> None:
    failed(call("compare", "answers.csv", "--methods", "deem,nobody"), 2)
    failed(call("compare", "answers.csv", "--methods", " , "), 2)
    for text in ("ds(n_iter=5)", "short=ds(n_iter=5, tol=0)"):  # as in benchmark --methods
        result = call("compare", "answers.csv", "--methods", f"deem,{text}")
        failed(result, 2)
        assert "Parameters go into --set ds.NAME=VALUE" in " ".join(result.stderr.split())
    failed(call("compare", "-", stdin="task,worker,label\n"), 1)


def test_demo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every method runs on every data set, and what it found is printed."""
    found, run = [], demo.run

    def kept(seed: int):
        for shown in run(seed):
            found.append(shown)
            yield shown

    monkeypatch.setattr(demo, "run", kept)
    result = call("demo", "--seed", "1")
    assert [ensemble.name for ensemble, _ in found] == ["digits", "breast-cancer", "wine"]
    for ensemble, results in found:
        assert [one.method for one in results] == list(demo.METHODS)
        assert not any(one.error for one in results)
        assert max(one.accuracy or 0 for one in results) > ensemble.accuracies.median()
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("digits", "breast-cancer", "wine", "deem", "ds", "mv", "log-loss"):
        assert word in result.stdout
    assert result.stdout.count(" *") >= 9  # a best one in each column of each table


@pytest.mark.parametrize("ordered", [False, True])
def test_methods_of_others_get_the_values_of_categories(folder: Path, ordered: bool) -> None:
    """crowd-kit's own fail on a column of categories, as pandas writes them to parquet."""
    frame = pd.read_csv("answers.csv", dtype=str)
    plain = call("compare", "answers.csv", "--methods", "ds,mv")
    classes = sorted(frame["label"].unique(), reverse=True)
    typed = frame.astype("category").assign(
        label=pd.Categorical(frame["label"], classes, ordered=ordered)
    )
    typed.to_parquet("answers.parquet")
    result = call("compare", "answers.parquet", "--methods", "ds,mv")
    assert result.exit_code == 0, result.stderr
    seconds = r"\d\.\d{3}( \*)?"
    assert re.sub(seconds, "", result.stdout) == re.sub(seconds, "", plain.stdout)
    done = call("aggregate", "answers.parquet", "--method", "ds", "-o", "labels.csv")
    assert done.exit_code == 0, done.stderr
    call("aggregate", "answers.csv", "--method", "ds", "-o", "plain.csv")
    assert Path("labels.csv").read_text() == Path("plain.csv").read_text()


def test_what_reading_said_is_not_said_again_by_each_method(folder: Path) -> None:
    frame = pd.read_csv("answers.csv")
    frame.loc[frame.index[0], "label"] = "n/a"
    frame.to_csv("answers.csv", index=False)
    result = call("compare", "answers.csv", "--methods", "deem,mv")
    assert result.stderr.count("may stand for a missing answer") == 1


def test_gold_that_goes_by_other_names_is_pointed_out(folder: Path) -> None:
    gold = pd.DataFrame({"task": list(TRUTH), "label": list(TRUTH.values())})
    (folder / "gold.csv").write_text(csv(gold))
    names = sorted(gold["label"].unique())
    other = dict(zip(names, names[1:] + names[:1], strict=True))
    (folder / "other.csv").write_text(csv(gold.assign(label=gold["label"].map(other))))
    line = ("compare", "answers.csv", "--methods", "mv", "--gold")
    said = " ".join(call(*line, "other.csv").stderr.split())
    assert (
        f"mv: gold seems to have other names for the classes: 0 % of {len(gold)} labels are right"
        in said
    )
    assert "100 % if each class is renamed" in said
    assert "other names" not in call(*line, "gold.csv").stderr


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (["a"] * 100, ["a"] * 60 + ["b"] * 40),
        (["a"] * 60 + ["b"] * 40, ["b"] * 100),
        (["a"] * 80 + ["b"] * 20, ["a"] * 20 + ["b"] * 80),
    ],
    ids=["gold of one class", "answers of one class", "too many of one class"],
)
def test_labels_that_are_wrong_are_no_other_names(tmp_path: Path, truth, said) -> None:
    tasks = [f"t{n}" for n in range(100)]
    rows = [
        (task, worker, label) for task, label in zip(tasks, said, strict=True) for worker in "xy"
    ]
    answers = pd.DataFrame(rows, columns=["task", "worker", "label"])
    (tmp_path / "answers.csv").write_text(csv(answers))
    (tmp_path / "gold.csv").write_text(csv(pd.DataFrame({"task": tasks, "label": truth})))
    line = ("compare", str(tmp_path / "answers.csv"), "--methods", "mv")
    assert "otherwise" not in call(*line, "--gold", str(tmp_path / "gold.csv")).stderr

"""What the shell says of answers that are missing, repeated or spelt in two ways, and of sources that repeat others."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shell_calls import TRUTH, answers, call, csv, failed, folder, table

__all__ = ["folder"]


@pytest.mark.parametrize("label", ["N/A", "-1", "99"])
def test_labels_that_may_be_missing_answers_are_left_out_by_an_option(folder: Path, label) -> None:
    rows = [f"t{i % 4},w{i % 3},{[label, '0', '1'][i % 3]}" for i in range(12)]
    (folder / "doubtful.csv").write_text("\n".join(["task,worker,label", *rows]) + "\n")
    result = call("aggregate", "doubtful.csv")
    said = f": --abstain={label}; if (not|it is a class), nothing has to change."
    assert re.search(said, result.stderr), result.stderr
    assert "classes=" not in result.stderr


def test_words_that_look_alike_are_put_right_in_the_file(folder: Path) -> None:
    (folder / "answers.csv").write_text(csv(answers().replace("no", "Yes ")))
    result = call("aggregate", "answers.csv")
    assert "If they are meant as one, write them alike in the file.\n" in result.stderr


def test_a_missing_label_is_an_error_that_names_the_option(folder: Path) -> None:
    frame = answers()
    frame.loc[frame["task"] == "t3", "label"] = None
    (folder / "answers.csv").write_text(csv(frame))
    said = failed(call("aggregate", "answers.csv", "-o", "labels.csv"), 1)
    assert "column 'label' is missing in 5 of 60 rows" in said
    assert "--missing drop" in said
    assert not (folder / "labels.csv").exists()


@pytest.mark.parametrize("method", ["deem", "mv"])
def test_dropped_labels_leave_a_task_with_no_label(folder: Path, method: str) -> None:
    frame = answers()
    frame.loc[frame["task"] == "t3", "label"] = None
    (folder / "answers.csv").write_text(csv(frame))
    arguments = ["--missing", "drop", "--proba", "p.csv", "--method", method]
    result = call("aggregate", "answers.csv", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("warning: 1 task has no answers") == 1
    labels = table(result.stdout).set_index("task")["label"]
    assert pd.isna(labels.pop("t3"))
    assert labels.to_dict() == {task: label for task, label in TRUTH.items() if task != "t3"}
    assert list(pd.read_csv("p.csv")["task"]) == list(TRUTH)


def test_repeated_answers(folder: Path) -> None:
    frame = pd.DataFrame(
        [["a", "w", "x"], ["a", "w", "y"], ["b", "w", "y"], ["b", "v", "y"]],
        columns=["task", "worker", "label"],
    )
    (folder / "answers.csv").write_text(csv(frame))
    for rule, label in (("last", "y"), ("first", "x")):
        result = call("aggregate", "answers.csv", "--method", "mv", "--duplicates", rule)
        assert result.exit_code == 0, result.stderr
        assert result.stderr.startswith("warning: ")
        assert table(result.stdout).set_index("task")["label"]["a"] == label
    failed(call("aggregate", "answers.csv", "--duplicates", "error"), 1)


def test_no_answers_at_all_is_an_empty_result(folder: Path) -> None:
    for method in ("deem", "ds"):
        result = call("aggregate", "-", "--method", method, stdin="task,worker,label\n")
        assert (result.exit_code, result.stdout) == (0, "task,label\n")


def test_a_missing_column_names_what_is_there_and_the_form_expected(folder: Path) -> None:
    (folder / "wide.csv").write_text("task,w1,w2\nt1,a,b\n")
    said = failed(call("aggregate", "wide.csv"), 1)
    for word in ("wide.csv", "worker", "label", "w1", "one column a worker", "--adapter wide"):
        assert word in said


def test_sources_that_repeat_one_another_are_said(folder: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=300)
    judges = {f"judge-{i}": np.where(rng.random(300) < 0.75, truth, 1 - truth) for i in range(5)}
    one = np.where(rng.random(300) < 0.6, truth, 1 - truth)
    judges |= {f"prompt-{c}": np.where(rng.random(300) < 0.95, one, 1 - one) for c in "abc"}
    wide = pd.DataFrame(judges).rename_axis("task").reset_index()
    wide.melt("task", var_name="worker", value_name="label").to_csv("judges.csv", index=False)
    said = call("aggregate", "judges.csv", "-o", "labels.csv").stderr
    assert (
        "warning: Workers prompt-a, prompt-b and prompt-c repeat one another: they agree more than"
        in said
    )
    summary = call("aggregate", "judges.csv", "-o", "labels.csv", "--summary").stderr
    assert "warning" not in summary
    assert "! Workers prompt-a, prompt-b and prompt-c repeat one another" in summary
    assert (
        "repeat" not in call("aggregate", "judges.csv", "-o", "labels.csv", "--method", "mv").stderr
    )


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("column", ["order", "swapped"])
def test_verdicts_on_pairs_shown_in_both_orders_are_pointed_out(
    folder: Path, kind: str, column: str
) -> None:
    """Read as they stand, A of a swapped pair would be the other answer of the pair."""
    shown = [("AB", "A"), ("BA", "B")]
    rows = [
        (f"p{i}", f"j{j}", verdict, order)
        for i in range(6)
        for j in range(3)
        for order, verdict in shown
    ]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label", column])
    path = f"verdicts.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    said = " ".join(call("aggregate", path, "-o", "labels.csv").stderr.split())
    assert f"{path}: column {column!r} is not read" in said
    how = re.search(r"--adapter pairwise( --adapter-set swap=swapped)?", said)
    assert how is not None
    done = call("aggregate", path, *how[0].split(), "-o", "labels.csv")
    assert done.exit_code == 0, done.stderr
    assert set(pd.read_csv("labels.csv")["label"]) == {"A"}
    frame.assign(label=frame["label"].map({"A": "cat", "B": "dog"})).to_csv("cats.csv", index=False)
    assert "is not read" not in call("aggregate", "cats.csv", "-o", "labels.csv").stderr


def test_swapped_labels_and_further_findings_are_said_in_words_of_the_shell(folder: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=120)
    noisy = np.where(rng.random((120, 6)) < 0.85, truth[:, None], rng.integers(4, size=(120, 6)))
    names = [(0, 1, 2, 3), (0, 1, 2, 3), (1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (3, 1, 2, 0)]
    frame = pd.DataFrame({f"k{i}": np.array(own)[noisy[:, i]] for i, own in enumerate(names)})
    frame.rename_axis("item").to_csv("renamed.csv")
    said = " ".join(call("suspects", "renamed.csv", "-n", "1").stderr.split())
    assert "seems to have labels swapped" in said
    assert "`deem-crowd aggregate --method clusterings` needs no common ones" in said
    assert "`deem-crowd report` has 1 more." in said
    assert "()" not in said


@pytest.mark.parametrize(
    "command",
    [
        "aggregate",
        "aggregate --method mv",
        "compare",
        "report -o r.html",
        "next",
        "suspects",
        "keep",
    ],
)
def test_that_all_answers_name_one_class_is_said_once(folder: Path, command: str) -> None:
    (folder / "answers.csv").write_text(csv(answers().assign(label="no")))
    name, *options = command.split()
    done = call(name, "answers.csv", *options)
    assert done.exit_code == 0, done.output
    assert done.stderr.count("All answers name one class") == 1
    assert "show no label" not in done.stderr
    (folder / "answers.csv").write_text(csv(answers()))
    assert "name one class" not in call(name, "answers.csv", *options).stderr


@pytest.mark.parametrize(("word", "others"), [("error", "AB"), ("$ERROR$", "xy"), ("Error", "xy")])
def test_calls_of_judges_that_failed_may_be_no_answers(
    folder: Path, word: str, others: str
) -> None:
    frame = answers().replace({"no": others[0], "yes": others[1]})
    frame.loc[::11, "label"] = word
    (folder / "answers.csv").write_text(csv(frame))
    said = call("aggregate", "answers.csv").stderr
    assert (f"'{word}') may stand for a missing answer" in said) == (word != "Error")

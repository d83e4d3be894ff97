"""Known labels in the shell: files and columns of gold, and how they meet the answers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shell_calls import TRUTH, answers, call, csv, failed, folder, table

__all__ = ["folder"]
pytestmark = pytest.mark.usefixtures("same_fits_once")


def test_gold_labels_are_kept(folder: Path) -> None:
    flipped = {"t0": "yes", "t1": "no"}
    (folder / "gold.csv").write_text("task,label\nt0,yes\nt1,no\nt2,\n")
    result = call("aggregate", "answers.csv", "--gold", "gold.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    assert dict(table(result.stdout).to_numpy()) == TRUTH | flipped


def test_gold_whose_types_differ_from_the_answers_is_matched_by_how_it_is_written(
    folder: Path,
) -> None:
    frame = answers().replace({"no": "0", "yes": "1"})
    frame.loc[len(frame)] = ["t0", "w9", "x"]  # the label column is text, gold's is numbers
    frame["task"] = frame["task"].str[1:]
    (folder / "answers.csv").write_text(csv(frame))
    (folder / "gold.csv").write_text("task,label\n0,1\n1,0\n")
    result = call("aggregate", "answers.csv", "--gold", "gold.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    labels = table(result.stdout).set_index("task")["label"]
    assert (labels[0], labels[1], labels[2]) == (1, 0, 0)


@pytest.mark.parametrize("name", ["gold.json", "gold.xlsx"])
def test_gold_may_be_json_or_a_workbook(folder: Path, name: str) -> None:
    gold = pd.DataFrame({"item": ["t0", "t1"], "label": ["yes", "no"]})
    gold.to_excel(name, index=False) if name.endswith("x") else gold.to_json(name, orient="records")
    result = call("aggregate", "answers.csv", "--gold", name, "--gold-task", "item")
    assert (result.exit_code, result.stderr) == (0, "")
    assert dict(table(result.stdout).to_numpy()) == TRUTH | {"t0": "yes", "t1": "no"}
    (folder / "gold.json").write_text('{"t0": "yes"}')
    said = failed(call("aggregate", "answers.csv", "--gold", "gold.json"), 1)
    assert "gold.json holds no known labels. Give a table with columns task, label." in said


def test_gold_of_tasks_without_answers_is_a_warning(folder: Path) -> None:
    (folder / "gold.csv").write_text("task,label\nt0,no\nelsewhere,no\n")
    result = call("aggregate", "answers.csv", "--gold", "gold.csv")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: --gold names 1 task without answers ('elsewhere')")


def test_gold_of_no_task_says_what_tasks_are_called(folder: Path) -> None:
    frame = answers()
    frame["task"] = frame["task"].str[1:].str.zfill(3)
    (folder / "answers.csv").write_text(csv(frame))
    (folder / "gold.csv").write_text("task,label\n0,no\n1,yes\n")
    result = call("aggregate", "answers.csv", "--gold", "gold.csv")
    assert result.exit_code == 0
    assert "No task with answers is among them: those are called '000', '001'," in result.stderr


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("task,label\nt0,maybe\n", "'maybe'"),
        ("task,truth\nt0,no\n", "label"),
        ("task,label\nt0,no\nt0,yes\n", "two gold labels ('t0')"),
        ("task,label\n,no\n", "column 'task' is missing in 1 row. Drop or repair"),
    ],
)
def test_bad_gold(folder: Path, gold: str, said: str) -> None:
    (folder / "gold.csv").write_text(gold)
    assert said in failed(call("aggregate", "answers.csv", "--gold", "gold.csv"), 1)


def test_a_column_of_gold_among_the_answers_is_read_where_it_is_named(folder: Path) -> None:
    frame = answers()
    frame["gold"] = frame["task"].map({"t0": "yes", "t1": "no"})
    (folder / "answers.csv").write_text(csv(frame))
    ignored = call("aggregate", "answers.csv")
    assert (ignored.exit_code, dict(table(ignored.stdout).to_numpy())) == (0, TRUTH)
    assert "column 'gold' is not read." in ignored.stderr
    options = re.search(r"add (--gold .*)\.$", ignored.stderr.strip())
    assert options is not None
    read = call("aggregate", "answers.csv", *options[1].split())
    assert (read.exit_code, read.stderr) == (0, "")
    assert dict(table(read.stdout).to_numpy()) == TRUTH | {"t0": "yes", "t1": "no"}


def test_a_column_of_gold_of_a_wide_table_is_no_source(folder: Path) -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(
        {judge: rng.choice(["yes", "no"], 40) for judge in ("gpt", "bert", "llama")}
    )
    wide["human"] = pd.Series(rng.choice(["yes", "no"], 40)).where(wide.index < 12)
    wide.rename_axis("id").to_csv("wide.csv")
    gold = ("--gold", "wide.csv", "--gold-label", "human", "--gold-task", "id")
    done = call("aggregate", "wide.csv", *gold, "-o", "labels.csv", "--workers", "workers.csv")
    assert done.exit_code == 0, done.output
    assert "column 'human' holds known labels (--gold-label), and is no source" in done.stderr
    assert pd.read_csv("workers.csv")["worker"].tolist() == ["gpt", "bert", "llama"]
    labels = pd.read_csv("labels.csv", index_col="task")["label"]
    assert labels.loc[:11].tolist() == wide["human"].iloc[:12].tolist()
    assert len(labels) == 40


def test_a_column_of_gold_that_is_named_is_never_replaced_by_another(folder: Path) -> None:
    said = failed(
        call("aggregate", "answers.csv", "--gold", "answers.csv", "--gold-label", "glod"), 1
    )
    assert "missing columns 'glod'" in said
    assert "add --gold FILE" in failed(call("aggregate", "answers.csv", "--gold-label", "label"), 2)


def test_the_column_of_known_labels_is_found_in_a_wide_table(folder: Path) -> None:
    wide = answers().pivot(index="task", columns="worker", values="label").add_prefix("Grader ")
    wide["Teacher"] = pd.Series(TRUTH).head(6)
    wide.reset_index(names="essay").to_csv("wide.csv", index=False)
    workers = "workers=" + ",".join(f"Grader w{w}" for w in range(5))
    asked = ("aggregate", "wide.csv", "--adapter", "wide", "--adapter-set", workers)
    asked = (*asked, "-o", "labels.csv", "--gold", "wide.csv", "--gold-label", "Teacher")
    said = call(*asked)
    assert said.exit_code == 1
    assert "missing columns 'task'" in said.stderr
    assert "--gold-task" in said.stderr
    assert call(*asked, "--gold-task", "essay").exit_code == 0
    assert len(pd.read_csv("labels.csv")) == 12


def test_gold_without_rows_is_said_to_know_nothing(folder: Path) -> None:
    (folder / "none.csv").write_text("task,label\n")
    done = call("aggregate", "answers.csv", "--gold", "none.csv", "-o", "labels.csv")
    assert done.exit_code == 0
    assert "none.csv: column 'label' is empty throughout (0 rows), so that no label" in done.stderr
    done = call("compare", "answers.csv", "--gold", "none.csv")
    assert "error: --gold has no label for any task that has answers." in done.stderr


@pytest.mark.parametrize("other", ["gold", "answers"])
def test_a_whole_number_may_be_written_with_a_decimal_point_in_one_of_two_files(
    folder: Path, other: str
) -> None:
    """A column of numbers with a gap is one of floats in pandas, and 1 is written 1.0."""
    frame = answers().replace({"no": 0, "yes": 1})
    frame["task"] = frame["task"].str[1:].astype(int)
    gold = pd.DataFrame({"task": [0, 1, 2], "label": [1, 0, None]})
    if other == "answers":
        frame, gold = frame.astype({"task": float, "label": float}), gold.dropna().astype(int)
    (folder / "answers.csv").write_text(csv(frame))
    (folder / "gold.csv").write_text(csv(gold.astype({"task": float}) if other == "gold" else gold))
    for command in ("aggregate", "suspects"):
        assert call(command, "answers.csv", "--gold", "gold.csv").exit_code == 0
    result = call("aggregate", "answers.csv", "--gold", "gold.csv")
    assert result.stderr == ""
    labels = table(result.stdout).set_index("task")["label"]
    assert labels.head(4).tolist() == [1, 0, 0, 1]
    assert ("1.0" in result.stdout) == (other == "answers")


def test_gold_of_no_task_is_bad_data_where_something_is_held_against_it(folder: Path) -> None:
    (folder / "gold.csv").write_text("task,label\nelsewhere,no\n")
    said = failed(call("keep", "answers.csv", "--gold", "gold.csv"), 1)
    assert "error: --gold names no task that has a label here." in said
    for command in ("compare", "report"):
        options = ("-o", "page.html") if command == "report" else ()
        assert call(command, "answers.csv", "--gold", "gold.csv", *options).exit_code == 1

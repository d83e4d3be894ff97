"""Every format of evaluations, judges, matrices and services is read in the shell by its content alone."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from by_hand import write
from evaluations import SAMPLES, log, write_eval
from matrices import VOTES
from one_of_each import FILES
from services import ANNA, FULL, cvat, tag
from typer.testing import CliRunner
from workbooks import LONG, book

from deem_crowd.cli.app import app

OTHERS = {
    "a.eval": lambda path: write_eval(path, log(SAMPLES)),
    "a.xml": lambda path: write(path, cvat({"a.jpg": tag("cat"), "b.jpg": tag("dog")}, ANNA)),
    "a.npy": lambda path: np.save(path, VOTES),
    "a.npz": lambda path: np.savez(path, L=VOTES),
    "a.xlsx": lambda path: book(path, answers=LONG),
}


def aggregate(*arguments):
    done = CliRunner().invoke(app, ["aggregate", *map(str, arguments), "--method", "mv"])
    rows = list(csv.DictReader(io.StringIO(done.stdout))) if done.exit_code == 0 else []
    return done, rows


@pytest.mark.parametrize("name", [*FILES, *OTHERS])
def test_a_file_is_read_without_an_option(tmp_path, name) -> None:
    path = tmp_path / name
    if name in FILES:
        write(path, FILES[name])
    else:
        OTHERS[name](path)
    done, rows = aggregate(path)
    assert done.exit_code == 0, done.output
    assert rows
    # mv does not learn from known labels, and r2 has nothing else
    open_tasks = ["r2"] if name == "labelbox1.json" else []
    assert [row["task"] for row in rows if not row["label"]] == open_tasks


def test_a_choice_that_is_open_is_settled_with_what_the_message_says(tmp_path) -> None:
    path = write(tmp_path / "report.csv", FULL)
    done, _ = aggregate(path)
    assert done.exit_code == 1
    assert "--adapter-set question=relevant" in " ".join(done.output.split())
    done, rows = aggregate(path, "--adapter-set", "question=relevant")
    assert done.exit_code == 0, done.output
    assert len(rows) == 3
    np.save(tmp_path / "L.npy", np.array([[-1, 0, 1], [1, 1, -1]]))
    done, _ = aggregate(tmp_path / "L.npy")
    assert "--adapter-set abstain=-1" in " ".join(done.output.split())
    done, rows = aggregate(tmp_path / "L.npy", "--adapter-set", "abstain=-1")
    assert [row["label"] for row in rows][1] == "1"  # the first is a tie of 0 and 1


def test_columns_of_a_workbook_are_named_like_those_of_a_table(tmp_path) -> None:
    names = {"task": "item_id", "worker": "annotator", "label": "verdict"}
    path = book(tmp_path / "a.xlsx", answers=LONG.rename(columns=names))
    done, _ = aggregate(path)
    assert "task='item_id', worker='annotator'" in " ".join(done.output.split())
    done, rows = aggregate(path, *(f"--{part}={name}" for part, name in names.items()))
    assert done.exit_code == 0, done.output
    assert [row["task"] for row in rows] == ["1", "2"]

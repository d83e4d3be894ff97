"""Checks for authors of adapters: our own adapters pass them, and each planted fault fails its own."""

from __future__ import annotations

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest

import deem_crowd
from deem_crowd import Answers
from deem_crowd.testing import ConformanceError, check_adapter


def wide(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a task, one column a worker, in order of first appearance."""
    table = frame.pivot(index="task", columns="worker", values="label")
    return table.reindex(index=frame["task"].unique(), columns=frame["worker"].unique())


def matrix(frame: pd.DataFrame) -> np.ndarray:
    return wide(frame).fillna(-1).to_numpy().astype(int)


def soft(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.get_dummies(frame, columns=["label"], prefix="", prefix_sep="", dtype=float)


def hardened(data: pd.DataFrame) -> Answers:
    """The soft-long adapter, its certain answers read as labels."""
    answers = adapters.from_soft_long(data)
    frame = pd.DataFrame(
        {
            "task": answers.tasks.take(answers.task),
            "worker": answers.workers.take(answers.worker),
            "label": answers.classes.take(answers.soft.argmax(1)),
        }
    )
    return Answers.from_frame(frame)


def test_built_in_adapters_in_memory() -> None:
    import polars
    import pyarrow

    check_adapter(adapters.from_long, lambda frame: frame)
    check_adapter(adapters.from_wide, wide)
    check_adapter(adapters.from_dense, matrix, ids="integers")
    check_adapter(hardened, soft)
    check_adapter(adapters.from_polars, polars.from_pandas)
    check_adapter(adapters.from_arrow, pyarrow.Table.from_pandas)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_built_in_adapters_of_files(kind, tmp_path) -> None:
    def write(frame):
        path = tmp_path / f"answers.{kind}"
        adapters.write_table(frame, path)
        return path

    check_adapter(deem_crowd.adapters()[kind].load(), write)


def fills(data: np.ndarray) -> Answers:
    return Answers.from_dense(np.where(data < 0, 0, data))


def adds_class(data: pd.DataFrame) -> Answers:
    return Answers.from_frame(
        data.fillna("none").rename_axis("task").reset_index().melt("task", var_name="worker", value_name="label")
    )  # fmt: skip


def forgets(data: pd.DataFrame) -> Answers:
    return Answers.from_frame(data.iloc[:-1])


def renumbers(data: pd.DataFrame) -> Answers:
    return Answers.from_frame(data.assign(task=pd.factorize(data["task"])[0]))


def spoils(data: pd.DataFrame) -> Answers:
    answers = Answers.from_frame(data)
    data["label"] = "x"
    return answers


@pytest.mark.parametrize(
    ("read", "write", "ids", "words"),
    [
        (fills, matrix, "integers", "answers were invented, .*A missing answer is no answer"),
        (adds_class, wide, "strings", "answers were invented"),
        (forgets, lambda f: f, "strings", "1 of 11 answers were lost"),
        (renumbers, lambda f: f, "strings", "answers were lost"),
        (
            lambda data: data,
            lambda f: f,
            "strings",
            "returned a DataFrame. Return deem_crowd.Answers",
        ),
        (
            spoils,
            lambda f: f,
            "strings",
            "read twice, the same data give other answers. Work on a copy",
        ),
    ],
)
def test_broken_adapters(read, write, ids, words) -> None:
    with pytest.raises(ConformanceError, match=words):
        check_adapter(read, write, ids=ids)

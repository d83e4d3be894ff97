"""Tasks of a DEEM go by the index of the frame that was fitted, and rows of tables by their ids, in whatever order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, decide
from deem_crowd.exceptions import DataWarning

N = 60


def wide(seed: int = 0, index: pd.Index | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=N)
    right = rng.random((N, 5)) < 0.7
    matrix = np.where(right, truth[:, None], rng.integers(3, size=right.shape))
    named = pd.Index([f"photo-{i}" for i in range(N)]) if index is None else index
    return pd.DataFrame(matrix, columns=list("abcde"), index=named)


INDEXES = {
    "text": pd.Index([f"{i}.jpg" for i in range(N)], name="file"),
    "numbers": pd.Index(np.arange(N)[::-1] * 7),
    "numbers as text": pd.Index([str(N - i) for i in range(N)]),
    "categories": pd.CategoricalIndex([f"c{i}" for i in range(N)]),
    "days": pd.date_range("2026-01-01", periods=N),
    "parts": pd.MultiIndex.from_product([["x", "y"], range(N // 2)], names=["folder", "number"]),
}


@pytest.fixture(scope="module")
def by_row() -> DEEM:
    return DEEM().fit(wide().to_numpy())


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_every_table_names_tasks_as_the_frame_does(index: pd.Index, by_row: DEEM) -> None:
    ids = pd.Index(list(index), tupleize_cols=False)
    by_id = DEEM().fit(wide(index=index))
    assert list(by_id.tasks_.index) == list(ids)
    assert by_id.tasks_.index.name == by_row.tasks_.index.name == "task"
    assert list(by_id.contested_.index) == list(ids)
    for table in ("next_tasks", "suspect_answers", "suspect_labels"):
        named, numbered = getattr(by_id, table)(9), getattr(by_row, table)(9)
        assert list(named["task"]) == list(ids.take(numbered["task"])), table
        kept = named.drop(columns=["task", "worker"], errors="ignore")
        pd.testing.assert_frame_equal(kept, numbered[kept.columns])
    named, numbered = by_id.reliable(0.8).labels, by_row.reliable(0.8).labels
    assert list(named.index) == list(ids.take(numbered.index))
    best = by_id.next_tasks(1)["task"].tolist()
    assert by_id.next_tasks(N - 1, exclude=best)["task"].isin(best).sum() == 0


@pytest.mark.parametrize(
    "index",
    [pd.RangeIndex(N), pd.Index(range(N)), pd.Index(["same"] * N), pd.Index([None, *range(1, N)])],
    ids=["count", "whole numbers in order", "an id twice", "no id"],
)
def test_an_index_that_tells_no_tasks_leaves_row_numbers(index: pd.Index) -> None:
    assert DEEM().fit(wide(index=index)).tasks_.index.equals(pd.RangeIndex(N))


def test_a_model_from_a_file_is_given_the_frame_and_its_ids(tmp_path: Path) -> None:
    frame = wide()
    model = DEEM().fit(frame)
    model.save(tmp_path / "model")
    loaded = DEEM.load(tmp_path / "model.safetensors")
    shuffled = frame.sample(frac=1, random_state=0)[list("edcba")]
    told, known = (
        # precision is that of a label and those before it
        one.set_index("task").sort_index().drop(columns="expected_precision")
        for one in (loaded.suspect_labels(N, answers=shuffled), model.suspect_labels(N))
    )
    pd.testing.assert_frame_equal(told, known)


def test_further_rows_bring_their_ids_or_their_numbers() -> None:
    frame = wide()
    whole = DEEM().partial_fit(frame)
    parts = DEEM().partial_fit(frame[:40]).partial_fit(frame[40:])
    assert list(parts.tasks_.index) == list(frame.index) == list(whole.tasks_.index)
    with pytest.warns(DataWarning, match="by position"):
        parts.partial_fit(frame[:2].to_numpy())
    assert list(parts.tasks_.index) == [*frame.index, N, N + 1]
    assert parts.next_tasks(N + 2)["task"].is_unique


def test_where_an_id_occurs_again_rows_stay_tasks_and_go_by_number() -> None:
    frame = wide()
    model = DEEM().partial_fit(frame)
    with pytest.warns(
        DataWarning, match=r"2 rows repeat the id of an earlier row \('photo-3', 'photo-4'\)"
    ):
        model.partial_fit(frame[3:5], gold=np.array([1, 2]))
    assert model.tasks_.index.equals(pd.RangeIndex(N + 2))
    assert model.labels_[N:].tolist() == [1, 2]
    by_array = DEEM().partial_fit(frame.to_numpy())
    by_array.partial_fit(frame[3:5].to_numpy(), gold=np.array([1, 2]))
    assert np.array_equal(model.probas_, by_array.probas_)


def test_rows_after_rows_without_ids_are_numbered_on() -> None:
    frame = wide()
    model = DEEM().partial_fit(frame.to_numpy())
    with pytest.warns(DataWarning, match="by position"):
        model.partial_fit(frame[:5])
    assert model.tasks_.index.equals(pd.RangeIndex(N + 5))


def long(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    table = frame.rename_axis("task").reset_index()
    table = table.melt("task", var_name="worker", value_name="label")
    return table.sample(frac=1, random_state=seed)


@pytest.mark.parametrize("seed", range(3))
def test_long_tables_go_by_their_ids_in_predict_and_partial_fit(seed: int) -> None:
    # workers were taken in the order in which the second table names them
    frame = wide()
    model = DEEM().fit(long(frame, 10))
    again = long(frame, seed)
    labels = pd.Series(model.predict(again), index=again["task"].unique())
    assert (labels.reindex(model.tasks_.index) == model.labels_).all()
    grown = DEEM().partial_fit(long(frame[:40], 10)).partial_fit(long(frame[40:], seed))
    assert set(grown.tasks_.index) == set(frame.index)
    assert (grown.tasks_["label"].reindex(model.tasks_.index) == model.labels_).mean() > 0.97
    assert (grown.skills_ > 0.5).all()


def test_row_numbers_exclude_no_task_that_has_an_id_and_that_is_said() -> None:
    data = np.random.default_rng(0).integers(2, size=(8, 4))
    model = DEEM().fit(pd.DataFrame(data, index=list("abcdefgh"), columns=list("wxyz")))
    for call in (decide.next_tasks, decide.next_pairs):
        with pytest.warns(DataWarning, match="exclude names 2 tasks that the model does not know"):
            call(model, 1, exclude=[0, 1])
    with pytest.warns(DataWarning, match="leaves none out. Its tasks are called 'a', 'b', 'c'"):
        decide.pseudo_labels(model, 0.3, exclude=[0])

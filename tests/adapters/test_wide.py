"""Wide frames: whatever dtypes the columns have, one label space, and no label changed."""

from __future__ import annotations

import tracemalloc
import warnings

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingColumnError,
    ParameterError,
)

BIG = 2**60 + 1  # a float64 cannot hold it


def classes(frame: pd.DataFrame) -> list:
    return adapters.from_wide(frame).classes.tolist()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"a": [1, 2], "b": [1.0, np.nan]}, [1, 2]),
        ({"a": [BIG, BIG + 2], "b": [1.0, np.nan]}, [1, BIG, BIG + 2]),
        ({"a": [1, 2], "b": np.array([2**63 + 1, 3], dtype="u8")}, [1, 2, 3, 2**63 + 1]),
        ({"a": pd.array([BIG, None], dtype="Int64"), "b": [1.0, 2.0]}, [1, 2, BIG]),
        ({"a": pd.array([BIG, 2], dtype="Int64"), "b": [0.5, 2.5]}, [0.5, 2, 2.5, BIG]),
        ({"a": [1e300, 1.0]}, [1.0, 1e300]),
        ({"a": [np.inf, 1.0]}, [1.0, np.inf]),
        ({"a": [0.5, np.nan], "b": [1, 2]}, [0.5, 1.0, 2.0]),
        ({"a": [True, None], "b": [True, False]}, [False, True]),
        ({"a": pd.Categorical(["x", None]), "b": ["y", "x"]}, ["x", "y"]),
        ({"a": [(1, 2), None], "b": [(1, 2), (3, 4)]}, [(1, 2), (3, 4)]),
        ({"a": pd.arrays.SparseArray([1.0, np.nan]), "b": [np.nan, 2.0]}, [1, 2]),
        ({"a": ["x", ""], "b": ["NA", None]}, ["", "NA", "x"]),
    ],
)
def test_columns_of_several_dtypes_share_one_label_space(columns: dict, expected: list) -> None:
    assert classes(pd.DataFrame(columns)) == expected


@pytest.mark.parametrize(
    "dtype",
    [
        "float64",
        "str",
        "string[pyarrow]",
        "int64[pyarrow]",
        "datetime64[us]",
        "boolean",
        "category",
    ],
)
def test_one_dtype_throughout_is_kept(dtype: str) -> None:
    values = {"str": ["a", "b"], "string[pyarrow]": ["a", "b"], "category": ["a", "b"]}.get(
        dtype, [1, 0]
    )
    frame = pd.DataFrame({"v": values, "w": values}).astype(dtype)
    assert adapters.from_wide(frame).classes.dtype == frame["v"].dtype


def test_an_unused_category_keeps_the_declared_order() -> None:
    kind = pd.CategoricalDtype(["lo", "mid", "hi"])
    assert classes(pd.DataFrame({"a": ["hi", "lo"], "b": ["lo", None]}).astype(kind)) == [
        "lo",
        "hi",
    ]


def test_tuples_of_a_multiindex_are_ids() -> None:
    frame = pd.DataFrame(
        [[0, 1]],
        index=pd.MultiIndex.from_tuples([("batch", 1)]),
        columns=pd.MultiIndex.from_tuples([("label", "v"), ("label", "w")]),
    )
    answers = adapters.from_wide(frame)
    assert answers.tasks.tolist() == [("batch", 1)]
    assert answers.workers.tolist() == [("label", "v"), ("label", "w")]


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame(columns=["v", "w"])])
def test_row_empty_frame(frame: pd.DataFrame) -> None:
    answers = adapters.from_wide(frame)
    assert (answers.n_tasks, answers.n_answers, answers.n_classes) == (0, 0, 0)
    assert (answers.tasks.name, answers.workers.name, answers.classes.name) == (
        "task",
        "worker",
        "label",
    )


def test_row_all_missing_row_and_column_warn_and_stay() -> None:
    frame = pd.DataFrame({"v": ["x", None], "w": [None, None]}, index=["t", "u"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = adapters.from_wide(frame)
    said = [str(w.message) for w in caught if w.category is DataWarning]
    assert said == [
        "1 task without answers ('u'): each gets a missing label.",
        "1 worker without answers ('w'): each counts as an average worker.",
    ]
    assert (answers.n_tasks, answers.n_workers, answers.n_answers) == (2, 2, 1)


def test_row_nan_task_or_worker() -> None:
    frame = pd.DataFrame([[0, 1], [1, 0], [1, 1]], index=["t", None, None])
    with pytest.raises(
        DataError, match=r"the task is missing at 2 of 3 places.*positions 1, 2.*Name each task"
    ):
        adapters.from_wide(frame)
    with pytest.raises(DataError, match=r"the worker is missing at 1 of 2 places of the columns"):
        adapters.from_wide(pd.DataFrame([[0, 1]], columns=["w", None]))


def test_row_1_and_text_1_collide_among_labels_and_among_ids() -> None:
    with pytest.raises(DataError, match=r"column 'label' mixes kinds.*True .bool. and 1 .int."):
        adapters.from_wide(pd.DataFrame({"a": [True, False], "b": [1, 0]}))
    with pytest.raises(DataError, match=r"column 'worker' mixes kinds.*1 .int. and '1' .str."):
        adapters.from_wide(pd.DataFrame([[0, 1]], columns=[1, "1"]))


def test_row_wide_frame_long_one_refused_with_the_right_call() -> None:
    with pytest.raises(FormError, match=r"it is the long format.*from_long"):
        adapters.from_wide(pd.DataFrame({"task": [1], "worker": [1], "label": [1]}))
    with pytest.raises(FormError, match=r"from_dense"):
        adapters.from_wide(np.zeros((2, 2)))


def test_classes_beyond_those_answered() -> None:
    frame = pd.DataFrame({"v": ["b", "a"]})
    assert adapters.from_wide(frame, classes=["c", "b", "a"]).dense().tolist() == [[1], [2]]
    with pytest.raises(DataError, match=r"1 label in 1 row outside the known classes: 'a'"):
        adapters.from_wide(frame, classes=["b", "c"])
    with pytest.raises(ParameterError, match=r"twice: 'b'"):
        adapters.from_wide(frame, classes=["b", "b", "a"])


def test_memory_beside_the_frame_is_two_bytes_a_cell() -> None:
    n_tasks, n_workers = 1_000, 5_000
    values = np.full((n_tasks, n_workers), np.nan, dtype=np.float32)
    values[:, 0], values[0, :] = 1, 0
    frame = pd.DataFrame(values)
    tracemalloc.start()
    answers = adapters.from_wide(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answers.n_answers == n_tasks + n_workers - 1
    assert (
        peak < 2.5 * n_tasks * n_workers
    )  # one column of Python objects for the cells would be 40 MB


def spreadsheet(n: int = 120) -> pd.DataFrame:
    """Return a sheet as people keep it: ids first, then annotators, then notes."""
    rng = np.random.default_rng(0)
    sheet = pd.DataFrame(rng.integers(0, 3, (n, 4)), columns=list("abcd"))
    sheet.insert(0, "item_id", np.arange(n))
    return sheet


def test_ids_are_not_taken_for_a_worker() -> None:
    sheet = spreadsheet()
    with pytest.raises(DataError, match=r"looks like no worker: 'item_id'.*task='item_id'"):
        adapters.from_wide(sheet)
    answers = adapters.from_wide(sheet, task="item_id")
    assert answers.tasks.tolist() == sheet["item_id"].tolist()
    assert answers.workers.tolist() == list("abcd")
    assert answers.classes.tolist() == [0, 1, 2]


def test_a_labelling_function_alone_with_its_class_is_a_worker() -> None:
    truth = np.random.default_rng(0).integers(4, size=120)
    votes = {f"lf{j}": pd.Series(truth).where(truth == j // 2) for j in range(7)}
    frame = pd.DataFrame(votes)
    assert adapters.from_wide(frame).n_workers == 7
    assert (DEEM().fit(frame).labels_ == truth).all()


def test_notes_are_not_taken_for_a_worker() -> None:
    sheet = spreadsheet().astype({"item_id": str})
    sheet["source"] = np.where(sheet.index < 60, "web", "book")
    with pytest.raises(DataError, match=r"no worker: 'source'.*workers=\['a', 'b', 'c'\] and"):
        adapters.from_wide(sheet, task="item_id")
    answers = adapters.from_wide(sheet, task="item_id", workers=["b", "a"])
    assert answers.workers.tolist() == ["b", "a"]


def test_a_named_column_that_is_missing() -> None:
    sheet = spreadsheet()
    with pytest.raises(MissingColumnError, match=r"missing columns 'item'"):
        adapters.from_wide(sheet, task="item")
    with pytest.raises(MissingColumnError, match=r"missing columns 'z'"):
        adapters.from_wide(sheet, task="item_id", workers=["a", "z"])
    with pytest.raises(ParameterError, match=r"each once"):
        adapters.from_wide(sheet, task="item_id", workers=["a", "a"])


def test_a_worker_who_used_one_label_that_others_used_too_is_a_worker() -> None:
    sheet = spreadsheet().assign(d=1).set_index("item_id")
    assert adapters.from_wide(sheet).n_workers == 4

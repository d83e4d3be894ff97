"""The rows of the contract for awkward data that concern reading answers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from three_answers import FRAME, pairs

from deem_crowd import Answers
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MemoryNeedError,
    MissingColumnError,
    ParameterError,
)


def test_row_missing_column_names_missing_and_found() -> None:
    with pytest.raises(
        MissingColumnError, match=r"missing columns 'label'; found 'task', 'worker', 'answer'"
    ):
        Answers.from_frame(FRAME.rename(columns={"label": "answer"}))
    with pytest.raises(KeyError, match="reset_index"):
        Answers.from_frame(FRAME.set_index("task"))


@pytest.mark.parametrize("names", [{"task": "worker"}, {"label": "task"}, {"worker": "label"}])
def test_one_column_is_not_read_as_two_parts(names: dict[str, str]) -> None:
    other, column = *names, *names.values()
    said = rf"column '{column}' is named for \w+ and \w+\. Name .* for each: .*{other}=…"
    with pytest.raises(ParameterError, match=said):
        Answers.from_frame(FRAME, **names)


@pytest.mark.parametrize("column", ["task", "worker"])
def test_row_nan_task_or_worker(column: str) -> None:
    frame = FRAME.astype(object)
    frame.loc[[1, 2], column] = None
    with pytest.raises(
        DataError, match=rf"column '{column}' is missing in 2 of 3 rows \(rows 1, 2\).*dropna"
    ):
        Answers.from_frame(frame)


def test_row_nan_label_is_an_error_or_dropped_and_never_invented() -> None:
    frame = FRAME.astype(object)
    frame.loc[1, "label"] = np.nan
    with pytest.raises(
        DataError, match=r"column 'label' is missing in 1 of 3 rows \(rows 1\).*missing='drop'"
    ):
        Answers.from_frame(frame)
    with pytest.raises(DataError, match=r"column 'verdict' is missing in 1 of 3 rows"):
        Answers.from_frame(frame.rename(columns={"label": "verdict"}), label="verdict")
    answers = Answers.from_frame(frame, missing="drop")
    assert answers.tasks.tolist() == ["b", "a"]
    assert np.diff(answers.task_ptr).tolist() == [2, 0]


@pytest.mark.parametrize("arrow", [False, True])
@pytest.mark.parametrize("column", ["task", "worker", "label"])
def test_nan_that_pandas_tells_from_a_missing_number_is_missing(column: str, arrow: bool) -> None:
    """In a column of Arrow, or of nullable floats, NaN is no NA: 0 / 0 leaves it, for one."""
    frame = pd.DataFrame(
        {"task": [0.0, 0, 1, 1], "worker": [1.0, 2, 1, 2], "label": [3.0, 3, 4, 3]}
    )
    values = frame[column].to_numpy().copy()
    values[2] = np.nan
    held = pd.arrays.FloatingArray(values, np.zeros(4, dtype=bool))
    frame[column] = pd.arrays.ArrowExtensionArray(pa.array(values)) if arrow else held
    with pytest.raises(DataError, match=rf"column '{column}' is missing in 1 of 4 rows \(rows 2\)"):
        Answers.from_frame(frame)
    if column == "label":
        assert Answers.from_frame(frame, missing="drop").classes.tolist() == [3.0]


def test_row_same_answer_twice_counts_once_with_a_warning() -> None:
    frame = pd.concat([FRAME, FRAME.iloc[:2]])
    with pytest.warns(DataWarning, match="2 answers repeat .* same label: each counts once"):
        answers = Answers.from_frame(frame)
    assert answers.n_answers == 3


@pytest.mark.parametrize(("duplicates", "stands"), [("last", "x"), ("first", "y")])
def test_row_another_answer_of_the_same_worker(duplicates: str, stands: str) -> None:
    frame = pd.concat([FRAME, pd.DataFrame({"task": ["b"], "worker": [7], "label": ["x"]})])
    with pytest.warns(
        DataWarning, match=rf"1 answer repeats .*task b, worker 7.* the {duplicates} one"
    ):
        answers = Answers.from_frame(frame, duplicates=duplicates)
    assert ("b", 7, stands) in pairs(answers.to_frame())
    assert answers.n_answers == 3


def test_row_another_answer_of_the_same_worker_can_be_an_error() -> None:
    frame = pd.concat([FRAME, pd.DataFrame({"task": ["b"], "worker": [7], "label": ["x"]})])
    with pytest.raises(DataError, match="1 answer repeats .* pass duplicates='last' or 'first'"):
        Answers.from_frame(frame, duplicates="error")
    with pytest.raises(ParameterError, match="duplicates='all'"):
        Answers.from_frame(frame, duplicates="all")


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[0, 5], [1, 1]], "labels run to 5 but 3 values below it never occur (2, 3, 4)"),
        ([[1, 2], [2, 1]], "labels run to 2 but 1 value below it never occurs (0)"),
        ([[0, -2], [1, 1]], "1 entry is below −1: -2 (first at (0, 1))"),
        ([[0, np.nan], [1, 1]], "1 entry is NaN (first at (0, 1))"),
        ([[0, 1.5], [1, 1]], "1 entry is not whole: 1.5 (first at (0, 1))"),
    ],
)
def test_row_values_that_are_no_labels(matrix: list, words: str) -> None:
    with pytest.raises(DataError) as caught:
        Answers.from_dense(np.array(matrix))
    assert words in str(caught.value)


def test_row_label_not_below_n_classes() -> None:
    with pytest.raises(
        DataError, match=r"1 entry is not below n_classes=2: 2 \(first at \(1, 0\)\)"
    ):
        Answers.from_dense(np.array([[0, 1], [2, 1]]), n_classes=2)


def test_row_label_gaps_are_fine_with_n_classes() -> None:
    assert Answers.from_dense(np.array([[0, 5], [5, 0]]), n_classes=6).n_classes == 6


def test_row_row_and_column_of_nothing_are_kept_with_a_warning() -> None:
    matrix = np.array([[0, -1, 1], [-1, -1, -1], [1, -1, 1]])
    with pytest.warns(DataWarning) as caught:
        answers = Answers.from_dense(matrix)
    said = [str(w.message) for w in caught]
    assert any("1 task without answers (row 1)" in s for s in said)
    assert any("1 worker without answers (column 1)" in s for s in said)
    assert (answers.n_tasks, answers.n_workers) == (3, 3)


def test_row_long_array_passed_as_matrix_is_refused_with_the_right_call() -> None:
    rng = np.random.default_rng(0)
    long = np.column_stack(
        [np.repeat(np.arange(40), 3), np.tile(np.arange(3), 40), rng.integers(0, 2, 120)]
    )
    with pytest.raises(FormError, match="looks like the long format.*DEEMAggregator"):
        Answers.from_dense(long)
    assert Answers.from_dense(long, n_classes=40).n_workers == 3


def test_a_matrix_of_three_workers_is_not_mistaken_for_the_long_format() -> None:
    rng = np.random.default_rng(1)
    for n_classes, n_tasks in ((2, 6), (3, 10), (10, 12), (10, 500)):
        truth = np.arange(n_tasks) % n_classes
        guess = rng.integers(0, n_classes, (n_tasks, 3))
        matrix = np.where(rng.random((n_tasks, 3)) < 0.6, truth[:, None], guess)
        matrix[:n_classes, 0] = np.arange(n_classes)
        assert Answers.from_dense(matrix).n_workers == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s * 1.1, "slices do not sum to 1"),
        (lambda s: s.transpose(0, 2, 1), "axis 2 sums to 1: are the axes swapped?"),
        (
            lambda s: np.where(np.arange(3)[None, :, None] == 0, np.nan, s),
            "hold NaN beside numbers",
        ),
        (lambda s: s - np.array([2, -2, 0])[None, :, None], "negative or infinite"),
    ],
)
def test_row_soft_rows_that_are_no_distributions(change, words: str) -> None:
    soft = np.random.default_rng(0).dirichlet(np.ones(3), size=(5, 4)).transpose(0, 2, 1)
    with pytest.raises(DataError) as caught:
        Answers.from_soft(change(soft))
    assert words in str(caught.value)


def test_row_soft_rows_almost_one_are_normalised() -> None:
    soft = np.random.default_rng(0).dirichlet(np.ones(3), size=(5, 4)).transpose(0, 2, 1)
    answers = Answers.from_soft(soft * 1.0005)
    np.testing.assert_allclose(answers.soft.sum(axis=1), 1, atol=1e-12)
    with pytest.raises(DataError, match="n_classes=4"):
        Answers.from_soft(soft, n_classes=4)


def test_unknown_label_when_the_classes_are_given() -> None:
    with pytest.raises(DataError, match="1 label in 1 row outside the known classes: 'y'"):
        Answers.from_frame(FRAME, classes=["x", "z"])
    assert Answers.from_frame(FRAME, classes=["y", "z", "x"]).classes.tolist() == ["y", "z", "x"]


def test_row_many_workers_take_memory_by_answers_not_by_cells() -> None:
    rng = np.random.default_rng(0)
    n = 215_000
    frame = pd.DataFrame(
        {
            "task": rng.integers(0, 1_900, n),
            "worker": rng.integers(0, 37_000, n),
            "label": rng.integers(0, 4, n),
        }
    )
    tracemalloc.start()
    answers = Answers.from_frame(frame.drop_duplicates(["task", "worker"]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answers.n_workers > 36_000
    assert peak < 200 * n  # bytes; N × D cells of one byte would be 70 MB


def test_a_dense_view_that_cannot_fit_is_refused_with_its_bytes(monkeypatch) -> None:
    monkeypatch.setattr("deem_crowd.data.memory.available_bytes", lambda: 2**20)
    answers = Answers.from_frame(
        pd.DataFrame({"task": np.arange(5_000), "worker": np.arange(5_000), "label": 0})
    )
    with pytest.raises(MemoryNeedError, match=r"5,000 tasks × 5,000 workers would need 190\.7 MiB"):
        answers.dense()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["a", "a"]}, "classes holds values twice: 'a'"),
        ({"classes": ["a", None]}, "classes holds 1 missing value."),
        ({"tasks": pd.Index([1, 2, 3])}, "tasks holds 3 ids for 1 place of"),
        ({"workers": pd.Index(["v", "v"])}, "workers holds values twice: 'v'"),
        ({"n_classes": 2.5}, "n_classes=2.5 is no whole number"),
        ({"n_classes": -3}, "n_classes=-3 is no whole number"),
    ],
)
def test_ids_that_do_not_fit_the_matrix_are_refused(options, words) -> None:
    with pytest.raises(ParameterError, match=words):
        Answers.from_dense([[0, 1]], **options)


def test_unsigned_labels_beyond_64_bits_signed_are_named_as_they_are() -> None:
    with pytest.raises(DataError, match="too large for labels: 9223372036854775813"):
        Answers.from_dense(np.array([[2**63 + 5, 1]], dtype="uint64"))


@pytest.mark.parametrize("classes", [["a", "a"], ["a", "task"]])
def test_probability_columns_stand_once_and_are_no_ids(classes) -> None:
    frame = pd.DataFrame({"task": [1], "worker": [1], "a": [0.5], "b": [0.5]})
    with pytest.raises(FormError, match="stand twice, or are the task's or worker's"):
        Answers.from_soft_frame(frame, classes)

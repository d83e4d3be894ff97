"""Answers: nothing is lost on the way in and out, and a missing answer is absent everywhere."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import Answers, DEEMAggregator
from deem_crowd.data.answers import as_answers
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MemoryNeedError,
    MissingColumnError,
    ParameterError,
)

FRAME = pd.DataFrame({"task": ["b", "a", "b"], "worker": [7, 7, 8], "label": ["y", "x", "x"]})


def pairs(frame: pd.DataFrame) -> set[tuple]:
    return set(frame[["task", "worker", "label"]].itertuples(index=False, name=None))


@st.composite
def matrices(draw) -> np.ndarray:
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 6)))
    cells = draw(st.lists(st.integers(-1, 3), min_size=shape[0] * shape[1]).map(np.array))
    return cells[: shape[0] * shape[1]].reshape(shape)


@pytest.mark.filterwarnings("ignore:.*without answers")
@given(matrices())
@settings(deadline=None)
def test_matrix_to_answers_to_matrix_is_the_identity(matrix: np.ndarray) -> None:
    answers = Answers.from_dense(matrix, n_classes=4)
    assert answers.n_answers == (matrix >= 0).sum()
    assert answers.dense().tolist() == matrix.tolist()


@pytest.mark.filterwarnings("ignore:.*without answers")
@given(matrices())
@settings(deadline=None)
def test_one_hot_has_zeros_exactly_where_answers_are_missing(matrix: np.ndarray) -> None:
    one_hot = Answers.from_dense(matrix, n_classes=4).one_hot(torch.float64)
    assert torch.equal(one_hot.sum(1), torch.from_numpy((matrix >= 0).astype(float)))
    assert torch.equal(
        one_hot.argmax(1)[torch.from_numpy(matrix >= 0)],
        torch.from_numpy(matrix[matrix >= 0]),
    )


@given(st.permutations(range(12)))
@settings(deadline=None)
def test_frame_to_answers_to_frame_keeps_every_row_in_any_order(order: list[int]) -> None:
    frame = pd.DataFrame(
        {
            "task": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"] * 4),
            "worker": ["w1"] * 3 + ["w2"] * 3 + ["w3"] * 3 + ["w4"] * 3,
            "label": pd.Categorical(list("abcabcabcaab"), categories=list("zabc")),
        }
    ).iloc[order]
    back = Answers.from_frame(frame).to_frame()
    assert pairs(back) == pairs(frame)
    assert back.dtypes.to_dict() == frame.dtypes.to_dict()


def test_row_output_order_is_first_appearance_and_classes_are_sorted() -> None:
    answers = Answers.from_frame(FRAME)
    assert answers.tasks.tolist() == ["b", "a"]
    assert answers.workers.tolist() == [7, 8]
    assert answers.classes.tolist() == ["x", "y"]
    assert answers.dense().tolist() == [[1, 0], [0, -1]]


def test_soft_slices_come_back_and_missing_ones_stay_missing() -> None:
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3), size=(5, 4)).transpose(0, 2, 1)
    soft[1, :, 2] = 0
    soft[3, :, 0] = np.nan
    answers = Answers.from_soft(soft)
    assert answers.n_answers == 18
    expected = np.nan_to_num(soft)
    np.testing.assert_allclose(answers.one_hot(torch.float64).numpy(), expected, atol=1e-12)


def test_soft_frame_round_trip() -> None:
    frame = pd.DataFrame(
        {"task": ["t", "u"], "worker": ["v", "v"], "cat": [0.25, 1], "dog": [0.75, 0]}
    )
    answers = Answers.from_soft_frame(frame)
    assert answers.classes.tolist() == ["cat", "dog"]
    pd.testing.assert_frame_equal(answers.to_frame(), frame, check_dtype=False)


def test_row_task_in_index_extra_columns_any_order_duplicate_index() -> None:
    odd = FRAME[["label", "worker", "task"]].assign(extra=1.5)
    odd.index = [3, 3, 3]
    assert pairs(Answers.from_frame(odd).to_frame()) == pairs(FRAME)
    both = FRAME.set_index("task", drop=False)
    assert pairs(Answers.from_frame(both).to_frame()) == pairs(FRAME)


@pytest.mark.parametrize("strided", ["reversed", "every second", "read-only", "fortran"])
def test_row_read_only_and_strided_arrays(strided: str) -> None:
    matrix = np.array([[0, 1, -1], [1, -1, 0], [1, 1, 1], [0, 0, 0]])
    view = {
        "reversed": matrix[::-1, ::-1],
        "every second": matrix[::2],
        "read-only": matrix.copy(),
        "fortran": np.asfortranarray(matrix),
    }[strided]
    if strided == "read-only":
        view.flags.writeable = False
    assert Answers.from_dense(view, 2).dense().tolist() == view.tolist()


# ---------------------------------------------------------------- bad_input.md


def test_row_missing_column_names_missing_and_found() -> None:
    with pytest.raises(
        MissingColumnError, match=r"missing columns 'label'; found 'task', 'worker', 'answer'"
    ):
        Answers.from_frame(FRAME.rename(columns={"label": "answer"}))
    with pytest.raises(KeyError, match="reset_index"):
        Answers.from_frame(FRAME.set_index("task"))


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


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_answers_do_not_depend_on_the_order_of_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "task": rng.integers(0, 9, 40),
            "worker": rng.integers(0, 9, 40),
            "label": rng.integers(0, 3, 40),
        }
    ).drop_duplicates(["task", "worker"])
    assert pairs(Answers.from_frame(frame.sample(frac=1, random_state=seed)).to_frame()) == pairs(
        frame
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["a", "a"]}, "classes holds values twice: 'a'"),
        ({"classes": ["a", None]}, "classes holds 1 missing values"),
        ({"tasks": pd.Index([1, 2, 3])}, "tasks holds 3 ids for 1 places"),
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


def test_dictionaries_of_arrow_within_pandas() -> None:
    dictionary = pa.array(["b", "a"]).dictionary_encode()
    label = pd.Series(pd.arrays.ArrowExtensionArray(dictionary))
    answers = Answers.from_frame(pd.DataFrame({"task": [1, 2], "worker": [1, 1], "label": label}))
    assert answers.to_frame()["label"].tolist() == ["b", "a"]
    assert answers.classes.tolist() == ["a", "b"]


# ------------------------------------------------------------------------- select


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_select_is_a_choice_of_rows_of_the_frame(seed, soft) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.integers(-1, 3, (7, 5))
    if soft:
        probabilities = rng.dirichlet(np.ones(3), (7, 5)).transpose(0, 2, 1)
        probabilities[np.broadcast_to(cells[:, None] < 0, (7, 3, 5))] = 0
        whole = Answers.from_soft(probabilities, warn_empty=())
    else:
        whole = Answers.from_dense(cells, 3, warn_empty=())
    tasks, workers = rng.permutation(7)[:4], rng.permutation(5)[:3]
    place = np.full(5, -1)
    place[workers] = np.arange(3)
    part = whole.select(tasks=tasks, workers=(place, whole.workers.take(workers)))
    frame = whole.to_frame()
    kept = frame["task"].isin(tasks) & frame["worker"].isin(workers)
    found = part.to_frame().sort_values(["task", "worker"], ignore_index=True)
    pd.testing.assert_frame_equal(found, frame[kept].reset_index(drop=True))
    assert part.tasks.tolist() == tasks.tolist()
    assert part.workers.tolist() == workers.tolist()
    key = part.task.astype(int) * 3 + part.worker
    assert (np.diff(key) > 0).all()
    rows = rng.random(whole.n_answers) < 0.5
    pd.testing.assert_frame_equal(
        whole.select(rows=rows).to_frame(), frame[rows].reset_index(drop=True)
    )
    between = whole.select(tasks=slice(2, 5)).to_frame()
    pd.testing.assert_frame_equal(
        between, frame[frame["task"].between(2, 4)].reset_index(drop=True), check_index_type=False
    )


def test_select_leaves_out_classes() -> None:
    frame = pd.DataFrame({"task": [1, 1, 2], "worker": ["a", "b", "a"], "label": ["x", "y", "z"]})
    part = Answers.from_frame(frame).select(classes=(np.array([1, -1, 0]), pd.Index(["z", "x"])))
    assert part.to_frame().to_numpy().tolist() == [[1, "a", "x"], [2, "a", "z"]]
    assert part.classes.tolist() == ["z", "x"]


def test_columns_by_name() -> None:
    frame = pd.DataFrame({"item": [1, 1], "rater": ["a", "b"], "task": ["x", "y"]})
    answers = Answers.from_frame(frame, task="item", worker="rater", label="task")
    assert answers.to_frame().to_numpy().tolist() == [[1, "a", "x"], [1, "b", "y"]]
    assert answers.tasks.name == "task"
    with pytest.raises(KeyError, match="missing columns 'rather'; found 'item', 'rater', 'task'"):
        Answers.from_frame(frame, task="item", worker="rather", label="task")
    frame.loc[0, "item"] = None
    with pytest.raises(DataError, match="column 'item' is missing in 1 of 2 rows"):
        Answers.from_frame(frame, task="item", worker="rater", label="task")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": np.array([0, 9, 1], np.int32)}, r"label holds numbers outside 0..1"),
        ({"worker": np.array([0, 0, 1], np.int32)}, "a worker stands twice in a task"),
        ({"worker": np.array([0, 2, 1], np.int32)}, r"worker holds numbers outside 0..1"),
        ({"task_ptr": np.array([0, 3, 2])}, "task_ptr does not have"),
        ({"tasks": pd.Index(["t", "t"])}, "an id stands twice"),
        ({"label": None, "soft": np.full((3, 2), 1.0)}, "soft holds rows that are no distribution"),
        ({"soft": np.full((3, 2), 0.5)}, "one of the two"),
    ],
    ids=["label", "twice", "worker", "pointers", "tasks", "soft", "both"],
)
def test_answers_built_by_hand_are_checked(change, words) -> None:
    frame = pd.DataFrame({"task": ["t", "t", "u"], "worker": [1, 2, 2], "label": ["x", "y", "y"]})
    answers = Answers.from_frame(frame)
    assert answers.checked() is answers
    spoilt = replace(answers, **change)
    with pytest.raises(DataError, match=words):
        spoilt.checked()
    with pytest.raises(DataError, match=words):
        as_answers(spoilt, None)
    with pytest.raises(DataError, match=words):
        DEEMAggregator().fit(spoilt)

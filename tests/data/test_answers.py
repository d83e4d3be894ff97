"""Answers: nothing is lost on the way in and out, and a missing answer is absent everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from three_answers import FRAME, pairs

from deem_crowd import Answers, DEEMAggregator
from deem_crowd.data.answers import as_answers
from deem_crowd.exceptions import DataError


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


def test_dictionaries_of_arrow_within_pandas() -> None:
    dictionary = pa.array(["b", "a"]).dictionary_encode()
    label = pd.Series(pd.arrays.ArrowExtensionArray(dictionary))
    answers = Answers.from_frame(pd.DataFrame({"task": [1, 2], "worker": [1, 1], "label": label}))
    assert answers.to_frame()["label"].tolist() == ["b", "a"]
    assert answers.classes.tolist() == ["a", "b"]


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

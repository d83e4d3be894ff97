"""to_answers recognises what it is given, guesses at nothing, and says what it takes."""

from __future__ import annotations

import io

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
import torch

from deem_crowd import Answers
from deem_crowd.exceptions import FormError, MissingColumnError, ParameterError
from deem_crowd.plugins.registry import get_adapter


@pytest.mark.parametrize(
    "data",
    [
        np.array([[0, 1], [1, -1]]),
        torch.tensor([[0, 1], [1, -1]]),
        [[0, 1], [1, -1]],
        pd.DataFrame({"task": [0, 0, 1], "worker": [0, 1, 0], "label": [0, 1, 1]}),
        io.BytesIO(b"task,worker,label\n0,0,0\n0,1,1\n1,0,1\n"),
    ],
    ids=["numpy", "torch", "lists", "frame", "buffer"],
)
def test_each_form_gives_the_same_dense_matrix(data) -> None:
    assert adapters.to_dense(data).predictions.tolist() == [[0, 1], [1, -1]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"task": [1]}, "a dict is none of the forms that can be read"),
        (None, "a NoneType is none"),
        (7, "a int is none"),
        (np.zeros(3), r"shape \(3,\), holds no answers"),
        ([("t", "w", "x")], r"rows of the long format: pass pd\.DataFrame\(rows, columns="),
        ([[1], [1, 2]], "no regular array"),
        (np.array([["a", "b"]]), "holds no answers that are known"),
    ],
)
def test_the_rest_is_refused(data, words: str) -> None:
    with pytest.raises(FormError, match=words) as caught:
        adapters.to_answers(data)
    assert "long" in str(caught.value)


def test_row_wide_frame_is_not_guessed_at() -> None:
    """A long frame with other column names looks like a wide frame of three workers."""
    renamed = pd.DataFrame({"question": [1, 2], "user": [1, 2], "answer": [0, 1]})
    with pytest.raises(MissingColumnError, match=r"df.rename"):
        adapters.to_answers(renamed)


def test_row_long_integer_array_passed_as_a_matrix() -> None:
    rows = np.array([[n, i, (n + i) % 2] for n in range(40) for i in range(3)])
    with pytest.raises(FormError, match=r"looks like the long format"):
        adapters.to_answers(rows)


def test_options_that_would_do_nothing_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"'missing' would do nothing"):
        adapters.to_answers(Answers.from_dense([[0, 1]]), missing="drop")


def test_an_adapter_can_be_named_and_reads_its_own_format(tmp_path) -> None:
    path = tmp_path / "no suffix"
    path.write_bytes(b"task\tworker\tlabel\nt\tw\tx\n")
    assert get_adapter("tsv")(path).n_answers == 1
    assert adapters.to_answers(path, format="tsv").n_answers == 1
    with pytest.raises(ParameterError, match=r"no adapter is called 'tvs'.*did you mean 'tsv'"):
        adapters.to_answers(path, format="tvs")

"""The two segment sums against plain loops."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import ParameterError
from deem_crowd.model.design import DesignMatrix, resolve_device
from deem_crowd.model.rows import softmax


def loops(answers: Answers, table: np.ndarray, posterior: np.ndarray):
    n, (d, k, s) = answers.n_tasks, table.shape
    soft = np.eye(k)[answers.label] if answers.soft is None else answers.soft
    logits, counts = np.zeros((n, s)), np.zeros((d, k, s))
    for t, i, x in zip(answers.task, answers.worker, soft, strict=True):
        logits[t] += x @ table[i]
        counts[i] += x[:, None] * posterior[t]
    return logits, counts


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("shape", [(6, 4, 3), (3000, 3, 2), (2, 2500, 2), (0, 3, 2)])
def test_sums_equal_loops_rows_longer_than_a_piece_included(shape, soft, dtype) -> None:
    n, d, k = shape
    rng = np.random.default_rng(0)
    given = rng.random((n, d)) < 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if soft:
            values = rng.dirichlet(np.ones(k), (n, d)).transpose(0, 2, 1) * given[:, None, :]
            answers = Answers.from_soft(values)
        else:
            answers = Answers.from_dense(np.where(given, rng.integers(0, k, (n, d)), -1), k)
    table = rng.normal(size=(d, k, 2 * k))
    posterior = rng.dirichlet(np.ones(2 * k), n).reshape(n, 2 * k)
    design = DesignMatrix(answers, torch.device("cpu"), dtype)
    logits, counts = loops(answers, table, posterior)
    tolerance = {"rtol": 1e-5, "atol": 3e-4} if dtype == torch.float32 else {"atol": 1e-9}
    np.testing.assert_allclose(design.logits(torch.from_numpy(table)), logits, **tolerance)
    np.testing.assert_allclose(
        design.expected_counts(torch.from_numpy(posterior)), counts, **tolerance
    )


def test_softmax_stands_extremes() -> None:
    logits = torch.tensor([[1e4, 0.0], [-1e4, -1e4], [-torch.inf, 3.0]], dtype=torch.float64)
    weights, total = softmax(logits.clone())
    torch.testing.assert_close(weights, torch.softmax(logits, 1))
    torch.testing.assert_close(total, torch.logsumexp(logits, 1))


def test_device_is_resolved_or_refused() -> None:
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(ParameterError, match=r"device='tpux' is no torch device"):
        resolve_device("tpux")
    if not torch.cuda.is_available():
        assert resolve_device("auto").type == "cpu"
        with pytest.raises(ParameterError, match="torch sees no CUDA device"):
            resolve_device("cuda")

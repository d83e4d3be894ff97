"""The same code on CUDA; skipped, with the reason, where there is no such device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deem_crowd import DEEM

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


@pytest.mark.parametrize("params", [{}, {"subtypes": 2}, {"gauge": "free"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_on_cuda_equals_one_on_the_cpu(params, dtype) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 3000)
    matrix = np.where(rng.random((3000, 8)) < 0.7, truth[:, None], rng.integers(0, 3, (3000, 8)))
    matrix[rng.random(matrix.shape) < 0.4] = -1
    matrix[(matrix < 0).all(axis=1), 0] = 0
    found = [
        DEEM(device=device, dtype=dtype, **params).fit(matrix).predict_proba(matrix)
        for device in ("cuda", "cpu")
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6 if dtype == "float64" else 1e-2)

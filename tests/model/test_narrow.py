"""Maxima and sums column by column, to the bit those of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from deem_crowd.model import narrow


@pytest.mark.parametrize("k", [0, 1, 2, 7, 8, 10, 15, 16, 31, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(50,), (20, 3), (200, 3), (0,)])
def test_they_are_those_of_numpy(k, dtype, shape) -> None:
    values = np.random.default_rng(k).normal(size=(*shape, k)).astype(dtype)
    np.testing.assert_array_equal(narrow.total(values), values.sum(axis=-1, keepdims=True))
    if k:
        np.testing.assert_array_equal(narrow.largest(values), values.max(axis=-1, keepdims=True))
    assert narrow.total(values).dtype == dtype

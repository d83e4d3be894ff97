"""Maxima and sums over a last axis of few classes, column by column: row by row takes numpy ten times as long."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_FEW = 32
_ONE_BY_ONE, _BY_EIGHT = 8, 16
"""Numpy adds fewer numbers than the first one after another; with fewer than the second, eight go in pairs first."""
_MANY = 512
"""Sums from which columns are worth their calls where eight go in pairs."""


def largest(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the maxima over the last axis, which stays, with length 1."""
    k = values.shape[-1]
    if not 0 < k <= _FEW:
        return np.asarray(values.max(axis=-1, keepdims=True))
    found = values[..., 0].copy()
    for column in range(1, k):
        np.maximum(found, values[..., column], out=found)
    return found[..., None]


def total(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the sums over the last axis, which stays, with length 1: numpy's, to the last bit."""
    k = values.shape[-1]
    if not 0 < k < _BY_EIGHT or (k >= _ONE_BY_ONE and values.size < _MANY * k):
        return np.asarray(values.sum(axis=-1, keepdims=True))
    if k < _ONE_BY_ONE:
        found, begun = values[..., 0].copy(), 1
    else:
        found, begun = _in_pairs(values), _ONE_BY_ONE
    for column in range(begun, k):
        found += values[..., column]
    return found[..., None]


def _in_pairs(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the sums of the first eight columns, added in the order of numpy's pairwise summation."""
    pairs = [values[..., column] + values[..., column + 1] for column in range(0, _ONE_BY_ONE, 2)]
    found = pairs[0] + pairs[1]
    found += pairs[2] + pairs[3]
    return np.asarray(found)

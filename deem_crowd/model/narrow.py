"""Maxima and sums over a last axis of few classes, column by column: row by row takes numpy ten times as long."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_FEW = 32
_SAME_ORDER = 8
"""Numpy adds fewer numbers than this one after another, as here; with more of them the last bits would differ."""


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
    """Return the sums over the last axis, which stays, with length 1."""
    k = values.shape[-1]
    if not 0 < k < _SAME_ORDER:
        return np.asarray(values.sum(axis=-1, keepdims=True))
    found = values[..., 0].copy()
    for column in range(1, k):
        found += values[..., column]
    return found[..., None]

"""The best one-to-one matching of rows and columns."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

_CELLS = 2**16
"""Cells of matchings that are looked at together."""
_FEW = 5
"""Rows up to which all matchings are tried: scipy.optimize takes a quarter of a second to load."""


@cache
def _matchings(n: int) -> npt.NDArray[np.intp]:
    return np.array(list(itertools.permutations(range(n))), dtype=np.intp)


def best_matching(table: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the column of each row, shape (n,), whose cells have the largest sum.

    Parameters
    ----------
    table : shape (n, n)

    Notes
    -----
    Up to five rows all matchings are tried, and the first in order of equal ones is taken. From six rows on: Kuhn,
    Naval Research Logistics 2 (1955), in scipy's implementation.
    """
    n = len(table)
    if n <= _FEW:
        return best_matchings(table[None])[0]
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    matched = np.empty(n, dtype=np.int64)
    matched[rows] = columns
    return matched


def best_matchings(tables: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return :func:`best_matching` of each of many tables, shape (m, n, n), as the rows of an array, shape (m, n)."""
    m, n = tables.shape[:2]
    if n > _FEW:
        return np.array([best_matching(table) for table in tables]).reshape(m, n)
    every = _matchings(n)
    best = np.zeros(m, dtype=np.intp)
    step = max(1, _CELLS // max(every.size, 1))
    for begin in range(0, m, step):
        sums = tables[begin : begin + step, np.arange(n), every].sum(axis=2)
        best[begin : begin + step] = sums.argmax(axis=1)
    return every[best].astype(np.int64)

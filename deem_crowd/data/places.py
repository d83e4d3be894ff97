"""The places of ids in a long list that is searched again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.runtime.cached import cached_property

IntArray = npt.NDArray[np.int64]

_A_FEW = 32
"""Ids are few if the list is more than this many times as long as they are."""
_MANY = 2**14
"""Shorter lists count as this long: in these bisection takes little time even for more ids."""
_SPAN = 8
"""A table from the smallest number to the largest has at most this many places an id, which take 32 bytes."""


def is_plain(values: pd.Index | pd.Series) -> bool:
    """Tell whether values are of one type: no objects, or text alone."""
    return values.dtype != object or pd.api.types.infer_dtype(values, skipna=False) in (
        "string",
        "empty",
    )


@dataclass(frozen=True, eq=False)
class Places:
    """The places of distinct ids. Pickles and copies hold the ids, but not the table that finds them.

    Attributes
    ----------
    ids : Index, length M
    """

    ids: pd.Index

    @cached_property
    def are_plain(self) -> bool:
        """Whether the ids are of one type: if they are objects, all are text, as before pandas 3."""
        return is_plain(self.ids)

    def of(self, wanted: pd.Index) -> IntArray:
        """Return the places of ids, 0..M-1, and −1 for ids that are not in the list, shape (m,).

        If the ids of the list are whole numbers in ascending order, a few ids are found by bisection. If they are whole
        numbers that lie close together, others are found by a table of these: pandas' table of hashes takes ten times
        as long to make.
        """
        if not (len(self.ids) and self.ids.dtype == np.int64 and wanted.dtype == np.int64):
            return self.ids.get_indexer(wanted).astype(np.int64)
        few = len(wanted) * _A_FEW < max(len(self.ids), _MANY)
        if few and self.ids.is_monotonic_increasing:
            return self._bisected(wanted.to_numpy())
        low, table = self._table
        if not len(table):
            return self.ids.get_indexer(wanted).astype(np.int64)
        sought = wanted.to_numpy()
        inside = (sought >= low) & (sought < low + len(table))
        place = table.take(np.where(inside, sought, low) - low).astype(np.int64)
        place[~inside] = -1
        return place

    def _bisected(self, sought: IntArray) -> IntArray:
        values = self.ids.to_numpy()
        place = np.searchsorted(values, sought)
        place[values[np.minimum(place, len(values) - 1)] != sought] = -1
        return place

    @cached_property
    def _table(self) -> tuple[int, npt.NDArray[np.int32]]:
        """The smallest id, and the place of each number from there on; an empty table where it would be too long."""
        values = self.ids.to_numpy()
        low, high = int(values.min()), int(values.max())
        if high - low >= _SPAN * max(len(values), _MANY) or len(values) >= 2**31:
            return low, np.empty(0, dtype=np.int32)
        table = np.full(high - low + 1, -1, dtype=np.int32)
        table[values - low] = np.arange(len(values), dtype=np.int32)
        return low, table

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Leave the table out of pickles and copies."""
        return Places, (self.ids,)

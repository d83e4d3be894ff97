"""Whole numbers → codes by first appearance, a piece at a time, without a hash table where that can be done."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

IntArray = npt.NDArray[np.integer[Any]]

_AT_ONCE = 2**18
"""Numbers that are looked up together, so that what is made of them stays in the processor's cache."""
_LEAST_SPAN = 2**22
"""Numbers that lie this close together have a table of all in between, however few they are."""
_A_FEW = 2**13
"""Numbers that pandas codes in less time than a table takes to be made."""
_SO_FEW = 2**8
"""Up to this many numbers are coded by a dict in less time than pandas takes to begin."""
_FIRST = 2**12
"""Numbers that are looked at first: most distinct ones are among them, so that few are hashed."""


class Numbering:
    """Codes whole numbers that come in pieces; holds 4 bytes a number and the distinct ones.

    As long as numbers never fall new ones show by the number before. After that a table of all numbers between the
    least and the largest holds their codes, unless it would be longer than the numbers are many.
    """

    def __init__(self) -> None:
        self._codes: list[npt.NDArray[np.int32]] = []
        self._distinct: list[npt.NDArray[np.int64]] = []
        self._rises = True
        self._last: int | None = None
        self._low = 0
        self._table = np.zeros(0, dtype=np.int32)
        self.n_distinct = self.n_rows = 0

    @property
    def distinct(self) -> npt.NDArray[np.int64]:
        """The distinct numbers so far, by first appearance."""
        return np.concatenate(self._distinct) if self._distinct else np.zeros(0, dtype=np.int64)

    def add(self, values: IntArray) -> bool:
        """Code further numbers, shape (R,), from −2⁶³ to 2⁶³ − 1; False, and nothing is changed, where it cannot be."""
        if not len(values):
            return True
        if self._rises and self._follows(values):
            self._add_rising(values)
        elif self._has_table(int(values.min()), int(values.max()), self.n_rows + len(values)):
            begin, size = 0, _FIRST
            while begin < len(values):
                self._look_up(values[begin : begin + size])
                begin, size = begin + size, min(8 * size, _AT_ONCE)
        else:
            return False
        self.n_rows += len(values)
        return True

    def skip(self, there: npt.NDArray[np.bool_]) -> None:
        """Put the codes added last at the rows of a piece that are ``there``, and −1 at the others."""
        n_there, found = int(there.sum()), []
        while n_there:
            found.append(self._codes.pop())
            n_there -= len(found[-1])
        codes = np.full(len(there), -1, dtype=np.int32)
        codes[there] = np.concatenate(found[::-1]) if found else []
        self._codes.append(codes)
        self.n_rows += len(there) - int(there.sum())

    def codes(self) -> npt.NDArray[np.int32]:
        """Return the codes of all numbers, shape (R,), and forget them."""
        return joined(self._codes, self.n_rows)

    def _follows(self, values: IntArray) -> bool:
        if self._last is not None and int(values[0]) < self._last:
            return False
        first = values[:_FIRST]
        return bool((first[1:] >= first[:-1]).all() and (values[1:] >= values[:-1]).all())

    def _add_rising(self, values: IntArray) -> None:
        new = np.empty(len(values), dtype=bool)
        np.not_equal(values[1:], values[:-1], out=new[1:])
        new[0] = self._last is None or int(values[0]) != self._last
        begins = np.flatnonzero(new)
        before = self.n_distinct - (not new[0])
        new[0] = False
        codes = np.cumsum(new, dtype=np.int32)
        if before:
            codes += before
        self._codes.append(codes)
        self._know(values[begins])
        self._last = int(values[-1])

    def _know(self, new: IntArray) -> None:
        self._distinct.append(new.astype(np.int64))
        self.n_distinct += len(new)

    def _has_table(self, low: int, high: int, n_rows: int) -> bool:
        """Make a table from ``low`` to ``high`` at least, and of all numbers known; False if it would be too long."""
        if self._rises and self.n_distinct:
            low, high = min(low, int(self._distinct[0][0])), max(high, int(self._last or 0))
        elif len(self._table):
            low, high = min(low, self._low), max(high, self._low + len(self._table) - 1)
        if low >= 0 and high < max(_FIRST, n_rows // 8):
            low = 0  # numbers are then their own places
        if high - low >= max(_LEAST_SPAN, n_rows):
            return False
        if self._rises or (low, high - low + 1) != (self._low, len(self._table)):
            known, before = self._table, self._low
            self._table = np.full(high - low + 1, -1, dtype=np.int32)
            if self._rises:
                self._table[self.distinct - low] = np.arange(self.n_distinct, dtype=np.int32)
            else:
                self._table[before - low : before - low + len(known)] = known
            self._low, self._rises = low, False
        return True

    def _look_up(self, piece: IntArray) -> None:
        place = piece.astype(np.int64, copy=False)
        if self._low:
            place = place - self._low
        codes = self._table.take(place, mode="wrap")  # none lies outside
        strange = codes < 0
        if strange.any():
            new = pd.unique(piece[strange]).astype(np.int64)
            self._table[new - self._low] = np.arange(
                self.n_distinct, self.n_distinct + len(new), dtype=np.int32
            )
            self._know(new)
            codes = self._table.take(place, mode="wrap")
        self._codes.append(codes)


def numbered(values: IntArray) -> tuple[IntArray, IntArray]:
    """Code whole numbers by first appearance: codes, shape (R,), and the distinct numbers, in their own dtype."""
    if len(values) <= _SO_FEW:
        table: dict[int, int] = {}
        found = [table.setdefault(value, len(table)) for value in values.tolist()]
        return np.array(found, dtype=np.int32), np.array(list(table), dtype=values.dtype)
    few = len(values) <= _A_FEW and bool((values[1:] < values[:-1]).any())
    if values.dtype != np.uint64 and len(values) < 2**31 - 1 and not few:
        numbering = Numbering()
        if numbering.add(values):
            return numbering.codes(), numbering.distinct.astype(values.dtype)
    codes, distinct = pd.factorize(values)
    return codes, distinct


def joined(pieces: list[npt.NDArray[np.int32]], n_rows: int) -> npt.NDArray[np.int32]:
    """Return the codes of all pieces in order, shape (n_rows,); the list is emptied piece by piece, to free memory."""
    codes = np.empty(n_rows, dtype=np.int32)
    end = n_rows
    while pieces:
        piece = pieces.pop()
        codes[end - len(piece) : end] = piece
        end -= len(piece)
    return codes

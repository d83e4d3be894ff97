"""Arrow's dictionary arrays → one dictionary and a code a row, an array at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deem_crowd.data.hashing import hashed_text
from deem_crowd.data.numbering import joined, numbered

TEXT = frozenset({pa.string(), pa.large_string()})
_MOST_BYTES = 2**31 - 1
"""Of text with 32-bit offsets."""
_WAITING = 2**16
"""Values that wait, in arrays that came, until they are put among the distinct ones; or four times the latter."""

Codes = npt.NDArray[np.int32]


class Dictionaries:
    """Unites the dictionaries of the arrays of one column in turn; holds 4 bytes a row and the distinct values.

    As long as the arrays have no text in common, like the tasks of one part and of the next, only hashes are compared.
    """

    def __init__(self) -> None:
        self._waiting: list[pa.DictionaryArray] = []
        self._n_waiting = 0
        self._values: pa.Array | None = None
        self._codes: list[Codes] = []  # places among the values, −1 where missing
        self._hashes: npt.NDArray[np.uint64] | None = np.zeros(0, dtype=np.uint64)
        self.n_rows = 0

    def add(self, chunk: pa.DictionaryArray) -> None:
        """Add rows, shape (R,); a dictionary may be of other values than those before, but of their type."""
        self._waiting.append(chunk)
        self.n_rows += len(chunk)
        self._n_waiting += len(chunk.dictionary)
        n_distinct = 0 if self._values is None else len(self._values)
        if self._n_waiting > 4 * n_distinct + _WAITING:  # so that unions cost O(R) in all
            self._unite()

    def widen(self, cast: Callable[[pa.Array], pa.Array]) -> None:
        """Give all values another type, in which those that are distinct stay so."""
        self._waiting = [
            pa.DictionaryArray.from_arrays(chunk.indices, cast(chunk.dictionary))
            for chunk in self._waiting
        ]
        if self._values is not None:
            self._values = cast(self._values)

    def coded(self) -> tuple[Codes, pa.Array]:
        """Return codes of all rows by first appearance, shape (R,), −1 where missing, and the values; forget them."""
        self._unite()
        assert self._values is not None
        return _by_appearance(joined(self._codes, self.n_rows), self._values)

    def _unite(self) -> None:
        """Put the values that wait among the distinct ones, which keep their places."""
        if not self._waiting:
            return
        self._make_room()
        if not self._add_all():
            known = self._waiting[0].dictionary[:0] if self._values is None else self._values
            nothing = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), known)
            united = pa.chunked_array([nothing, *self._waiting]).unify_dictionaries().chunks
            self._values = united[0].dictionary
            for chunk in united[1:]:
                self._note(chunk, 0)
        self._waiting, self._n_waiting = [], 0

    def _make_room(self) -> None:
        """Give text wide offsets where there will be too much of it for narrow ones, or some has them already."""
        values = [chunk.dictionary for chunk in self._waiting]
        if values[0].type not in TEXT:
            return
        if self._values is not None:
            values.append(self._values)
        mixed = len({some.type for some in values}) > 1
        if mixed or sum(some.nbytes for some in values) > _MOST_BYTES:
            self.widen(lambda some: some.cast(pa.large_string()))

    def _add_all(self) -> bool:
        """Add all values that wait, if their hashes say that they differ from one another and from those before."""
        added = [chunk.dictionary for chunk in self._waiting]
        if self._hashes is None or added[0].type not in TEXT:
            return False
        hashes = np.concatenate([self._hashes, *map(hashed_text, added)])
        hashes.sort()
        if len(hashes) > np.iinfo(np.int32).max or (hashes[1:] == hashes[:-1]).any():
            self._hashes = None
            return False
        self._hashes = hashes
        n_before = 0 if self._values is None else len(self._values)
        self._values = pa.concat_arrays(([] if self._values is None else [self._values]) + added)
        for chunk in self._waiting:
            self._note(chunk, n_before)
            n_before += len(chunk.dictionary)
        return True

    def _note(self, chunk: pa.DictionaryArray, first: int) -> None:
        codes = chunk.indices.fill_null(-1 - first) if chunk.null_count else chunk.indices
        found = codes.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        self._codes.append(found + np.int32(first) if first else found)


def _by_appearance(codes: Codes, values: pa.Array) -> tuple[Codes, pa.Array]:
    """Return codes, shape (R,), −1 where missing, and values by first appearance, whatever order they are stored in."""
    there = codes >= 0
    if there.all():
        found, used = numbered(codes)
        codes = found.astype(np.int32, copy=False)
    else:
        found, used = numbered(codes[there])
        codes[there] = found
    if len(used) == len(values) and (used[1:] > used[:-1]).all():
        return codes, values
    return codes, values.take(pa.array(used))

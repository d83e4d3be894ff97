"""Sparse matrices in row form, multiplied by the fastest kernel that the device and the dtype have."""

from __future__ import annotations

import copy
import itertools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch.nn.functional import embedding_bag

from deem_crowd.runtime.cached import cached_property
from deem_crowd.runtime.threads import each

PIECE = 1024
"""Rows longer than this are summed in pieces: it bounds float32 rounding and shares the work among threads."""
_SHARED = 4
"""Several pieces are a multiple of this."""
_A_SHARE, _MOST_SHARES = 2**18, 64
"""Entries of the rows that a thread takes at a time, about, and how many such shares there are at most."""
_ROWS_A_SUM = 4
"""Rows of a block for each sum by column, at least: blocks have sums of their own, which are added up."""


def shared_out(number: int) -> int:
    """Return a number of pieces, some more than asked where they are several: two and four threads get as many each."""
    return number if number < 2 else -(-number // _SHARED) * _SHARED


class Block(NamedTuple):
    """Some rows of a matrix of ones."""

    rows: slice
    ones: Any
    """As scipy has them."""


class SparseRows:
    """A sparse matrix in row form: ``self @ dense`` sums rows of ``dense``, in pieces where a row is long."""

    def __init__(
        self,
        pointers: npt.NDArray[Any],
        columns: npt.NDArray[Any],
        values: npt.NDArray[Any] | None,
        n_columns: int,
        device: torch.device,
        dtype: torch.dtype,
        portable: bool = False,
    ) -> None:
        self.n_rows, self.n_columns = len(pointers) - 1, n_columns
        self.device, self.dtype = device, dtype
        lengths = np.diff(pointers)
        #: Entries of the longest row.
        self.longest = int(lengths.max(initial=0))
        pieces = np.maximum(1, -(-lengths // PIECE))
        self._outer: npt.NDArray[Any] | None = None
        self._by_column: list[Block] = []
        if (pieces > 1).any():
            self._outer = np.concatenate([[0], np.cumsum(pieces)]).astype(pointers.dtype)
            within = np.arange(self._outer[-1]) - np.repeat(self._outer[:-1], pieces)
            starts = np.repeat(pointers[:-1], pieces) + within * PIECE
            pointers = np.append(starts, pointers[-1]).astype(pointers.dtype)
        # scipy's kernel is the fast one for float64 on the CPU, torch's for float32 and for other devices.
        self._scipy = device.type == "cpu" and dtype == torch.float64 and not portable
        if self._scipy:
            ones = np.ones(len(columns)) if values is None else values.astype(np.float64)
            shape = (len(pointers) - 1, n_columns)
            self._matrix = sparse.csr_array((ones, columns, pointers), shape=shape)
        else:
            # torch warns of arrays that are read-only, as those of a mapped file are
            columns, pointers = (
                np.require(a, requirements=["C", "W"]) for a in (columns, pointers)
            )
            self._columns = torch.from_numpy(columns).to(device)
            self._pointers = torch.from_numpy(pointers).to(device)
            self._values = None if values is None else torch.from_numpy(values).to(device, dtype)
        if self._outer is not None:
            index = np.arange(len(pointers) - 1, dtype=pointers.dtype)
            self._sum_pieces = SparseRows.of_pieces(self._outer, index, device, portable)

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._matrix.nnz if self._scipy else len(self._columns)

    @property
    def weightless(self) -> bool:
        """Whether all entries are ones, in float32 on the CPU: what :meth:`times` and :meth:`part` take."""
        single = self.dtype == torch.float32 and self.device.type == "cpu"
        return single and not self._scipy and self._values is None and len(self._columns) > 0

    @property
    def whole(self) -> bool:
        """Whether no row is summed in pieces."""
        return self._outer is None

    def lengths(self) -> npt.NDArray[Any]:
        """Return how many entries each row has, shape (n_rows,)."""
        pointers: npt.NDArray[Any]
        pointers = self._matrix.indptr if self._scipy else self._pointers.cpu().numpy()
        if self._outer is not None:
            pointers = pointers[self._outer]
        return np.diff(pointers)

    def times(self, vector: torch.Tensor) -> torch.Tensor:
        """Return ``self @ vector``, float32 or, of rows in pieces, float64, for a float32 vector, shape (n_columns,).

        scipy's product with a vector takes half of what the sum of rows of two columns does.
        """
        values = vector.contiguous().numpy()
        sums = torch.empty(len(self._pointers) - 1, dtype=torch.float32)

        def add(block: Block) -> None:
            sums[block.rows] = torch.from_numpy(block.ones @ values)

        each(add, self.blocks)
        if self._outer is None:
            return sums
        return (self._sum_pieces @ sums.to(torch.float64).unsqueeze(1)).squeeze(1)

    @cached_property
    def shares(self) -> list[slice]:
        """The rows, or their pieces, some at a time, with about as many entries each: what a thread takes."""
        return self._cut(min(shared_out(max(1, len(self._columns) // _A_SHARE)), _MOST_SHARES))

    def _cut(self, number: int) -> list[slice]:
        if number == 1:
            return [slice(0, len(self._pointers) - 1)]
        pointers = self._pointers.cpu().numpy()
        wanted = np.linspace(0, pointers[-1], number + 1)[1:-1]
        cuts = np.unique([0, *np.searchsorted(pointers, wanted), len(pointers) - 1])
        return [slice(start, stop) for start, stop in itertools.pairwise(cuts.tolist())]

    @cached_property
    def blocks(self) -> list[Block]:
        """The shares of a matrix that is weightless."""
        return self._of_ones(self.shares)

    def _of_ones(self, shares: list[slice]) -> list[Block]:
        """Return rows as scipy has them, with the ones spelt out."""
        pointers, columns = self._pointers.numpy(), self._columns.numpy()
        ends = [(int(pointers[rows.start]), int(pointers[rows.stop])) for rows in shares]
        ones = np.ones(max(end - begin for begin, end in ends), dtype=np.float32)
        blocks = []
        for rows, (begin, end) in zip(shares, ends, strict=True):
            some = pointers[rows.start : rows.stop + 1] - begin
            shape = (rows.stop - rows.start, self.n_columns)
            matrix = sparse.csr_array((ones[: end - begin], columns[begin:end], some), shape=shape)
            blocks.append(Block(rows, matrix))
        return blocks

    def add_up(self, values: torch.Tensor, longest: int) -> list[torch.Tensor]:
        """Return ``self.T @ column``, float64, shape (n_columns,), for each float32 column of ``values``, (n_rows, S).

        Each number is added to the sums of its row's entries, which stay in the cache as no row of the transpose does.
        Sums are float32 over as many rows as hold :data:`PIECE` numbers of a sum, and float64 over these.

        Parameters
        ----------
        values : shape (n_rows, S)
            Of a matrix that is weightless and whole.
        longest : int
            Entries of the longest column.
        """
        if not self._by_column:
            most = self.n_rows // (_ROWS_A_SUM * max(self.n_columns, 1))
            number = max(-(-longest // PIECE), min(len(self.shares), most), 1)
            self._by_column = [
                Block(rows, ones.T) for rows, ones in self._of_ones(self._cut(number))
            ]
        blocks = self._by_column
        columns = [column.contiguous().numpy() for column in values.unbind(1)]
        sums: list[Any] = [None] * (len(columns) * len(blocks))

        def add(place: int) -> None:
            column, number = divmod(place, len(blocks))
            sums[place] = blocks[number].ones @ columns[column][blocks[number].rows]

        each(add, range(len(sums)))
        return [
            torch.from_numpy(sum(sums[first : first + len(blocks)], np.zeros(self.n_columns)))
            for first in range(0, len(sums), len(blocks))
        ]

    def part(self, rows: slice, dense: torch.Tensor) -> torch.Tensor:
        """Return some rows of ``self @ dense``, where none is summed in pieces; ``dense`` is contiguous."""
        pointers = self._pointers[rows.start : rows.stop + 1]
        begin, end = int(pointers[0]), int(pointers[-1])
        return embedding_bag(
            self._columns[begin:end],
            dense,
            pointers - begin,
            mode="sum",
            per_sample_weights=None if self._values is None else self._values[begin:end],
            include_last_offset=True,
        )

    def _summed(self, dense: torch.Tensor) -> torch.Tensor:
        """Return rows, or their pieces, of ``self @ dense``, which is contiguous."""
        n = len(self._pointers) - 1
        if self.device.type != "cpu" or len(self.shares) == 1:
            return self.part(slice(0, n), dense)
        sums = dense.new_empty((n, dense.shape[1]))

        def add(rows: slice) -> None:
            sums[rows] = self.part(rows, dense)

        each(add, self.shares)
        return sums

    def to(self, device: torch.device) -> SparseRows:
        """Return the same rows, which have to be portable, on another device."""
        moved = copy.copy(self)
        moved.device = device
        moved._columns, moved._pointers = self._columns.to(device), self._pointers.to(device)
        moved._values = None if self._values is None else self._values.to(device)
        if self._outer is not None:
            moved._sum_pieces = self._sum_pieces.to(device)
        return moved

    @classmethod
    def of_pieces(
        cls,
        pointers: npt.NDArray[Any],
        columns: npt.NDArray[Any],
        device: torch.device,
        portable: bool = False,
    ) -> SparseRows:
        """Second level: adds up the pieces of each row, in float64."""
        rows = cls.__new__(cls)
        rows.n_rows, rows.device, rows.dtype = len(pointers) - 1, device, torch.float64
        rows._outer = None
        rows._scipy = device.type == "cpu" and not portable
        if rows._scipy:
            shape = (rows.n_rows, len(columns))
            rows._matrix = sparse.csr_array((np.ones(len(columns)), columns, pointers), shape=shape)
        else:
            rows._columns = torch.from_numpy(columns).to(device)
            rows._pointers = torch.from_numpy(pointers).to(device)
            rows._values = None
        return rows

    def __matmul__(self, dense: torch.Tensor) -> torch.Tensor:
        """Return ``(n_rows, S)`` for ``dense`` of shape (n_columns, S)."""
        dense = dense.to(self.device, self.dtype)
        if self.weightless and dense.shape[1] in (1, 2) and dense.stride(0) == 1:
            return torch.stack([self.times(column) for column in dense.unbind(1)], 1)
        if self._scipy:
            partial = torch.from_numpy(self._matrix @ dense.contiguous().numpy())
        elif len(self._columns) == 0:
            partial = dense.new_zeros((len(self._pointers) - 1, dense.shape[1]))
        else:
            partial = self._summed(dense.contiguous())
        if self._outer is None:
            return partial
        return self._sum_pieces @ partial.to(torch.float64)


def by_column(
    pointers: npt.NDArray[Any],
    columns: npt.NDArray[Any],
    values: npt.NDArray[Any] | None,
    n_columns: int,
    device: torch.device,
    dtype: torch.dtype,
    portable: bool = False,
) -> SparseRows:
    """Return the transpose of a matrix given by rows: its rows ascend by the number of the old ones."""
    index = pointers.dtype
    n_rows = len(pointers) - 1
    begins, rows = np.zeros(n_columns + 1, dtype=index), columns[:0]
    if len(columns) and n_columns:
        data = np.ones(len(columns), dtype=np.int8) if values is None else values
        by_columns = sparse.csr_array((data, columns, pointers), shape=(n_rows, n_columns)).tocsc()
        begins = by_columns.indptr.astype(index, copy=False)
        rows = by_columns.indices.astype(index, copy=False)
        values = None if values is None else by_columns.data
    return SparseRows(begins, rows, values, n_rows, device, dtype, portable)

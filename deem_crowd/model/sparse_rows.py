"""Sparse matrices in row form, multiplied by the fastest kernel that the device and the dtype have."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch.nn.functional import embedding_bag

PIECE = 1024
"""Rows longer than this are summed in pieces: it bounds float32 rounding and shares the work among threads."""


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
        self.n_rows = len(pointers) - 1
        self.device, self.dtype = device, dtype
        lengths = np.diff(pointers)
        pieces = np.maximum(1, -(-lengths // PIECE))
        self._outer: npt.NDArray[Any] | None = None
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
            self._columns = torch.from_numpy(np.ascontiguousarray(columns)).to(device)
            self._pointers = torch.from_numpy(np.ascontiguousarray(pointers)).to(device)
            self._values = None if values is None else torch.from_numpy(values).to(device, dtype)
        if self._outer is not None:
            index = np.arange(len(pointers) - 1, dtype=pointers.dtype)
            self._sum_pieces = SparseRows.of_pieces(self._outer, index, device, portable)

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
        if self._scipy:
            partial = torch.from_numpy(self._matrix @ dense.contiguous().numpy())
        elif len(self._columns) == 0:
            partial = dense.new_zeros((len(self._pointers) - 1, dense.shape[1]))
        else:
            partial = embedding_bag(
                self._columns,
                dense.contiguous(),
                self._pointers,
                mode="sum",
                per_sample_weights=self._values,
                include_last_offset=True,
            )
        if self._outer is None:
            return partial
        return self._sum_pieces @ partial.to(torch.float64)

"""The answers by worker and label, block by block of tasks: sums over a few tasks read what is in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.sparse_rows import SparseRows, by_column

CPU = torch.device("cpu")
_CACHED = 2**19
"""Entries of a posterior, float32, of which reading some at random is fast."""
_FULL = 4
"""Entries that a row of a block has in the mean, at least."""


def blocked(
    pointers: npt.NDArray[Any], codes: npt.NDArray[Any], n_codes: int, n_states: int
) -> BlockedRows | None:
    """Return the matrix in blocks where its posterior is too large for the cache, and blocks have enough entries.

    Parameters
    ----------
    pointers : integers, shape (N + 1,)
        Of the answers by task.
    codes : integers, shape (R,)
        Below ``n_codes``: worker and label of each answer.
    n_codes, n_states : int
    """
    n = len(pointers) - 1
    most = max(n * n_states, 1)
    n_blocks = min(most // _CACHED, len(codes) // max(_FULL * n_codes, 1))
    if n_blocks < 2:
        return None
    step = -(-n // n_blocks)
    return BlockedRows(pointers, codes, n_codes, step)


class BlockedRows:
    """Rows as :class:`SparseRows` has them, of entries that are ones, in float32 on the CPU.

    Parameters
    ----------
    pointers, codes, n_codes
        As for :func:`blocked`.
    step : int
        Tasks of a block.
    """

    weightless = True

    def __init__(
        self, pointers: npt.NDArray[Any], codes: npt.NDArray[Any], n_codes: int, step: int
    ) -> None:
        self.n_rows = n_codes
        self._blocks: list[tuple[slice, SparseRows]] = []
        for start in range(0, len(pointers) - 1, step):
            tasks = slice(start, min(start + step, len(pointers) - 1))
            ptr = pointers[tasks.start : tasks.stop + 1]
            some = codes[ptr[0] : ptr[-1]]
            rows = by_column(ptr - ptr[0], some, None, n_codes, CPU, torch.float32)
            self._blocks.append((tasks, rows))

    def lengths(self) -> npt.NDArray[Any]:
        """Return how many entries each row has, shape (n_rows,)."""
        lengths = np.zeros(self.n_rows, dtype=np.int64)
        for _, rows in self._blocks:
            lengths += rows.lengths()
        return lengths

    def times(self, vector: torch.Tensor) -> torch.Tensor:
        """Return ``self @ vector``, float64, shape (n_rows,), for a float32 vector, shape (N,)."""
        product = torch.zeros(self.n_rows, dtype=torch.float64)
        for tasks, rows in self._blocks:
            if len(rows):
                product += rows.times(vector[tasks])
        return product

    def __matmul__(self, dense: torch.Tensor) -> torch.Tensor:
        """Return ``(n_rows, S)``, float64, for ``dense`` of shape (N, S)."""
        product = torch.zeros((self.n_rows, dense.shape[1]), dtype=torch.float64)
        for tasks, rows in self._blocks:
            if len(rows):
                product += rows @ dense[tasks]
        return product

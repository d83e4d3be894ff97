"""The answers by worker and label, block by block of tasks: sums over a few tasks read what is in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.sparse_rows import SparseRows, by_column, shared_out
from deem_crowd.runtime.threads import gathered

CPU = torch.device("cpu")
_CACHED = 2**18
"""Entries of a posterior, float32, of which reading some at random is fast."""
_AT_ONCE = 16
"""Blocks that are added up together: each has sums of its own meanwhile."""
_FULL = 12
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
    allowed = len(codes) // max(_FULL * n_codes, 1)
    n_blocks = min(most // _CACHED, allowed)
    if n_blocks < 2:
        return None
    n_blocks = min(shared_out(n_blocks), allowed)
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
        n = len(pointers) - 1

        def turned(start: int) -> tuple[slice, SparseRows]:
            tasks = slice(start, min(start + step, n))
            ptr = pointers[tasks.start : tasks.stop + 1]
            some = codes[ptr[0] : ptr[-1]]
            return tasks, by_column(ptr - ptr[0], some, None, n_codes, CPU, torch.float32)

        self._blocks = [block for block in gathered(turned, range(0, n, step)) if len(block[1])]

    def lengths(self) -> npt.NDArray[Any]:
        """Return how many entries each row has, shape (n_rows,)."""
        lengths = np.zeros(self.n_rows, dtype=np.int64)
        for _, rows in self._blocks:
            lengths += rows.lengths()
        return lengths

    def times(self, vector: torch.Tensor) -> torch.Tensor:
        """Return ``self @ vector``, float64, shape (n_rows,), for a float32 vector, shape (N,)."""
        return self._added_up(lambda tasks, rows: rows.times(vector[tasks]), (self.n_rows,))

    def __matmul__(self, dense: torch.Tensor) -> torch.Tensor:
        """Return ``(n_rows, S)``, float64, for ``dense`` of shape (N, S)."""
        shape = (self.n_rows, dense.shape[1])
        return self._added_up(lambda tasks, rows: rows @ dense[tasks], shape)

    def _added_up(
        self, product: Callable[[slice, SparseRows], torch.Tensor], shape: tuple[int, ...]
    ) -> torch.Tensor:
        """Add up the products of the blocks in their order, a few of them at a time."""
        total = torch.zeros(shape, dtype=torch.float64)
        for start in range(0, len(self._blocks), _AT_ONCE):
            some = self._blocks[start : start + _AT_ONCE]
            for found in gathered(lambda block: product(*block), some):
                total += found
        return total

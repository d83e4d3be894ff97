"""Workers' confusion matrices, read in parts as they are needed: all D × K × K numbers may exceed the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class WorkerTables(Protocol):
    """p(answer | label) of D workers over K classes; each column of a worker sums to 1."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, K, K)."""

    def of(self, workers: IntArray) -> FloatArray:
        """Return the tables of some workers, shape (n, K, K) as [worker, answer, label].

        Raises
        ------
        MemoryNeedError
        """

    def mean(self, weights: FloatArray) -> FloatArray:
        """Return the mean table, shape (K, K) as [answer, label]; ``weights``, shape (D,), need not sum to 1."""

    def cells(self, worker: IntArray, answer: IntArray, label: IntArray) -> FloatArray:
        """Return p(answer | label) of some workers; arguments of a common shape, or broadcast to one."""

    def chance(self, priors: FloatArray) -> FloatArray:
        """Return how often each worker is right by chance, keeping to the frequencies of their answers, shape (D,).

        Σ_k π_k p(answer k), with the class prior π, shape (K,).
        """


@dataclass(frozen=True, eq=False)
class FullTables:
    """All tables, held in memory.

    Attributes
    ----------
    full : shape (D, K, K) as [worker, answer, label]
    """

    full: FloatArray

    @classmethod
    def from_frame(cls, errors: pd.DataFrame, workers: pd.Index, classes: pd.Index) -> FullTables:
        """Read ``errors_`` of an aggregator: index (worker, answer), columns labels; what is missing there is 0."""
        d, k = len(workers), len(classes)
        full = pd.MultiIndex.from_product([workers, classes])
        table = errors.reindex(columns=classes)
        if len(table) != len(full) or not table.index.equals(full):
            table = table.reindex(full)
        return cls(table.fillna(0.0).to_numpy(dtype=np.float64).reshape(d, k, k))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, K, K)."""
        d, k, _ = self.full.shape
        return d, k, k

    def of(self, workers: IntArray) -> FloatArray:
        """Return the tables of some workers; see :class:`WorkerTables` for this and the others."""
        return self.full[workers]

    def mean(self, weights: FloatArray) -> FloatArray:
        """Return the mean table, shape (K, K)."""
        return np.asarray(np.average(self.full, axis=0, weights=weights))

    def cells(self, worker: IntArray, answer: IntArray, label: IntArray) -> FloatArray:
        """Return p(answer | label) of some workers."""
        return self.full[worker, answer, label]

    def chance(self, priors: FloatArray) -> FloatArray:
        """Return how often each worker is right by chance, shape (D,)."""
        return np.asarray((self.full @ priors) @ priors)

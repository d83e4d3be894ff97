"""Workers' confusion matrices, read in parts as they are needed: all D × K × K numbers may exceed the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.memory import require

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_AT_ONCE = 2**22
"""Cells of tables that are copied at once."""


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


@dataclass(frozen=True, eq=False)
class SpreadTables:
    """Tables over the K' classes that were given, as tables over all K.

    Of a label that nobody ever gave nothing can be known: its column is even.

    Attributes
    ----------
    given : WorkerTables
        Of D workers over K' classes.
    used : integers, shape (K',)
        Which of the K classes those are.
    n_classes : int
        K.
    """

    given: WorkerTables
    used: IntArray
    n_classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, K, K)."""
        return self.given.shape[0], self.n_classes, self.n_classes

    def of(self, workers: IntArray) -> FloatArray:
        """Return the tables of some workers; see :class:`WorkerTables` for this and the others."""
        n, k, few = len(workers), self.n_classes, len(self.used)
        require(
            8 * (n + 2) * k * k,
            f"the confusion matrices of {n:,} workers × {k:,} × {k:,} classes",
            "skills_, workers_ and tasks_ are there without them.",
        )
        if few == k:
            return self.given.of(workers)
        full = self._even(n)
        step = max(1, _AT_ONCE // max(few * few, 1))
        for at in range(0, n, step):
            part = self.given.of(workers[at : at + step])
            full[at : at + step, self.used[:, None], self.used[None, :]] = part
        return full

    def mean(self, weights: FloatArray) -> FloatArray:
        """Return the mean table, shape (K, K)."""
        k = self.n_classes
        require(
            3 * 8 * k * k,
            f"the mean confusion matrix over {k:,} × {k:,} classes",
            "Fit to the classes that were given alone: leave out classes=.",
        )
        table = self.given.mean(weights)
        if len(self.used) == k:
            return table
        full = self._even(1)[0]
        full[self.used[:, None], self.used[None, :]] = table
        return full

    def cells(self, worker: IntArray, answer: IntArray, label: IntArray) -> FloatArray:
        """Return p(answer | label) of some workers."""
        position = np.full(self.n_classes, -1, dtype=np.int64)
        position[self.used] = np.arange(len(self.used))
        worker, answer, label = np.broadcast_arrays(worker, position[answer], position[label])
        known = (answer >= 0) & (label >= 0)
        found = np.where(label < 0, 1.0 / max(self.n_classes, 1), 0.0)
        found[known] = self.given.cells(worker[known], answer[known], label[known])
        return found

    def chance(self, priors: FloatArray) -> FloatArray:
        """Return how often each worker is right by chance, shape (D,)."""
        unused = priors.sum() - priors[self.used].sum()
        return self.given.chance(priors[self.used]) + priors.sum() * unused / max(self.n_classes, 1)

    def _even(self, n: int) -> FloatArray:
        """Return n tables of which the columns of labels that nobody gave are set, the others 0."""
        k = self.n_classes
        full = np.zeros((n, k, k))
        full[:, :, np.setdiff1d(np.arange(k), self.used)] = 1.0 / max(k, 1)
        return full

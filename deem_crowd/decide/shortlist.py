"""What a further answer is worth with many classes: only the likeliest labels of each task are considered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deem_crowd.decide import criteria
from deem_crowd.decide.criteria import FloatArray
from deem_crowd.model.worker_tables import IntArray, WorkerTables

MANY = 64
"""Classes above which labels are shortlisted: enumeration takes K² numbers a task."""
_LENGTH = 6
_BATCH = 2**16
_CELLS = 2**22
"""Cells of workers' tables that are read at once."""

Cells = Callable[[IntArray, IntArray], FloatArray]
"""p(answer | label) of whoever answers, of answers and labels in arrays of one shape."""


class Shortlist:
    """The M likeliest labels of each of N tasks: one of them is taken to be right, and all other answers count as one.

    Merging answers loses information. So if the label is on the list, the worth found is at most that of all answers.

    Parameters
    ----------
    posterior : shape (N, K)
    """

    def __init__(self, posterior: FloatArray) -> None:
        k = posterior.shape[1]
        m = min(_LENGTH, k)
        self.label = np.sort(np.argpartition(-posterior, m - 1, axis=1)[:, :m]).astype(np.int64)
        shares = np.take_along_axis(posterior, self.label, axis=1)
        total = shares.sum(axis=1, keepdims=True)
        self.posterior = np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / m)

    def worth(self, name: str, cells: Cells) -> FloatArray:
        """Return a criterion of :data:`criteria.VALUE` for each task, shape (N,)."""
        found = np.empty(len(self.label))
        for at in range(0, len(found), _BATCH):
            part = slice(at, at + _BATCH)
            label = self.label[part]
            table = cells(label[:, :, None], label[:, None, :])  # [task, answer, label]
            others = np.maximum(1 - table.sum(axis=1, keepdims=True), 0.0)
            table = np.concatenate([table, others], axis=1)
            found[part] = criteria.of_own_tables(name, self.posterior[part], table)
        return found


def of_table(name: str, posterior: FloatArray, table: FloatArray) -> FloatArray:
    """Return a criterion of :data:`criteria.VALUE` for N tasks and one table, shape (K, K) → (N,)."""
    if posterior.shape[1] <= MANY or not len(posterior):
        return criteria.VALUE[name](posterior, table)
    return Shortlist(posterior).worth(name, lambda answer, label: table[answer, label])


def of_workers(
    name: str, posterior: FloatArray, tables: WorkerTables, workers: IntArray
) -> FloatArray:
    """Return a criterion of :data:`criteria.VALUE` for N tasks and W workers, shape (N, W)."""
    value = np.empty((len(posterior), len(workers)))
    if (k := posterior.shape[1]) <= MANY:
        step = max(1, _CELLS // max(k * k, 1))
        for at in range(0, len(workers), step):
            part = slice(at, at + step)
            value[:, part] = criteria.of_pairs(name, posterior, tables.of(workers[part]))
        return value
    listed = Shortlist(posterior)
    for place, worker in enumerate(workers):
        value[:, place] = listed.worth(name, _of_worker(tables, worker))
    return value


def _of_worker(tables: WorkerTables, worker: np.int64) -> Cells:
    who = np.asarray(worker)
    return lambda answer, label: tables.cells(who, answer, label)

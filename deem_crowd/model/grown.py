"""A design matrix to which answers are added: each addition is a small matrix beside what was laid out before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Addition:
    """Further answers, about some tasks by some workers.

    Attributes
    ----------
    tasks, workers : LongTensors, shapes (n,) and (d,)
        Their numbers in the whole.
    design : DesignMatrix
        Of the n tasks and d workers.
    """

    tasks: torch.Tensor
    workers: torch.Tensor
    design: DesignMatrix

    @classmethod
    def of(cls, answers: Answers, task: IntArray, worker: IntArray, like: DesignMatrix) -> Addition:
        """Lay out answers whose n tasks and d workers have those numbers in the whole."""
        order = np.argsort(task, kind="stable")
        place = np.full(int(worker.max(initial=-1)) + 1, -1)
        there = np.unique(worker)
        place[there] = np.arange(len(there))
        sorted_answers = answers.select(
            tasks=order, workers=(place[worker], pd.RangeIndex(len(there)))
        )
        design = DesignMatrix(sorted_answers, like.device, like.dtype)
        return cls(torch.from_numpy(task[order]), torch.from_numpy(there), design)

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """Return what these answers add to the logits of their tasks, shape (n, S), for tables of all workers."""
        return self.design.logits(table[self.workers])

    def add_counts(self, posterior: torch.Tensor, counts: torch.Tensor) -> None:
        """Add to counts of all workers, shape (D, K, S), those of a posterior of these tasks, shape (n, S)."""
        counts.index_add_(0, self.workers, self.design.expected_counts(posterior).cpu())


class GrownDesign(DesignMatrix):
    """The matrix of the first answers, and additions.

    Parameters
    ----------
    base : DesignMatrix
    additions : list of Addition
    n_tasks, n_workers : int
        In all. Tasks and workers of ``base`` are the first.
    """

    def __init__(
        self, base: DesignMatrix, additions: list[Addition], n_tasks: int, n_workers: int
    ) -> None:
        self.n_tasks, self.n_workers = n_tasks, n_workers
        self.n_classes = base.n_classes
        self.n_answers = base.n_answers + sum(a.design.n_answers for a in additions)
        self.n_tasks_in_all, self.n_answers_in_all = n_tasks, self.n_answers
        self.device, self.dtype, self.group = base.device, base.dtype, base.group
        self._base, self._additions = base, additions
        self.n_given = torch.zeros(n_workers, dtype=torch.float64)
        self.n_given[: base.n_workers] = base.n_given
        for addition in additions:
            self.n_given.index_add_(0, addition.workers, addition.design.n_given)
        self.answered = self.n_given > 0

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.logits`."""
        logits = self._base.logits(table[: self._base.n_workers])
        if len(logits) < self.n_tasks:
            new = logits.new_zeros((self.n_tasks - len(logits), table.shape[-1]))
            logits = torch.cat([logits, new])
        for addition in self._additions:
            logits.index_add_(0, addition.tasks, addition.logits(table))
        return logits

    def expected_counts(self, posterior: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.expected_counts`."""
        shape = (self.n_workers, self.n_classes, posterior.shape[1])
        counts = torch.zeros(shape, dtype=torch.float64)
        counts[: self._base.n_workers] = self._base.expected_counts(
            posterior[: self._base.n_tasks]
        ).cpu()
        for addition in self._additions:
            addition.add_counts(posterior[addition.tasks], counts)
        return counts

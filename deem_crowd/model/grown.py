"""A design matrix to which answers are added: each addition is a small matrix beside what was laid out before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import expect
from deem_crowd.model.group import ALONE
from deem_crowd.model.rows import softmax
from deem_crowd.runtime.cached import cached_property

IntArray = npt.NDArray[np.int64]
Rows = tuple[IntArray, IntArray, npt.NDArray[np.int32]]
_A_FEW = 512
"""Answers that are added up one by one in less time than a matrix takes to be made."""
_SOUND = 1e-30
"""Probabilities whose logarithms say what logits would."""


def extended(values: torch.Tensor, n: int) -> torch.Tensor:
    """Return a copy with n rows, those that follow zero."""
    return torch.cat([values, values.new_zeros((n - len(values), *values.shape[1:]))])


class SmallDesign(DesignMatrix):
    """The matrix of a few hard answers on the CPU, with the classes and the dtype of another one.

    Parameters
    ----------
    pointers : shape (n + 1,)
        Where the answers of each of the n tasks begin.
    worker, label : shape (R,)
        Workers are numbered to ``n_workers``, and each gave an answer.
    n_workers : int
    like : DesignMatrix
    """

    def __init__(
        self,
        pointers: npt.NDArray[np.int32],
        worker: npt.NDArray[Any],
        label: npt.NDArray[Any],
        n_workers: int,
        like: DesignMatrix,
    ) -> None:
        self.n_tasks, self.n_workers, self.n_classes = len(pointers) - 1, n_workers, like.n_classes
        self.n_answers = self.n_answers_in_all = len(label)
        self.n_tasks_in_all = self.n_tasks
        self.group, self.device, self.dtype = ALONE, torch.device("cpu"), like.dtype
        code = (worker * self.n_classes + label).astype(np.int32)
        self._parts = pointers, code, None, False
        self.n_given = torch.from_numpy(np.bincount(worker, minlength=n_workers)).double()
        self.answered = self.n_given > 0

    def silent(self) -> torch.Tensor:
        """Return the numbers of the tasks without answers, shape (m,)."""
        return torch.from_numpy(np.flatnonzero(np.diff(self._parts[0]) == 0))

    def entries(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Return task, worker and label of each hard answer, integers, shape (R,)."""
        pointers, code, *_ = self._parts
        task = np.repeat(np.arange(self.n_tasks), np.diff(pointers))
        return task, code // self.n_classes, code % self.n_classes

    @cached_property
    def _places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Task and code of each answer, shape (R,)."""
        return torch.from_numpy(self.entries()[0]), torch.from_numpy(self._parts[1])

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.logits`."""
        if self.n_answers > _A_FEW:
            return super().logits(table)
        (task, code), rows = self._places, table.reshape(-1, table.shape[-1]).to(self.dtype)
        sums = rows.new_zeros((self.n_tasks, table.shape[-1]))
        return sums.index_add_(0, task, rows[code])

    def expected_counts(self, posterior: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.expected_counts`."""
        if self.n_answers > _A_FEW:
            return super().expected_counts(posterior)
        (task, code), shape = self._places, (self.n_workers, self.n_classes, posterior.shape[1])
        sums = torch.zeros((shape[0] * shape[1], shape[2]), dtype=torch.float64)
        return sums.index_add_(0, code, posterior[task].double()).view(shape)


@dataclass(frozen=True, eq=False)
class Addition:
    """Further answers, about some tasks by some workers.

    Attributes
    ----------
    tasks, workers : LongTensors, shapes (n,) and (d,)
        Their numbers in the whole, ascending.
    design : SmallDesign
        Of the n tasks and d workers.
    n_calls : int
        Calls that these answers came with.
    """

    tasks: torch.Tensor
    workers: torch.Tensor
    design: SmallDesign
    n_calls: int = 1

    @classmethod
    def of(
        cls, rows: Rows, like: DesignMatrix, tasks: IntArray | None = None, n_calls: int = 1
    ) -> Addition:
        """Lay out answers given by the numbers of task, worker and label in the whole, shape (r,) each.

        ``tasks`` are their tasks, ascending, and those without answers that are to be there.
        """
        task, worker, label = rows
        if tasks is None:
            tasks = np.unique(task)
        place = np.searchsorted(tasks, task)
        if (place[1:] < place[:-1]).any():
            order = np.argsort(place, kind="stable")
            place, worker, label = place[order], worker[order], label[order]
        pointers = np.zeros(len(tasks) + 1, dtype=np.int32)
        np.cumsum(np.bincount(place, minlength=len(tasks)), out=pointers[1:])
        workers, who = np.unique(worker, return_inverse=True)
        design = SmallDesign(pointers, who, label, len(workers), like)
        return cls(torch.from_numpy(tasks), torch.from_numpy(workers), design, n_calls)

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
    additions : sequence of Addition
    n_tasks, n_workers : int
        In all. Tasks and workers of ``base`` are the first.
    n_given : float64, shape (D,), optional
        How many answers each worker gave, where that is known.
    """

    def __init__(
        self,
        base: DesignMatrix,
        additions: Sequence[Addition],
        n_tasks: int,
        n_workers: int,
        n_given: torch.Tensor | None = None,
    ) -> None:
        self.n_tasks, self.n_workers = n_tasks, n_workers
        self.n_classes = base.n_classes
        self.n_answers = base.n_answers + sum(a.design.n_answers for a in additions)
        self.n_tasks_in_all, self.n_answers_in_all = n_tasks, self.n_answers
        self.device, self.dtype, self.group = base.device, base.dtype, base.group
        self._base, self._additions = base, additions
        if n_given is None:
            n_given = extended(base.n_given, n_workers)
            for addition in additions:
                n_given.index_add_(0, addition.workers, addition.design.n_given)
        self.n_given = n_given
        self.answered = self.n_given > 0

    @cached_property
    def votes(self) -> torch.Tensor:
        """See :attr:`DesignMatrix.votes`."""
        votes = extended(self._base.votes, self.n_tasks)
        for addition in self._additions:
            votes.index_add_(0, addition.tasks, addition.design.votes)
        return votes

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.logits`."""
        logits = extended(self._base.logits(table[: self._base.n_workers]), self.n_tasks)
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

    def states(self, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return p(s | x_n), shape (N, S), for log-tables, shape (D, K, S), and a bias, shape (S,).

        Those of tasks without additions are those of the first answers, which are gone through in pieces; to the
        logarithms of the others what their additions say is added.
        """
        known = self._base.n_tasks
        first = expect(self._base, weight[: self._base.n_workers], bias).states
        by_column = first.stride(0) == 1 and first.shape[1] > 1
        shape = (first.shape[1], self.n_tasks) if by_column else (self.n_tasks, first.shape[1])
        states = first.new_empty(shape)
        states = states.T if by_column else states
        states[:known], states[known:] = first, torch.softmax(bias, 0).to(first.dtype)
        if not self._additions:
            return states
        given = torch.cat([addition.tasks for addition in self._additions])
        tasks, place = torch.unique(given, return_inverse=True)
        some = states[tasks]
        if bool((some < _SOUND).any()):  # the logits themselves are needed
            return softmax(self.logits(weight) + bias.to(self.dtype))[0]
        said = torch.cat([addition.logits(weight) for addition in self._additions])
        states[tasks] = softmax(some.log().index_add_(0, place, said))[0]
        return states

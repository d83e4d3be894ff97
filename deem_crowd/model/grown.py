"""A design matrix to which answers are added: they are a small matrix beside what was laid out before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.index import counting_sort
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import expect
from deem_crowd.model.group import ALONE
from deem_crowd.model.rows import softmax
from deem_crowd.runtime.cached import cached_property

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating[Any]]
Rows = tuple[IntArray, IntArray, npt.NDArray[np.int32]]
_SPARSE = 64
"""Numbers that spread over more than this many times their count are sorted; others are marked in a table."""
_SOUND = 1e-30
"""Probabilities of at least this much have logarithms that say what logits would."""


def extended(values: torch.Tensor, n: int) -> torch.Tensor:
    """Return a copy with n rows, those that follow zero."""
    if n == len(values):
        return values.clone()
    return torch.cat([values, values.new_zeros((n - len(values), *values.shape[1:]))])


class SmallDesign(DesignMatrix):
    """The matrix of a few hard answers on the CPU, with the classes and the dtype of another one.

    Parameters
    ----------
    pointers : shape (n + 1,)
        Where the answers of each of the n tasks begin.
    worker, label : shape (R,)
        Workers are numbered from 0 to ``n_workers`` − 1, and each gave an answer.
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
        self.precision = np.float32 if like.dtype == torch.float32 else np.float64
        self._cells: dict[int, IntArray] = {}
        answered = pointers[1:] > pointers[:-1]
        self._answered = None if answered.all() else answered
        self._begins = pointers[:-1] if self._answered is None else pointers[:-1][answered]

    @cached_property
    def task(self) -> IntArray:
        """The task of each answer, shape (R,)."""
        return np.repeat(np.arange(self.n_tasks), np.diff(self._parts[0]))

    @property
    def code(self) -> npt.NDArray[np.int32]:
        """Worker · K + label of each answer, shape (R,)."""
        code: npt.NDArray[np.int32] = self._parts[1]
        return code

    @cached_property
    def votes(self) -> torch.Tensor:
        """See :attr:`DesignMatrix.votes`."""
        k = self.n_classes
        cell = self.task * k + self.code % k
        number = np.bincount(cell, minlength=self.n_tasks * k).reshape(self.n_tasks, k)
        return torch.from_numpy(number).to(self.dtype)

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.logits`."""
        return torch.from_numpy(self.sums(table.numpy()))

    def expected_counts(self, posterior: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.expected_counts`."""
        return torch.from_numpy(self.counts(posterior.numpy()))

    def sums(self, table: FloatArray) -> FloatArray:
        """Return :meth:`logits` of arrays: with few numbers these are faster than tensors."""
        size = table.shape[-1]
        rows = table.reshape(-1, size).take(self.code, axis=0).astype(self.precision, copy=False)
        if len(rows) and self._answered is None:
            found: FloatArray = np.add.reduceat(rows, self._begins, axis=0)
            return found
        sums = np.zeros((self.n_tasks, size), dtype=self.precision)
        if len(rows):
            sums[self._answered] = np.add.reduceat(rows, self._begins, axis=0)
        return sums

    def counts(self, posterior: FloatArray) -> FloatArray:
        """Return :meth:`expected_counts` of arrays."""
        size = posterior.shape[1]
        shape = self.n_workers, self.n_classes, size
        if size not in self._cells:
            cells = np.add.outer(self.code.astype(np.int64) * size, np.arange(size))
            self._cells[size] = cells.ravel()
        given = posterior.take(self.task, axis=0).ravel()
        # with weights, numpy counts in floating point, unless there is nothing to count
        counts: Any = np.bincount(self._cells[size], given, math.prod(shape))
        found: FloatArray = counts.reshape(shape).astype(np.float64, copy=False)
        return found


@dataclass(frozen=True, eq=False)
class Addition:
    """Further answers, about some tasks by some workers.

    Attributes
    ----------
    tasks, workers : integers, shapes (n,) and (d,)
        Their numbers in the whole, ascending.
    design : SmallDesign
        Of the n tasks and d workers.
    """

    tasks: IntArray
    workers: IntArray
    design: SmallDesign

    @classmethod
    def of(cls, rows: Rows, like: DesignMatrix, tasks: IntArray | None = None) -> Addition:
        """Lay out answers given by the numbers of task, worker and label in the whole, shape (r,) each.

        ``tasks``, ascending, are the tasks to lay out: those answered, and perhaps some without answers.
        """
        task, worker, label = rows
        if tasks is None:
            tasks, place = numbered(task)
        else:
            place = _among(tasks, task)
        if (place[1:] < place[:-1]).any():
            _, order = counting_sort(place, len(tasks))
            place, worker, label = place[order], worker[order], label[order]
        pointers = np.zeros(len(tasks) + 1, dtype=np.int32)
        np.cumsum(np.bincount(place, minlength=len(tasks)), out=pointers[1:])
        workers, who = numbered(worker)
        return cls(tasks, workers, SmallDesign(pointers, who, label, len(workers), like))


def numbered(values: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct ones of numbers that are not negative, ascending, and where each stands among these."""
    if not len(values):
        return values, values
    span = int(values.max()) + 1
    if span > _SPARSE * len(values):
        ordered = np.sort(values)
        first = np.ones(len(ordered), dtype=bool)
        np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
        distinct = ordered[first]
    else:
        there = np.zeros(span, dtype=bool)
        there[values] = True
        distinct = np.flatnonzero(there)
    return distinct, _among(distinct, values)


def _among(distinct: IntArray, values: IntArray) -> IntArray:
    """Return where numbers stand among distinct, ascending ones, of which each of them is one."""
    span = int(distinct[-1]) + 1 if len(distinct) else 0
    if span > _SPARSE * len(values):
        return np.searchsorted(distinct, values)
    place = np.empty(span, dtype=np.int64)
    place[distinct] = np.arange(len(distinct))
    return place[values]


class GrownDesign(DesignMatrix):
    """The matrix of the first answers, and an addition.

    Parameters
    ----------
    base : DesignMatrix
    addition : Addition
    n_tasks, n_workers : int
        In all. Tasks and workers of ``base`` are the first.
    """

    def __init__(
        self, base: DesignMatrix, addition: Addition, n_tasks: int, n_workers: int
    ) -> None:
        self.n_tasks, self.n_workers = n_tasks, n_workers
        self.n_classes = base.n_classes
        self.n_answers = base.n_answers + addition.design.n_answers
        self.n_tasks_in_all, self.n_answers_in_all = n_tasks, self.n_answers
        self.device, self.dtype, self.group = base.device, base.dtype, base.group
        self._base, self._addition = base, addition
        self._tasks = torch.from_numpy(addition.tasks)
        self._workers = torch.from_numpy(addition.workers)
        self.n_given = extended(base.n_given, n_workers)
        self.n_given.index_add_(0, self._workers, addition.design.n_given)
        self.answered = self.n_given > 0

    @cached_property
    def votes(self) -> torch.Tensor:
        """See :attr:`DesignMatrix.votes`."""
        votes = extended(self._base.votes, self.n_tasks)
        return votes.index_add_(0, self._tasks, self._addition.design.votes)

    def silent(self) -> torch.Tensor:
        """Return the numbers of the tasks without answers, shape (m,)."""
        answered = np.zeros(self.n_tasks, dtype=bool)
        answered[: self._base.n_tasks] = self._base.by_task.lengths() > 0
        answered[self._addition.tasks[self._addition.design.task]] = True
        return torch.from_numpy(np.flatnonzero(~answered))

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.logits`."""
        logits = extended(self._base.logits(table[: self._base.n_workers]), self.n_tasks)
        return logits.index_add_(0, self._tasks, self._said(table))

    def expected_counts(self, posterior: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.expected_counts`."""
        shape = (self.n_workers, self.n_classes, posterior.shape[1])
        counts = torch.zeros(shape, dtype=torch.float64)
        counts[: self._base.n_workers] = self._base.expected_counts(
            posterior[: self._base.n_tasks]
        ).cpu()
        more = self._addition.design.expected_counts(posterior[self._tasks])
        return counts.index_add_(0, self._workers, more)

    def states(self, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return p(s | x_n), shape (N, S), for log-tables, shape (D, K, S), and a bias, shape (S,).

        The first answers are gone through in pieces. Where tasks have further answers, what these say is added to the
        logarithms of the states that the first answers give.
        """
        known = self._base.n_tasks
        first = expect(self._base, weight[: self._base.n_workers], bias).states
        states = first
        if self.n_tasks > known:
            by_column = first.stride(0) == 1 and first.shape[1] > 1
            shape = (first.shape[1], self.n_tasks) if by_column else (self.n_tasks, first.shape[1])
            states = first.new_empty(shape)
            states = states.T if by_column else states
            states[:known], states[known:] = first, torch.softmax(bias, 0).to(first.dtype)
        some = states[self._tasks]
        if bool((some < _SOUND).any()):  # the logits themselves are needed
            return softmax(self.logits(weight) + bias.to(self.dtype))[0]
        states[self._tasks] = softmax(some.log().add_(self._said(weight)))[0]
        return states

    def _said(self, table: torch.Tensor) -> torch.Tensor:
        """Return what the addition adds to the logits of its tasks, shape (n, S)."""
        return self._addition.design.logits(table[self._workers])

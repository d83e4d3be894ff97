"""Answers laid out for many classes: only what they name is there, so that memory follows the answers.

With K in the thousands a table of K² numbers a worker and a posterior of K numbers a task are nearly all empty. A
task's label is, but for a rest, one of the classes that its answers name. So the posterior has a number for each *pair*
of a task and a class that it names, and one for the *rest*, all other classes together; and a worker's table has
*cells* (worker, answer, label) only where an answer meets a class that its task names. The truncated E-step is that of
Lücke and Eggert (*Expectation truncation and the benefits of preselection in training generative models*, JMLR 11,
2010).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.data.memory import require
from deem_crowd.model.group import ALONE, Group
from deem_crowd.runtime.cached import cached_property

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_NAMED = 64
"""Classes that a task may name; of more, those with most votes."""
_BYTES_AN_ENTRY = 80
_ROOM = 4
"""A table of all possible keys numbers those that occur, if it is at most this many times as long as their list."""


@dataclass(frozen=True, eq=False)
class NamedPosterior:
    """p(label | answers) of N tasks over the classes that each names, and the rest.

    Attributes
    ----------
    task, label : integers, shape (P,)
        The pairs, sorted by task and class.
    share : shape (P,)
        The probability of each pair.
    rest : shape (N,)
        What is left for all other classes of a task, as the prior divides it.
    prior : shape (K,)
        Zero for classes that nobody named at all.
    votes : shape (P,)
        Answers that name the class of each pair; ties go by them.
    """

    task: IntArray
    label: IntArray
    share: FloatArray
    rest: FloatArray
    prior: FloatArray
    votes: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """N and K."""
        return len(self.rest), len(self.prior)

    def __len__(self) -> int:
        return len(self.rest)

    def of_no_task(self) -> NamedPosterior:
        """Return the same classes and their prior, without any task."""
        task, share = self.task[:0], self.share[:0]
        return NamedPosterior(task, task, share, self.rest[:0], self.prior, share)

    def dense(self) -> FloatArray:
        """Return the probabilities of all classes, shape (N, K).

        Raises
        ------
        MemoryNeedError
        """
        n, k = self.shape
        require(
            8 * n * k,
            f"the probabilities of {n:,} tasks × {k:,} classes",
            "labels_, tasks and skills are there without them; ask for the probabilities of some tasks at a time "
            "(predict_proba).",
        )
        left = summed(self.task, self.prior[self.label], n)
        scale = self.rest / np.maximum(1 - left, 1e-300)
        found = scale[:, None] * self.prior
        found[self.task, self.label] = self.share
        total = found.sum(axis=1, keepdims=True)
        return np.divide(found, total, out=found, where=total > 0)

    def best(self, tie: float) -> IntArray:
        """Return the likeliest class of each task, shape (N,), −1 for tasks that name none.

        Ties, within ``tie``, go to the class with most votes, then to the first.
        """
        top = np.full(len(self.rest), -np.inf)
        np.maximum.at(top, self.task, self.share)
        tied = np.flatnonzero(self.share >= top[self.task] - tie)
        order = tied[np.lexsort((self.label[tied], -self.votes[tied], self.task[tied]))]
        first = np.ones(len(order), dtype=bool)
        first[1:] = self.task[order][1:] != self.task[order][:-1]
        found = np.full(len(self.rest), -1, dtype=np.int64)
        found[self.task[order][first]] = self.label[order][first]
        return found

    def spread(self, used: IntArray, n_classes: int) -> NamedPosterior:
        """Return the same over ``n_classes`` classes, of which these are those numbered ``used``."""
        prior = np.zeros(n_classes)
        prior[used] = self.prior
        return replace(self, label=used[self.label], prior=prior)


class NamedClasses:
    """Hard answers by pairs of a task and a class that it names.

    Parameters
    ----------
    answers : Answers
        N tasks, D workers, K classes, R answers, hard ones.
    gold : integers, shape (N,), optional
        Known classes, −1 where unknown; a task names its own.
    every : bool
        Whether each task with answers is taken to name all classes, which leaves no rest: for many workers of few
        classes.
    group : Group
        The processes that hold further tasks of the same workers and classes: sums over tasks are those of all, and
        so are the numbers of columns, errors and cells. Whether ``gold`` is None is the same in all.

    Attributes
    ----------
    pair_task, pair_label : integers, shape (P,)
        Sorted by task and class.
    votes : shape (P,)
        Answers that name the class of the pair.
    pair, worker, answer : integers, shape (E,)
        The entries: each answer beside each class that its task names. Of each its pair, who answered, and what.

    Raises
    ------
    MemoryNeedError
        Before the entries are laid out.
    """

    def __init__(
        self,
        answers: Answers,
        gold: npt.NDArray[Any] | None = None,
        every: bool = False,
        group: Group = ALONE,
    ) -> None:
        self.group = group
        self.n_tasks, self.n_workers = answers.n_tasks, answers.n_workers
        self.n_tasks_in_all = int(self.sum(float(answers.n_tasks)))
        self.n_classes, self.n_answers = answers.n_classes, answers.n_answers
        self.answers_of_task = np.diff(answers.task_ptr).astype(np.int64)
        task, label = answers.task.astype(np.int64), answers.hard_label.astype(np.int64)
        given = np.bincount(answers.worker, minlength=self.n_workers)
        self.answers_of_worker = self.reduce(given).astype(np.int64)
        k = max(self.n_classes, 1)
        if every:
            told = np.flatnonzero(self.answers_of_task)
            named = (told[:, None] * k + np.arange(k)).ravel()
            votes = np.zeros(0, dtype=np.int64)
        else:
            named, votes = np.unique(task * k + label, return_counts=True)
            named, votes = _most_voted(named, votes, k)
        self.gold: npt.NDArray[Any] | None = None
        if gold is not None and self.sum(float((gold >= 0).any())) > 0:
            self.gold = gold
            known = np.flatnonzero(gold >= 0)
            named = np.union1d(named, known * k + gold[known])
        self.pair_task, self.pair_label = named // k, named % k
        whole = len(votes) == len(named)
        self.votes: FloatArray = (
            votes.astype(np.float64) if whole else _votes(named, task * k + label)
        )
        lengths = self.answers_of_task[self.pair_task]
        n_entries = int(lengths.sum())
        group.told(
            lambda: require(
                _BYTES_AN_ENTRY * n_entries,
                f"a layout of {n_entries:,} pairs of an answer and a class that its task names",
                "Merge rare labels or leave out workers with few answers.",
            )
        )
        self.pair = np.repeat(np.arange(len(named)), lengths)
        ends = np.cumsum(lengths)
        within = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
        place = answers.task_ptr.astype(np.int64)[:-1][self.pair_task][self.pair] + within
        self.worker = answers.worker.astype(np.int64)[place]
        self.answer = label[place]
        self._answer_worker, self._answer_task = answers.worker, task

    def reduce(self, values: npt.NDArray[Any]) -> FloatArray:
        """Return a sum over tasks, with those of other processes added."""
        found: FloatArray = self.group.reduce(torch.from_numpy(values).double()).numpy()
        return found

    def sum(self, value: float) -> float:
        """As :meth:`reduce`, of a number."""
        return float(self.group.reduce(torch.tensor(value, dtype=torch.float64)))

    def mean(self, values: FloatArray) -> float:
        """Return the mean over the tasks of all processes of one value a task, shape (N,); 0 without tasks."""
        return self.sum(float(values.sum())) / max(self.n_tasks_in_all, 1)

    def _numbered(self, keys: IntArray, end: int) -> tuple[IntArray, IntArray]:
        """Return the place of each key among the distinct ones of all processes, which are sorted, and those.

        Keys lie in [0, ``end``).
        """
        if self.group is not ALONE:
            codes, found = pd.factorize(keys)
            every = np.unique(self.group.gathered(torch.from_numpy(found))[0].numpy())
            return np.searchsorted(every, found)[codes], every
        if end <= _ROOM * len(keys):
            there = np.zeros(end, dtype=bool)
            there[keys] = True
            every = np.flatnonzero(there)
            place = np.empty(end, dtype=np.int64)
            place[every] = np.arange(len(every))
            return place[keys], every
        codes, found = pd.factorize(keys)
        order = np.argsort(found)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank[codes], found[order]

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether an entry's answer is the class of its pair, shape (E,)."""
        return np.asarray(self.answer == self.pair_label[self.pair])

    @cached_property
    def column(self) -> tuple[IntArray, IntArray]:
        """The column (worker, label) of each entry, shape (E,), and ``worker · K + label`` of each column."""
        k = self.n_classes
        return self._numbered(self.worker * k + self.pair_label[self.pair], self.n_workers * k)

    @cached_property
    def error(self) -> tuple[IntArray, IntArray]:
        """The error (answer, label) of each wrong entry, and ``answer · K + label`` of each error."""
        wrong, k = ~self.right, self.n_classes
        return self._numbered(self.answer[wrong] * k + self.pair_label[self.pair[wrong]], k * k)

    @cached_property
    def cell(self) -> tuple[IntArray, IntArray]:
        """The cell (column, answer) of each entry, shape (E,), and ``column · K + answer`` of each cell."""
        column, columns = self.column
        k = self.n_classes
        return self._numbered(column * k + self.answer, len(columns) * k)

    def by_pair(self, values: FloatArray) -> FloatArray:
        """Sum values of the entries, shape (E,), by pair: shape (P,)."""
        return summed(self.pair, values, len(self.pair_task))

    def by_worker_of_task(self, values: FloatArray) -> FloatArray:
        """Sum values of tasks, shape (N,), over the tasks that a worker answered: shape (D,)."""
        here = summed(self._answer_worker, values[self._answer_task], self.n_workers)
        return self.reduce(here)

    def by_task_of_worker(self, values: FloatArray) -> FloatArray:
        """Sum values of workers, shape (D,), over the workers that answered a task: shape (N,)."""
        return summed(self._answer_task, values[self._answer_worker], self.n_tasks)

    def posterior(self, share: FloatArray, rest: FloatArray, prior: FloatArray) -> NamedPosterior:
        """Return probabilities of pairs and rest, (P,) and (N,), as what they are."""
        return NamedPosterior(self.pair_task, self.pair_label, share, rest, prior, self.votes)

    @cached_property
    def n_named(self) -> FloatArray:
        """How many classes each task names, shape (N,)."""
        return np.bincount(self.pair_task, minlength=self.n_tasks).astype(np.float64)

    def pair_agreement(self) -> tuple[float, float, float]:
        """As :func:`deem_crowd.selection.null_model.pair_agreement`."""
        sizes = self.answers_of_task.astype(np.float64)
        pairs = self.sum(float((sizes * (sizes - 1)).sum())) / 2
        if pairs <= 0:
            return 0.0, 0.0, 0.0
        given = self.reduce(summed(self.pair_label, self.votes, self.n_classes))
        share = given / given.sum()
        agreeing = self.sum(float((self.votes * (self.votes - 1)).clip(0).sum())) / 2
        return agreeing / pairs, float((share**2).sum()), pairs

    def vote_shares(self) -> tuple[FloatArray, FloatArray]:
        """Return the shares of the votes, known labels in their place: of pairs and of the rest, (P,) and (N,)."""
        total = np.maximum(self.answers_of_task, 1)
        share = self.votes / total[self.pair_task]
        return self.clamped(share, self.remainder(share))

    def remainder(self, share: FloatArray) -> FloatArray:
        """Return what probabilities of pairs, shape (P,), leave for the rest, shape (N,)."""
        left = 1 - summed(self.pair_task, share, self.n_tasks)
        return np.where(self.n_named < self.n_classes, np.maximum(left, 0.0), 0.0)

    def clamped(self, share: FloatArray, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return probabilities, (P,) and (N,), with known labels in their place."""
        if self.gold is None:
            return share, rest
        gold = self.gold[self.pair_task]
        known = np.where(gold >= 0, (gold == self.pair_label).astype(np.float64), share)
        return known, np.where(self.gold >= 0, 0.0, rest)

    def normalised(
        self, logit: FloatArray, rest: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return probabilities of pairs and rest, (P,) and (N,), from their logits, and the log of their sum, (N,)."""
        top = rest.copy()
        np.maximum.at(top, self.pair_task, logit)
        top = np.where(np.isfinite(top), top, 0.0)
        share, left = np.exp(logit - top[self.pair_task]), np.exp(rest - top)
        total = left + summed(self.pair_task, share, self.n_tasks)
        total = np.maximum(total, 1e-300)
        share, left = self.clamped(share / total[self.pair_task], left / total)
        return share, left, np.log(total) + top


def summed(codes: npt.NDArray[Any], values: npt.NDArray[Any], n: int) -> FloatArray:
    """Return the sums of values by their codes 0..n-1, shape (n,)."""
    return np.bincount(codes, values, n).astype(np.float64, copy=False)


def _most_voted(named: IntArray, votes: IntArray, k: int) -> tuple[IntArray, IntArray]:
    """Keep the :data:`MOST_NAMED` pairs of each task with most votes; the first of equals."""
    task = named // k
    start = np.flatnonzero(np.append(True, task[1:] != task[:-1])) if len(task) else task
    if not len(task) or np.diff(np.append(start, len(task))).max() <= MOST_NAMED:
        return named, votes
    order = np.lexsort((named, -votes, task))
    lengths = np.diff(np.append(start, len(task)))
    rank = np.arange(len(task)) - np.repeat(start, lengths)
    kept = np.sort(order[rank < MOST_NAMED])
    return named[kept], votes[kept]


def _votes(named: IntArray, keys: IntArray) -> FloatArray:
    """Return how many of ``keys`` are each of the sorted ``named``."""
    if not len(named):
        return np.zeros(0)
    place = np.minimum(np.searchsorted(named, keys), len(named) - 1)
    there = named[place] == keys
    return np.bincount(place[there], minlength=len(named)).astype(np.float64)

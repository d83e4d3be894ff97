"""How far answers to a task are right or wrong together, and what another answer to it then counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from deem_crowd.decide.consensus import Consensus, Given

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_NOTHING = 1e-9
"""A smaller expected number of answers, or variance of their pairs, tells nothing of a correlation."""
_CELLS, _FEWER = 2**22, 2**18
"""Answers times classes whose pairs are compared at most, for a bound and for a ranking, which has to be quick; where
there are more, only some of the tasks are used."""
_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples spread tasks evenly, whatever the period of their order, such as one class after the other."""


def another_answer(consensus: Consensus) -> FloatArray:
    """Return how many independent answers one more answer to each task counts for, between 0 and 1, shape (N,).

    m answers with correlation ρ are worth m / (1 + (m − 1) ρ) independent ones (Kish, *Survey Sampling*, 1965), so that
    one more adds (1 − ρ) / ((1 + m ρ) (1 + (m − 1) ρ)): the more there are, the less, and 1 to a task that has none.
    Where the answers are not known, it is 1 everywhere.
    """
    if consensus.answers is None or not len(consensus.answers.task):
        return np.ones(consensus.n_tasks)
    rho = correlation(consensus, _FEWER)
    m = np.bincount(consensus.answers.task, minlength=consensus.n_tasks)
    there = np.maximum(m, 1)
    share = (1 - rho) / ((1 + there * rho) * (1 + (there - 1) * rho))
    return np.where(m > 0, share, 1.0)


def correlation(consensus: Consensus, most: int = _CELLS) -> float:
    """Return how far answers to a task are right or wrong together under the posterior, between 0 and 1.

    It is ρ of :mod:`deem_crowd.model.calibration`, with workers' accuracies taken from the posterior, each smoothed by
    one answer of the mean accuracy. That module takes ρ under the members of the pool, which are surer than the
    posterior, so that their labels explain part of what answers share.
    """
    given = consensus.required_answers("the correlation of answers")
    task, worker, label, posterior = given.task, given.worker, given.label, consensus.posterior
    classes = np.flatnonzero(posterior.any(axis=0))
    skill_of = _skills(given, posterior)
    share = most / max(len(task) * posterior.shape[1], 1)
    if share < 1:
        some = np.flatnonzero(np.arange(len(posterior)) * _GOLDEN % 1.0 < share)
        place = np.full(len(posterior), -1)
        place[some] = np.arange(len(some))
        read = place[task] >= 0
        task, worker, label = place[task[read]], worker[read], label[read]
        posterior = posterior[some]
    n, shared, possible = len(posterior), 0.0, 0.0
    for k in classes:
        believed, right = posterior[:, k], label == k
        skill = skill_of(k)[worker]
        surprise, variance = right - skill, skill * (1 - skill)
        shared += float(believed @ _pairs(task, surprise, surprise**2, n))
        possible += float(believed @ _pairs(task, np.sqrt(variance), variance, n))
    return min(max(shared / possible, 0.0), 1.0) if possible > _NOTHING else 0.0


def _skills(given: Given, posterior: FloatArray) -> Callable[[np.int64], FloatArray]:
    """Return what gives every worker's accuracy on tasks of a class, shape (D,), by all answers."""
    n, k = posterior.shape
    n_workers = int(given.worker.max(initial=-1)) + 1
    each = np.ones(len(given.task))
    by_task = sparse.csr_matrix((each, (given.worker, given.task)), shape=(n_workers, n))
    believed = posterior[given.task, given.label]
    by_label = sparse.csr_matrix((believed, (given.worker, given.label)), (n_workers, k)).tocsc()

    def skill(one: np.int64) -> FloatArray:
        asked = by_task @ posterior[:, one]
        own = slice(*by_label.indptr[one : one + 2])
        hits = np.zeros(n_workers)
        hits[by_label.indices[own]] = by_label.data[own]
        smoothed = (hits + hits.sum() / max(asked.sum(), _NOTHING)) / (asked + 1)
        return np.asarray(smoothed)

    return skill


def _pairs(task: IntArray, values: FloatArray, squares: FloatArray, n: int) -> FloatArray:
    """Return Σ_{i≠j} x_i x_j of the answers to each task, shape (N,)."""
    return np.asarray(np.bincount(task, values, n) ** 2 - np.bincount(task, squares, n))

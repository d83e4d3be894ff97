"""Workers' tables in line with what they said: a class that somebody never named is not what they name next.

A table is estimated column by column, and the column of a label that was rare among a worker's tasks is little more
than what workers are like on average. So the table of somebody who always names one class promises answers that they
never gave: with six classes, that they recognise five of them as well as anybody. Expected information takes the
promise at its word, and asks them again and again.

The shares of a worker's answers are what is known best. So each row of the table, p(answer | label), is multiplied by
one weight such that the table predicts these shares on the worker's own tasks, of whose labels the others say how
likely they are. Of all tables that do, this is the nearest to the one given, in relative entropy (Csiszár, *Annals of
Probability* 3, 1975; the iteration is that of Deming and Stephan, 1940).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deem_crowd.decide.consensus import Consensus, Given
from deem_crowd.decide.shortlist import MANY
from deem_crowd.model.worker_tables import FloatArray, IntArray, WorkerTables

_ANSWERS = 2**16
"""Answers whose labels are looked at together."""
_AT_ONCE = 2**22
"""Cells of tables that are read at once."""
_ROUNDS = 30
_TOLERANCE = 1e-3
_STRENGTH = 1.0
"""So many answers does the table count for, beside those that the worker gave."""
_FURTHEST = 1e9
"""Weights, and one over them: where a table has zeros, nothing may be near it that predicts the shares."""
_TINY = 1e-12


def in_line_with_answers(
    consensus: Consensus, tables: WorkerTables, asked: IntArray
) -> WorkerTables:
    """Return tables of which those of the workers ``asked`` predict the shares of the answers that these gave.

    Tables stay as they are where the answers are not known, and with many classes, of which few are ever named.
    """
    d, k, _ = tables.shape
    given = consensus.answers
    if given is None or not len(given.worker) or k > MANY or k < 2:
        return tables
    weight = np.ones((d, k))
    who = np.unique(asked)
    place = np.full(d, -1)
    step = max(1, _AT_ONCE // (k * k))
    for at in range(0, len(who), step):
        some = who[at : at + step]
        place[some] = np.arange(len(some))
        weight[some] = _weights(tables.of(some), consensus.posterior, given, place)
        place[some] = -1
    return Reweighted(tables, weight)


def _weights(table: FloatArray, posterior: FloatArray, given: Given, place: IntArray) -> FloatArray:
    """Return by what to multiply the rows of n tables, shape (n, K); ``place`` says where each worker's is, or −1."""
    n, k, _ = table.shape
    said, labels = np.zeros((n, k)), np.zeros((n, k))
    mine = np.flatnonzero(place[given.worker] >= 0)
    for at in range(0, len(mine), _ANSWERS):
        part = mine[at : at + _ANSWERS]
        worker, answer = place[given.worker[part]], given.label[part]
        # what the others say: the worker's own answer would bear out the table that it was read by
        others = posterior[given.task[part]] / np.maximum(table[worker, answer], _TINY)
        others /= np.maximum(others.sum(axis=1, keepdims=True), _TINY)
        said += np.bincount(worker * k + answer, minlength=n * k).reshape(n, k)
        for label in range(k):
            labels[:, label] += np.bincount(worker, others[:, label], minlength=n)
    number = said.sum(axis=1, keepdims=True)
    labels /= np.maximum(number, 1.0)
    share = (said + _STRENGTH * np.einsum("wah,wh->wa", table, labels)) / (number + _STRENGTH)
    weight = np.ones((n, k))
    for _ in range(_ROUNDS):
        predicted = np.einsum("wah,wh->wa", _reweighted(table, weight), labels)
        ratio = np.where(number > 0, share / np.maximum(predicted, _TINY), 1.0)
        weight = np.clip(weight * ratio, 1 / _FURTHEST, _FURTHEST)
        if np.abs(ratio - 1).max(initial=0.0) < _TOLERANCE:
            break
    return weight


def _reweighted(table: FloatArray, weight: FloatArray) -> FloatArray:
    """Return tables, shape (n, K, K), with rows multiplied and columns summing to 1."""
    scaled = table * weight[:, :, None]
    return np.asarray(scaled / np.maximum(scaled.sum(axis=1, keepdims=True), _TINY))


@dataclass(frozen=True, eq=False)
class Reweighted:
    """Tables of D workers over K classes whose rows are multiplied by weights; columns sum to 1.

    Attributes
    ----------
    tables : WorkerTables
    weight : shape (D, K)
        Of each worker and answer.
    """

    tables: WorkerTables
    weight: FloatArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, K, K)."""
        return self.tables.shape

    def of(self, workers: IntArray) -> FloatArray:
        """Return the tables of some workers; see :class:`WorkerTables` for this and the others."""
        return _reweighted(self.tables.of(workers), self.weight[workers])

    def mean(self, weights: FloatArray) -> FloatArray:
        """Return the mean table, shape (K, K)."""
        return np.asarray(np.average(self.of(np.arange(self.shape[0])), axis=0, weights=weights))

    def cells(self, worker: IntArray, answer: IntArray, label: IntArray) -> FloatArray:
        """Return p(answer | label) of some workers."""
        worker, answer, label = np.broadcast_arrays(worker, answer, label)
        return np.asarray(
            self.of(worker.ravel())[np.arange(worker.size), answer.ravel(), label.ravel()]
        ).reshape(worker.shape)

    def chance(self, priors: FloatArray) -> FloatArray:
        """Return how often each worker is right by chance, shape (D,)."""
        return np.asarray((self.of(np.arange(self.shape[0])) @ priors) @ priors)

"""Tasks beyond dispute, from answers alone: Kingdra's agreement graph and the clusters that grow on it.

Gupta, Ramjee, Kwatra, Sivathanu: *Unsupervised Clustering using Pseudo-semi-supervised Learning*, ICLR 2020,
Algorithm 1. Two tasks are joined by a positive edge where enough sources gave them equal labels, and by a negative edge
where enough gave them different ones. Names play no part: labels are compared within a source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment

from deem_crowd.clustering.alignment import align_sources
from deem_crowd.clustering.own_names import IntArray, OwnNames
from deem_crowd.exceptions import DataError, DataWarning, ParameterError, counted
from deem_crowd.runtime.constructor import ConstructorParameters, is_whole
from deem_crowd.runtime.warning import warn

_BLOCK = 2_000_000
"""Cells of a block of agreement counts."""
_FALSE_POSITIVE, _MISSED_NEGATIVE = 1e-6, 1e-2
"""Chances that a pair of two classes gets a positive edge, and a pair of one class a negative one."""

Threshold = float | Literal["auto"]


@dataclass(repr=False, eq=False)
class AgreementClusters(ConstructorParameters):
    """Greedy clusters of tasks on which the sources agree beyond dispute.

    Equal rows of answers are collapsed first, which is exact for every threshold. Time grows with the square of the
    number of distinct rows, memory with the answers.

    Parameters
    ----------
    n_clusters : int, optional
        Grow so many at most; None: the most names that a source uses.
    positive, negative : float in (0, 1] or 'auto'
        Share of common sources that have to agree, or to differ, for an edge. The paper has 1.0. ``'auto'`` takes
        sources for independent, with one accuracy that their agreement tells, and bounds the chance of a positive edge
        between two classes by 1e-6, that of a negative one within a class by 1e-2.
    min_shared : int
        Sources that have to have answered both tasks.
    exclusion : {'centre', 'members'}
        After a cluster has grown, tasks leave that have no negative edge to its centre, or to one of its members (as in
        the authors' code).

    Attributes
    ----------
    labels_ : Series of int, index task
        The cluster of each task, −1 where it is not beyond dispute. ``gold_`` has the tasks that are, for ``fit``.
    centres_ : Index
        The task each cluster grew from.
    sizes_ : integers, shape (number of clusters,)
    coverage_ : float
        Share of tasks in a cluster.
    names_ : Series, index (worker, label)
        The cluster that each own name stands for, by the Hungarian algorithm; −1 where none is left.
    """

    n_clusters: int | None = None
    positive: Threshold = 1.0
    negative: Threshold = 1.0
    min_shared: int = 2
    exclusion: Literal["centre", "members"] = "centre"
    labels_: pd.Series = field(init=False)
    centres_: pd.Index = field(init=False)
    sizes_: IntArray = field(init=False)
    coverage_: float = field(init=False)
    names_: pd.Series = field(init=False)

    def fit(self, data: Any) -> AgreementClusters:
        """Grow the clusters.

        Parameters
        ----------
        data : DataFrame, Answers or integers of shape (N, D)
            As for :func:`deem_crowd.clustering.align_sources`.

        Raises
        ------
        ParameterError
            For a parameter out of its range.
        DataError
            If fewer than two sources answered, or no pair of tasks shares ``min_shared`` sources.

        Warns
        -----
        DataWarning
            Where no cluster grows, or fewer than asked for, sources fall into parts without a common task, or all
            labels are distinct.
        """
        self._check()
        own = OwnNames.of(data)
        own.warn_of_parts()
        own.warn_of_distinct_labels()
        edges = _Edges(own, self)
        rows = edges.n_rows
        alive = np.ones(rows, dtype=bool)
        degree = edges.degrees(np.arange(rows), alive)
        cluster = np.full(rows, -1, dtype=np.int64)
        centres: list[int] = []
        most = self._most_clusters(own)
        while len(centres) < most and alive.any():
            centre = int(np.argmax(np.where(alive, degree, -1)))
            if degree[centre] <= 0:
                break
            positive, negative = edges.of(centre)
            members = alive & positive
            members[centre] = True
            cluster[members] = len(centres)
            stays = alive & negative
            if self.exclusion == "members":
                for member in np.flatnonzero(members):
                    stays &= edges.of(int(member))[1]
            removed = np.flatnonzero(alive & ~stays)
            alive = stays
            degree -= edges.towards(removed)
            centres.append(centre)
        if self.n_clusters is not None and len(centres) < most:
            warn(
                f"n_clusters={most}, and {counted(len(centres), 'cluster')} grew: no task was left with a negative "
                "edge to all of them. Lower negative, or ask for fewer clusters.",
                DataWarning,
            )
        elif not centres:
            warn(
                f"no cluster grew: no two tasks have a positive edge at positive={self.positive!r}. Give a share of "
                "the common sources that have to agree, such as positive=1.0 or 0.8, or lower min_shared.",
                DataWarning,
            )
        self._keep(own, edges, cluster, centres)
        return self

    def fit_predict(self, data: Any) -> pd.Series:
        """Fit, and return ``labels_``."""
        return self.fit(data).labels_

    @property
    def gold_(self) -> pd.Series:
        """The tasks beyond dispute and their cluster, index task."""
        return self.labels_[self.labels_ >= 0]

    def _check(self) -> None:
        for name in ("positive", "negative"):
            value = getattr(self, name)
            if value != "auto" and not (isinstance(value, float | int) and 0 < value <= 1):
                raise ParameterError(
                    f"{name}={value!r} is not allowed: a share in (0, 1], or 'auto'."
                )
        if self.exclusion not in ("centre", "members"):
            raise ParameterError(f"exclusion={self.exclusion!r}: it is 'centre' or 'members'.")
        if self.n_clusters is not None and not is_whole(self.n_clusters, 1):
            raise ParameterError(f"n_clusters={self.n_clusters!r}: an integer >= 1, or None.")
        if not is_whole(self.min_shared, 1):
            raise ParameterError(f"min_shared={self.min_shared!r}: an integer >= 1.")

    def _most_clusters(self, own: OwnNames) -> int:
        if self.n_clusters is not None:
            return int(self.n_clusters)
        return int(np.bincount(own.source).max())

    def _keep(self, own: OwnNames, edges: _Edges, cluster: IntArray, centres: list[int]) -> None:
        labels = cluster[edges.row_of_task]
        tasks = own.answers.tasks
        self.labels_ = pd.Series(labels, index=tasks, name="cluster")
        self.centres_ = tasks.take(np.array([edges.first_task[c] for c in centres], dtype=np.int64))
        self.sizes_ = np.bincount(labels[labels >= 0], minlength=len(centres)).astype(np.int64)
        self.coverage_ = float((labels >= 0).mean())
        self.names_ = _names(own, labels, len(centres))


class _Edges:
    """Edges between distinct rows of answers, computed when they are asked for."""

    def __init__(self, own: OwnNames, settings: AgreementClusters) -> None:
        answers = own.answers
        d = answers.n_workers
        matrix = np.full((answers.n_tasks, d), -1, dtype=np.int32)
        matrix[answers.task, answers.worker] = answers.hard_label
        rows, first, position, weight = np.unique(
            matrix, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        order = np.argsort(first, kind="stable")  # so that ties go to the first task
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        self.row_of_task: IntArray = rank[position.ravel()]
        self.first_task: IntArray = first[order]
        self._rows, self._weight = rows[order], weight[order].astype(np.float64)
        self._given = (self._rows >= 0).astype(np.float32)
        self._codes = [
            (self._rows == label).astype(np.float32) for label in range(answers.n_classes)
        ]
        self._min_shared = settings.min_shared
        shared = np.arange(d + 1)
        self._positive = _thresholds(settings.positive, shared, own, agree=True)
        self._negative = _thresholds(settings.negative, shared, own, agree=False)
        # rows are distinct: where all sources have to agree, and all answered, each has a positive edge to itself alone
        complete = bool(self._given.all()) and settings.min_shared <= d
        self._alone = complete and int(self._positive[d]) == d
        if not (self._given.sum(1) >= settings.min_shared).any():
            raise DataError(
                f"no task has answers from {settings.min_shared} sources (min_shared): nothing can agree. "
                "Lower min_shared, or add sources."
            )

    @property
    def n_rows(self) -> int:
        return len(self._rows)

    def _counts(self, rows: IntArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return, for rows against all rows, how many sources answered both and how many agree."""
        shared = self._given[rows] @ self._given.T
        agreed = np.zeros_like(shared)
        for code in self._codes:
            agreed += code[rows] @ code.T
        return shared.round().astype(np.int64), agreed.round().astype(np.int64)

    def _both(self, rows: IntArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        shared, agreed = self._counts(rows)
        enough = shared >= self._min_shared
        positive = enough & (agreed >= self._positive[shared])
        return positive, enough & (shared - agreed >= self._negative[shared])

    def of(self, row: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return the positive and the negative edges of one row."""
        positive, negative = self._both(np.array([row]))
        return positive[0], negative[0]

    def degrees(self, rows: IntArray, alive: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return the number of alive tasks with a positive edge to each row, itself included."""
        if self._alone:
            return np.asarray(self._weight[rows] * alive[rows])
        size = max(1, _BLOCK // max(self.n_rows, 1))
        degrees = np.zeros(len(rows))
        for begin in range(0, len(rows), size):
            part = rows[begin : begin + size]
            degrees[begin : begin + size] = self._both(part)[0] @ (self._weight * alive)
        return degrees

    def towards(self, removed: IntArray) -> npt.NDArray[np.float64]:
        """Return how many of some rows' tasks have a positive edge to each row, shape (n_rows,)."""
        weight = np.zeros(self.n_rows)
        if self._alone:
            weight[removed] = self._weight[removed]
            return weight
        size = max(1, _BLOCK // max(self.n_rows, 1))
        for begin in range(0, len(removed), size):
            part = removed[begin : begin + size]
            weight += self._weight[part] @ self._both(part)[0]
        return weight


def _thresholds(
    share: Threshold, shared: IntArray, own: OwnNames, agree: bool
) -> npt.NDArray[np.int64]:
    """Return the number of sources that have to agree, or differ, for every number of shared ones."""
    if share != "auto":
        return np.ceil(share * shared - 1e-9).astype(np.int64)
    accuracy, k = _accuracy(own)
    wrong = 1 - accuracy
    within = accuracy**2 + wrong**2 / max(k - 1, 1)
    between = 2 * accuracy * wrong / max(k - 1, 1) + max(k - 2, 0) * wrong**2 / max(k - 1, 1) ** 2
    if agree:  # the smallest t with P(Bin(m, between) >= t) <= 1e-6; m + 1 where there is none
        return (stats.binom.isf(_FALSE_POSITIVE, shared, between) + 1).astype(np.int64)
    least = shared - stats.binom.ppf(_MISSED_NEGATIVE, shared, within) + 1
    return np.maximum(least, 1).astype(np.int64)


def _accuracy(own: OwnNames) -> tuple[float, int]:
    """Return the accuracy that explains how often sources agree under common names, and the number of names."""
    aligned = align_sources(own.answers)
    answers = aligned.answers
    k = int(np.bincount(own.source).max())
    votes = np.zeros((answers.n_tasks, answers.n_classes))
    np.add.at(votes, (answers.task, answers.hard_label), 1.0)
    sizes = votes.sum(1)
    pairs = (sizes * (sizes - 1)).sum()
    agreed = float((votes * (votes - 1)).sum() / pairs) if pairs else 1.0
    above = max(0.0, k * agreed - 1) * max(k - 1, 0)
    return min((1 + above**0.5) / k, 1 - 1e-6), k


def _names(own: OwnNames, labels: IntArray, n_clusters: int) -> pd.Series:
    """Return the cluster of each (source, own name)."""
    inside = labels >= 0
    member = np.zeros((len(labels), max(n_clusters, 1)))
    member[np.flatnonzero(inside), labels[inside]] = 1.0
    table = np.asarray(own.indicator.T @ member)
    target = np.full(len(own.source), -1, dtype=np.int64)
    for source in np.unique(own.source):
        columns = np.flatnonzero(own.source == source)
        rows, cols = linear_sum_assignment(table[columns], maximize=True)
        met = table[columns[rows], cols] > 0
        target[columns[rows[met]]] = cols[met]
    index = pd.MultiIndex.from_arrays(
        [own.answers.workers.take(own.source), own.answers.classes.take(own.label)],
        names=["worker", "label"],
    )
    return pd.Series(target, index=index, name="cluster")

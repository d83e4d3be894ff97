r"""Consensus of sources that share no names: latent classes with a table of K_i × K for each source.

    p(x_n) = Σ_k π_k Π_{i ∈ O(n)} T_i[x_ni, k],        T_i[·, k] ~ Dirichlet(α),     π ~ Dirichlet(1)

Names need no alignment: a table says which own name goes with which class. The likelihood is the exact one of the label
unit (:mod:`deem_crowd.model.energy`) over columns (source, own name). EM starts from several partitions, and the fit
with the largest bound of the evidence, tables and class prior integrated out, is kept; so is the number of classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.linalg import svds
from scipy.special import digamma, gammaln, xlogy

from deem_crowd.clustering.alignment import align_sources
from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames
from deem_crowd.exceptions import DataError, DataWarning, ParameterError

_PASSES, _TOLERANCE = 300, 1e-6
_CONCENTRATIONS = (0.1, 0.3, 1.0, 3.0)
"""α is one of these, chosen by the bound."""


@dataclass(frozen=True)
class _Fit:
    posterior: FloatArray
    counts: FloatArray
    prior: FloatArray
    bound: float
    start: str


class ClusteringAggregator:
    """Labels, probabilities and a common vocabulary for sources whose labels mean something only within a source.

    Clusterings, annotators who renamed classes, tools with their own vocabulary: sources may use different names and
    different numbers of names; missing answers are absent.

    Parameters
    ----------
    n_classes : int or sequence of int, optional
        K, or the numbers among which the bound of the evidence chooses; None: from 2 to the most names of a
        source.
    n_starts : int
        Random starts beside the spectral one and the one from aligned names.
    refine : bool
        Where no source has more names than there are classes: rename every source by its table, and let
        :class:`deem_crowd.DEEMAggregator` label under the common names.
    random_state : int
        Of the random starts.

    Attributes
    ----------
    labels_ : Series named ``agg_label``, index task
        A name of the reference source of :func:`deem_crowd.clustering.align_sources` where classes are at most as many,
        else the number of the class; missing for tasks without answers.
    probas_ : DataFrame, index task, a column for each class
    mapping_ : DataFrame, index (worker, label)
        Columns ``name`` (the class that an own name goes with most often), ``probability`` p(class | own name) and
        ``n_tasks``.
    skills_ : Series, index worker
        Share of a source's answers whose own name goes with the task's class, names matched one to one.
    selection_ : DataFrame
        A row for each number of classes and start: ``n_classes``, ``start``, ``bound`` in nats per answer.
    n_classes_ : int
    """

    labels_: pd.Series
    probas_: pd.DataFrame
    mapping_: pd.DataFrame
    skills_: pd.Series
    selection_: pd.DataFrame
    n_classes_: int

    def __init__(
        self,
        n_classes: int | Sequence[int] | None = None,
        n_starts: int = 6,
        refine: bool = True,
        random_state: int = 0,
    ) -> None:
        self.n_classes = n_classes
        self.n_starts = n_starts
        self.refine = refine
        self.random_state = random_state

    def fit(self, data: Any) -> ClusteringAggregator:
        """Fit the consensus.

        Parameters
        ----------
        data : DataFrame, Answers or integers of shape (N, D)
            Long format (task, worker, label), or a matrix with −1 for missing.

        Raises
        ------
        DataError
            If fewer than two sources answered, sources fall into parts without a common task, or there are fewer
            distinct rows of answers than classes.
        ParameterError
            For a parameter out of its range.
        """
        own = OwnNames.of(data)
        own.require_connected()
        numbers = self._numbers(own)
        rng = np.random.default_rng(self.random_state)
        aligned = align_sources(own.answers)
        rows, best = [], None
        for k in numbers:
            fits = [
                _expectation_maximisation(own, start, name)
                for name, start in self._starts(own, aligned.answers, k, rng)
            ]
            rows += [(k, fit.start, fit.bound / own.answers.n_answers) for fit in fits]
            top = max(fits, key=lambda fit: fit.bound)
            if best is None or top.bound > best.bound:
                best = top
        assert best is not None  # there is a number of classes
        self._keep(own, best, aligned.reference)
        self.selection_ = pd.DataFrame(rows, columns=["n_classes", "start", "bound"])
        return self

    def fit_predict(self, data: Any) -> pd.Series:
        """Fit, and return ``labels_``."""
        return self.fit(data).labels_

    def fit_predict_proba(self, data: Any) -> pd.DataFrame:
        """Fit, and return ``probas_``."""
        return self.fit(data).probas_

    def _numbers(self, own: OwnNames) -> list[int]:
        most = int(np.bincount(own.source).max())
        given = range(2, most + 1) if self.n_classes is None else self.n_classes
        numbers = [given] if isinstance(given, int | np.integer) else list(given)
        whole = all(isinstance(k, int | np.integer) and k >= 1 for k in numbers)
        if not numbers or not whole:
            if self.n_classes is None:
                raise DataError(
                    "no source uses two names or more: every task is in one class, and there is nothing to find."
                )
            raise ParameterError(
                f"n_classes={self.n_classes!r} is not allowed: an integer >= 1, several, or None."
            )
        if not (isinstance(self.n_starts, int | np.integer) and self.n_starts >= 0):
            raise ParameterError(f"n_starts={self.n_starts!r} is not allowed: an integer >= 0.")
        distinct = len(_distinct_rows(own.indicator))
        if max(numbers) > distinct:
            raise DataError(
                f"n_classes={max(numbers)} and only {distinct} distinct rows of answers: tasks that all sources "
                f"answer alike cannot be told apart. Ask for {distinct} classes at most."
            )
        return [int(k) for k in numbers]

    def _starts(
        self, own: OwnNames, aligned: Any, k: int, rng: np.random.Generator
    ) -> list[tuple[str, FloatArray]]:
        """Return starts by name: probabilities of the classes, shape (N, K)."""
        starts = [("spectral", _spectral(own, k, int(rng.integers(2**31))))]
        votes = np.zeros((aligned.n_tasks, aligned.n_classes))
        np.add.at(votes, (aligned.task, aligned.hard_label), 1.0)
        used = np.argsort(-votes.sum(0), kind="stable")[:k]
        if len(used) == k and (votes[:, used].sum(0) > 0).all():
            shares = votes[:, used] + 1e-3
            starts.append(("aligned names", shares / shares.sum(1, keepdims=True)))
        for number in range(self.n_starts):
            soft = rng.dirichlet(np.full(k, 0.5), own.answers.n_tasks)
            starts.append((f"random {number + 1}", soft))
        return starts

    def _keep(self, own: OwnNames, fit: _Fit, reference: Hashable) -> None:
        answers, k = own.answers, len(fit.prior)
        order, names = _class_names(own, fit.counts, reference)
        posterior, counts = fit.posterior[:, order], fit.counts[:, order]
        columns = [np.flatnonzero(own.source == i) for i in range(answers.n_workers)]
        if self.refine and max(map(len, columns)) <= k:
            posterior = _relabelled(own, columns, counts, posterior)
            counts = np.asarray(own.indicator.T @ posterior)
        labels = pd.Series(names.take(posterior.argmax(1)), index=answers.tasks, name="agg_label")
        given = np.diff(own.indicator.indptr) > 0
        self.labels_ = labels if given.all() else labels.where(given)
        self.probas_ = pd.DataFrame(posterior, index=answers.tasks, columns=names)
        self.n_classes_ = k
        total = counts.sum(1)
        index = pd.MultiIndex.from_arrays(
            [answers.workers.take(own.source), answers.classes.take(own.label)],
            names=["worker", "label"],
        )
        self.mapping_ = pd.DataFrame(
            {
                "name": names.take(counts.argmax(1)),
                "probability": counts.max(1) / total,
                "n_tasks": total.round().astype(np.int64),
            },
            index=index,
        )
        skills = np.full(answers.n_workers, np.nan)
        for source, place in enumerate(columns):
            if len(place):
                rows, cols = linear_sum_assignment(counts[place], maximize=True)
                skills[source] = counts[place][rows, cols].sum() / counts[place].sum()
        self.skills_ = pd.Series(skills, index=answers.workers, name="skill")


def _class_names(
    own: OwnNames, counts: FloatArray, reference: Hashable
) -> tuple[IntArray, pd.Index]:
    """Return the order of the classes and their names: the reference's own, where it has enough; else numbers."""
    answers, k = own.answers, counts.shape[1]
    place = int(answers.workers.get_indexer(pd.Index([reference]))[0])
    columns = np.flatnonzero(own.source == place)
    if k > len(columns):
        return np.arange(k), pd.RangeIndex(k, name="label")
    rows, cols = linear_sum_assignment(counts[columns], maximize=True)
    label = own.label[columns[rows]]
    return cols[np.argsort(label)], answers.classes.take(np.sort(label)).rename("label")


def _relabelled(
    own: OwnNames, columns: list[IntArray], counts: FloatArray, posterior: FloatArray
) -> FloatArray:
    """Rename every source's names one to one, and return the default model's probabilities, shape (N, K)."""
    from deem_crowd import DEEM

    answers, k = own.answers, posterior.shape[1]
    renamed = np.full((answers.n_workers, answers.n_classes), -1, dtype=np.int32)
    for source, place in enumerate(columns):
        rows, cols = linear_sum_assignment(counts[place], maximize=True)
        renamed[source, own.label[place[rows]]] = cols
    label = renamed[answers.worker, answers.hard_label]
    common = replace(answers, label=label, classes=pd.RangeIndex(k))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DataWarning
        )  # of tasks and sources without answers: said by the caller's data
        model = DEEM(n_classes=k).fit(common)
        return np.asarray(model.predict_proba(common))


def _distinct_rows(indicator: sparse.csr_matrix) -> IntArray:
    """Return a hash of each distinct row of answers."""
    rng = np.random.default_rng(0)
    keys = rng.integers(1, 2**62, indicator.shape[1], dtype=np.int64)
    pattern = sparse.csr_matrix(
        (np.ones(indicator.nnz, dtype=np.int64), indicator.indices, indicator.indptr),
        shape=indicator.shape,
    )
    return np.unique(pattern @ keys)


def _spectral(own: OwnNames, k: int, seed: int) -> FloatArray:
    """Return a partition of the co-association graph, shape (N, K), softened.

    The normalised bipartite graph of tasks and columns has the singular vectors of the co-association graph of the
    tasks, without its N × N entries (Dhillon, KDD 2001); k-means on the leading ones.
    """
    from sklearn.cluster import KMeans

    tasks = np.maximum(np.asarray(own.indicator.sum(1)).ravel(), 1e-12)
    columns = np.maximum(np.asarray(own.indicator.sum(0)).ravel(), 1e-12)
    scaled = sparse.diags(tasks**-0.5) @ own.indicator @ sparse.diags(columns**-0.5)
    rank = min(k, min(scaled.shape) - 1)
    shares = np.full((own.answers.n_tasks, k), 0.1 / k)
    if rank < 1:
        shares[:, 0] += 0.9
        return shares
    first = np.full(min(scaled.shape), 1.0)
    vectors = svds(scaled, k=rank, v0=first)[0]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.maximum(length, 1e-12)
    label = KMeans(k, n_init=5, random_state=seed).fit_predict(vectors)
    shares[np.arange(len(label)), label] += 0.9
    return shares


def _expectation_maximisation(own: OwnNames, start: FloatArray, name: str) -> _Fit:
    """Fit tables and class prior from a start by variational EM; the bound never falls for a given α."""
    x, xt = own.indicator, own.indicator.T.tocsr()
    n_sources = own.answers.n_workers
    by_source = sparse.csr_matrix(
        (np.ones(len(own.source)), (own.source, np.arange(len(own.source)))),
        shape=(n_sources, len(own.source)),
    )
    names = np.asarray(by_source.sum(1)).ravel()
    posterior, alpha, before = start, 1.0, -np.inf
    for number in range(_PASSES):
        counts = np.asarray(xt @ posterior)
        totals = by_source @ counts
        if number in (5, 20, 60):
            alpha = max(_CONCENTRATIONS, key=lambda a: _table_evidence(counts, totals, names, a))
            before = -np.inf
        shares = posterior.sum(0) + 1.0
        log_table = digamma(counts + alpha) - digamma(totals + alpha * names[:, None])[own.source]
        log_prior = digamma(shares) - digamma(shares.sum())
        logits = np.asarray(x @ log_table) + log_prior
        logits -= logits.max(1, keepdims=True)
        posterior = np.exp(logits)
        posterior /= posterior.sum(1, keepdims=True)
        bound = _bound(xt, by_source, names, posterior, alpha)
        if number > 60 and bound - before < _TOLERANCE * own.answers.n_answers:
            break
        before = bound
    counts = np.asarray(xt @ posterior)
    shares = posterior.sum(0) + 1.0
    return _Fit(posterior, counts, shares / shares.sum(), bound, name)


def _table_evidence(
    counts: FloatArray, totals: FloatArray, names: FloatArray, alpha: float
) -> float:
    """Return Σ log DM of every source's column of counts, in nats."""
    sums = alpha * names[:, None]
    cells = (gammaln(counts + alpha) - gammaln(alpha)).sum()
    seen = names > 0
    return float(cells - (gammaln(totals + sums)[seen] - gammaln(sums)[seen]).sum())


def _bound(
    xt: sparse.csr_matrix,
    by_source: sparse.csr_matrix,
    names: FloatArray,
    posterior: FloatArray,
    alpha: float,
) -> float:
    """Return the evidence of tables and class prior, and the entropy of the posterior, in nats."""
    counts = np.asarray(xt @ posterior)
    value = _table_evidence(counts, by_source @ counts, names, alpha)
    k, shares = posterior.shape[1], posterior.sum(0)
    value += gammaln(k) + gammaln(shares + 1).sum() - gammaln(shares.sum() + k)
    value += gammaln(k + 1)  # the K! ways to number the classes are one partition
    return float(value - xlogy(posterior, posterior).sum())

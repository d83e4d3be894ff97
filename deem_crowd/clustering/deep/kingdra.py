"""Kingdra: clustering by an ensemble, its agreement graph, and training on the pseudo-labels that come out of it.

Gupta, Ramjee, Kwatra, Sivathanu, *Unsupervised clustering using pseudo-semi-supervised learning*, ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted

from deem_crowd.clustering.agreement_clusters import AgreementClusters, Threshold
from deem_crowd.clustering.alignment import align_sources
from deem_crowd.clustering.deep.ensembles import Ensemble, EstimatorEnsemble, LadderEnsemble, Rows
from deem_crowd.clustering.deep.features import (
    FloatArray,
    IntArray,
    crossed,
    device_of,
    features,
    generator_of,
    matched_accuracy,
    require,
    require_layers,
    seed_of,
    tell_of_empty_clusters,
    varying,
)
from deem_crowd.clustering.deep.ladder import Term, Weights
from deem_crowd.exceptions import DataError, DataWarning, ParameterError
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.runtime.progress import tracked
from deem_crowd.runtime.warning import warn

_TERMS: dict[str, Term] = {"ladder-im": "information", "ladder-dot": "dot"}


@dataclass(frozen=True)
class _Pseudo:
    """Clusters of rows on which the models agree."""

    cluster: IntArray
    """The cluster of each row, −1 for none."""
    names: IntArray
    """What each model calls each cluster, shape (M, clusters)."""

    @property
    def size(self) -> int:
        return int(self.names.shape[1])


@dataclass(eq=False, repr=False)
class Kingdra(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Clusters that an ensemble finds, and learns again from what its models agree on.

    M models cluster the rows. Where they agree, :class:`deem_crowd.clustering.AgreementClusters` grows K clusters of
    rows; these pseudo-labels train all models on, and so forth. In the end the models' outputs are averaged. Where a
    round grows fewer than K clusters, the last full set serves; before there is one, training goes on without labels
    (so the authors' code).

    Parameters
    ----------
    n_clusters : int
        K.
    n_models : int
        M. One model gains nothing by iterations: it agrees with itself everywhere.
    n_iter : int
        Rounds of training on pseudo-labels, after a first round without.
    base : {'ladder-im', 'ladder-dot'}, estimator, or pair of a clusterer and a classifier
        Ladder networks with the information term, or with the dot product, which does not pull towards classes of equal
        size. An estimator gets ``fit(X)`` in the first round and ``fit(X, y)`` later, with −1 for rows without
        pseudo-label; it numbers clusters from 0 to K − 1. Of a pair, the clusterer takes the first round, and the
        classifier the others. Copies get seeds of their own where they have a ``random_state``.
    positive, negative : float in (0, 1] or 'auto'
        Share of models that have to agree, or to differ, for an edge of the graph; the authors' code: 10 and 9 of 10.
    exclusion : {'centre', 'members'}
        See :class:`deem_crowd.clustering.AgreementClusters`.
    layers : sequence of int
        Widths of the hidden layers of a ladder network. The paper has (1200, 1200).
    epochs, batch_size : int
        Of each round.
    first_epochs : int, optional
        Of the first round; None: ``epochs``. A first round that is too short hands its mistakes on.
    noise : float
        Standard deviation on input and activations of the noisy pass; it goes with features in [0, 1].
    learning_rate : float
        Of Adam.
    unsupervised, consistency, balance : float
        Weights of the terms of the loss: β, α and μ of :class:`deem_crowd.clustering.deep.ladder.Weights`.
    device : str
        'cpu', 'cuda' or another of torch.
    random_state : int
        Draws everything from generators of its own.

    Attributes
    ----------
    labels_ : integers, shape (N,)
    sources_ : integers, shape (N, M)
        What each model says, under common names: answers for a model of sources.
    pseudo_labels_ : integers, shape (N,)
        The last clusters of the graph, under the names of ``labels_``; −1 for rows without one.
    history_ : DataFrame
        A row for each round: ``round``, 0 being that without pseudo-labels; ``coverage`` and ``n_clusters`` of the
        graph that the models give after it; ``agreement``, the share of pairs of models that agree under common names
        (of one model, 1). With ``truth``: ``purity`` of the pseudo-labels (the share that is of the largest class of
        its cluster; missing without any), ``model_accuracy`` (mean over the models) and ``accuracy`` (of the average),
        both over the best one-to-one map.
    n_features_in_ : int

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = StandardScaler().fit_transform(load_wine().data)
    >>> pair = (KMeans(3, n_init=1), LogisticRegression())
    >>> len(Kingdra(3, n_models=5, n_iter=2, base=pair).fit_predict(X))
    178
    """

    n_clusters: int = 10
    n_models: int = 10
    n_iter: int = 10
    base: Any = "ladder-im"
    _: KW_ONLY
    positive: Threshold = 1.0
    negative: Threshold = 0.9
    exclusion: Literal["centre", "members"] = "centre"
    layers: Sequence[int] = (256, 256)
    epochs: int = 5
    first_epochs: int | None = None
    batch_size: int = 64
    noise: float = 0.3
    learning_rate: float = 0.002
    unsupervised: float = 0.1
    consistency: float = 1.0
    balance: float = 4.0
    device: str = "cpu"
    random_state: int | None = 0

    @undisturbed
    def fit(self, X: npt.ArrayLike, y: object = None, *, truth: Any = None) -> Kingdra:
        """Cluster the rows of X.

        Parameters
        ----------
        X : shape (N, P)
            Features, of which constant ones are left out; for ladder networks on a scale where the noise makes sense,
            such as [0, 1].
        y : ignored
        truth : shape (N,), optional
            True classes, with which ``history_`` rates the rounds; nothing is learned from them.

        Raises
        ------
        ParameterError
            For a parameter out of its range, or a base that does not number clusters from 0 to K − 1.
        DataError, FormError
            For missing values, sparse features, or fewer distinct rows than clusters.
        """
        self._check()
        rows = features(X)
        used = varying(rows, self.n_clusters)
        n_features, rows = rows.shape[1], rows[:, used]
        known = None if truth is None else _classes(truth, len(rows))
        ensemble = self._ensemble(rows)
        history: list[dict[str, Any]] = []
        best: _Pseudo | None = None
        ensemble.train(None, None)
        for number in tracked(range(self.n_iter + 1), "Kingdra", "rounds"):
            probabilities = ensemble.probabilities(rows)
            answers = probabilities.argmax(2).T
            pseudo = self._agreed(answers)
            history.append(self._row(number, probabilities, pseudo, known))
            if best is None or pseudo.size >= best.size:
                best = pseudo
            if number < self.n_iter:
                grown = best.size == self.n_clusters
                ensemble.train(*((best.cluster, best.names) if grown else (None, None)))
        if self.n_iter and best is not None and best.size < self.n_clusters:
            warn(
                f"no round grew {self.n_clusters} clusters (at most {best.size}), so that no model was trained on "
                "pseudo-labels. Lower negative or positive, take fewer clusters, or train longer.",
                DataWarning,
            )
        renaming = _common_names(answers, self.n_clusters)
        self._ensemble_, self._renaming = ensemble, renaming
        self.labels_ = _average(probabilities, renaming).argmax(1)
        self.sources_ = np.stack([renaming[m][answers[:, m]] for m in range(self.n_models)], axis=1)
        self.pseudo_labels_ = _named(pseudo, self.labels_, self.n_clusters)
        self.history_ = pd.DataFrame(history)
        self.n_features_in_, self._used = n_features, used
        tell_of_empty_clusters(
            self.labels_,
            self.n_clusters,
            "Bring features to one scale, such as [0, 1], train longer, take another base, or ask for fewer clusters.",
        )
        return self

    @undisturbed
    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Return the mean of the models' probabilities under common names, shape (n, K)."""
        check_is_fitted(self, "labels_")
        rows = features(X, n_features=self.n_features_in_)[:, self._used]
        return _average(self._ensemble_.probabilities(rows), self._renaming)

    def predict(self, X: npt.ArrayLike) -> IntArray:
        """Return the likeliest cluster of each row, shape (n,)."""
        return self.predict_proba(X).argmax(1)

    # ---------------------------------------------------------------- helpers

    def _check(self) -> None:
        for name in ("n_clusters", "n_models", "epochs"):
            require(name, getattr(self, name), 1)
        if self.first_epochs is not None:
            require("first_epochs", self.first_epochs, 1)
        require("batch_size", self.batch_size, 2)
        require("n_iter", self.n_iter, 0)
        for name in ("noise", "learning_rate", "unsupervised", "consistency", "balance"):
            require(name, getattr(self, name), 0, whole=False)
        require_layers(self.layers)
        if isinstance(self.base, str) and self.base not in _TERMS:
            raise ParameterError(
                f"base={self.base!r} is not allowed: {' or '.join(map(repr, _TERMS))}, a scikit-learn estimator, or a "
                "pair of a clusterer and a classifier."
            )
        self._graph()._check()

    def _graph(self) -> AgreementClusters:
        return AgreementClusters(
            self.n_clusters, self.positive, self.negative, min_shared=2, exclusion=self.exclusion
        )

    def _ensemble(self, rows: Rows) -> Ensemble:
        if not isinstance(self.base, str):
            rng = np.random.default_rng(seed_of(self.random_state))
            return EstimatorEnsemble(rows, self.n_clusters, self.n_models, self.base, rng)
        return LadderEnsemble(
            rows,
            self.n_clusters,
            self.n_models,
            layers=self.layers,
            term=_TERMS[self.base],
            weights=Weights(
                consistency=self.consistency, unsupervised=self.unsupervised, balance=self.balance
            ),
            noise=self.noise,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            first_epochs=self.first_epochs,
            batch_size=self.batch_size,
            generator=generator_of(self.random_state, device_of(self.device)),
        )

    def _agreed(self, answers: IntArray) -> _Pseudo:
        grown = self._graph().fit(_two_at_least(answers))
        cluster = grown.labels_.to_numpy().astype(np.int64)
        names = np.stack(
            [
                _one_to_one(cluster, answers[:, m], len(grown.sizes_), self.n_clusters)
                for m in range(self.n_models)
            ]
        )
        return _Pseudo(cluster, names)

    def _row(
        self, number: int, probabilities: FloatArray, pseudo: _Pseudo, truth: IntArray | None
    ) -> dict[str, Any]:
        answers = probabilities.argmax(2).T
        renaming = _common_names(answers, self.n_clusters)
        common = np.stack([renaming[m][answers[:, m]] for m in range(self.n_models)], axis=1)
        inside = pseudo.cluster >= 0
        row: dict[str, Any] = {
            "round": number,
            "coverage": float(inside.mean()),
            "n_clusters": pseudo.size,
            "agreement": _agreement(common),
        }
        if truth is not None:
            table = crossed(pseudo.cluster[inside], truth[inside])
            row["purity"] = float(table.max(1).sum() / inside.sum()) if inside.any() else np.nan
            single = [matched_accuracy(answers[:, m], truth) for m in range(self.n_models)]
            row["model_accuracy"] = float(np.mean(single))
            row["accuracy"] = matched_accuracy(_average(probabilities, renaming).argmax(1), truth)
        return row


def _classes(truth: Any, n: int) -> IntArray:
    values = np.asarray(truth)
    if values.shape != (n,):
        raise DataError(f"truth has shape {values.shape}; needed is one class a row: ({n},).")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _two_at_least(answers: IntArray) -> IntArray:
    """Return the answers; those of one model twice, which leaves the graph as it is."""
    return answers if answers.shape[1] > 1 else np.repeat(answers, 2, axis=1)


def _one_to_one(cluster: IntArray, own: IntArray, n_clusters: int, k: int) -> IntArray:
    """Return the own name of each cluster, by the Hungarian algorithm, shape (n_clusters,)."""
    inside = cluster >= 0
    table = np.zeros((n_clusters, k))
    np.add.at(table, (cluster[inside], own[inside]), 1.0)
    return np.asarray(linear_sum_assignment(table, maximize=True)[1], dtype=np.int64)


def _common_names(answers: IntArray, k: int) -> IntArray:
    """Return the common name of each own name, one to one in each model, shape (M, K)."""
    if answers.shape[1] == 1:
        return np.arange(k)[None]
    consensus = align_sources(answers).answers
    votes = np.zeros((len(answers), k))
    np.add.at(votes, (consensus.task, consensus.hard_label), 1.0)
    names = []
    for own in answers.T:
        table = np.zeros((k, k))
        np.add.at(table, own, votes)
        names.append(linear_sum_assignment(table, maximize=True)[1])
    return np.asarray(names, dtype=np.int64)


def _average(probabilities: FloatArray, renaming: IntArray) -> FloatArray:
    """Return the mean over models under common names, from (M, n, K) to (n, K)."""
    total = np.zeros(probabilities.shape[1:])
    for own, names in zip(probabilities, renaming, strict=True):
        total[:, names] += own
    return total / len(probabilities)


def _agreement(common: IntArray) -> float:
    """Return the share of pairs of models that agree, mean over rows."""
    m = common.shape[1]
    if m == 1:
        return 1.0
    counts = np.stack([(common == c).sum(1) for c in range(int(common.max()) + 1)])
    return float((counts * (counts - 1)).sum(0).mean() / (m * (m - 1)))


def _named(pseudo: _Pseudo, labels: IntArray, k: int) -> IntArray:
    """Return the pseudo-labels under the names of the labels."""
    names = _one_to_one(pseudo.cluster, labels, pseudo.size, k)
    return np.where(pseudo.cluster >= 0, np.append(names, -1)[pseudo.cluster], -1)

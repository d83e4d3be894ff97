"""Other ways to labels from answers and features, as aggregators: fit_predict of a frame and ``features``.

All of them train the same kind of classifier, the regression that DEEM's is by default: the penalty and whether columns
are scaled are chosen by the out-of-fold loss, and tasks are labelled out of five folds.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import PluginError

FloatArray = npt.NDArray[np.float64]
_FOLDS = 5


class _Peer:
    """Lays out answers and features."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit_predict(
        self, data: pd.DataFrame, gold: Any = None, *, features: Any = None
    ) -> pd.Series:
        """Return a label for each task."""
        task, tasks = pd.factorize(data["task"])
        label, names = pd.factorize(data["label"], sort=True)
        votes = np.zeros((len(tasks), len(names)))
        np.add.at(votes, (task, label), 1.0)
        self._x = features.loc[tasks].to_numpy(dtype=np.float32)
        self._fold = np.arange(len(tasks)) % _FOLDS
        np.random.default_rng(self.random_state).shuffle(self._fold)
        known = None if gold is None else pd.Index(names).get_indexer(gold.reindex(tasks))
        found = self.posterior(data, task, label, votes / votes.sum(1, keepdims=True), known)
        index = pd.Index(tasks, name="task")
        self.probas_ = pd.DataFrame(found, index=index, columns=names)
        return pd.Series(np.asarray(names)[found.argmax(axis=1)], index=index, name="agg_label")

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
        """Return p(label), shape (N, K)."""
        raise NotImplementedError

    def out_of_fold(self, targets: FloatArray, rows: FloatArray | None = None) -> FloatArray:
        """Return what a classifier trained on soft targets says of tasks that it has not seen, shape (N, K)."""
        from deem_crowd.features.learners import LogisticLearner, settled

        weights = np.ones(len(targets)) if rows is None else rows
        return np.exp(settled(LogisticLearner(), self._x, targets, weights, self._fold))


class ClassifierOnVotes(_Peer):
    """A classifier trained on shares of votes; the answers of a task itself have no part in its label."""

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
        """See :class:`_Peer`."""
        return self.out_of_fold(shares)


class ClassifierOnGold(_Peer):
    """A classifier trained on the gold labels of other folds: a ceiling."""

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
        """See :class:`_Peer`."""
        there = known >= 0
        targets = np.where(there[:, None], np.eye(shares.shape[1])[np.maximum(known, 0)], shares)
        return self.out_of_fold(targets, there.astype(np.float64))


class CrowdLab(_Peer):
    """CROWDLAB of cleanlab; ``rounds`` times, the classifier trained on its hard labels in between."""

    def __init__(self, random_state: int = 0, rounds: int = 1) -> None:
        super().__init__(random_state)
        self.rounds = rounds

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
        """See :class:`_Peer`."""
        try:
            from cleanlab.multiannotator import get_label_quality_multiannotator
        except ImportError as error:
            raise PluginError("CROWDLAB needs cleanlab: pip install cleanlab.") from error
        worker, workers = pd.factorize(data["worker"])
        table = np.full((len(shares), len(workers)), np.nan)
        table[task, worker] = label
        k, found = shares.shape[1], shares
        for _ in range(self.rounds):
            told = self.out_of_fold(found)
            with contextlib.redirect_stdout(io.StringIO()):
                quality = get_label_quality_multiannotator(pd.DataFrame(table), told, verbose=False)
            consensus = quality["label_quality"]["consensus_label"].to_numpy(dtype=np.int64)
            found = np.eye(k)[consensus]
        return found


class WithoutFeatures:
    """DEEM by the answers alone."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit_predict(self, data: pd.DataFrame) -> pd.Series:
        """Return a label for each task."""
        from deem_crowd import DEEMAggregator

        model = DEEMAggregator(random_state=self.random_state)
        labels = model.fit_predict(data)
        self.probas_, self.skills_ = model.probas_, model.skills_
        return labels

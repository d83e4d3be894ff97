"""Other ways to labels from answers and features, as aggregators: fit_predict of a frame and ``features``.

All of them train the same kind of classifier, the regression that DEEM's is by default: the penalty and whether columns
are scaled are chosen by the out-of-fold loss, and tasks are labelled out of five folds.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import PluginError

FloatArray = npt.NDArray[np.float64]
_FOLDS = 5


@dataclass(frozen=True)
class _Crowd:
    """Answers, by code."""

    matrix: FloatArray
    """By task and worker, NaN where there is none, shape (N, D)."""
    shares: FloatArray
    """Of the votes, shape (N, K)."""
    known: Any
    """The gold class of each task, −1 where it has none; None without gold."""


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
        worker, workers = pd.factorize(data["worker"])
        matrix = np.full((len(tasks), len(workers)), np.nan)
        matrix[task, worker] = label
        self._names = np.asarray(names)
        self.classifier_: Any = None
        posterior = self.posterior(_Crowd(matrix, votes / votes.sum(1, keepdims=True), known))
        index = pd.Index(tasks, name="task")
        self.probas_ = pd.DataFrame(posterior, index=index, columns=names)
        return pd.Series(np.asarray(names)[posterior.argmax(axis=1)], index=index, name="agg_label")

    def posterior(self, crowd: _Crowd) -> FloatArray:
        """Return p(label), shape (N, K)."""
        raise NotImplementedError

    def out_of_fold(self, targets: FloatArray, rows: FloatArray | None = None) -> FloatArray:
        """Return what a classifier trained on soft targets says of tasks that it has not seen, shape (N, K)."""
        from deem_crowd.features.learners import LogisticLearner, settled

        weights = np.ones(len(targets)) if rows is None else rows
        learner = LogisticLearner()
        proba = np.exp(settled(learner, self._x, targets, weights, self._fold))
        self._learner, self._taught = learner, (targets, weights)
        return proba

    def train(self, targets: FloatArray | None = None) -> None:
        """Set ``classifier_``, trained on all tasks: on these soft targets, or those of :meth:`out_of_fold`."""
        from deem_crowd.features.scaling import Scaling

        taught, weights = self._taught
        taught = taught if targets is None else targets
        predictor = self._learner.fit(self._x, taught, weights)
        scaling = Scaling.none(taught.shape[1])
        self.classifier_ = self._learner.public(predictor, scaling, self._names)


class ClassifierOnVotes(_Peer):
    """A classifier trained on shares of votes; the answers of a task itself have no part in its label."""

    def posterior(self, crowd: _Crowd) -> FloatArray:
        """See :class:`_Peer`."""
        posterior = self.out_of_fold(crowd.shares)
        self.train()
        return posterior


class ClassifierOnGold(_Peer):
    """A classifier trained on the gold labels of other folds: a ceiling."""

    def posterior(self, crowd: _Crowd) -> FloatArray:
        """See :class:`_Peer`."""
        there, shares = crowd.known >= 0, crowd.shares
        known = np.eye(shares.shape[1])[np.maximum(crowd.known, 0)]
        targets = np.where(there[:, None], known, shares)
        posterior = self.out_of_fold(targets, there.astype(np.float64))
        self.train()
        return posterior


class CrowdLab(_Peer):
    """CROWDLAB of cleanlab; ``rounds`` times, the classifier trained on its hard labels in between."""

    def __init__(self, random_state: int = 0, rounds: int = 1) -> None:
        super().__init__(random_state)
        self.rounds = rounds

    def posterior(self, crowd: _Crowd) -> FloatArray:
        """See :class:`_Peer`."""
        try:
            from cleanlab.multiannotator import get_label_quality_multiannotator
        except ImportError as error:
            raise PluginError(
                "CROWDLAB needs cleanlab: pip install 'deem-crowd[peers]'."
            ) from error
        posterior, table = crowd.shares, pd.DataFrame(crowd.matrix)
        for _ in range(self.rounds):
            told = self.out_of_fold(posterior)
            with contextlib.redirect_stdout(io.StringIO()):
                quality = get_label_quality_multiannotator(table, told, verbose=False)
            consensus = quality["label_quality"]["consensus_label"].to_numpy(dtype=np.int64)
            posterior = np.eye(posterior.shape[1])[consensus]
        self.train(posterior)
        return posterior


class _OfActiveml(_Peer):
    """A classifier of scikit-activeml that learns from the answers of all workers, of scaled features."""

    def settings(self, crowd: _Crowd) -> dict[str, Any]:
        """Return the arguments that its classifiers have in common."""
        classes = list(range(crowd.shares.shape[1]))
        return {"classes": classes, "missing_label": np.nan, "random_state": self.random_state}

    def taught(self, model: Any, crowd: _Crowd) -> FloatArray:
        """Train a classifier, set ``classifier_``, and return its p(label), shape (N, K)."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        scale = StandardScaler().fit(self._x)
        x = scale.transform(self._x)
        model.fit(x, crowd.matrix)
        self.classifier_ = Named(make_pipeline(scale, model), self._names)
        return np.asarray(model.predict_proba(x), dtype=np.float64)


class Raykar(_OfActiveml):
    """Logistic regression and workers' tables by EM (Raykar et al., JMLR 11, 2010), of scikit-activeml."""

    def posterior(self, crowd: _Crowd) -> FloatArray:
        """See :class:`_Peer`."""
        with _activeml():
            from skactiveml.classifier.multiannotator import AnnotatorLogisticRegression
        model = AnnotatorLogisticRegression(**self.settings(crowd))
        return self.taught(model, crowd)


class CrowdLayer(_OfActiveml):
    """A network with one hidden layer of 128 units under a crowd layer (Rodrigues and Pereira, AAAI 2018)."""

    def __init__(self, random_state: int = 0, epochs: int = 50) -> None:
        super().__init__(random_state)
        self.epochs = epochs

    def posterior(self, crowd: _Crowd) -> FloatArray:
        """See :class:`_Peer`."""
        import torch

        with _activeml():
            from skactiveml.classifier.multiannotator import CrowdLayerClassifier
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            module = torch.nn.Sequential(
                torch.nn.Linear(self._x.shape[1], 128),
                torch.nn.ReLU(),
                torch.nn.Linear(128, crowd.shares.shape[1]),
            )
            model = CrowdLayerClassifier(
                module,
                **self.settings(crowd),
                neural_net_param_dict={
                    "optimizer": torch.optim.Adam, "lr": 1e-3, "max_epochs": self.epochs, "batch_size": 64,
                    "verbose": 0, "iterator_train__shuffle": True,
                },
            )  # fmt: skip
            return self.taught(model, crowd)


class Named:
    """A classifier of classes 0..K-1 under their names."""

    def __init__(self, model: Any, names: Any) -> None:
        self.model, self.names = model, names

    def predict(self, X: Any) -> Any:
        """Return the likeliest class of each row, shape (N,)."""
        return self.names[np.asarray(self.model.predict(X), dtype=np.int64)]


@contextlib.contextmanager
def _activeml() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise PluginError(
            "this peer needs scikit-activeml: pip install 'deem-crowd[peers]'."
        ) from error


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

"""Other ways to labels from answers and features, as aggregators: fit_predict of a frame and ``features``.

All of them train the same kind of classifier, the regression that DEEM's is by default: the penalty and whether columns
are scaled are chosen by the out-of-fold loss, and tasks are labelled out of five folds.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
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
        self._names = np.asarray(names)
        self.classifier_: Any = None
        posterior = self.posterior(data, task, label, votes / votes.sum(1, keepdims=True), known)
        index = pd.Index(tasks, name="task")
        self.probas_ = pd.DataFrame(posterior, index=index, columns=names)
        return pd.Series(np.asarray(names)[posterior.argmax(axis=1)], index=index, name="agg_label")

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
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
        self.classifier_ = self._learner.public(
            predictor, scaling, self._x, taught, weights, self._names
        )

    def matrix(self, data: pd.DataFrame, task: Any, label: Any, n_tasks: int) -> FloatArray:
        """Return answers by task and worker, NaN where there is none, shape (N, D)."""
        worker, workers = pd.factorize(data["worker"])
        table = np.full((n_tasks, len(workers)), np.nan)
        table[task, worker] = label
        return table


class ClassifierOnVotes(_Peer):
    """A classifier trained on shares of votes; the answers of a task itself have no part in its label."""

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
        """See :class:`_Peer`."""
        posterior = self.out_of_fold(shares)
        self.train()
        return posterior


class ClassifierOnGold(_Peer):
    """A classifier trained on the gold labels of other folds: a ceiling."""

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
        """See :class:`_Peer`."""
        there = known >= 0
        targets = np.where(there[:, None], np.eye(shares.shape[1])[np.maximum(known, 0)], shares)
        posterior = self.out_of_fold(targets, there.astype(np.float64))
        self.train()
        return posterior


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
            raise PluginError(
                "CROWDLAB needs cleanlab: pip install 'deem-crowd[peers]'."
            ) from error
        table = self.matrix(data, task, label, len(shares))
        k, posterior = shares.shape[1], shares
        for _ in range(self.rounds):
            told = self.out_of_fold(posterior)
            with contextlib.redirect_stdout(io.StringIO()):
                quality = get_label_quality_multiannotator(pd.DataFrame(table), told, verbose=False)
            consensus = quality["label_quality"]["consensus_label"].to_numpy(dtype=np.int64)
            posterior = np.eye(k)[consensus]
        self.train(posterior)
        return posterior


class Raykar(_Peer):
    """Logistic regression and workers' tables by EM (Raykar et al., JMLR 11, 2010), of scikit-activeml."""

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
        """See :class:`_Peer`."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        with _activeml():
            from skactiveml.classifier.multiannotator import AnnotatorLogisticRegression
        scale = StandardScaler().fit(self._x)
        model = AnnotatorLogisticRegression(
            classes=list(range(shares.shape[1])),
            missing_label=np.nan,
            random_state=self.random_state,
        )
        x = scale.transform(self._x)
        model.fit(x, self.matrix(data, task, label, len(shares)))
        self.classifier_ = Named(make_pipeline(scale, model), self._names)
        return np.asarray(model.predict_proba(x), dtype=np.float64)


class CrowdLayer(_Peer):
    """A network with one hidden layer of 128 units under a crowd layer (Rodrigues and Pereira, AAAI 2018)."""

    def __init__(self, random_state: int = 0, epochs: int = 50) -> None:
        super().__init__(random_state)
        self.epochs = epochs

    def posterior(
        self, data: pd.DataFrame, task: Any, label: Any, shares: FloatArray, known: Any
    ) -> FloatArray:
        """See :class:`_Peer`."""
        import torch
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        with _activeml():
            from skactiveml.classifier.multiannotator import CrowdLayerClassifier
        scale = StandardScaler().fit(self._x)
        x = scale.transform(self._x).astype(np.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            module = torch.nn.Sequential(
                torch.nn.Linear(x.shape[1], 128),
                torch.nn.ReLU(),
                torch.nn.Linear(128, shares.shape[1]),
            )
            model = CrowdLayerClassifier(
                module,
                classes=list(range(shares.shape[1])),
                missing_label=np.nan,
                random_state=self.random_state,
                neural_net_param_dict={
                    "optimizer": torch.optim.Adam, "lr": 1e-3, "max_epochs": self.epochs, "batch_size": 64,
                    "verbose": 0, "iterator_train__shuffle": True,
                },
            )  # fmt: skip
            model.fit(x, self.matrix(data, task, label, len(shares)))
            posterior = np.asarray(model.predict_proba(x), dtype=np.float64)
        self.classifier_ = Named(make_pipeline(scale, model), self._names)
        return posterior


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

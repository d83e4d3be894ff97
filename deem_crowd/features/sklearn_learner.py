"""Classifiers of scikit-learn's, and of callers, that learn from a posterior."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.exceptions import ParameterError
from deem_crowd.features.folds import Folds
from deem_crowd.features.learners import FloatArray, Foreign, Learner, Predictor, explained
from deem_crowd.features.scaling import Scaling

_RARE = 0.01
"""Classes of a target that are less likely are not shown to a classifier of hard labels."""


class SklearnLearner:
    """Any classifier with ``fit``, ``predict_proba`` and ``classes_``; fits are made on copies.

    One that takes ``sample_weight`` sees each row once a class, weighted by the target; any other sees labels drawn
    from the targets.

    Parameters
    ----------
    estimator : classifier
    random_state : int
    labels : array, shape (K,), optional
        What it is to call the classes, as ``class_weight`` does; 0..K-1 if omitted.
    """

    def __init__(self, estimator: Any, random_state: int = 0, labels: Any = None) -> None:
        if isinstance(estimator, type):
            raise ParameterError(
                f"classifier={estimator.__name__} is a class: pass an object of it, such as {estimator.__name__}()."
            )
        for name in ("fit", "predict_proba", "get_params"):
            if not hasattr(estimator, name):
                raise ParameterError(
                    f"classifier={type(estimator).__name__} has no {name}: pass a scikit-learn classifier with "
                    "predict_proba, such as LogisticRegression() (for an SVC, SVC(probability=True))."
                )
        self.estimator, self._seed, self._labels = estimator, random_state, labels

    def anew(self) -> Learner:
        """See :class:`Learner`."""
        return self

    def again(self, passed: int = 0) -> Learner:
        """See :class:`Learner`; there is nothing to choose."""
        return self

    def steady(self) -> Learner | None:
        """See :class:`Learner`; there is nothing to choose."""
        return None

    def settle(
        self, x: Any, targets: FloatArray, weights: FloatArray, fold: Folds, choose: bool = True
    ) -> FloatArray | None:
        """See :class:`Learner`; there is nothing to choose."""
        return None

    def fit(self, x: Any, targets: FloatArray, weights: FloatArray) -> Predictor:
        """See :class:`Learner`."""
        n_classes = targets.shape[1]
        labels = np.arange(n_classes) if self._labels is None else self._labels
        with explained(self.estimator, x):
            return Foreign(self.fitted(x, targets, weights, labels), n_classes, self._labels)

    def public(self, predictor: Predictor, scaling: Scaling, labels: Any) -> Any:
        """Return the estimator that was fitted to the posterior."""
        assert isinstance(predictor, Foreign)
        named = self._labels is not None
        return predictor.estimator if named else renamed(predictor.estimator, labels)

    def fitted(self, x: Any, targets: FloatArray, weights: FloatArray, labels: Any) -> Any:
        """Return a fitted copy of the estimator whose classes are ``labels``, shape (K,)."""
        from sklearn.base import clone

        model = clone(self.estimator)
        name = _weight_name(model)
        if name is None:
            rng = np.random.default_rng(self._seed)
            rows = np.flatnonzero(weights > 0)
            above = rng.random(len(rows))[:, None] > targets[rows].cumsum(axis=1)
            drawn = np.minimum(above.sum(axis=1), targets.shape[1] - 1)
            return _constant_if_one(model, drawn).fit(x[rows], labels[drawn])
        share = np.where(targets >= _RARE, targets, 0.0) * weights[:, None]
        rows, label = np.nonzero(share)
        kept = _constant_if_one(model, label)
        told = {name: share[rows, label]} if kept is model else {}
        return kept.fit(x[rows], labels[label], **told)


def renamed(estimator: Any, labels: Any) -> Any:
    """Return a fitted classifier whose classes are numbers under the names of these, whatever type they have."""
    named = copy.copy(estimator)
    named.classes_ = np.asarray(labels)[estimator.classes_]
    return named


def _constant_if_one(model: Any, label: npt.NDArray[np.int64]) -> Any:
    """Return the estimator, or one that always says the same where there is one class only: most learn nothing then."""
    if len(label) and (label != label[0]).any():
        return model
    from sklearn.dummy import DummyClassifier

    return DummyClassifier()


def _weight_name(estimator: Any) -> str | None:
    """Return how an estimator, or the last step of a pipeline, is handed weights of rows; None if it takes none."""
    import inspect

    if hasattr(estimator, "steps"):
        last, step = estimator.steps[-1]
        inner = _weight_name(step)
        return None if inner is None else f"{last}__{inner}"
    taken = inspect.signature(estimator.fit).parameters
    return "sample_weight" if "sample_weight" in taken else None

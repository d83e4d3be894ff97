"""Classifiers that learn from a posterior, with one interface, and the built-in regression."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DeemCrowdError, ParameterError, counted, first_few
from deem_crowd.features import folds, logistic, settling
from deem_crowd.features.folds import Folds, splits
from deem_crowd.features.logistic import Coefficients, Scaler, log_softmax
from deem_crowd.features.scaling import Scaling

FloatArray = npt.NDArray[np.float64]

_MOST_ASKED = 20_000
"""Rows from which a fifth of them chooses the penalty."""
_LEAST_SHARE = 0.5
"""Rows added to each class before class shares are compared, so that none is zero."""
_ROUNDING = 1e-5
"""How far below 0 a probability may be, as differences from 1 are; CalibratedClassifierCV allows as much."""
_SMOOTHING = 1e-3
"""The share of even probabilities in what a classifier of somebody else says, so that none is zero."""


class Predictor(Protocol):
    """A trained classifier."""

    def log_proba(self, x: Any) -> FloatArray:
        """Return log p(label | x), shape (N, K)."""


class Learner(Protocol):
    """Makes classifiers of one kind."""

    def anew(self) -> Learner:
        """Return a learner of the same kind that has settled nothing yet."""

    def again(self, passed: int = 0) -> Learner:
        """Return one that goes through the settings which this one has chosen, one a call, and chooses none itself.

        It takes so many of the choices for made (``passed``).
        """

    def steady(self) -> Learner | None:
        """Return one that keeps the settings which votes chose; None where there is nothing to choose."""

    def settle(
        self, x: Any, targets: FloatArray, weights: FloatArray, fold: Folds, choose: bool = True
    ) -> FloatArray | None:
        """Choose settings by the out-of-fold likelihood of targets; return its log-probabilities, shape (M, K).

        Where ``choose`` is false, settings that have been chosen stay. None where :func:`out_of_fold` has to ask.
        """

    def fit(self, x: Any, targets: FloatArray, weights: FloatArray) -> Predictor:
        """Train on soft targets, shape (M, K), with weights of the rows, shape (M,)."""

    def public(self, predictor: Predictor, scaling: Scaling, labels: Any) -> Any:
        """Return a fitted classifier of scikit-learn's whose classes are ``labels``, shape (K,)."""


@dataclass
class Linear:
    """A trained regression."""

    scaler: Scaler
    coefficients: Coefficients

    def log_proba(self, x: Any) -> FloatArray:
        """Return log p(label | x), shape (N, K)."""
        return self.coefficients.log_proba(self.scaler(x))


class LogisticLearner:
    """Regularised logistic regression; whether each column is scaled, and the penalty, are chosen out of fold.

    A fit begins where the last one to the same fold, with the same settings, ended. Folds are fitted at once where
    features are no more than :data:`~deem_crowd.features.folds.MOST_AT_ONCE` numbers.

    Parameters
    ----------
    each : bool, optional
        Whether each column is scaled by its own, where that is settled.
    ridge : float
        The penalty to try first.
    """

    def __init__(self, each: bool | None = None, ridge: float = logistic.RIDGES[-1]) -> None:
        self._each, self._ridge = each, ridge
        self._ends: dict[tuple[int, bool, float], Coefficients] = {}
        self._chosen: list[float] = []
        self._script: Sequence[float] = ()
        self._seen: dict[bool, folds.Seen] = {}

    def anew(self) -> Learner:
        """See :class:`Learner`. How columns are scaled stays, and the penalty to try first."""
        return LogisticLearner(self._each, self._ridge)

    def again(self, passed: int = 0) -> Learner:
        """See :class:`Learner`."""
        other = LogisticLearner(self._each, self._ridge)
        other._script, other._seen = tuple(self._chosen), dict(self._seen)
        other._chosen = self._chosen[:passed]
        return other

    def steady(self) -> Learner | None:
        """See :class:`Learner`."""
        other = LogisticLearner(self._each, self._chosen[0])
        other._script, other._seen = self._chosen[:1], dict(self._seen)
        return other

    def settle(
        self, x: Any, targets: FloatArray, weights: FloatArray, fold: Folds, choose: bool = True
    ) -> FloatArray | None:
        """See :class:`Learner`. The scaling is chosen at the first call; of many rows one fold chooses the penalty."""
        parts = dict(enumerate(splits(fold, weights)))
        log_q = np.zeros(targets.shape)
        if self._script and self._each is not None:
            if choose:
                self._ridge = self._script[min(len(self._chosen), len(self._script) - 1)]
                self._chosen.append(self._ridge)
        elif choose or self._each is None:
            asked = {0: parts[0]} if len(fold) > _MOST_ASKED else parts

            def tried(each: bool) -> Iterator[tuple[float, FloatArray]]:
                near: dict[int, Coefficients] = {}

                def told(ridge: float) -> FloatArray:
                    return self._told(x, targets, weights, asked, each, ridge, near)

                ridges = logistic.RIDGES[::-1]
                return settling.climbed(told, ridges, self._ridge, targets, weights)

            self._each, self._ridge, log_q = settling.settled(tried, self._each, targets, weights)
            self._chosen.append(self._ridge)
            parts = {number: part for number, part in parts.items() if number not in asked}
        if parts:
            log_q += self._told(x, targets, weights, parts, bool(self._each), self._ridge, {})
        return log_q

    def _looked_at(self, x: Any, each: bool) -> folds.Seen:
        seen = self._seen.get(each)
        if seen is None or seen.x is not x:
            if not folds.few(x):  # no second copy of many numbers
                self._seen.clear()
            seen = self._seen[each] = folds.Seen.of(x, each)
        return seen

    def _told(
        self,
        x: Any,
        targets: FloatArray,
        weights: FloatArray,
        parts: dict[int, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]],
        each: bool,
        ridge: float,
        near: dict[int, Coefficients],
    ) -> FloatArray:
        """Return log p(label | x) of the rows that some folds hold out, 0 elsewhere, shape (M, K).

        ``near`` has the coefficients of each fold at the penalty that was tried last.
        """
        seen = self._looked_at(x, each)
        starts = [self._ends.get((number, each, ridge), near.get(number)) for number in parts]
        log_q = np.zeros(targets.shape)
        fits = folds.trained(
            seen, targets, weights, [rows for rows, _ in parts.values()], ridge, starts
        )
        for (number, (_, held)), coefficients in zip(parts.items(), fits, strict=True):
            log_q[held] = coefficients.log_proba(seen.scaled[held])
            self._ends[number, each, ridge] = near[number] = coefficients
        return log_q

    def fit(self, x: Any, targets: FloatArray, weights: FloatArray) -> Predictor:
        """See :class:`Learner`."""
        seen = self._looked_at(x, bool(self._each))
        start = self._ends.get((0, bool(self._each), self._ridge))
        taught = [np.flatnonzero(weights > 0)]
        coefficients = next(folds.trained(seen, targets, weights, taught, self._ridge, [start]))
        return Linear(seen.scaler, coefficients)

    def public(self, predictor: Predictor, scaling: Scaling, labels: Any) -> Any:
        """Return a ``LogisticRegression`` on the features as they are, with scale and weight of its word folded in."""
        assert isinstance(predictor, Linear)
        scaler, coefficients = predictor.scaler, predictor.coefficients
        weight = scaling.weight * coefficients.weight.astype(np.float64) / scaler.scale[:, None]
        intercept = scaling.weight * coefficients.intercept + scaling.offset
        if scaler.centre is not None:
            intercept = intercept - scaler.centre @ weight
        if len(labels) == 2:
            weight, intercept = weight[:, 1:] - weight[:, :1], intercept[1:] - intercept[:1]
        return regression(np.ascontiguousarray(weight.T), intercept, labels)


def regression(coef: FloatArray, intercept: FloatArray, labels: Any) -> Any:
    """Return a fitted ``LogisticRegression`` of those coefficients, shapes (1 or K, p) and (1 or K,)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.classes_, model.n_features_in_ = np.asarray(labels), coef.shape[1]
    model.coef_, model.intercept_ = coef, intercept
    model.n_iter_ = np.zeros(1, dtype=np.int32)
    return model


@dataclass
class Foreign:
    """A caller's classifier, trained; its classes are 0..K'-1, or some of ``labels``, shape (K,)."""

    estimator: Any
    n_classes: int
    labels: Any = None

    def log_proba(self, x: Any) -> FloatArray:
        """Return log p(label | x), shape (N, K).

        Raises
        ------
        ParameterError
            If the classifier fails, gives something other than probabilities, or has classes that are no labels.
        """
        with explained(self.estimator, x):
            told = np.asarray(self.estimator.predict_proba(x), dtype=np.float64)
        name, classes = type(self.estimator).__name__, self.estimator.classes_
        needed = x.shape[0], len(classes)
        if told.shape != needed:
            raise ParameterError(
                f"classifier={name} gives probabilities of shape {told.shape} for {counted(needed[0], 'task')}; "
                f"needed is {needed}, a column for each of its classes_."
            )
        odd = told[~((told >= -_ROUNDING) & np.isfinite(told)).all(axis=1)]
        if len(odd):
            raise ParameterError(
                f"classifier={name} gives no probabilities for {len(odd)} of {counted(len(told), 'task')} "
                f"(the first: {first_few(odd[0].tolist(), 3)}). If features differ in scale, pass "
                "make_pipeline(StandardScaler(), classifier). A skorch network that ends in logits needs "
                "criterion=torch.nn.CrossEntropyLoss."
            )
        place = _place(self.labels, classes)
        if (place < 0).any():
            raise ParameterError(
                f"classifier={name} has classes_ that are none of the labels it was trained on: "
                f"{first_few(np.asarray(classes)[place < 0])}. The labels are {first_few(self.labels)}: set "
                "classes_ to np.unique(y) in its fit."
            )
        proba = np.zeros((len(told), self.n_classes))
        proba[:, place] = np.maximum(told, 0)
        return np.asarray(np.log((1 - _SMOOTHING) * proba + _SMOOTHING / self.n_classes))


def _place(labels: Any, classes: Any) -> npt.NDArray[np.int64]:
    """Return the place of each class of an estimator among the labels, −1 where it is none of them."""
    if labels is None:
        return np.asarray(classes, dtype=np.int64)
    return np.asarray(pd.Index(labels).get_indexer(pd.Index(classes)), dtype=np.int64)


@contextmanager
def explained(estimator: Any, x: Any) -> Iterator[None]:
    """Say of an error which classifier failed, and what may help."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if isinstance(error, DeemCrowdError):
            raise
        stored = "sparse " if hasattr(x, "tocsr") else ""
        remedy = (
            "To find out why, fit it alone to these features and the labels of a fit without features. It is also "
            "trained on parts of the tasks, where a class may be rare."
        )
        if stored:
            remedy = (
                "If it takes no sparse features, pass features.toarray(), or another classifier."
            )
        # scikit-learn refuses labels that are not whole numbers, or numbers mixed with text
        if re.search("Unknown label type|not supported between instances of", str(error)):
            remedy = "Give labels as text: df['label'].astype(str)."
        raise ParameterError(
            f"classifier={type(estimator).__name__} failed on {stored}features of shape (N, {x.shape[1]}): "
            f"{str(error).strip().rstrip('.')}. {remedy}"
        ) from error


def out_of_fold(
    learner: Learner, x: Any, targets: FloatArray, weights: FloatArray, fold: Folds
) -> FloatArray:
    """Return log p(label | x) of each row by a classifier that has not seen it, shape (M, K)."""
    log_q = np.zeros(targets.shape)
    for rows, held in splits(fold, weights):
        log_q[held] = learner.fit(x[rows], targets[rows], weights[rows]).log_proba(x[held])
    return log_q


def settled(
    learner: Learner,
    x: Any,
    targets: FloatArray,
    weights: FloatArray,
    fold: Folds,
    choose: bool = True,
) -> FloatArray:
    """Choose the settings of a learner, unless they stay, and return log p(label | x) out of fold, shape (M, K)."""
    told = learner.settle(x, targets, weights, fold, choose)
    return out_of_fold(learner, x, targets, weights, fold) if told is None else told


def levelled(
    learner: Learner,
    x: Any,
    targets: FloatArray,
    weights: FloatArray,
    fold: Folds,
    choose: bool = True,
) -> FloatArray:
    """Return log-probabilities as :func:`settled` does, shape (n, K), corrected to the class shares of all rows.

    A class that is frequent in one fold is rarer in the others, so that classifiers trained without that fold underrate
    it. With a large weight of the classifier this would count as evidence.
    """
    log_q = settled(learner, x, targets, weights, fold, choose)
    shares = _log_shares(targets, weights)
    for rows, held in splits(fold, weights):
        log_q[held] = log_softmax(log_q[held] + shares - _log_shares(targets[rows], weights[rows]))
    return log_q


def _log_shares(targets: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the logarithms of the shares of the classes, shape (K,)."""
    total = weights @ targets + _LEAST_SHARE
    shares: FloatArray = np.log(total / total.sum())
    return shares

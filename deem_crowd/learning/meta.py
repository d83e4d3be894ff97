"""A classifier of features that is trained on answers of several workers instead of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from deem_crowd.data.answers import Answers
from deem_crowd.data.wide import is_long
from deem_crowd.estimators.aggregator import DEEMAggregator
from deem_crowd.estimators.deem import DEEM
from deem_crowd.estimators.featured import FEATURES
from deem_crowd.estimators.inputs import opened, task_weights
from deem_crowd.exceptions import DataError, FormError, ParameterError
from deem_crowd.learning.losses import CrowdLoss

_SMALLEST = 1e-12


def _is_matrix(answers: Any) -> bool:
    """Tell whether answers are a frame of class numbers, a row a task and a column a worker."""
    frame = isinstance(answers, pd.DataFrame) and not is_long(answers)
    return frame and all(kind.kind in "iuf" for kind in answers.dtypes)


class CrowdClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Learn from answers as scikit-learn's classifiers learn from labels.

    Labels and classifier are learned together, as in ``DEEMAggregator().fit(answers, features=X)``; this is the same
    from the classifier's side.

    Parameters
    ----------
    estimator : scikit-learn classifier, optional
        With predict_proba, or a torch module (extra ``skorch``); chosen by the answers if omitted. Fits are made on
        copies.
    random_state : int, optional
        Draws the folds; None is 0.
    n_classes : int, optional
        K, for answers as a matrix of numbers; found from the answers if omitted. Needed if a class may be missing in
        the answers to some of the tasks, as in the folds of ``cross_val_score`` and ``GridSearchCV``.

    Attributes
    ----------
    estimator_ : classifier
        Trained on the posterior of the labels.
    classes_ : array, shape (K,)
    aggregator_ : DEEMAggregator or DEEM
        Labels, skills and tables of the workers.
    labels_, probas_
        Of the tasks of fit.
    feature_names_in_ : array of str, shape (p,)
        Where X was a frame whose columns have names.
    """

    def __init__(
        self,
        estimator: Any = None,
        random_state: int | None = None,
        n_classes: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.random_state = random_state
        self.n_classes = n_classes

    def fit(self, X: Any, answers: Any) -> CrowdClassifier:
        """Fit.

        Parameters
        ----------
        X : DataFrame, array, scipy sparse matrix, torch tensor, table of polars or Arrow, shape (N, p)
            As ``features`` of :meth:`deem_crowd.DEEMAggregator.fit`.
        answers : DataFrame, Answers, integers of shape (N, D), or what else DEEMAggregator reads
            Columns ``task``, ``worker``, ``label``; or a row a task and a column a worker, −1 where there is no answer
            (NaN in a frame).

        Returns
        -------
        CrowdClassifier
            self. If the call fails, the object is as it was.

        Raises
        ------
        DataError
            Also if there is too little to learn a classifier from.
        FormError, MissingColumnError, ParameterError
        """
        if not isinstance(answers, pd.DataFrame):
            answers = opened(answers)
        wide = not isinstance(answers, pd.DataFrame | Answers) or _is_matrix(answers)
        if self.n_classes is not None and not wide:
            raise ParameterError(
                "n_classes is for answers as a matrix of numbers; a long table and Answers say which classes there "
                "are. Leave it out."
            )
        if wide and isinstance(X, pd.DataFrame) and "task" not in X.columns:
            # row by row, whatever part of a table scikit-learn hands in
            X = X.reset_index(drop=True)
            if isinstance(answers, pd.DataFrame):
                answers = answers.reset_index(drop=True)
        how = {"classifier": self.estimator, "random_state": self.random_state}
        model = DEEM(n_classes=self.n_classes, **how) if wide else DEEMAggregator(**how)
        model.fit(answers, features=X)
        if model.classifier_ is None:
            raise DataError(
                "there is too little to learn a classifier from (a warning said what): it needs 10 tasks with answers "
                "and features, two classes, and features that vary."
            )
        self.aggregator_, self.estimator_ = model, model.classifier_
        self.classes_ = np.asarray(self.estimator_.classes_)
        self.labels_, self.probas_ = model.labels_, model.probas_
        made = model.__dict__[FEATURES]
        self.n_features_in_ = int(made.n_columns)
        self.__dict__.pop("feature_names_in_", None)
        if made.columns is not None:
            self.feature_names_in_ = np.asarray(made.columns, dtype=object)
        return self

    def predict(self, X: Any) -> Any:
        """Return the likeliest class of each row, shape (N,); columns of frames go by their names."""
        check_is_fitted(self)
        return self.estimator_.predict(self._values(X))

    def predict_proba(self, X: Any) -> Any:
        """Return p(label | features), shape (N, K)."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(self._values(X))

    def predict_log_proba(self, X: Any) -> Any:
        """Return log p(label | features), shape (N, K)."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on labels, or the mean log-likelihood of answers.

        Parameters
        ----------
        X : as in :meth:`predict`
        y : labels, shape (N,), or answers, integers of shape (N, D)
            Answers to held-out tasks take the place of labels, so that searches for parameters (``GridSearchCV``) need
            no gold.
        sample_weight : shape (N,), optional
            Of the tasks.

        Returns
        -------
        float
            Share of labels that are right, in [0, 1]; or the mean log-likelihood of a task's answers through the
            workers' tables, in nats: log Σ_h p(h | x) Π_i T_i[answer, h].

        Raises
        ------
        FormError, DataError
        """
        from deem_crowd.features.rows import in_pandas

        answers = np.asarray(y)
        if answers.ndim != 2:
            return float(super().score(X, y, sample_weight))
        check_is_fitted(self)
        if not isinstance(self.aggregator_, DEEM):
            raise FormError(
                "answers as an array can be scored after a fit to answers as an array: fit(X, answers) with integers "
                "of shape (N, D), -1 where there is no answer."
            )
        y = in_pandas(y)
        if isinstance(y, pd.DataFrame):
            answers = y.where(y.notna(), -1).to_numpy(np.int64)
        proba = self.predict_proba(X)
        k = self.aggregator_.confusion_.shape[1]
        if answers.size and answers.max() >= k:
            raise DataError(
                f"answers name classes up to {answers.max()}, and fit knows classes up to {k - 1}. If a class may be "
                f"missing from answers of fit, say how many there are: CrowdClassifier(n_classes={answers.max() + 1})."
            )
        weights = task_weights(sample_weight, len(answers))
        q = np.full((len(proba), k), _SMALLEST)
        q[:, self.classes_] = np.maximum(proba, _SMALLEST)
        loss = CrowdLoss(self.aggregator_, reduction="none")
        lost = loss(torch.from_numpy(np.log(q)), torch.tensor(answers))
        return -float(np.average(lost.numpy(), weights=weights))

    def _values(self, x: Any) -> Any:
        """Return features as the classifier was shown them."""
        from deem_crowd.features.rows import in_pandas, matrix, names

        x = in_pandas(x)
        return x if hasattr(self, "feature_names_in_") and names(x) is not None else matrix(x)

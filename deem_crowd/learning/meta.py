"""A classifier of features that is trained on answers of several workers instead of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.aggregator import DEEMAggregator
from deem_crowd.estimators.deem import DEEM
from deem_crowd.estimators.featured import FEATURES
from deem_crowd.exceptions import DataError


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

    Attributes
    ----------
    estimator_ : classifier
        Trained on the posterior of the labels.
    classes_ : array, shape (K,)
    aggregator_ : DEEMAggregator or DEEM
        Labels, skills and tables of the workers.
    labels_, probas_
        Of the tasks of fit.
    """

    def __init__(self, estimator: Any = None, random_state: int | None = None) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X: Any, answers: Any) -> CrowdClassifier:
        """Fit.

        Parameters
        ----------
        X : DataFrame, array, scipy sparse matrix or torch tensor, shape (N, p)
            As ``features`` of :meth:`deem_crowd.DEEMAggregator.fit`.
        answers : DataFrame, Answers, or integers of shape (N, D)
            Columns ``task``, ``worker``, ``label``; or a row a task and a column a worker, −1 where there is no answer.

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
        long = isinstance(answers, pd.DataFrame | Answers)
        kind = DEEMAggregator if long else DEEM
        model = kind(classifier=self.estimator, random_state=self.random_state)
        model.fit(answers, features=X)
        if model.classifier_ is None:
            raise DataError(
                "there is too little to learn a classifier from (a warning said what): it needs 10 tasks with answers "
                "and features, two classes, and features that vary."
            )
        self.aggregator_, self.estimator_ = model, model.classifier_
        self.classes_ = np.asarray(self.estimator_.classes_)
        self.labels_, self.probas_ = model.labels_, model.probas_
        self.n_features_in_ = int(model.__dict__[FEATURES].n_columns)
        return self

    def predict(self, X: Any) -> Any:
        """Return the likeliest class of each row, shape (N,)."""
        check_is_fitted(self)
        return self.estimator_.predict(_values(X))

    def predict_proba(self, X: Any) -> Any:
        """Return p(label | features), shape (N, K)."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(_values(X))


def _values(x: Any) -> Any:
    """Return features as the classifier was shown them."""
    from deem_crowd.features.rows import matrix

    return matrix(x)

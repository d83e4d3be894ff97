"""A classifier that takes the columns of a frame by name."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from deem_crowd.features.rows import in_order, in_pandas


class Columns(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Transformer that puts the columns of a frame in order and returns an array; arrays are returned as they are.

    Parameters
    ----------
    names : list of str
        Of the columns, in their order.
    """

    def __init__(self, names: Any) -> None:
        self.names = names

    @property
    def feature_names_in_(self) -> Any:
        """Names of the columns, as scikit-learn calls them."""
        return np.asarray(self.names, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """Number of columns."""
        return len(self.names)

    def fit(self, X: Any, y: Any = None) -> Columns:
        """Learn nothing."""
        return self

    def transform(self, X: Any) -> Any:
        """Return the columns in their order, shape (N, p).

        Raises
        ------
        DataError
            If a frame has other columns.
        """
        X = in_order(in_pandas(X), self.names)
        if not isinstance(X, pd.DataFrame):
            return X
        return X.drop(columns="task", errors="ignore").to_numpy()


def by_name(classifier: Any, names: list[str]) -> Pipeline:
    """Return a fitted classifier behind :class:`Columns`."""
    return Pipeline([("columns", Columns(list(names))), ("classifier", classifier)])


def on_its_own(classifier: Any) -> Any:
    """Return a classifier that can be loaded without this package.

    Of a pipeline that begins with :class:`Columns` this is its classifier, with ``feature_names_in_``: like classifiers
    of scikit-learn, it refuses frames with other columns or another order.
    """
    if not isinstance(classifier, Pipeline) or not isinstance(classifier[0], Columns):
        return classifier
    plain = copy.deepcopy(classifier[-1])
    first = plain[0] if isinstance(plain, Pipeline) else plain
    first.feature_names_in_ = classifier[0].feature_names_in_
    return plain

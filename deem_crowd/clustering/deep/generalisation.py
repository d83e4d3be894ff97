"""How learnable a labelling is, how labelings vote under common names, and which rows are beyond doubt."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from deem_crowd.clustering.deep.features import FloatArray, IntArray, features
from deem_crowd.exceptions import DataError, ParameterError, counted


def generalisation_score(labels: Any, phi: Any, cv: int = 10, random_state: int = 0) -> float:
    """Return the cross-validated accuracy of logistic regression without penalty, trained on a labelling.

    It ranks labelings of the same number of classes without any truth: annotators, aggregates or clusterings of rows
    that have features. Names play no part. It favours few and lopsided classes, and any linear rule: one class has 1.

    Parameters
    ----------
    labels : shape (N,)
    phi : shape (N, d)
        Features that did not make the labels; they are standardised.
    cv : int
        Folds, shuffled.
    random_state : int
        Of the folds.

    Raises
    ------
    DataError
        For missing values, or fewer rows than folds.
    ParameterError
        If ``cv`` is no integer from 2.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, y = features(phi, "phi"), np.asarray(labels)
    if not isinstance(cv, int | np.integer) or cv < 2:
        raise ParameterError(f"cv={cv!r} is not allowed: an integer >= 2.")
    if y.shape != (len(rows),):
        raise DataError(
            f"labels have shape {y.shape}, and phi {counted(len(rows), 'row')}: one label a row."
        )
    if len(rows) < cv:
        raise DataError(
            f"cv={cv} and only {counted(len(rows), 'row')}: take {counted(len(rows), 'fold')} at most."
        )
    right = 0
    for train, test in KFold(cv, shuffle=True, random_state=random_state).split(rows):
        if len(np.unique(y[train])) == 1:
            right += int((y[test] == y[train][0]).sum())
            continue
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=np.inf, max_iter=200, tol=1e-3)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", message=".*penalty.*")
            model.fit(rows[train], y[train])
        right += int((model.predict(rows[test]) == y[test]).sum())
    return right / len(rows)


def matched(labelings: IntArray, reference: int, k: int) -> IntArray:
    """Return the name of each own one in the reference's terms, one to one, shape (R, K), from (N, R)."""
    names = []
    for own in labelings.T:
        table = np.zeros((k, k))
        np.add.at(table, (own, labelings[:, reference]), 1.0)
        names.append(linear_sum_assignment(table, maximize=True)[1])
    return np.asarray(names, dtype=np.int64)


def vote(labelings: IntArray, k: int) -> FloatArray:
    """Return the share of labelings for each class, from (n, R) to (n, K)."""
    return np.stack([(labelings == c).mean(1) for c in range(k)], axis=1)


def reliable_rows(
    shares: FloatArray, phi: npt.NDArray[np.float32], agreement: float, n_neighbors: int
) -> npt.NDArray[np.bool_]:
    """Return which rows a share of the labelings, and most of the nearest rows, give one class, shape (N,)."""
    from sklearn.neighbors import NearestNeighbors

    labels = shares.argmax(1)
    n = min(n_neighbors, len(phi) - 1)
    agreed = shares.max(1) >= agreement - 1e-9
    if n < 1:
        return np.asarray(agreed)
    near = NearestNeighbors(n_neighbors=n).fit(phi).kneighbors(return_distance=False)
    same = (labels[near] == labels[:, None]).mean(1)
    return np.asarray(agreed & (same > 0.5))

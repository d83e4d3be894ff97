"""What a fitted aggregator gives somebody who trains a network of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import NotFittedError

from deem_crowd.exceptions import DataWarning, FormError, MissingAnswersError
from deem_crowd.runtime.warning import warn

_NOTHING = 1e-3
"""Mean of 1 − entropy / log K below which targets are nearly uniform."""


def soft_targets(agg: Any) -> Any:
    """Return p(label | answers) of each task: what to train on in the place of labels.

    Parameters
    ----------
    agg : fitted DEEMAggregator, DEEM, or any aggregator with ``probas_``

    Returns
    -------
    DataFrame, index ``task``, columns the classes, or array: shape (N, K), float64
        A copy; rows sum to 1.

    Raises
    ------
    NotFittedError, FormError, MissingAnswersError
    """
    probas = getattr(agg, "probas_", None)
    if probas is None:
        if getattr(agg, "is_fitted_", False):
            raise MissingAnswersError(
                f"this {type(agg).__name__} has no probas_ (a file of a model holds none): use "
                "predict_proba(answers) in their place, or fit again."
            )
        if hasattr(agg, "fit"):
            raise NotFittedError(f"this {type(agg).__name__} has no probas_: call fit first.")
        raise FormError(
            f"a fitted aggregator with probas_ is needed, and this is a {type(agg).__name__}."
        )
    if len(probas) and float(_told(probas).mean()) < _NOTHING:
        warn(
            "the label probabilities are nearly uniform, so that a network would learn nothing from them; with about "
            "one answer a task, answers cannot be compared. Fit with features=, or train on labels_.",
            DataWarning,
        )
    return probas.copy()


def sample_weights(agg: Any) -> Any:
    """Return how much each task's label is worth in training: 1 where it is certain, 0 where nothing is known.

    1 − H(p) / log K with H the entropy of the label's distribution and K classes: the share of a label's information
    that answers have given. For training on hard labels; soft targets carry it already.

    Parameters
    ----------
    agg
        As for :func:`soft_targets`.

    Returns
    -------
    Series ``weight``, index ``task``, or array: shape (N,), float64

    Raises
    ------
    NotFittedError, FormError, MissingAnswersError
    """
    targets = soft_targets(agg)
    weights = _told(targets)
    if isinstance(targets, pd.DataFrame):
        return pd.Series(weights, index=targets.index, name="weight")
    return weights


def _told(probas: Any) -> npt.NDArray[np.float64]:
    """Return 1 − entropy / log K of each row, shape (N,): 0 where it is uniform, 1 where it is certain."""
    p = np.asarray(probas, dtype=np.float64)
    entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)
    told: npt.NDArray[np.float64] = np.clip(1 - entropy / np.log(max(p.shape[1], 2)), 0.0, 1.0)
    return told

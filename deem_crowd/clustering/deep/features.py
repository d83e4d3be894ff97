"""Features as an array of floats, and what the estimators of this room share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from deem_crowd.data.masks import refuse_masked
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    ParameterError,
    counted,
    first_few,
)
from deem_crowd.runtime.warning import warn

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def features(X: Any, name: str = "X", n_features: int | None = None) -> npt.NDArray[np.float32]:
    """Return features of shape (N, P), as 32-bit floats.

    Raises
    ------
    FormError
        If X is sparse or no matrix of numbers with a column at least, or has another number of columns than in ``fit``.
    DataError
        If values are missing or infinite, in 32 bits too.
    """
    if sparse.issparse(X):
        raise FormError(f"{name} is a sparse matrix; needed is a dense one: pass {name}.toarray().")
    refuse_masked(X, f"features {name}", f"Fill them in: {name}.filled(…).")
    try:
        array = np.asarray(X, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise FormError(f"{name} has to be a matrix of numbers, N × features: {error}.") from error
    if array.ndim != 2 or array.shape[1] == 0:
        raise FormError(f"{name} has shape {array.shape}; needed is (N, number of features).")
    if n_features is not None and array.shape[1] != n_features:
        raise FormError(
            f"{name} has {counted(array.shape[1], 'feature')}, and fit saw {n_features}."
        )
    wrong = ~np.isfinite(array)
    if wrong.any():
        rows, columns = np.flatnonzero(wrong.any(1)), np.flatnonzero(wrong.any(0))
        raise DataError(
            f"{name} has {counted(int(wrong.sum()), 'missing or infinite value')}, in {counted(len(rows), 'row')} "
            f"({first_few(rows)}) and {counted(len(columns), 'column')} ({first_few(columns)}). Impute them, or leave "
            "rows out."
        )
    return array


def varying(
    array: npt.NDArray[np.float32], n_clusters: int, name: str = "X"
) -> npt.NDArray[np.bool_]:
    """Check that there are as many distinct rows as clusters, and return the features that are not constant.

    A constant feature tells no rows apart, and far from the others' scale it would rule a reconstruction error.

    Raises
    ------
    DataError
    """
    if len(array) < n_clusters:
        raise DataError(
            f"n_clusters={n_clusters} and only {counted(len(array), 'row')} in {name}: ask for "
            f"{counted(len(array), 'cluster')} at most."
        )
    constant = np.ptp(array, axis=0) == 0
    if constant.all():
        raise DataError(
            f"all {array.shape[1]} features of {name} are constant: its {len(array)} rows are alike, and there is "
            "nothing to tell clusters apart by."
        )
    distinct = len(np.unique(array, axis=0))
    if distinct < n_clusters:
        raise DataError(
            f"n_clusters={n_clusters} and only {counted(distinct, 'distinct row')} in {name}: rows that are alike "
            f"cannot be told apart. Ask for {counted(distinct, 'cluster')} at most."
        )
    return np.asarray(~constant)


def tell_of_empty_clusters(labels: IntArray, n_clusters: int, remedy: str) -> None:
    """Warn if labels, shape (N,), name fewer clusters than asked for; ``remedy`` ends the message."""
    found = len(np.unique(labels))
    if found < n_clusters:
        warn(
            f"n_clusters={n_clusters}, but labels_ names only {found}: the other clusters are empty. {remedy}",
            DataWarning,
        )


def require(name: str, value: Any, least: float, whole: bool = True) -> None:
    """Check a parameter: a number of at least ``least``, finite and perhaps whole.

    Raises
    ------
    ParameterError
    """
    kinds = (int, np.integer) if whole else (int, float, np.number)
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if not good or not least <= value < np.inf:
        kind = "an integer" if whole else "a number"
        raise ParameterError(f"{name}={value!r} is not allowed: {kind} >= {least:g}.")


def require_layers(layers: Any) -> None:
    """Check the widths of layers.

    Raises
    ------
    ParameterError
    """
    good = isinstance(layers, tuple | list) and len(layers) >= 1
    if not good or not all(isinstance(w, int | np.integer) and w >= 1 for w in layers):
        raise ParameterError(f"layers={layers!r} is not allowed: widths >= 1, such as (256, 256).")


def generator_of(random_state: Any, device: torch.device) -> torch.Generator:
    """Return a generator of its own on a device.

    Raises
    ------
    ParameterError
    """
    return torch.Generator(device=device).manual_seed(seed_of(random_state))


def seed_of(random_state: Any) -> int:
    """Return an integer seed from None (0), an integer, or a numpy generator.

    Raises
    ------
    ParameterError
    """
    if random_state is None:
        return 0
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    require("random_state", random_state, 0)
    return int(random_state)


def device_of(name: Any) -> torch.device:
    """Return a device that is there.

    Raises
    ------
    ParameterError
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        text = str(error).splitlines()[0]
        raise ParameterError(f"device={name!r} cannot be used: {text}. 'cpu' can.") from error
    return device


def matched_accuracy(labels: IntArray, truth: npt.NDArray[Any]) -> float:
    """Return the largest share of rows right over one-to-one maps from clusters to classes."""
    from scipy.optimize import linear_sum_assignment

    table = crossed(labels, truth)
    rows, cols = linear_sum_assignment(table, maximize=True)
    return float(table[rows, cols].sum() / max(len(labels), 1))


def crossed(labels: IntArray, truth: npt.NDArray[Any]) -> FloatArray:
    """Return how often each cluster (rows, 0 to the largest) meets each class that occurs."""
    _, position = np.unique(truth, return_inverse=True)
    table = np.zeros((int(labels.max(initial=-1)) + 1, int(position.max(initial=-1)) + 1))
    np.add.at(table, (labels, position), 1.0)
    return table

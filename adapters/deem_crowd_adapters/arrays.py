"""Arrays of predictions, hard and soft → Answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy.typing as npt
import pandas as pd

from deem_crowd.data.answers import Answers


def from_dense(
    predictions: npt.ArrayLike,
    n_classes: int | None = None,
    *,
    tasks: pd.Index | None = None,
    workers: pd.Index | None = None,
    classes: Sequence[Hashable] | pd.Index | None = None,
) -> Answers:
    """Read a matrix of labels, numpy's or torch's.

    Parameters
    ----------
    predictions : integers, shape (N, D)
        Entry (n, i) is the class 0..K-1 that worker i gave task n, −1 where they gave none.
    n_classes : int, optional
        K. Without it K is the largest label + 1 and every label up to it must occur.
    tasks, workers, classes : Index, optional
        Ids for the rows, the columns and the labels; 0, 1, 2 … if omitted.

    Raises
    ------
    FormError, DataError
    """
    return Answers.from_dense(predictions, n_classes, tasks=tasks, workers=workers, classes=classes)


def from_soft(
    predictions: npt.ArrayLike,
    n_classes: int | None = None,
    *,
    tasks: pd.Index | None = None,
    workers: pd.Index | None = None,
    classes: Sequence[Hashable] | pd.Index | None = None,
) -> Answers:
    """Read an array of distributions, numpy's or torch's.

    Parameters
    ----------
    predictions : floats, shape (N, K, D)
        ``[n, :, i]`` is worker i's distribution over the K classes for task n; all zeros or all NaN where he
        gave none. Sums within 1e-3 of 1 are normalised.
    n_classes : int, optional
        K, checked against the array.
    tasks, workers, classes : Index, optional
        Ids for the three axes; 0, 1, 2 … if omitted.

    Raises
    ------
    FormError, DataError
    """
    return Answers.from_soft(predictions, n_classes, tasks=tasks, workers=workers, classes=classes)

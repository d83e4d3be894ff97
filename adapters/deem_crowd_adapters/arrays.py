"""Arrays of predictions, hard and soft → Answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy.typing as npt
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import FormError, first_few
from deem_crowd_adapters.kinds import is_place


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
    predictions : integers, shape (N, D), or the path of an npy file or a table of nothing else
        Entry (n, i) is the class 0..K-1 that worker i gave task n, −1 where they gave none.
    n_classes : int, optional
        K. Without it K is the largest label + 1 and every label up to it must occur.
    tasks, workers, classes : Index, optional
        Ids for the rows, the columns and the labels; 0, 1, 2 … if omitted.

    Raises
    ------
    FormError, DataError
    """
    if is_place(predictions):
        predictions = _array_in(predictions)
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
    predictions : floats, shape (N, K, D), or the path of an npy file
        ``[n, :, i]`` is worker i's distribution over the K classes for task n; all zeros or all NaN where they
        gave none. Sums within 1e-3 of 1 are normalised (8e-3 of torch's bfloat16).
    n_classes : int, optional
        K, checked against the array.
    tasks, workers, classes : Index, optional
        Ids for the three axes; 0, 1, 2 … if omitted.

    Raises
    ------
    FormError, DataError
    """
    if is_place(predictions):
        predictions = _array_in(predictions)
    return Answers.from_soft(predictions, n_classes, tasks=tasks, workers=workers, classes=classes)


def _array_in(place: Any) -> npt.NDArray[Any]:
    """Return the only array in a file, or the numbers of a table without a column of anything else."""
    from deem_crowd_adapters.exports.content import open_content

    content = open_content(place)
    if content.kind == "arrays" and len(content.value) == 1:
        array: npt.NDArray[Any] = next(iter(content.value.values()))
        return array
    if content.kind == "table":
        text = [name for name in content.value if content.value[name].dtype.kind not in "iufb"]
        if not text:
            return content.value.to_numpy()
        raise FormError(
            f"{content.name} is no matrix of class numbers: columns {first_few(text)} hold text. For a table "
            "with ids and "
            "labels use the adapter 'wide'."
        )
    raise FormError(
        f"{content.name} holds {first_few(content.keys, 10) or content.kind}, not one array. Save the array by itself: "
        "np.save(path, array)."
    )

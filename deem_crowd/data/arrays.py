"""Arrays of labels and of probabilities: what they may hold, and what is said where they do not."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.assembly import check_ids, named
from deem_crowd.data.masks import refuse_masked
from deem_crowd.data.tensors import of_tensor
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    ParameterError,
    counted,
    first_few,
)
from deem_crowd.runtime.warning import warn

_TRANSPOSED = 10
"""Times as many workers as tasks, from which on an array may have rows and columns exchanged."""

SOFT_SUM_TOLERANCE = 1e-3
"""How far the sum of a distribution may be from 1, where its numbers are not of a type with fewer digits."""

Ids = Sequence[Hashable] | pd.Index | None
Coded = tuple[npt.NDArray[Any], pd.Index]


def hard_codes(
    predictions: npt.ArrayLike,
    n_classes: int | None,
    names: tuple[Ids, Ids, Ids],
    warn_of: tuple[str, ...],
) -> tuple[Coded, Coded, Coded]:
    """Return tasks, workers and labels of a matrix of labels, shape (N, D); ``names`` are those of its axes.

    Raises
    ------
    FormError, DataError, ParameterError
    """
    tasks, workers, classes = names
    matrix = whole_numbers(predictions)
    check_ids("tasks", tasks, matrix.shape[0])
    check_ids("workers", workers, matrix.shape[1])
    if classes is not None:
        check_ids("classes", classes, len(classes))
        n_classes = len(classes)
    n_classes = matrix_classes(matrix, n_classes)
    given = matrix >= 0
    task, worker = np.nonzero(given)
    warn_empty(given, "column", warn_of)
    return (
        (task, _named(tasks, "task", matrix.shape[0])),
        (worker, _named(workers, "worker", matrix.shape[1])),
        (matrix[given], _named(classes, "label", n_classes)),
    )


def soft_codes(
    predictions: npt.ArrayLike,
    n_classes: int | None,
    names: tuple[Ids, Ids, Ids],
    warn_of: tuple[str, ...],
) -> tuple[Coded, Coded, tuple[npt.NDArray[np.float64], pd.Index]]:
    """Return tasks, workers and distributions, shape (R, K), of an array of shape (N, K, D).

    Raises
    ------
    FormError, DataError, ParameterError
    """
    tasks, workers, classes = names
    array = numeric_array(predictions)
    if array.ndim != 3:
        raise FormError(
            f"soft predictions have axes (tasks, classes, workers); this array has shape {array.shape}."
        )
    n_tasks, k, n_workers = array.shape
    n_classes = n_classes if classes is None else len(classes)
    if n_classes is not None and n_classes != k:
        raise DataError(
            f"soft predictions of shape {array.shape} have {k} classes on axis 1, but n_classes={n_classes}."
            f"{_axis_hint(array)}"
        )
    check_ids("tasks", tasks, n_tasks)
    check_ids("workers", workers, n_workers)
    check_ids("classes", classes, k)
    rows = array.transpose(0, 2, 1).reshape(n_tasks * n_workers, k).astype(np.float64)
    rows = checked_soft(rows, "slice", array, _rounding(predictions))
    given = ~np.isnan(rows[:, 0]) if k else np.zeros(len(rows), dtype=bool)
    task, worker = np.divmod(np.flatnonzero(given), max(n_workers, 1))
    warn_empty(given.reshape(n_tasks, n_workers), "slice", warn_of)
    return (
        (task, _named(tasks, "task", n_tasks)),
        (worker, _named(workers, "worker", n_workers)),
        (rows[given], _named(classes, "label", k)),
    )


def _named(values: Ids, name: str, length: int) -> pd.Index:
    """Return the ids of an axis, 0, 1, 2 … where there are none."""
    return named(pd.RangeIndex(length) if values is None else values, name)


def numeric_array(predictions: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return predictions of any shape as an array of numbers; tensors come to the CPU, booleans become integers.

    Raises
    ------
    FormError
        If they are a frame, ragged, masked or no numbers.
    """
    if hasattr(predictions, "detach"):
        predictions = of_tensor(predictions, "predictions")
    if isinstance(predictions, pd.DataFrame):
        raise FormError(
            "got a DataFrame where an array is expected. Long format (task, worker, label): "
            "DEEMAggregator().fit(df). Wide format (tasks × workers): deem_crowd_adapters.from_wide(df)."
        )
    if hasattr(
        predictions, "tocsr"
    ):  # a sparse matrix, without importing scipy.sparse for the question
        raise FormError(
            "sparse input is not supported, since a zero that is not stored would be class 0. Answers that are mostly "
            "missing cost only what is stored in the long format: DEEMAggregator, or Answers.from_frame. A label "
            "matrix in which 0 abstains is L.toarray() - 1."
        )
    refuse_masked(
        predictions,
        "predictions",
        "Write −1 (soft: nan) where an answer is missing: predictions.filled(-1).",
    )
    try:
        array = np.asarray(predictions)
    except ValueError as error:
        said = str(error).rstrip(".")
        raise FormError(f"predictions are not a regular array: {said}.") from error
    if array.dtype == bool:
        array = array.astype(np.int8)
    if array.dtype.kind == "c":
        raise FormError(
            "Complex data not supported: labels are whole numbers, distributions are real ones."
        )
    if array.dtype.kind not in "iuf":
        raise FormError(
            f"predictions are numbers, −1 where an answer is missing; got dtype {array.dtype}. For labels of other "
            "kinds use DEEMAggregator (long format) or deem_crowd_adapters.from_wide (wide format)."
        )
    return array


def whole_numbers(predictions: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return a matrix of labels, shape (N, D), as integers.

    Raises
    ------
    FormError
        If this is no matrix of numbers.
    DataError
        If entries are NaN, no whole numbers, or too large for labels.
    """
    array = numeric_array(predictions)
    if array.ndim != 2:
        hint = " Reshape your data: one row is x.reshape(1, -1)." if array.ndim == 1 else ""
        raise FormError(
            f"a matrix of labels has shape (tasks, workers), soft predictions (tasks, classes, workers); "
            f"this array has shape {array.shape}.{hint}"
        )
    if array.dtype.kind == "f":
        bad = np.isnan(array)
        if bad.any():
            raise DataError(
                f"{_entries(bad)} NaN ({_cells(bad)}). Write −1 where an answer is missing: "
                "np.nan_to_num(x, nan=-1).astype(int)."
            )
        bad = np.isinf(array)
        if bad.any():
            raise DataError(
                f"{_entries(bad)} infinite ({_cells(bad)}). Labels are 0..K-1 and −1 is missing."
            )
        bad = array != np.floor(array)
        if bad.any():
            shape = "shape (tasks, classes, workers)"
            if ((array >= 0) & (array <= 1)).all():
                shape += ", to a StackingClassifier stack_method='predict'"
            raise DataError(
                f"{_entries(bad)} not whole: {first_few(array[bad])} ({_cells(bad)}). Labels are 0..K-1; for "
                f"probabilities pass {shape}."
            )
        bad = np.abs(array) > 2**31
        if bad.any():
            raise DataError(f"{_entries(bad)} too large for labels: {first_few(array[bad])}.")
    elif array.dtype.kind == "u" and (array > 2**31).any():
        bad = array > 2**31
        raise DataError(
            f"{_entries(bad)} too large for labels: {first_few(array[bad])}. Unsigned integers cannot "
            "hold the −1 of a missing answer; use signed ones."
        )
    return array.astype(np.int64, copy=False)


def matrix_classes(matrix: npt.NDArray[np.int64], n_classes: int | None) -> int:
    """Return K after checking every label of the matrix against it."""
    whole = isinstance(n_classes, (int, np.integer)) and not isinstance(n_classes, bool)
    if n_classes is not None and not (whole and n_classes >= 0):
        raise ParameterError(f"n_classes={n_classes!r} is no whole number of classes.")
    bad = matrix < -1
    if bad.any():
        raise DataError(
            f"{_entries(bad)} below −1: {first_few(np.unique(matrix[bad]))} ({_cells(bad)}). "
            "Labels are 0..K-1 and −1 is missing."
        )
    largest = int(matrix.max()) if matrix.size else -1
    if n_classes is not None:
        bad = matrix >= n_classes
        if bad.any():
            there = f"Labels are 0..{n_classes - 1}."
            if n_classes == 0:
                there = f"No answer so far names a class: fit to answers first, with n_classes={largest + 1}."
            raise DataError(
                f"{_entries(bad)} not below n_classes={n_classes}: "
                f"{first_few(np.unique(matrix[bad]))} ({_cells(bad)}). {there}"
            )
        return n_classes
    _refuse_long_format(matrix)
    used = np.unique(matrix[matrix >= 0])
    if len(used) != largest + 1:
        gaps = np.setdiff1d(np.arange(min(largest, 10**6)), used)
        raise DataError(
            f"labels run to {largest} but "
            f"{counted(largest + 1 - len(used), 'value below it never occurs', 'values below it never occur')} "
            f"({first_few(gaps)}). Number the labels 0..K-1, or pass n_classes={largest + 1} if they are meant; where "
            "a number stands for a missing answer, pass −1."
        )
    return largest + 1


def gapless(
    matrix: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return labels numbered 0, 1, 2 … in their order, and what each number stands for; −1 stays missing.

    Raises
    ------
    DataError
        For entries below −1.
    """
    bad = matrix < -1
    if bad.any():
        raise DataError(
            f"{_entries(bad)} below −1: {first_few(np.unique(matrix[bad]))} ({_cells(bad)}). "
            "Labels are 0, 1, 2 … and −1 is missing."
        )
    names = np.unique(matrix[matrix >= 0])
    return np.where(matrix < 0, -1, np.searchsorted(names, matrix)), names


def _refuse_long_format(matrix: npt.NDArray[np.int64]) -> None:
    """Recognise (task, worker, label) rows passed as a matrix of three workers."""
    if matrix.shape[1] != 3 or len(matrix) < 6 or matrix.min() < 0:
        return
    n_task, n_worker, n_label = (len(np.unique(column)) for column in matrix.T)
    n_pairs = len(np.unique(matrix[:, 0] * (matrix[:, 1].max() + 1) + matrix[:, 1]))
    if (
        n_pairs == len(matrix)
        and n_task > n_label
        and n_worker >= 2
        and n_task * n_worker >= n_pairs
    ):
        raise FormError(
            f"this array of shape {matrix.shape} looks like the long format (task, worker, label): "
            f"{n_task} × {n_worker} ids and no (first, second) pair twice. Use "
            "DEEMAggregator().fit(pd.DataFrame(x, columns=['task', 'worker', 'label'])); if it is a matrix of "
            "three workers, pass n_classes."
        )


def _rounding(predictions: Any) -> float:
    """Return how far sums may be from 1: bfloat16 and 8-bit floats of torch have fewer digits than the tolerance."""
    if not hasattr(predictions, "detach") or not predictions.is_floating_point():
        return SOFT_SUM_TOLERANCE
    import torch

    return max(SOFT_SUM_TOLERANCE, torch.finfo(predictions.dtype).eps)


def checked_soft(
    rows: npt.NDArray[np.float64],
    where: str,
    array: npt.NDArray[Any] | None = None,
    tolerance: float = SOFT_SUM_TOLERANCE,
) -> npt.NDArray[np.float64]:
    """Check and normalise distributions, shape (…, K), whose sums are 1 within a tolerance; missing ones come back as
    NaN rows."""

    def places(bad: npt.NDArray[np.bool_]) -> str:
        first = np.flatnonzero(bad)[:6]
        if array is None:
            return f"rows {first_few(first)}"
        n_workers = array.shape[2]
        return "at (task, worker) " + first_few(
            [(int(i) // n_workers, int(i) % n_workers) for i in first]
        )

    nan = np.isnan(rows)
    absent = nan.all(axis=1) | (rows == 0).all(axis=1)
    partial = nan.any(axis=1) & ~absent
    if partial.any():
        raise DataError(
            f"{int(partial.sum())} {where}s hold NaN beside numbers ({places(partial)}). "
            "A missing answer is NaN, or zero, for every class; a class that a source cannot name has probability 0."
        )
    bad = ((rows < 0) | np.isinf(rows)).any(axis=1) & ~absent
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} {where}s hold negative or infinite values ({places(bad)}). "
            "Answers are probabilities; pass log-probabilities through exp, logits through softmax over the classes."
        )
    total = rows.sum(axis=1)
    bad = ~absent & (np.abs(total - 1) > tolerance)
    if bad.any():
        axis = "" if array is None else _axis_hint(array)
        raise DataError(
            f"{int(bad.sum())} {where}s do not sum to 1 over the classes ({places(bad)}; sums "
            f"{', '.join(f'{s:.4g}' for s in total[bad][:5])}{', …' if bad.sum() > 5 else ''}).{axis}"
        )
    rows = rows / np.where(absent, 1, total)[:, None]
    rows[absent] = np.nan
    return rows


def _axis_hint(array: npt.NDArray[Any]) -> str:
    for axis in (2, 0):
        sums = np.nansum(array, axis=axis)
        if sums.size and (np.abs(sums - 1) < SOFT_SUM_TOLERANCE).mean() > 0.9:
            return (
                f" The sums are over axis 1 of shape {array.shape}; axis {axis} sums to 1: are the axes swapped? "
                "They are (tasks, classes, workers)."
            )
    return f" The classes are axis 1 of shape {array.shape}: (tasks, classes, workers)."


def warn_if_transposed(n_tasks: int, n_workers: int) -> None:
    """Warn where an array has so many more columns than rows that its rows may be the workers."""
    if n_workers >= _TRANSPOSED * n_tasks > 0:
        warn(
            f"the array is read as {counted(n_tasks, 'task')} that {n_workers:,} workers answered: rows are tasks, "
            "columns are workers. If yours has a row for each worker, pass its transpose.",
            DataWarning,
        )


def _entries(bad: npt.NDArray[np.bool_]) -> str:
    number = int(bad.sum())
    return f"{counted(number, 'entry', 'entries')} {'is' if number == 1 else 'are'}"


def _cells(bad: npt.NDArray[np.bool_]) -> str:
    cells = [tuple(int(x) for x in cell) for cell in np.argwhere(bad)[:3]]
    return "first at " + first_few(cells, 3)


def warn_empty(given: npt.NDArray[np.bool_], column: str, wanted: tuple[str, ...]) -> None:
    """Warn of rows and columns of ``given``, shape (N, D), without answers."""
    for what, where, axis, then in (
        ("task", "row", 1, "gets a missing label"),
        ("worker", column, 0, "counts as an average worker"),
    ):
        positions = np.flatnonzero(~given.any(axis=axis))
        if what in wanted and len(positions) and len(given):
            warn(
                f"{len(positions)} {what}{'s' if len(positions) > 1 else ''} without answers "
                f"({where} {first_few(positions)}): each {then}.",
                DataWarning,
            )

"""pandas frames: long (one row an answer), wide (tasks × workers), and long with probabilities."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from deem_crowd.answers import Answers, Duplicates, Missing
from deem_crowd.exceptions import DataError, FormError, first_few


def from_long(
    data: pd.DataFrame,
    *,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | None = None,
) -> Answers:
    """crowd-kit's long format: R rows, columns ``task``, ``worker``, ``label`` of any dtypes.

    See :meth:`deem_crowd.Answers.from_frame` for the parameters and the errors raised.
    """
    return Answers.from_frame(data, missing=missing, duplicates=duplicates, classes=classes)


def from_soft_long(
    data: pd.DataFrame,
    classes: Sequence[Hashable] | None = None,
    *,
    duplicates: Duplicates = "last",
) -> Answers:
    """Long format with one probability column per class beside ``task`` and ``worker``.

    See :meth:`deem_crowd.Answers.from_soft_frame` for the parameters and the errors raised.
    """
    return Answers.from_soft_frame(data, classes, duplicates=duplicates)


def from_wide(
    data: pd.DataFrame, *, classes: Sequence[Hashable] | pd.Index | None = None
) -> Answers:
    """Wide format: N rows are tasks, D columns are workers, cells are labels, NaN or None where missing.

    Parameters
    ----------
    data : DataFrame, shape (N, D)
        The index holds the tasks, the columns the workers. A column ``task`` becomes the index.
    classes : sequence, optional
        The label space, where it is wider than what was answered or its order matters.

    Returns
    -------
    Answers
        Tasks and workers without answers stay; they have no influence on anything.

    Raises
    ------
    FormError
        If this is no DataFrame, or the long format.
    DataError
        If tasks or workers occur twice or are missing, or labels collide.
    """
    if not isinstance(data, pd.DataFrame):
        raise FormError(f"expected a DataFrame (tasks × workers), got {type(data).__name__}.")
    if {"task", "worker", "label"} <= set(data.columns):
        raise FormError(
            "this frame has columns task, worker and label: it is the long format. "
            "Use deem_crowd_adapters.from_long(df) or DEEMAggregator().fit(df)."
        )
    if "task" in data.columns:
        data = data.set_index("task")
    for what, index in (("task", data.index), ("worker", data.columns)):
        if index.hasnans:
            raise DataError(
                f"{int(np.count_nonzero(index.isna()))} {what} ids are missing. Give every {what} an id."
            )
        if index.has_duplicates:
            twice = index[index.duplicated()].unique()
            raise DataError(
                f"{len(twice)} {what}s occur more than once: {first_few(twice)}. In the wide format each has one "
                f"{'row' if what == 'task' else 'column'}; repeated answers need the long format."
            )
    given = data.notna().to_numpy()
    tasks, workers = np.nonzero(given)
    labels = _cells(data, given)
    frame = pd.DataFrame({"task": tasks, "worker": workers, "label": labels})
    answers = Answers.from_frame(frame, classes=classes)
    return _with_all(answers, data.index, data.columns)


def _cells(data: pd.DataFrame, given: np.ndarray) -> pd.Series:
    """Return the labels that are there, by row, in one dtype: whole floats become the integers they stand for."""
    kinds = set(data.dtypes)
    if len(kinds) == 1 and not isinstance(next(iter(kinds)), np.dtype):
        parts = [data.iloc[:, i] for i in range(data.shape[1])]  # categories, Arrow: keep the dtype
        stacked = pd.concat(parts, ignore_index=True)
        order = np.arange(stacked.size).reshape(data.shape[1], len(data)).T[given]
        return stacked.iloc[order].reset_index(drop=True)
    values = data.to_numpy()[given]
    series = pd.Series(values).infer_objects() if values.dtype == object else pd.Series(values)
    # pandas turns a column of integers into floats to hold NaN; the labels were integers all the same
    if series.dtype.kind == "f" and bool((series == np.floor(series)).all()):
        return series.astype(np.int64)
    return series


def _with_all(answers: Answers, tasks: pd.Index, workers: pd.Index) -> Answers:
    """Put the row and column numbers of ``answers`` back to the full lists of tasks and workers."""
    position = answers.tasks.to_numpy(dtype=np.int64)
    counts = np.zeros(len(tasks), dtype=np.int64)
    counts[position] = np.diff(answers.task_ptr)
    pointers = np.concatenate([[0], np.cumsum(counts)]).astype(answers.task_ptr.dtype)
    numbers = answers.workers.to_numpy(dtype=np.int32)
    # rows were read in order, so tasks already stand in the order of the full list
    worker = numbers[answers.worker] if len(numbers) else answers.worker
    order = np.lexsort((worker, answers.task))
    label = answers.label if answers.label is None else answers.label[order]
    return Answers(
        task_ptr=pointers,
        worker=worker[order].astype(np.int32),
        label=label,
        soft=None,
        tasks=tasks.rename("task"),
        workers=workers.rename("worker"),
        classes=answers.classes,
    )

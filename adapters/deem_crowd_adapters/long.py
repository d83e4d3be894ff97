"""The long format, hard and soft, from any table in memory → Answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd_adapters import roles
from deem_crowd_adapters.kinds import is_place
from deem_crowd_adapters.tables import to_frame


def from_long(
    data: Any,
    *,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    columns: roles.Columns | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
) -> Answers:
    """Read crowd-kit's long format: one row an answer.

    Parameters
    ----------
    data : pandas DataFrame, polars DataFrame or LazyFrame, Arrow table, batch or stream, or a path; R rows
        Columns ``task``, ``worker`` and ``label`` of any dtypes; others are ignored.
    task, worker, label : hashable, optional
        The names of single columns, as in ``columns``.
    columns : mapping, optional
        What those columns are called here, e.g. ``{"worker": "annotator"}``.
    missing, duplicates, classes
        As in :meth:`deem_crowd.Answers.from_frame`.

    Returns
    -------
    Answers
        R answers by N tasks and D workers, K classes.

    Raises
    ------
    MissingColumnError, FormError, DataError, ParameterError
    """
    columns = roles.named(columns, task=task, worker=worker, label=label)
    if is_place(data):
        from deem_crowd_adapters.files import read_long

        data, columns = read_long(data, None, columns), None
    if columns is not None or not isinstance(data, pd.DataFrame):
        data = to_frame(data, roles.LONG, columns)
    return Answers.from_frame(data, missing=missing, duplicates=duplicates, classes=classes)


def from_soft_long(
    data: Any,
    classes: Sequence[Hashable] | None = None,
    *,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    columns: roles.Columns | None = None,
    duplicates: Duplicates = "last",
) -> Answers:
    """Read a long format with one probability column per class beside ``task`` and ``worker``.

    Parameters
    ----------
    data : pandas DataFrame, polars DataFrame or LazyFrame, Arrow table, batch or stream; R rows
    classes : sequence of column names, optional
        The probability columns, K of them; every column besides the task's and the worker's if omitted.
    task, worker : hashable, optional
        The names of single columns, as in ``columns``.
    columns : mapping, optional
        What ``task`` and ``worker`` are called here.
    duplicates : 'last', 'first' or 'error'
        As in :meth:`deem_crowd.Answers.from_frame`.

    Returns
    -------
    Answers
        R soft answers, shape (R, K), over N tasks and D workers.

    Raises
    ------
    MissingColumnError, FormError, DataError, ParameterError
    """
    columns = roles.named(columns, task=task, worker=worker)
    if is_place(data):
        from deem_crowd_adapters.files import read_soft_long

        text_classes = None if classes is None else [str(name) for name in classes]
        data, columns = read_soft_long(data, None, text_classes, columns), None
    frame = to_frame(data)
    if columns is not None:
        names = roles.find(list(frame.columns), roles.SOFT, columns)
        frame = frame.rename(columns={name: part for part, name in names.items()})
    return Answers.from_soft_frame(frame, classes, duplicates=duplicates)

"""Recognise what somebody hands in, and call the adapter for it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.data import nested
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import FormError, ParameterError, first_few
from deem_crowd_adapters import arrays, long, reading, roles, wide
from deem_crowd_adapters.kinds import is_arrow, is_place, is_polars

_TAKEN = (
    "Answers; a long table (task, worker, label) of pandas, polars or Arrow; a table of soft answers "
    "(task, worker, one column per class); a wide DataFrame, with format='wide'; an array of labels, "
    "shape (tasks, workers), or of distributions, shape (tasks, classes, workers); a list of dicts; a Hugging Face "
    "Dataset; a path or open file of CSV, TSV, JSON lines or parquet, or what a labelling tool exports"
)


def to_answers(data: Any, *, format: str | None = None, **options: Any) -> Answers:
    """Read answers in any form that is known.

    A file may be an export of a labelling tool, which is recognised by its content (docs/your-data.md lists them).
    Several files, a folder or a pattern become one.

    A frame is never taken for a wide one by guess, since a long frame with other column names looks alike:
    say ``format="wide"``. A frame that was pivoted, whose axes are named task and worker, says so itself.

    Parameters
    ----------
    data
        Answers, which are returned as they are; a pandas, polars or Arrow table in the long format, hard or
        soft; an array or tensor of shape (N, D) or (N, K, D); a path or open file.
    format : str, optional
        The name of an adapter, built in or from a plugin (``deem_crowd.adapters()`` lists them), where
        ``data`` do not speak for themselves.
    options
        Passed on to the adapter, e.g. ``missing="drop"``, ``columns={"worker": "annotator"}``.

    Returns
    -------
    Answers

    Raises
    ------
    FormError
        If nothing known is recognised; the message lists what is.
    ParameterError
        If the adapter does not take one of the options.
    MissingColumnError, DataError, OSError
    """
    if format is not None:
        from deem_crowd.plugins.registry import get_adapter

        return _call(get_adapter(format), data, options)
    if isinstance(data, Answers):
        if options:
            raise ParameterError(
                f"Answers are taken as they are; {first_few(options)} would do nothing."
            )
        return data
    return _call(_adapter(data), data, options)


def _adapter(data: Any) -> Callable[..., Answers]:
    nested.refuse_series(data)
    if isinstance(data, pd.DataFrame) and _is_pivoted(data):
        return wide.from_wide
    if isinstance(data, pd.DataFrame) or is_polars(data) or is_arrow(data):
        return long.from_soft_long if _is_soft(data) else long.from_long
    if is_place(data) or reading.is_several(data):
        return reading.from_file
    if is_dataset(data):
        return _from_dataset
    if isinstance(data, (list, tuple)) and data and all(isinstance(row, dict) for row in data):
        return _from_records
    if isinstance(data, (np.ndarray, list, tuple)) or hasattr(data, "detach"):
        return _for_array(data)
    raise FormError(
        f"a {type(data).__name__} is none of the forms that can be read. Taken: {_TAKEN}."
    )


def _is_pivoted(frame: pd.DataFrame) -> bool:
    """Tell whether a frame comes from ``pivot(index="task", columns="worker")``: its axes say so."""
    return frame.index.name == "task" and frame.columns.name == "worker"


def is_dataset(data: Any) -> bool:
    """Tell whether ``data`` is a ``Dataset`` of Hugging Face, without importing that library for the question."""
    datasets = sys.modules.get("datasets")
    return datasets is not None and isinstance(data, datasets.Dataset)


def _from_dataset(data: Any, **options: Any) -> Answers:
    """Read a Hugging Face dataset with one row an answer."""
    table = data.with_format("arrow")[:]
    return _call(_adapter(table), table, options)


def _from_records(data: Any, **options: Any) -> Answers:
    """Read a list of dicts, one an answer."""
    table = pd.DataFrame(list(data))
    return _call(_adapter(table), table, options)


def _is_soft(table: Any) -> bool:
    """Tell whether a table has task, worker, no label, and two or more columns besides, all floats."""
    floats: dict[Any, bool] = {}
    if isinstance(table, pd.DataFrame):
        kinds = zip(table.columns, table.dtypes, strict=True)
        floats = {name: pd.api.types.is_float_dtype(kind) for name, kind in kinds}
    elif is_polars(table):
        floats = {name: kind.is_float() for name, kind in table.collect_schema().items()}
    else:
        from pyarrow import types

        floats = {
            field.name: types.is_floating(field.type) for field in getattr(table, "schema", ())
        }
    classes = [name for name in floats if name not in roles.SOFT]
    return (
        all(name in floats for name in roles.SOFT)
        and "label" not in floats
        and len(classes) > 1
        and all(floats[name] for name in classes)
    )


def _for_array(data: Any) -> Callable[..., Answers]:
    try:
        array = data if hasattr(data, "ndim") else np.asarray(data)
    except ValueError as error:
        raise FormError(f"the rows are no regular array: {error}. Taken: {_TAKEN}.") from error
    if array.ndim == 3:
        return arrays.from_soft
    numbers = not isinstance(array, np.ndarray) or array.dtype.kind in "iufb"
    if array.ndim == 2 and numbers:
        return arrays.from_dense
    if array.ndim == 2 and array.shape[1] == 3:
        raise FormError(
            "this looks like rows of the long format: pass pd.DataFrame(rows, columns=['task', 'worker', 'label'])."
        )
    raise FormError(
        f"an array of {array.dtype}, shape {tuple(array.shape)}, holds no answers that are known. Taken: {_TAKEN}."
    )


def _call(adapter: Callable[..., Answers], data: Any, options: dict[str, Any]) -> Answers:
    signature = inspect.signature(adapter)
    try:
        signature.bind(data, **options)
    except TypeError as error:
        known = list(signature.parameters)[1:]
        raise ParameterError(
            f"{getattr(adapter, '__name__', adapter)} does not take these options: {error}. "
            f"It takes {first_few(known, 20)}."
        ) from error
    return adapter(data, **options)

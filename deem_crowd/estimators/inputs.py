"""What a caller hands in → Answers: a frame or Answers at once, everything else by the adapter that recognises it."""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import nested
from deem_crowd.data.answers import Answers
from deem_crowd.data.wide import is_frame, is_long
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    ParameterError,
    counted,
    first_few,
)
from deem_crowd.runtime.warning import warn

ANY = "any"
"""The adapter that recognises what it is given; the package of adapters offers it."""

NOTHING = "there is nothing to learn from, and no label to give"


def read(
    data: Any,
    missing: Any,
    duplicates: Any,
    *,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    nothing: str = NOTHING,
) -> Answers:
    """Return answers, whatever they come in.

    Parameters
    ----------
    data
        A long frame of pandas, Answers, or what ``to_answers`` of the adapters takes.
    missing, duplicates
        As in :meth:`Answers.from_frame`.
    task, worker, label : hashable, optional
        What the columns are called, where they are called otherwise.
    nothing : str
        What a warning says follows where a frame holds no answers; there is none if this is empty.

    Raises
    ------
    MissingColumnError, FormError, DataError, ParameterError, OSError
    """
    given = {"task": task, "worker": worker, "label": label}
    columns = {part: name for part, name in given.items() if name is not None}
    if isinstance(data, Answers):
        if columns:
            raise ParameterError(
                f"Answers have no columns, so that {first_few(columns)} would do nothing. Leave them out."
            )
        return data.checked()
    if is_foreign(data):
        how = {"missing": missing, "duplicates": duplicates}
        default = {"missing": "error", "duplicates": "last"}
        options = {name: value for name, value in how.items() if value != default[name]}
        return adapted(data, **options, **columns)
    answers = Answers.from_frame(data, missing=missing, duplicates=duplicates, **columns)  # type: ignore[arg-type]
    if nothing and not answers.n_answers:
        warn(f"the frame holds no answers: {nothing}.", DataWarning)
    return answers


def is_foreign(data: Any) -> bool:
    """Tell whether an adapter reads this: a path, an open file, rows, a table not of pandas, or a pivoted frame."""
    if isinstance(data, pd.DataFrame):
        return data.index.name == "task" and data.columns.name == "worker"
    if isinstance(data, (list, tuple)):
        return len(data) > 0 and all(isinstance(each, (dict, str, os.PathLike)) for each in data)
    return (
        isinstance(data, (str, os.PathLike))
        or hasattr(data, "read")
        or (
            hasattr(data, "__arrow_c_stream__") and not hasattr(data, "dtype")
        )  # a table, no column
        or hasattr(data, "collect_schema")  # a lazy frame
        or type(data).__module__.partition(".")[0] == "datasets"
    )


def opened(predictions: Any) -> Any:
    """Return the answers of files, of rows and of long tables; arrays and wide frames of class numbers as they are."""
    if isinstance(predictions, pd.Series) and predictions.index.nlevels == 2:
        nested.refuse_series(predictions)
    if is_frame(predictions):
        is_table = is_long(predictions) or _is_pivoted_names(predictions)
    else:
        is_table = is_foreign(predictions)
    return adapted(predictions) if is_table else predictions


def _is_pivoted_names(frame: Any) -> bool:
    """Tell whether a frame was pivoted to tasks × workers and holds other labels than class numbers."""
    pivoted = isinstance(frame, pd.DataFrame) and is_foreign(frame)
    return pivoted and not all(kind.kind in "iufb" for kind in frame.dtypes)


def adapted(data: Any, **options: Any) -> Answers:
    """Return what the adapter that recognises anything makes of ``data``."""
    from deem_crowd.plugins.registry import get_adapter

    answers: Answers = get_adapter(ANY)(data, **options)
    return answers


def task_weights(sample_weight: Any, n_tasks: int) -> npt.NDArray[np.float64]:
    """Return the weights of N tasks, shape (N,); 1 each where none are given.

    Raises
    ------
    FormError
        If there is not one for each task.
    DataError
        If they are not numbers, 0 or more, or all 0.
    """
    if sample_weight is None:
        return np.ones(n_tasks)
    if np.shape(sample_weight) != (n_tasks,):
        raise FormError(
            f"sample_weight has shape {np.shape(sample_weight)}; needed is ({n_tasks},), one weight for each task."
        )
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        weights = np.full(n_tasks, np.nan)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        raise DataError(
            f"sample_weight is not a number of 0 or more for {counted(int(wrong.sum()), 'task')}: "
            f"{first_few(np.asarray(sample_weight)[wrong])}. Weights have to be finite numbers, 0 or more."
        )
    if n_tasks and not weights.any():
        raise DataError("sample_weight is 0 for all tasks. Give one of them a weight, or omit it.")
    return weights

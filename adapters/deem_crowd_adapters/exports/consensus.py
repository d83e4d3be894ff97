"""Consensus labels in any form, and what the tasks hold, for the writers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from deem_crowd.exceptions import DataError, FormError, counted, counted_of, first_few

Data: TypeAlias = "pd.DataFrame | pd.Series | Mapping[Any, Any] | None"
"""What tasks hold, by task: columns, one text each, or a dict each."""


class Consensus(NamedTuple):
    """What is known of each of N tasks."""

    tasks: list[Hashable]
    labels: list[Any]
    """None where a task has no label."""
    scores: list[float | None]
    """The probability of the label; None where only labels were given."""
    probas: pd.DataFrame | None
    """Shape (N, K)."""


def consensus_of(result: Any) -> Consensus:
    """Return labels and scores of whatever was given."""
    if not isinstance(result, (pd.DataFrame, pd.Series)):
        probas = getattr(result, "probas_", None)
        probas = getattr(result, "labels_", None) if probas is None else probas
        if not isinstance(probas, (pd.DataFrame, pd.Series)):
            raise FormError(
                "expected probabilities (a DataFrame: tasks × classes), labels (a Series by task) or a fitted "
                f"aggregator, got {type(result).__name__}."
            )
        result = probas
    tasks = [plain(task) for task in result.index]
    twice = result.index[result.index.duplicated()]
    if len(twice):
        raise DataError(
            f"{counted(len(twice), 'task stands', 'tasks stand')} in several rows ({first_few(twice)}). Keep one row "
            "a task."
        )
    if isinstance(result, pd.Series):
        labels = [None if gone else plain(v) for v, gone in zip(result, result.isna(), strict=True)]
        return Consensus(tasks, labels, [None] * len(tasks), None)
    if not result.shape[1]:
        raise FormError("the frame of probabilities has no columns; one for each class is needed.")
    try:
        values = result.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise FormError(
            f"the columns {first_few(result.columns)} are no probabilities ({error}). Pass predict_proba's frame, "
            "or a Series of labels."
        ) from error
    known = ~np.isnan(values).any(axis=1)
    odd = result.index[known & ((values < 0) | (values > 1 + 1e-9)).any(axis=1)]
    if len(odd):
        raise DataError(
            f"{counted(len(odd), 'task has', 'tasks have')} probabilities outside of [0, 1] ({first_few(odd)}). Pass "
            "predict_proba's frame."
        )
    best = np.where(known[:, None], values, -1).argmax(axis=1)
    classes = [plain(name) for name in result.columns]
    return Consensus(
        tasks,
        [classes[k] if there else None for k, there in zip(best, known, strict=True)],
        [
            float(values[n, k]) if there else None
            for n, (k, there) in enumerate(zip(best, known, strict=True))
        ],
        result.set_axis(classes, axis=1),
    )


def fields_of(
    data: Data, tasks: list[Hashable], name: str, alone: bool = True
) -> list[dict[str, Any]]:
    """Return what each task holds; its id if nothing is given and ``alone`` is set."""
    if data is None:
        return [{"task": task} if alone else {} for task in tasks]
    if isinstance(data, (pd.DataFrame, pd.Series)) and data.index.has_duplicates:
        raise DataError("data: tasks stand in several rows of the index. Keep one row a task.")
    if isinstance(data, pd.DataFrame):
        rows = [{str(k): plain(v) for k, v in row.items()} for row in data.to_dict("records")]
        by_task = dict(zip(data.index, rows, strict=True))
    elif isinstance(data, (pd.Series, Mapping)):
        by_task = {
            task: {str(k): plain(v) for k, v in value.items()}
            if isinstance(value, Mapping)
            else {name: plain(value)}
            for task, value in data.items()
        }
    else:
        raise FormError(
            f"data: expected a DataFrame, Series or mapping by task, got {type(data).__name__}."
        )
    absent = [task for task in tasks if task not in by_task]
    if absent:
        raise DataError(
            f"data: {counted_of(len(absent), len(tasks), 'task', 'is', 'are')} not in it ({first_few(absent)}). Its "
            "index is the task's id."
        )
    return [by_task[task] for task in tasks]


def plain(value: Any) -> Any:
    """Return a value of numpy or pandas as Python's own; None where it is missing."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if (
        value is None
        or (isinstance(value, float) and value != value)
        or value is pd.NaT
        or value is pd.NA
    ):
        return None
    return value

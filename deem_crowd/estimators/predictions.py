"""What DEEM takes: arrays, wide frames by the names of their columns, and answers by their ids."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.answers import Answers, as_answers
from deem_crowd.data.wide import frame_matrix, is_frame
from deem_crowd.estimators import inputs
from deem_crowd.estimators.files import stored_ids
from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.exceptions import DataError, DataWarning, counted, first_few
from deem_crowd.features.rows import flat
from deem_crowd.runtime.warning import warn

Predictions: TypeAlias = npt.ArrayLike | pd.DataFrame | Answers

COLUMNS = "_columns"
"""The attribute that holds the columns of the frame that was fitted, if it was one."""


def read(
    predictions: Any, n_classes: int | None, warn_empty: tuple[str, ...] = ("task", "worker")
) -> tuple[Answers, pd.Index | None]:
    """Return the answers, and the columns of the frame where they come as one."""
    predictions = inputs.opened(predictions)
    if not is_frame(predictions):
        return as_answers(predictions, n_classes, warn_empty), None
    matrix, columns = frame_matrix(predictions)
    answers = Answers.from_dense(matrix, n_classes, workers=columns, warn_empty=warn_empty)
    return answers, columns


def identified(answers: Answers, predictions: Any) -> Answers:
    """Return the answers of a wide pandas frame with its index as ids of the tasks, and other answers as they are.

    An index that only counts rows, lacks ids or repeats one is not used.
    """
    if not isinstance(predictions, pd.DataFrame):
        return answers
    rows = flat(predictions.index)
    if rows.equals(pd.RangeIndex(len(rows))) or rows.hasnans or not rows.is_unique:
        return answers
    return replace(answers, tasks=rows.rename("task"))


def further(answers: Answers, predictions: Any, before: Answers) -> tuple[Answers, Answers]:
    """Return answers about further tasks, and the earlier answers, with ids for the tasks of both.

    Each row is a new task. Rows without ids go by their number among all rows. If an id occurs again, or the earlier
    rows had none, all rows do.

    Parameters
    ----------
    answers : Answers
        Of an array or a frame.
    predictions : array or DataFrame
        What they were read from.
    before : Answers
    """
    n = before.n_tasks
    numbers = pd.RangeIndex(n, n + answers.n_tasks, name=before.tasks.name)
    ids = identified(answers, predictions).tasks
    if ids is answers.tasks or before.tasks.equals(pd.RangeIndex(n)):
        ids = numbers
    again = ids[ids.isin(before.tasks)]
    if len(again):
        warn(
            f"{counted(len(again), 'row repeats', 'rows repeat')} the id of an earlier row ({first_few(again)}). Each "
            "row is a new task, so tasks go by row number from now on. For more answers to earlier tasks, pass a long "
            "table (task, worker, label).",
            DataWarning,
        )
        ids, before = numbers, replace(before, tasks=pd.RangeIndex(n, name=before.tasks.name))
    return replace(answers, tasks=ids.rename(before.tasks.name)), before


def names_of(columns: pd.Index | None) -> dict[str, Any]:
    """Return the attributes that hold the columns of a frame; scikit-learn's are for names that are text."""
    if columns is None:
        return {}
    texts = len(columns) and all(isinstance(name, str) for name in columns)
    names = {"feature_names_in_": np.array(columns, dtype=object)} if texts else {}
    return {COLUMNS: columns, **names}


def stored_names(reader: Reader, n_workers: int) -> dict[str, Any]:
    """Return the attributes that hold the columns of the frame whose model is in a file; none if it was no frame.

    Raises
    ------
    FormError
    """
    stored = reader.get("columns", dict, optional=True)
    if stored is None:
        return {}
    return names_of(stored_ids.read_index(stored, n_workers, reader, "column"))


def in_order(predictions: Any, state: Mapping[str, Any]) -> Any:
    """Return predictions, but a frame as its matrix with the columns in the order of the fit.

    Parameters
    ----------
    predictions : array, DataFrame or Answers
    state : mapping
        The attributes of a fitted DEEM.

    Raises
    ------
    DataError
        If its columns are others than those of the fit.
    """
    fitted_on: pd.Index | None = state.get(COLUMNS)
    if not is_frame(predictions):
        if "feature_names_in_" in state and not isinstance(predictions, Answers):
            warn(
                "X does not have valid feature names, but DEEM was fitted with feature names: columns are taken by "
                "position.",
                DataWarning,
            )
        return predictions
    matrix, columns = frame_matrix(predictions)
    if fitted_on is None:
        if not columns.equals(pd.RangeIndex(len(columns))):
            warn(
                "X has feature names, but DEEM was fitted without feature names: columns are taken by position.",
                DataWarning,
            )
        return matrix
    place = columns.get_indexer(fitted_on)
    lost = fitted_on[place < 0]
    new = columns[~columns.isin(fitted_on)]
    if len(lost) or len(new):
        listed = [
            f"{text} {counted(len(names), 'column')} ({first_few(names)})"
            for text, names in (("lacks", lost), ("has besides", new))
            if len(names)
        ]
        raise DataError(
            f"the frame has other columns than the one that DEEM was fitted with: it {' and '.join(listed)}. Give "
            "one column per source, NaN or −1 where it did not answer."
        )
    return matrix[:, place]


def by_ids(new: Answers, fitted_on: Answers) -> tuple[Answers, npt.NDArray[np.int64]]:
    """Return answers with the classes of those that were fitted, and the number of each of their workers, −1 for new.

    Raises
    ------
    DataError
        If no worker or no class is known.
    """
    places = []
    for name, ids, known in (
        ("worker", new.workers, fitted_on.workers),
        ("label", new.classes, fitted_on.classes),
    ):
        place = known.get_indexer(ids)
        if len(ids) and not (place >= 0).any():
            raise DataError(
                f"none of the {len(ids)} ids in {name} ({first_few(ids)}) was there in fit, which had "
                f"{first_few(known)}: give the answers the ids of the fitted ones."
            )
        places.append(place.astype(np.int64))
    workers, classes = places
    if (workers < 0).any():
        strangers = new.workers.take(np.flatnonzero(workers < 0))
        warn(
            f"{counted(len(strangers), 'worker was', 'workers were')} not there in fit ({first_few(strangers)}): "
            "each counts as the average worker.",
            DataWarning,
        )
    if np.array_equal(classes, np.arange(fitted_on.n_classes)):
        return new, workers
    lost = int((classes[new.hard_label] < 0).sum()) if not new.is_soft else 0
    if lost:
        unknown = new.classes.take(np.flatnonzero(classes < 0))
        number = counted(lost, "answer gives", "answers give")
        warn(
            f"{number} a class that was not there in fit ({first_few(unknown)}): left out.",
            DataWarning,
        )
    return new.select(classes=(classes, fitted_on.classes)), workers


@contextlib.contextmanager
def of_a_part() -> Iterator[None]:
    """Say what helps where a later part of a stream has sources or classes that the first one did not have.

    Raises
    ------
    DataError
    """
    try:
        yield
    except DataError as error:
        said = str(error)
        if "n_classes=" in said:
            more = (
                "The first call settles the classes: begin with DEEM(n_classes=K), K counting those to come, or fit "
                "all rows at once."
            )
        elif "fitted with" in said:
            more = (
                "The first call settles the sources: begin with a column for each, −1 where it has not answered yet, "
                "or fit all rows at once."
            )
        else:
            raise
        raise DataError(
            f"{said} {more} DEEMAggregator().partial_fit takes new workers and labels at any time."
        ) from error

"""Asking somebody who knows the truth, without losing what they said."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.data.index import is_hashable
from deem_crowd.exceptions import DataError, DeemCrowdError, FormError, counted, first_few


class OracleError(DeemCrowdError, RuntimeError):
    """The oracle failed, or named a label that is none.

    Attributes
    ----------
    record : dict
        All that it said before: from task to label.
    """

    def __init__(self, message: str, record: Mapping[Any, Any]) -> None:
        super().__init__(message)
        self.record = dict(record)


class Oracle:
    """Somebody who is asked about each task once.

    Parameters
    ----------
    source : callable, Series or mapping
        Takes a task and returns its label, None or a missing value where it cannot say; or holds labels by task.
    labels : collection, optional
        The labels that it may name; any if omitted.
    record : dict, optional
        What was said already; every answer is written into it as soon as it is given, so that it holds them even if
        the program is interrupted.
    tasks : collection, optional
        All that it may be asked about. A Series or mapping has to hold the label of one of them at least.
    """

    def __init__(
        self,
        source: Callable[[Any], Any] | pd.Series | Mapping[Any, Any],
        labels: Collection[Hashable] | np.ndarray[Any, Any] | pd.Index | None = None,
        record: MutableMapping[Any, Any] | None = None,
        tasks: Sequence[Any] | pd.Index | None = None,
    ) -> None:
        if isinstance(source, (pd.Series, Mapping)):
            _require_shared(source, tasks)
            source = source.get
        if not callable(source):
            raise FormError(
                f"oracle is a {type(source).__name__}; pass a callable task → label, a Series or a dict."
            )
        if record is not None and not isinstance(record, MutableMapping):
            raise FormError(f"record is a {type(record).__name__}; pass a dict task → label.")
        self.source = source
        self.labels = None if labels is None else set(np.asarray(labels, dtype=object).tolist())
        self.record: MutableMapping[Any, Any] = {} if record is None else record
        strange = [task for task, label in self.record.items() if not self._allowed(label)]
        if strange:
            raise DataError(
                f"record holds {counted(len(strange), 'label')} that the model does not know: "
                f"{first_few(self.record[task] for task in strange)} (tasks {first_few(strange)}). Repair these, or "
                "leave them out."
            )

    def ask(self, tasks: Iterable[Any]) -> dict[Any, Any]:
        """Return what is said about some tasks, from task to label, None where it cannot say.

        Tasks that are in the record are not asked about again.

        Raises
        ------
        OracleError
        """
        return {task: self._one(task) for task in tasks}

    def _one(self, task: Any) -> Any:
        if task in self.record:
            return self.record[task]
        try:
            label = self.source(task)
        except Exception as error:
            raise OracleError(
                f"the oracle failed at task {first_few([task])} ({type(error).__name__}: {error}). The error's "
                f"record holds what it said before: {counted(len(self.record), 'answer')}.",
                self.record,
            ) from error
        if pd.api.types.is_scalar(label) and pd.isna(label):
            label = None
        if not self._allowed(label):
            what = "neither a label nor None"
            if self.labels is not None:
                what = f"none of the labels {first_few(sorted(self.labels, key=str), 10)}"
            raise OracleError(
                f"the oracle said {first_few([label])} about task {first_few([task])}, which is {what}. The error's "
                f"record holds what it said before: {counted(len(self.record), 'answer')}.",
                self.record,
            )
        self.record[task] = label
        return label

    def _allowed(self, label: Any) -> bool:
        if label is None:
            return True
        return is_hashable(label) and (self.labels is None or label in self.labels)


def _require_shared(
    source: pd.Series | Mapping[Any, Any], tasks: Sequence[Any] | pd.Index | None
) -> None:
    """Raise :class:`DataError` if labels are about none of the tasks, as where ids have another dtype."""
    if tasks is None or not len(tasks) or not len(source) or any(task in source for task in tasks):
        return
    said = "Give the labels the ids of the tasks, of the same dtype"
    if isinstance(tasks, range):
        labels = "np.asarray(oracle)" if isinstance(source, pd.Series) else "list(oracle.values())"
        said = (
            f"Tasks are row numbers of X: if the labels are in the order of the rows, pass {labels}"
        )
    raise DataError(
        f"oracle holds {counted(len(source), 'label')}, about none of the {counted(len(tasks), 'task')}: it knows "
        f"{first_few(source.keys())}, and is asked about {first_few(tasks)}. {said}."
    )


def by_row(oracle: Any, n: int | None = None) -> Any:
    """Return an oracle about rows: of a sequence of labels, one a row, the Series of them; others as they are.

    Raises
    ------
    FormError
        If the sequence is not of one dimension, or does not have ``n`` labels.
    """
    if not isinstance(oracle, (np.ndarray, list, tuple)):
        return oracle
    if np.ndim(oracle) != 1 or (n is not None and len(oracle) != n):
        needed = "one label a row" if n is None else f"one label a row of X: ({n},)"
        raise FormError(f"oracle has shape {np.shape(oracle)}; needed is {needed}.")
    return pd.Series(oracle, dtype=object if isinstance(oracle, (list, tuple)) else None)

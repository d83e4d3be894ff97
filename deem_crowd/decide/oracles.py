"""Asking somebody who knows the truth, without losing what they said."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.exceptions import DeemCrowdError, FormError, first_few


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
    """

    def __init__(
        self,
        source: Callable[[Any], Any] | pd.Series | Mapping[Any, Any] | None,
        labels: Collection[Hashable] | np.ndarray[Any, Any] | pd.Index | None = None,
        record: dict[Any, Any] | None = None,
    ) -> None:
        if isinstance(source, (pd.Series, Mapping)):
            source = source.get
        if source is not None and not callable(source):
            raise FormError(
                f"oracle is a {type(source).__name__}; pass a callable task → label, a Series or a dict."
            )
        self.source = source
        self.labels = None if labels is None else set(np.asarray(labels, dtype=object).tolist())
        self.record: dict[Any, Any] = {} if record is None else record

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
        assert self.source is not None
        try:
            label = self.source(task)
        except Exception as error:
            raise OracleError(
                f"the oracle failed at task {task!r} ({type(error).__name__}: {error}). What it said before "
                f"({len(self.record)} answers) stands in the error's record.",
                self.record,
            ) from error
        if label is None or (pd.api.types.is_scalar(label) and pd.isna(label)):
            label = None
        elif self.labels is not None and label not in self.labels:
            raise OracleError(
                f"the oracle said {label!r} about task {task!r}, which is none of the labels "
                f"{first_few(sorted(self.labels, key=str), 10)}. What it said before ({len(self.record)} answers) "
                "stands in the error's record.",
                self.record,
            )
        self.record[task] = label
        return label

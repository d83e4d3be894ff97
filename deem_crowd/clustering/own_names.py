"""Answers whose labels mean something within a source only: one column for each (source, own name)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from deem_crowd.data.answers import Answers
from deem_crowd.data.arrays import warn_if_transposed
from deem_crowd.data.masks import refuse_masked
from deem_crowd.estimators import inputs
from deem_crowd.estimators.naming import under_own_names
from deem_crowd.exceptions import DataError, DataWarning, FormError, first_few
from deem_crowd.plugins.registry import get_adapter
from deem_crowd.runtime.warning import warn

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OwnNames:
    """Who called which task what.

    Attributes
    ----------
    answers : Answers
        N tasks, D sources.
    indicator : csr_matrix, shape (N, C)
        1 where a task was given an own name; C is the number of (source, own name) pairs that occur.
    source, label : integers, shape (C,)
        The source of each column, and the position of its name in ``answers.classes``.
    """

    answers: Answers
    indicator: sparse.csr_matrix
    source: IntArray
    label: IntArray

    @classmethod
    def of(cls, data: Any) -> OwnNames:
        """Read a frame (task, worker, label), a matrix (N, D) with −1 for missing, :class:`Answers`, or a file.

        A frame with a column for each source has its tasks in its index.

        Raises
        ------
        DataError
            If there are no answers, or fewer than two sources gave any.
        FormError
            If the answers are soft.
        """
        answers = _read(data)
        if answers.is_soft:
            raise FormError(
                "own names need hard labels, and these answers are probabilities: take the likeliest class of each."
            )
        if answers.n_answers == 0:
            raise DataError("there are no answers: nothing can be aligned.")
        code = answers.worker.astype(np.int64) * answers.n_classes + answers.hard_label
        columns, first, position = np.unique(code, return_index=True, return_inverse=True)
        # a source's names in the order in which the tasks bring them up: renaming them then changes no tie
        order = np.lexsort((first, columns // answers.n_classes))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        columns, position = columns[order], rank[position]
        shape = (answers.n_tasks, len(columns))
        ones = np.ones(len(code))
        indicator = sparse.csr_matrix((ones, (answers.task, position)), shape=shape)
        own = cls(answers, indicator, columns // answers.n_classes, columns % answers.n_classes)
        if len(np.unique(own.source)) < 2:
            name = answers.workers[own.source[0]]
            raise DataError(
                f"all answers come from one source ({name!r}): names can be matched between two sources or more."
            )
        return own

    def components(self) -> IntArray:
        """Return the connected component of each source that answered, by common tasks, shape (D,); −1 for others."""
        d = self.answers.n_workers
        to_source = sparse.csr_matrix(
            (np.ones(len(self.source)), (np.arange(len(self.source)), self.source)),
            shape=(len(self.source), d),
        )
        given = self.indicator @ to_source
        _, label = sparse.csgraph.connected_components(given.T @ given, directed=False)
        component = np.full(d, -1, dtype=np.int64)
        answered = np.unique(self.source)
        component[answered] = np.unique(label[answered], return_inverse=True)[1]
        return component

    def require_connected(self) -> None:
        """Refuse sources that fall into parts without a common task.

        Raises
        ------
        DataError
            It names a source of each part.
        """
        parts = self._parts()
        if parts:
            raise DataError(
                f"{parts}: names of different parts cannot be matched. Align each part on its own, or add tasks that "
                "both saw."
            )

    def warn_of_parts(self) -> None:
        """Warn where sources fall into parts without a common task: clusters then grow within one of them."""
        parts = self._parts()
        if parts:
            warn(
                f"{parts}: clusters grow within one part only. Cluster each part alone, or add tasks that both saw.",
                DataWarning,
            )

    def _parts(self) -> str:
        component = self.components()
        n = int(component.max()) + 1
        if n == 1:
            return ""
        one_each = [self.answers.workers[np.flatnonzero(component == c)[0]] for c in range(n)]
        return f"the sources fall into {n} parts without a common task (a source of each: {first_few(one_each)})"

    def warn_of_distinct_labels(self) -> None:
        """Warn where all labels are distinct: then no source puts two tasks together."""
        n = self.answers.n_answers
        if len(self.source) == n:
            warn(
                f"all labels are distinct: none of the {n} own names was given to two tasks, so that no source puts "
                "two tasks together, and any partition is as good. Are these ids rather than labels?",
                DataWarning,
            )


def _read(data: Any) -> Answers:
    if isinstance(data, Answers):
        return data
    if inputs.is_foreign(data):
        return inputs.adapted(data)
    if isinstance(data, pd.DataFrame):
        return get_adapter("wide")(data) if _is_wide(data) else Answers.from_frame(data)
    refuse_masked(data, "own names", "Write −1 where an answer is missing: x.filled(-1).")
    matrix = np.asarray(data)
    if matrix.ndim != 2 or matrix.dtype.kind not in "iuf":
        raise FormError(
            "own names are read from a frame (task, worker, label), from Answers, or from a matrix of integers "
            f"(tasks × sources) with −1 for missing; got {type(data).__name__} of shape {matrix.shape} and dtype "
            f"{matrix.dtype}."
        )
    warn_if_transposed(*matrix.shape)
    return under_own_names(matrix)


def _is_wide(frame: pd.DataFrame) -> bool:
    """Tell whether a frame has a column for each source: its index names tasks, or it holds numbers alone."""
    if not {"task", "worker", "label"}.isdisjoint(frame.columns) or frame.empty:
        return False
    numbers = all(kind.kind in "iuf" for kind in frame.dtypes)
    return numbers or frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex)

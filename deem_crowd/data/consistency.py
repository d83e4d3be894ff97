"""What is wrong with answers that were built by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deem_crowd.data.arrays import SOFT_SUM_TOLERANCE
from deem_crowd.data.assembly import in_order

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers


def fault_of(answers: Answers) -> str | None:
    """Return the first inconsistency of answers in words, None if there is none; O(R)."""
    for name, kinds, n_axes in _ARRAYS:
        values = getattr(answers, name)
        if values is None and name in ("label", "soft"):
            continue
        if not isinstance(values, np.ndarray) or values.dtype.kind not in kinds:
            return f"{name} is no array of {'numbers' if name == 'soft' else 'integers'}"
        if values.ndim != n_axes:
            return f"{name} has {values.ndim} axes instead of {n_axes}"
    n, r = answers.n_tasks, answers.n_answers
    pointers = answers.task_ptr
    if (
        len(pointers) != n + 1
        or pointers[0] != 0
        or pointers[-1] != r
        or (np.diff(pointers) < 0).any()
    ):
        return f"task_ptr does not have N + 1 = {n + 1} entries that rise from 0 to R = {r}"
    values = answers.soft if answers.label is None else answers.label
    if (answers.label is None) == (answers.soft is None) or values is None or len(values) != r:
        return "label and soft do not hold R answers, one of the two"
    if _outside(answers.worker, answers.n_workers):
        return f"worker holds numbers outside 0..{answers.n_workers - 1}"
    if answers.label is not None and _outside(answers.label, answers.n_classes):
        return f"label holds numbers outside 0..{answers.n_classes - 1}"
    named = () if answers.__dict__.get(DISTINCT) else _ids(answers)
    if any(ids.has_duplicates for ids in named):
        return "an id stands twice among the tasks, workers or classes"
    if any(ids.hasnans for ids in named):
        return "an id is missing among the tasks, workers or classes"
    if not in_order(answers.worker, answers.task_ptr):
        return "a worker stands twice in a task, or workers of a task are not in ascending order"
    soft = answers.soft
    if soft is not None and not (
        soft.shape[1] == answers.n_classes
        and (soft >= 0).all()
        and (np.abs(soft.sum(axis=1) - 1) <= SOFT_SUM_TOLERANCE).all()
    ):
        return "soft holds rows that are no distribution over the classes"
    return None


DISTINCT = "_ids_are_distinct"
"""An attribute of answers whose ids, which do not change, have been numbered by their values."""


def _ids(answers: Answers) -> tuple[pd.Index, ...]:
    return answers.tasks, answers.workers, answers.classes


_ARRAYS = (("task_ptr", "iu", 1), ("worker", "iu", 1), ("label", "iu", 1), ("soft", "f", 2))
"""The arrays of answers: kinds of dtypes, and how many axes."""


def _outside(numbers: npt.NDArray[Any], n: int) -> bool:
    return bool(len(numbers) and (numbers.min() < 0 or numbers.max() >= n))

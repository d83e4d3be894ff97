"""What is wrong with answers that were built by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deem_crowd.data.arrays import SOFT_SUM_TOLERANCE

if TYPE_CHECKING:
    from deem_crowd.data.answers import Answers


def fault_of(answers: Answers) -> str | None:
    """Return the first inconsistency of answers in words, None if there is none; O(R)."""
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
    if any(ids.has_duplicates for ids in (answers.tasks, answers.workers, answers.classes)):
        return "an id stands twice among the tasks, workers or classes"
    key = answers.task.astype(np.int64) * answers.n_workers + answers.worker
    if (key[1:] <= key[:-1]).any():
        return "a worker stands twice in a task, or workers of a task are not in ascending order"
    soft = answers.soft
    if soft is not None and not (
        soft.shape[1] == answers.n_classes
        and (soft >= 0).all()
        and (np.abs(soft.sum(axis=1) - 1) <= SOFT_SUM_TOLERANCE).all()
    ):
        return "soft holds rows that are no distribution over the classes"
    return None


def _outside(numbers: npt.NDArray[Any], n: int) -> bool:
    return bool(len(numbers) and (numbers.min() < 0 or numbers.max() >= n))

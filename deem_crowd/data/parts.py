"""Some of the answers, or the same answers over other workers or classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.assembly import V, pointers

Coded = tuple[npt.NDArray[np.integer[Any]], pd.Index]
"""Numbers, and the Index that they point into."""


def selected(
    answers: V,
    tasks: slice | npt.NDArray[Any] | None = None,
    workers: Coded | None = None,
    classes: Coded | None = None,
    rows: npt.NDArray[np.bool_] | None = None,
) -> V:
    """Return a part; see :meth:`deem_crowd.Answers.select`."""
    if isinstance(tasks, slice) and workers is None and classes is None and rows is None:
        start, stop, step = tasks.indices(answers.n_tasks)
        if step == 1:
            return _between(answers, start, max(start, stop))
    task, worker, label, soft = answers.task, answers.worker, answers.label, answers.soft
    keep = np.ones(answers.n_answers, dtype=bool) if rows is None else rows.copy()
    task_index, worker_index, class_index = answers.tasks, answers.workers, answers.classes
    if tasks is not None:
        chosen = np.arange(answers.n_tasks)[tasks]
        place = np.full(answers.n_tasks, -1, dtype=np.int32)
        place[chosen] = np.arange(len(chosen), dtype=np.int32)
        task, task_index = place[task], answers.tasks.take(chosen)
        keep &= task >= 0
    if workers is not None:
        worker, worker_index = workers[0].astype(np.int32)[worker], workers[1].rename("worker")
        keep &= worker >= 0
    if classes is not None:
        number, class_index = classes[0], classes[1].rename("label")
        if soft is None:
            label = number.astype(np.int32)[answers.hard_label]
            keep &= label >= 0
        else:
            spread = np.zeros((answers.n_answers, len(class_index)))
            spread[:, number[number >= 0]] = soft[:, number >= 0]
            soft, keep = spread, keep & (spread.sum(axis=1) > 0)
    picked: npt.NDArray[Any] | slice = slice(None) if keep.all() else np.flatnonzero(keep)
    key = task.astype(np.int64)[picked] * len(worker_index) + worker[picked]
    if (key[1:] < key[:-1]).any():
        picked = np.arange(answers.n_answers)[picked][np.argsort(key, kind="stable")]
    return type(answers)(
        task_ptr=pointers(task[picked], len(task_index)),
        worker=worker[picked],
        label=None if label is None else label[picked],
        soft=None if soft is None else soft[picked],
        tasks=task_index,
        workers=worker_index,
        classes=class_index,
    )


def _between(answers: V, start: int, stop: int) -> V:
    """Return the answers to tasks start:stop as views, in O(1) beside the ids."""
    part = slice(int(answers.task_ptr[start]), int(answers.task_ptr[stop]))
    return type(answers)(
        task_ptr=answers.task_ptr[start : stop + 1] - answers.task_ptr[start],
        worker=answers.worker[part],
        label=None if answers.label is None else answers.label[part],
        soft=None if answers.soft is None else answers.soft[part],
        tasks=answers.tasks[start:stop],
        workers=answers.workers,
        classes=answers.classes,
    )

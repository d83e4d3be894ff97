"""Answers and more answers → all of them, by a merge of what stands in order already."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index as ids
from deem_crowd.data.assembly import Duplicates, V, assembled
from deem_crowd.data.lookup import followed_by
from deem_crowd.exceptions import DataError, FormError, counted, first_few


def merged(old: V, new: V, duplicates: Duplicates) -> V:
    """Return both; see :meth:`deem_crowd.Answers.extended`."""
    if old.is_soft != new.is_soft:
        raise FormError(
            "labels and probabilities cannot be put together: turn the labels into probabilities first, or fit "
            "with one of the two."
        )
    task, tasks = _united(old.tasks, new.tasks, "task")
    worker, workers = _united(old.workers, new.workers, "worker")
    scaled = _on_one_scale(old.classes, new.classes)
    label, classes = _united(*scaled, "label")
    rank = np.arange(len(classes), dtype=np.int32)
    ordered_now = _scale(old.classes) is None and _scale(scaled[0]) is not None
    if ordered_now or (
        not old.is_soft and len(classes) > old.n_classes
    ):  # each goes where it belongs
        order = ids.sorted_order(classes)
        rank[order] = np.arange(len(classes), dtype=np.int32)
        classes = classes.take(order)
    key = old.task.astype(np.int64) * len(workers) + old.worker
    coming_task, coming_worker = task[new.task], worker[new.worker]
    coming = coming_task * len(workers) + coming_worker
    order = np.argsort(coming, kind="stable")
    place = np.searchsorted(key, coming[order])
    here = place < len(key)
    again = bool((key[place[here]] == coming[order][here]).any())

    def joined(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([a, b]) if again else np.insert(a, place, b[order], axis=0)

    label_codes = soft = None
    if old.soft is not None and new.soft is not None:
        first = rank[: old.n_classes]
        soft = joined(_spread(old.soft, first, classes), _spread(new.soft, rank[label], classes))
    else:
        label_codes = joined(rank[old.hard_label], rank[label[new.hard_label]])
    all_workers = joined(old.worker, coming_worker.astype(np.int32))
    if again:  # which answer stands is settled where it always is
        all_tasks = np.concatenate([old.task, coming_task])
        return assembled(
            type(old),
            (all_tasks, tasks),
            (all_workers, workers),
            None if label_codes is None else (label_codes, classes),
            soft=None if soft is None else (soft, classes),
            classes=classes,
            duplicates=duplicates,
        )
    lengths = np.bincount(coming_task, minlength=len(tasks))
    lengths[: old.n_tasks] += np.diff(old.task_ptr)
    index = np.int32 if len(all_workers) < 2**31 - 1 else np.int64
    task_ptr: npt.NDArray[Any] = np.zeros(len(tasks) + 1, dtype=index)
    np.cumsum(lengths, out=task_ptr[1:])
    return type(old)(task_ptr, all_workers, label_codes, soft, tasks, workers, classes)


def _on_one_scale(old: pd.Index, new: pd.Index) -> tuple[pd.Index, pd.Index]:
    """Return both sets of classes on the longer of their scales, if some are ordered; else as they are.

    Raises
    ------
    DataError
        If the scales contradict each other, or a class has no place on the only one.
    """
    before, now = _scale(old), _scale(new)
    if old.dtype == new.dtype or (before is None and now is None):
        return old, new
    remedy = (
        "Pass an ordered categorical with all steps in their order: df['label'] = pd.Categorical(df['label'], "
        "[…], ordered=True)."
    )
    if before is not None and now is not None:
        scale, shorter = sorted((before, now), key=len, reverse=True)
        place = scale.get_indexer(shorter)
        if (place < 0).any() or (place[1:] < place[:-1]).any():
            raise DataError(
                "column 'label' has other steps than the answers before, or has them in another order: "
                f"{first_few(now, 10)}; before: {first_few(before, 10)}. {remedy}"
            )
    else:
        column = "column 'label'", new, "The answers before have", before
        answers = "the answers before", old, "Column 'label' has", now
        who, others, said, scale = column if now is None else answers
        strange = scale.get_indexer(pd.Index(others.astype(object))) < 0
        if strange.any():
            hold = "holds" if now is None else "hold"
            raise DataError(
                f"{who} {hold} {counted(int(strange.sum()), 'label')} outside the scale: "
                f"{first_few(others[strange])}. {said} {first_few(scale, 10)}. {remedy}"
            )
    dtype = pd.CategoricalDtype(scale, ordered=True)
    on_scale = [pd.CategoricalIndex(one.astype(object), dtype=dtype) for one in (old, new)]
    return on_scale[0], on_scale[1]


def _scale(classes: pd.Index) -> Any:
    """Return the steps of ordered classes; None of others."""
    if isinstance(classes, pd.CategoricalIndex) and classes.ordered:
        return classes.categories
    return None


def _united(old: pd.Index, new: pd.Index, name: str) -> tuple[npt.NDArray[np.int64], pd.Index]:
    """Return where each of ``new`` stands in the union, and the union: old ones first."""
    ids.refuse_collisions(old, new, name)
    place = old.get_indexer(new).astype(np.int64)
    strange = np.flatnonzero(place < 0)
    place[strange] = len(old) + np.arange(len(strange))
    union = followed_by(old, new.take(strange)) if len(strange) else old
    return place, union.rename(name)


def _spread(
    soft: npt.NDArray[np.float64], columns: npt.NDArray[np.integer[Any]], classes: pd.Index
) -> npt.NDArray[Any]:
    """Return distributions over some classes, shape (R, K), as distributions over all."""
    wide = np.zeros((len(soft), len(classes)))
    wide[:, columns] = soft
    return wide

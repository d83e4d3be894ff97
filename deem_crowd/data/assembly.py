"""Coded answers → stored by task: classes in order, rows sorted, repeated answers settled."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index as ids
from deem_crowd.data.views import Views
from deem_crowd.exceptions import DataError, DataWarning, ParameterError, counted, first_few
from deem_crowd.runtime.warning import warn

Duplicates = Literal["error", "last", "first"]
Missing = Literal["error", "drop"]
Values = npt.NDArray[Any]
V = TypeVar("V", bound=Views)

_FEW = 8
"""Answers of a task up to which rows are put in order by comparing them."""


def assembled(
    kind: type[V],
    task: tuple[Values, pd.Index],
    worker: tuple[Values, pd.Index],
    label: tuple[Values, pd.Index] | None = None,
    *,
    soft: tuple[npt.NDArray[np.float64], pd.Index] | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
    label_column: Hashable = "label",
) -> V:
    """Return answers whose columns are coded; see :meth:`deem_crowd.Answers.from_codes`."""
    check_choice("missing", missing, ("error", "drop"))
    check_choice("duplicates", duplicates, ("error", "last", "first"))
    (task_codes, tasks), (worker_codes, workers) = task, worker
    worker_codes = worker_codes.astype(np.int32, copy=False)
    if soft is not None:
        values, label_index = soft[0], named(soft[1], "label")
    elif label is not None:
        values, label_index = class_codes(*label, classes)
    else:
        raise ParameterError("from_codes takes label=(codes, index) or soft=(values, index).")
    given = values >= 0 if soft is None else np.ones(len(values), dtype=bool)
    if not given.all():
        absent = np.flatnonzero(~given)
        if missing == "error":
            raise DataError(
                f"column '{label_column}' is missing in {len(absent)} of {len(given)} rows (rows "
                f"{first_few(absent)}). Drop those rows, or pass missing='drop' to leave them out."
            )
        task_codes, worker_codes, values = task_codes[given], worker_codes[given], values[given]
    ptr, worker_codes, values = _by_task(
        task_codes, worker_codes, values, tasks, workers, duplicates
    )
    return kind(
        task_ptr=ptr,
        worker=worker_codes.astype(np.int32, copy=False),
        label=values.astype(np.int32, copy=False) if soft is None else None,
        soft=None if soft is None else values,
        tasks=named(tasks, "task"),
        workers=named(workers, "worker"),
        classes=label_index,
    )


def _by_task(
    task: Values,
    worker: Values,
    values: Values,
    tasks: pd.Index,
    workers: pd.Index,
    duplicates: Duplicates,
) -> tuple[Values, Values, Values]:
    """Return pointers, workers and values of the answers by (task, worker), where repeated answers are settled.

    Parameters
    ----------
    task, worker : integers, shape (R,)
    values : labels, shape (R,), or distributions, shape (R, K)
    tasks, workers : Index
    duplicates : 'last', 'first' or 'error'

    Raises
    ------
    DataError
        If answers repeat a pair with another label and ``duplicates`` is 'error'.
    """
    given = task, worker, values
    if (task[1:] < task[:-1]).any():
        ptr, by_task = ids.counting_sort(task, len(tasks))
        worker, values = worker[by_task], values[by_task]
    else:
        ptr = pointers(task, len(tasks))
    if in_order(worker, ptr):
        return ptr, worker, values
    worker, values = _within_tasks(worker, values, ptr, len(workers))
    if in_order(worker, ptr):
        return ptr, worker, values
    task, worker, values = given
    # Two stable counting sorts: of equal pairs the first row has to come first.
    _, by_worker = ids.counting_sort(worker, len(workers))
    _, by_task = ids.counting_sort(task[by_worker], len(tasks))
    order = by_worker[by_task]
    key = (task.astype(np.int64) * len(workers) + worker)[order]
    repeated = key[1:] == key[:-1]
    order = order[_settled(order, repeated, values, (task, worker), (tasks, workers), duplicates)]
    return pointers(task[order], len(tasks)), worker[order], values[order]


def in_order(worker: Values, ptr: Values) -> bool:
    """Tell whether the workers of each task ascend, none of them twice; shapes (R,) and (N + 1,)."""
    rises = worker[1:] > worker[:-1]
    rises[_ends(ptr, len(worker))] = True
    return bool(rises.all())


def _ends(ptr: Values, n_rows: int) -> Values:
    """Return the rows, but the last, that end a task, given where tasks begin."""
    ends = ptr[1:-1] - 1
    if len(ends) and not 0 <= ends[0] <= ends[-1] < n_rows - 1:
        ends = ends[(ends >= 0) & (ends < n_rows - 1)]
    return ends


def _within_tasks(
    worker: Values, values: Values, ptr: Values, n_workers: int
) -> tuple[Values, Values]:
    """Return workers and values, those of each task in ascending order of workers; equal workers come in any order.

    Where tasks have few answers each row is compared with the few that follow. Else these are the rows of a sparse
    matrix, whose columns scipy sorts within each row. Both are fast where answers come task by task.
    """
    longest = int(np.diff(ptr).max(initial=0))
    if longest <= _FEW:
        place = np.arange(len(worker))
        place += _moves(worker, ptr, longest)
        ordered = np.empty_like(worker), np.empty_like(values)
        ordered[0][place], ordered[1][place] = worker, values
        return ordered
    from scipy import sparse

    labels = values.ndim == 1
    content = values.copy() if labels else np.arange(len(worker), dtype=ptr.dtype)
    rows = sparse.csr_array(
        (content, worker.astype(ptr.dtype), ptr), shape=(len(ptr) - 1, n_workers)
    )
    rows.sort_indices()
    return rows.indices, rows.data if labels else values[rows.data]


def _moves(worker: Values, ptr: Values, longest: int) -> npt.NDArray[np.int8]:
    """Return how far each row moves within its task, which has so many at most, to come in order, shape (R,)."""
    moves = np.zeros(len(worker), dtype=np.int8)
    following = np.ones(max(len(worker) - 1, 0), dtype=bool)
    following[_ends(ptr, len(worker))] = False
    together = following
    for step in range(1, min(longest, len(worker))):
        if step > 1:
            together = together[:-1] & following[step - 1 :]
        passed = together & (worker[:-step] > worker[step:])
        moves[:-step] += passed.view(np.int8)
        moves[step:] -= passed.view(np.int8)
    return moves


def pointers(task: Values, n_tasks: int) -> Values:
    """Return where the answers of each task begin, shape (N + 1,), given sorted tasks, shape (R,)."""
    index: type[np.signedinteger[Any]] = np.int32 if len(task) < 2**31 - 1 else np.int64
    task_ptr = np.zeros(n_tasks + 1, dtype=index)
    begins = np.flatnonzero(task[1:] != task[:-1])
    if len(begins) == n_tasks - 1 and len(task):  # each task has answers
        task_ptr[1:-1] = begins
        task_ptr[1:-1] += 1
        task_ptr[-1] = len(task)
    else:
        np.cumsum(np.bincount(task, minlength=n_tasks), out=task_ptr[1:])
    return task_ptr


def class_codes(
    codes: npt.NDArray[Any], labels: pd.Index, classes: Sequence[Hashable] | pd.Index | None
) -> tuple[npt.NDArray[Any], pd.Index]:
    """Bring label codes from order of appearance to the canonical order, or to the given classes."""
    if classes is None:
        order = ids.sorted_order(labels)
        index = labels.take(order)
        rank = np.empty(len(labels) + 1, dtype=np.int32)
        rank[order] = np.arange(len(labels), dtype=np.int32)
    else:
        check_ids("classes", classes, len(classes))
        index = named(classes, "label")
        rank = np.append(ids.class_places(index, labels), -1).astype(np.int32)
        unknown = np.flatnonzero(rank[:-1] < 0)
        if len(unknown):
            rows = int(np.isin(codes, unknown).sum())
            raise DataError(
                f"column 'label' holds {counted(len(unknown), 'label')} in {counted(rows, 'row')} outside the known "
                f"classes: {first_few(labels.take(unknown))}. Known classes: {first_few(index, 10)}."
            )
    rank[-1] = -1  # where codes of missing labels point
    return rank.take(codes, mode="wrap"), index


_RUNS = (
    " On average there are {:.1f} answers a pair: if they are runs of a judge, or answers to several questions, name "
    "a worker for each run and a task for each question (docs/judges.md, Several criteria, several runs)."
)


_MANY = 10
"""Fewer answers that repeat a pair are not taken for runs."""


def _settled(
    order: Values,
    repeated: npt.NDArray[np.bool_],
    values: Values,
    codes: tuple[Values, Values],
    names: tuple[pd.Index, pd.Index],
    duplicates: Duplicates,
) -> npt.NDArray[np.bool_]:
    """Return which of the sorted rows to keep where (task, worker) pairs repeat; warn or raise."""
    before, after = order[:-1][repeated], order[1:][repeated]
    differs = values[before] != values[after]
    if values.ndim == 2:
        differs = differs.any(axis=1)
    n_other = int(differs.sum())
    n_same = len(differs) - n_other
    n_pairs = len(order) - len(differs)
    runs = _RUNS.format(len(order) / n_pairs) if len(differs) >= max(n_pairs, _MANY) else ""
    if n_other:
        rows = after[differs]
        tasks, workers = (
            index.take(column[rows]) for index, column in zip(names, codes, strict=True)
        )
        pairs = zip(tasks, workers, strict=True)
        shown = first_few([f"task {t}, worker {w}" for t, w in pairs], 3)
        number = counted(n_other, "answer repeats", "answers repeat")
        message = f"{number} a (task, worker) pair with another label ({shown})"
        if duplicates == "error":
            raise DataError(
                f"{message}. Keep one answer of each pair, or pass duplicates='last' or 'first'."
            )
        warn(
            f"{message}: the {duplicates} one counts. If rows or files are not in the order of time, sort them first."
            f"{runs}",
            DataWarning,
        )
    if n_same:
        warn(
            f"{counted(n_same, 'answer repeats', 'answers repeat')} a (task, worker) pair with the same label: "
            "each counts once.",
            DataWarning,
        )
    edge = np.ones(1, dtype=bool)
    if duplicates == "first":
        return np.concatenate([edge, ~repeated])
    return np.concatenate([~repeated, edge])


def named(values: Sequence[Hashable] | pd.Index, name: str) -> pd.Index:
    """Return ids as an Index of this name."""
    index = values if isinstance(values, pd.Index) else pd.Index(list(values), tupleize_cols=False)
    return index.rename(name)


def check_ids(name: str, values: Sequence[Hashable] | pd.Index | None, length: int) -> None:
    """Refuse ids for an axis that are too many or too few, missing, or there twice."""
    if values is None:
        return
    index = named(values, name)
    if len(index) != length:
        raise ParameterError(
            f"{name} holds {counted(len(index), 'id')} for {counted(length, 'place')} of the array."
        )
    if index.hasnans:
        raise ParameterError(
            f"{name} holds {counted(int(np.count_nonzero(index.isna())), 'missing value')}. Name each."
        )
    if index.has_duplicates:
        again = index[index.duplicated()].unique()
        raise ParameterError(f"{name} holds values twice: {first_few(again)}.")


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise :class:`ParameterError` if a parameter's value is not one of those allowed."""
    if value not in allowed:
        raise ParameterError(f"{name}={value!r} is not one of {first_few(allowed)}.")

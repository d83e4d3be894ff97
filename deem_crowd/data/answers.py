"""Answers: who said what about which task, stored once, by task, in O(answers) memory."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index as ids
from deem_crowd.data.arrays import checked_soft, matrix_classes, numeric_array, whole_numbers
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingColumnError,
    ParameterError,
    first_few,
)
from deem_crowd.memory import require

if TYPE_CHECKING:
    import torch

Duplicates = Literal["error", "last", "first"]
Missing = Literal["error", "drop"]
COLUMNS = ("task", "worker", "label")


@dataclass(frozen=True, eq=False, repr=False)
class Answers:
    """The answers of D workers about N tasks, each one of K classes or a distribution over them.

    An answer that was not given is not stored: it is no class, no vote and no count.

    Attributes
    ----------
    task_ptr : integers, shape (N + 1,)
        Answers ``task_ptr[n]:task_ptr[n + 1]`` belong to task ``n``.
    worker : int32, shape (R,)
        Who gave each answer, 0..D-1. Within a task each worker occurs at most once, in ascending order.
    label : int32, shape (R,), or None
        The class answered, 0..K-1; None if the answers are soft.
    soft : float64, shape (R, K), or None
        The distribution answered; rows sum to 1.
    tasks, workers, classes : Index, lengths N, D, K
        The caller's own ids, in his dtype, named ``task``, ``worker`` and ``label``. Tasks and workers stand in
        order of first appearance, classes in canonical order (sorted where they can be).
    """

    task_ptr: npt.NDArray[np.integer[Any]]
    worker: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32] | None
    soft: npt.NDArray[np.float64] | None
    tasks: pd.Index
    workers: pd.Index
    classes: pd.Index

    # ------------------------------------------------------------------ sizes

    @property
    def n_tasks(self) -> int:
        """N."""
        return len(self.tasks)

    @property
    def n_workers(self) -> int:
        """D."""
        return len(self.workers)

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.classes)

    @property
    def n_answers(self) -> int:
        """R."""
        return len(self.worker)

    @property
    def is_soft(self) -> bool:
        """Whether answers are distributions over the classes."""
        return self.soft is not None

    @property
    def hard_label(self) -> npt.NDArray[np.int32]:
        """The labels, shape (R,), of answers that are not soft.

        Raises
        ------
        FormError
            If the answers are soft.
        """
        if self.label is None:
            raise FormError("soft answers have no labels; use one_hot() or soft.")
        return self.label

    @property
    def task(self) -> npt.NDArray[np.int32]:
        """The task of each answer, shape (R,)."""
        return np.repeat(np.arange(self.n_tasks, dtype=np.int32), np.diff(self.task_ptr))

    def __repr__(self) -> str:
        kind = "soft answers" if self.is_soft else "answers"
        return (
            f"Answers({self.n_answers:,} {kind}, {self.n_tasks:,} tasks, {self.n_workers:,} workers, "
            f"{self.n_classes:,} classes)"
        )

    # --------------------------------------------------------------- building

    @classmethod
    def from_frame(
        cls,
        data: pd.DataFrame,
        *,
        missing: Missing = "error",
        duplicates: Duplicates = "last",
        classes: Sequence[Hashable] | pd.Index | None = None,
    ) -> Answers:
        """Read crowd-kit's long format: one row an answer, columns ``task``, ``worker``, ``label``.

        Parameters
        ----------
        data : DataFrame, R rows
            Other columns, the order of the columns and the index do not matter.
        missing : 'error' or 'drop'
            What to do with rows whose label is missing. A task all of whose labels are dropped stays, without
            answers. A missing task or worker is always an error.
        duplicates : 'last', 'first' or 'error'
            Which answer stands when a worker answered a task more than once with different labels. The same
            label twice is one answer. Either is said in a :class:`DataWarning`, with the count.
        classes : sequence, optional
            The label space, where it is wider than what was answered or its order matters.

        Raises
        ------
        MissingColumnError, FormError, DataError, ParameterError
        """
        columns = require_columns(data)
        task, worker, label = (columns[name] for name in COLUMNS)
        for name in ("task", "worker"):
            absent = ids.missing_rows(columns[name])
            if len(absent):
                raise DataError(
                    f"column '{name}' is missing in {len(absent)} of {len(data)} rows (rows "
                    f"{first_few(absent)}). Drop or repair those rows: df.dropna(subset=['{name}'])."
                )
        task_codes, tasks = ids.factorize(task, "task")
        worker_codes, workers = ids.factorize(worker, "worker")
        label_codes, labels = ids.factorize(label, "label")
        return cls.from_codes(
            (task_codes, tasks),
            (worker_codes, workers),
            (label_codes, labels),
            missing=missing,
            duplicates=duplicates,
            classes=classes,
        )

    @classmethod
    def from_codes(
        cls,
        task: tuple[npt.NDArray[Any], pd.Index],
        worker: tuple[npt.NDArray[Any], pd.Index],
        label: tuple[npt.NDArray[Any], pd.Index],
        *,
        missing: Missing = "error",
        duplicates: Duplicates = "last",
        classes: Sequence[Hashable] | pd.Index | None = None,
    ) -> Answers:
        """Build from columns that are coded already: each as codes, shape (R,), and what they stand for.

        Parameters
        ----------
        task, worker : (integers, Index)
            Codes into the Index, none of them negative.
        label : (integers, Index)
            −1 where it is missing.
        missing, duplicates, classes
            As in :meth:`from_frame`.

        Raises
        ------
        DataError, ParameterError
        """
        _choice("missing", missing, ("error", "drop"))
        (task_codes, tasks), (worker_codes, workers) = task, worker
        label_codes, label_index = _classes(*label, classes)
        given = label_codes >= 0
        if not given.all():
            absent = np.flatnonzero(~given)
            if missing == "error":
                raise DataError(
                    f"column 'label' is missing in {len(absent)} of {len(given)} rows (rows "
                    f"{first_few(absent)}). Drop those rows, or pass missing='drop' to leave them out."
                )
            task_codes, worker_codes = task_codes[given], worker_codes[given]
            label_codes = label_codes[given]
        return cls._assemble(
            task_codes, worker_codes, label_codes, None, tasks, workers, label_index, duplicates
        )

    @classmethod
    def from_parquet(
        cls,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        missing: Missing = "error",
        duplicates: Duplicates = "last",
        classes: Sequence[Hashable] | pd.Index | None = None,
    ) -> Answers:
        """Read the long format from parquet files, piece by piece: never all rows' ids at once.

        Memory follows 12 bytes an answer and the distinct ids, whatever the ids are.

        Parameters
        ----------
        paths : path, or list of paths
            Files, folders of ``*.parquet``, or patterns such as ``'answers-*.parquet'``; read in the order of their
            names.
        missing, duplicates, classes
            As in :meth:`from_frame`; the last of repeated answers is the one in the last row of the last file.

        Raises
        ------
        MissingColumnError, FormError, DataError, ParameterError, FileNotFoundError
        """
        from deem_crowd.data.parquet import read_columns

        task, worker, label = read_columns(paths)
        return cls.from_codes(
            task, worker, label, missing=missing, duplicates=duplicates, classes=classes
        )

    def extended(self, new: Answers, *, duplicates: Duplicates = "last") -> Answers:
        """Return these answers and others together; ids are united, old ones first, classes in canonical order.

        A merge: what stands in order already is not sorted again.

        Parameters
        ----------
        new : Answers
            Hard ones or soft ones, as these are.
        duplicates : 'last', 'first' or 'error'
            Where a worker answers a task again: the new answer stands, the old one, or neither.

        Raises
        ------
        FormError
            If one of the two is soft and the other is not.
        DataError
            If ids of one collide with ids of the other (1 and '1').
        """
        from deem_crowd.data.merging import merged

        _choice("duplicates", duplicates, ("error", "last", "first"))
        return merged(self, new, duplicates)

    @classmethod
    def from_soft_frame(
        cls,
        data: pd.DataFrame,
        classes: Sequence[Hashable] | None = None,
        *,
        duplicates: Duplicates = "last",
    ) -> Answers:
        """Read a long format with one probability column per class beside ``task`` and ``worker``.

        Parameters
        ----------
        data : DataFrame, R rows
        classes : sequence of column names, optional
            The probability columns, K of them; every column besides ``task`` and ``worker`` if omitted.
        duplicates : 'last', 'first' or 'error'
            As in :meth:`from_frame`.

        Raises
        ------
        MissingColumnError, FormError, DataError
        """
        columns = require_columns(data, ("task", "worker"))
        names: list[Hashable] = (
            [c for c in data.columns if c not in ("task", "worker")]
            if classes is None
            else list(classes)
        )
        absent = [c for c in names if c not in data.columns]
        if absent or not names:
            raise MissingColumnError(
                f"no probability columns {first_few(absent)}: found columns {first_few(data.columns, 20)}. "
                "One column per class is needed."
            )
        times = Counter(names) + Counter(data.columns)  # once asked for, once there
        twice = [c for c in names if times[c] != 2 or c in ("task", "worker")]
        if twice:
            raise FormError(
                f"probability columns {first_few(dict.fromkeys(twice))} stand twice, or are the task's or worker's. "
                "Name each class once in classes=[...]."
            )
        for name in ("task", "worker"):
            rows = ids.missing_rows(columns[name])
            if len(rows):
                raise DataError(
                    f"column '{name}' is missing in {len(rows)} of {len(data)} rows (rows {first_few(rows)}). "
                    f"Drop or repair those rows: df.dropna(subset=['{name}'])."
                )
        try:
            values = data[names].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise FormError(
                f"the probability columns {first_few(names)} are not all numbers: {error}. "
                "Name the probability columns in classes=[...]."
            ) from error
        values = checked_soft(values, "row")
        task_codes, tasks = ids.factorize(columns["task"], "task")
        worker_codes, workers = ids.factorize(columns["worker"], "worker")
        given = ~np.isnan(values[:, 0])
        return cls._assemble(
            task_codes[given],
            worker_codes[given],
            None,
            values[given],
            tasks,
            workers,
            pd.Index(names, name="label", tupleize_cols=False),
            duplicates,
        )

    @classmethod
    def from_dense(
        cls,
        predictions: npt.ArrayLike,
        n_classes: int | None = None,
        *,
        tasks: pd.Index | None = None,
        workers: pd.Index | None = None,
        classes: Sequence[Hashable] | pd.Index | None = None,
        warn_empty: tuple[str, ...] = ("task", "worker"),
    ) -> Answers:
        """Read a matrix of labels.

        Parameters
        ----------
        predictions : integers, shape (N, D)
            Entry (n, i) is the class 0..K-1 that worker i gave task n, −1 where he gave none.
        n_classes : int, optional
            K. Without it K is the largest label + 1 and every label up to it must occur.
        tasks, workers, classes : Index, optional
            Ids for the rows, the columns and the labels; 0, 1, 2 … if omitted.
        warn_empty : tuple of 'task', 'worker'
            Of which to warn where they have no answers.

        Raises
        ------
        FormError
            If this is not a matrix, or looks like the long format.
        DataError
            If entries are not whole numbers in −1..K-1.
        """
        matrix = whole_numbers(predictions)
        n_tasks, n_workers = matrix.shape
        _check_ids("tasks", tasks, n_tasks)
        _check_ids("workers", workers, n_workers)
        if classes is not None:
            _check_ids("classes", classes, len(classes))
            n_classes = len(classes)
        matrix_n_classes = matrix_classes(matrix, n_classes)
        given = matrix >= 0
        task_codes, worker_codes = np.nonzero(given)
        _warn_empty(given, "column", warn_empty)
        return cls._assemble(
            task_codes,
            worker_codes,
            matrix[given],
            None,
            pd.RangeIndex(n_tasks) if tasks is None else tasks,
            pd.RangeIndex(n_workers) if workers is None else workers,
            pd.RangeIndex(matrix_n_classes) if classes is None else classes,
            "error",
        )

    @classmethod
    def from_soft(
        cls,
        predictions: npt.ArrayLike,
        n_classes: int | None = None,
        *,
        tasks: pd.Index | None = None,
        workers: pd.Index | None = None,
        classes: Sequence[Hashable] | pd.Index | None = None,
        warn_empty: tuple[str, ...] = ("task", "worker"),
    ) -> Answers:
        """Read an array of distributions.

        Parameters
        ----------
        predictions : floats, shape (N, K, D)
            ``[n, :, i]`` is worker i's distribution over the K classes for task n; all zeros or all NaN where
            he gave none. Sums within 1e-3 of 1 are normalised.
        n_classes : int, optional
            K, checked against the array.
        tasks, workers, classes : Index, optional
            Ids for the three axes; 0, 1, 2 … if omitted.
        warn_empty : tuple of 'task', 'worker'
            Of which to warn where they have no answers.

        Raises
        ------
        FormError, DataError
        """
        array = numeric_array(predictions)
        if array.ndim != 3:
            raise FormError(
                f"soft predictions have axes (tasks, classes, workers); this array has shape {array.shape}."
            )
        n_tasks, k, n_workers = array.shape
        if classes is not None:
            n_classes = len(classes)
        if n_classes is not None and n_classes != k:
            raise DataError(
                f"soft predictions of shape {array.shape} have {k} classes on axis 1, but n_classes={n_classes}."
            )
        _check_ids("tasks", tasks, n_tasks)
        _check_ids("workers", workers, n_workers)
        _check_ids("classes", classes, k)
        rows = array.transpose(0, 2, 1).reshape(n_tasks * n_workers, k).astype(np.float64)
        rows = checked_soft(rows, "slice", array)
        given = ~np.isnan(rows[:, 0]) if k else np.zeros(len(rows), dtype=bool)
        task_codes, worker_codes = np.divmod(np.flatnonzero(given), max(n_workers, 1))
        grid = given.reshape(n_tasks, n_workers)
        _warn_empty(grid, "slice", warn_empty)
        return cls._assemble(
            task_codes,
            worker_codes,
            None,
            rows[given],
            pd.RangeIndex(n_tasks) if tasks is None else tasks,
            pd.RangeIndex(n_workers) if workers is None else workers,
            pd.RangeIndex(k) if classes is None else classes,
            "error",
        )

    @classmethod
    def _assemble(
        cls,
        task: npt.NDArray[Any],
        worker: npt.NDArray[Any],
        label: npt.NDArray[Any] | None,
        soft: npt.NDArray[np.float64] | None,
        tasks: pd.Index,
        workers: pd.Index,
        classes: Sequence[Hashable] | pd.Index,
        duplicates: Duplicates,
    ) -> Answers:
        """Sort coded answers by (task, worker), settle repeated ones, and store them."""
        _choice("duplicates", duplicates, ("error", "last", "first"))
        # Two stable counting sorts; both are skipped where the rows stand in order already.
        order: npt.NDArray[Any] | None = None
        key = task.astype(np.int64) * len(workers) + worker
        if len(key) and not (key[1:] > key[:-1]).all():
            _, by_worker = ids.counting_sort(worker, len(workers))
            _, by_task = ids.counting_sort(task[by_worker], len(tasks))
            order = by_worker[by_task]
            key = key[order]
            repeated = key[1:] == key[:-1]
            if repeated.any():
                keep = _settle(
                    order, repeated, label, soft, task, worker, tasks, workers, duplicates
                )
                order = order[keep]
        if order is not None:
            task, worker = task[order], worker[order]
            label = None if label is None else label[order]
            soft = None if soft is None else soft[order]
        index: type[np.signedinteger[Any]] = np.int32 if len(task) < 2**31 - 1 else np.int64
        task_ptr = np.zeros(len(tasks) + 1, dtype=index)
        np.cumsum(np.bincount(task, minlength=len(tasks)), out=task_ptr[1:])
        return cls(
            task_ptr=task_ptr,
            worker=worker.astype(np.int32, copy=False),
            label=None if label is None else label.astype(np.int32, copy=False),
            soft=soft,
            tasks=_named(tasks, "task"),
            workers=_named(workers, "worker"),
            classes=_named(classes, "label"),
        )

    # ------------------------------------------------------------------ views

    def dense(self) -> torch.Tensor:
        """Return the (N, D) int64 tensor of labels with −1 for missing.

        Raises
        ------
        FormError
            If the answers are soft: use :meth:`one_hot`.
        MemoryNeedError
            If N·D entries do not fit: this view is for models that need it, nothing here does.
        """
        import torch

        label = self.hard_label
        require(
            self.n_tasks * self.n_workers * 8,
            f"a dense matrix of {self.n_tasks:,} tasks × {self.n_workers:,} workers",
            "Work on the answers themselves (task_ptr, worker, label).",
        )
        matrix = torch.full((self.n_tasks, self.n_workers), -1, dtype=torch.int64)
        cells = self.task.astype(np.int64) * self.n_workers + self.worker
        matrix.view(-1)[torch.from_numpy(cells)] = torch.from_numpy(label.astype(np.int64))
        return matrix

    def one_hot(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Return the (N, K, D) tensor of answers, zeros for missing; soft answers as they are.

        Parameters
        ----------
        dtype : torch dtype, optional
            float32 if omitted.

        Raises
        ------
        MemoryNeedError
        """
        import torch

        kind = torch.float32 if dtype is None else dtype
        n, k, d = self.n_tasks, self.n_classes, self.n_workers
        require(
            n * k * d * kind.itemsize,
            f"a dense tensor of {n:,} tasks × {k:,} classes × {d:,} workers",
            "Work on the answers themselves (task_ptr, worker, label).",
        )
        array = torch.zeros((n, k, d), dtype=kind)
        task, worker = torch.from_numpy(self.task).long(), torch.from_numpy(self.worker).long()
        if self.soft is not None:
            array[task, :, worker] = torch.from_numpy(self.soft).to(kind)
        else:
            array[task, torch.from_numpy(self.hard_label).long(), worker] = 1
        return array

    def to_frame(self) -> pd.DataFrame:
        """Return the long format, R rows by task: ``task``, ``worker`` and ``label``.

        Soft answers give one probability column per class instead of ``label``. Tasks and workers without
        answers have no row.
        """
        ids_ = {
            "task": self.tasks.take(self.task),
            "worker": self.workers.take(self.worker),
        }
        if self.label is not None:
            return pd.DataFrame({**ids_, "label": self.classes.take(self.label)})
        frame = pd.DataFrame(ids_)
        soft = pd.DataFrame(self.soft, columns=pd.Index(list(self.classes), tupleize_cols=False))
        return pd.concat([frame, soft], axis=1)


# -------------------------------------------------------------------- helpers


def _named(values: Sequence[Hashable] | pd.Index, name: str) -> pd.Index:
    index = values if isinstance(values, pd.Index) else pd.Index(list(values), tupleize_cols=False)
    return index.rename(name)


def _check_ids(name: str, values: Sequence[Hashable] | pd.Index | None, length: int) -> None:
    """Refuse ids for an axis that are too many or too few, missing, or there twice."""
    if values is None:
        return
    index = _named(values, name)
    if len(index) != length:
        raise ParameterError(f"{name} holds {len(index)} ids for {length} places of the array.")
    if index.hasnans:
        raise ParameterError(
            f"{name} holds {int(np.count_nonzero(index.isna()))} missing values. Name each."
        )
    if index.has_duplicates:
        again = index[index.duplicated()].unique()
        raise ParameterError(f"{name} holds values twice: {first_few(again)}.")


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ParameterError(f"{name}={value!r} is not one of {first_few(allowed)}.")


def _warn_empty(given: npt.NDArray[np.bool_], column: str, wanted: tuple[str, ...]) -> None:
    """Warn of rows and columns of ``given``, shape (N, D), without answers."""
    kinds = (
        ("task", "row", 1, "gets a missing label"),
        ("worker", column, 0, "counts as an average worker"),
    )
    for what, where, axis, then in kinds:
        positions = np.flatnonzero(~given.any(axis=axis))
        if what in wanted and len(positions) and len(given):
            warnings.warn(
                f"{len(positions)} {what}{'s' if len(positions) > 1 else ''} without answers "
                f"({where} {first_few(positions)}): each {then}.",
                DataWarning,
                stacklevel=5,
            )


def require_columns(data: pd.DataFrame, names: Sequence[str] = COLUMNS) -> dict[str, pd.Series]:
    """Return the columns asked for, or say which are missing and what to call instead.

    Raises
    ------
    FormError
        If this is no DataFrame, or a column stands there more than once.
    MissingColumnError
        If a column is not there.
    """
    if not isinstance(data, pd.DataFrame):
        raise FormError(
            f"expected a DataFrame with columns {first_few(names)}, got {type(data).__name__}. "
            "For arrays use deem_crowd.DEEM, for other tables and files deem_crowd_adapters."
        )
    absent = [name for name in names if name not in data.columns]
    if absent:
        in_index = [name for name in absent if name in data.index.names]
        if in_index:
            hint = f"{first_few(in_index)} is in the index: call df.reset_index() first."
        elif len(absent) == len(names) and data.shape[1] > 1:
            hint = (
                "For a wide frame (one row a task, one column a worker) use "
                "deem_crowd_adapters.from_wide(df)."
            )
        else:
            hint = "Rename the columns: df.rename(columns={…: '" + absent[0] + "'})."
        raise MissingColumnError(
            f"missing columns {first_few(absent)}; found {first_few(data.columns, 20)}. {hint}"
        )
    columns: dict[str, pd.Series] = {}
    for name in names:
        column = data[name]
        if not isinstance(column, pd.Series):
            raise FormError(
                f"column '{name}' stands {column.shape[1]} times in the frame. Keep one of them."
            )
        columns[name] = column
    return columns


def _classes(
    codes: npt.NDArray[Any], found: pd.Index, classes: Sequence[Hashable] | pd.Index | None
) -> tuple[npt.NDArray[Any], pd.Index]:
    """Bring label codes from order of appearance to the canonical order, or to the given classes."""
    if classes is None:
        order = ids.sorted_order(found)
        index = found.take(order)
        rank = np.empty(len(found) + 1, dtype=np.int32)
        rank[order] = np.arange(len(found), dtype=np.int32)
    else:
        _check_ids("classes", classes, len(classes))
        index = _named(classes, "label")
        rank = np.append(index.get_indexer(found), -1).astype(np.int32)
        unknown = np.flatnonzero(rank[:-1] < 0)
        if len(unknown):
            rows = int(np.isin(codes, unknown).sum())
            raise DataError(
                f"column 'label' holds {len(unknown)} labels in {rows} rows that are not among the classes: "
                f"{first_few(found.take(unknown))}. Known classes: {first_few(index, 10)}."
            )
    rank[-1] = -1  # where codes of missing labels point
    return rank[codes], index


def _settle(
    order: npt.NDArray[Any],
    repeated: npt.NDArray[np.bool_],
    label: npt.NDArray[Any] | None,
    soft: npt.NDArray[Any] | None,
    task: npt.NDArray[Any],
    worker: npt.NDArray[Any],
    tasks: pd.Index,
    workers: pd.Index,
    duplicates: Duplicates,
) -> npt.NDArray[np.bool_]:
    """Return which of the sorted rows to keep where (task, worker) pairs repeat; warn or raise."""
    before, after = order[:-1][repeated], order[1:][repeated]
    if label is not None:
        differs = label[before] != label[after]
    elif soft is not None:
        differs = (soft[before] != soft[after]).any(axis=1)
    else:
        differs = np.ones(len(before), dtype=bool)
    n_other = int(differs.sum())
    n_same = len(differs) - n_other
    if n_other:
        rows = after[differs]
        pairs = zip(tasks.take(task[rows]), workers.take(worker[rows]), strict=True)
        shown = first_few([f"task {t}, worker {w}" for t, w in pairs], 3)
        message = f"{n_other} answers repeat a (task, worker) pair with another label ({shown})"
        if duplicates == "error":
            raise DataError(
                f"{message}. Keep one answer of each pair, or pass duplicates='last' or 'first'."
            )
        warnings.warn(f"{message}: the {duplicates} one counts.", DataWarning, stacklevel=5)
    if n_same:
        warnings.warn(
            f"{n_same} answers repeat a (task, worker) pair with the same label: each counts once.",
            DataWarning,
            stacklevel=5,
        )
    edge = np.ones(1, dtype=bool)
    if duplicates == "first":
        return np.concatenate([edge, ~repeated])
    return np.concatenate([~repeated, edge])

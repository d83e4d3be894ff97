"""Answers: who said what about which task, stored once, by task, in O(answers) memory."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import arrays, frames
from deem_crowd.data.assembly import Duplicates as Duplicates
from deem_crowd.data.assembly import Missing as Missing
from deem_crowd.data.assembly import (
    check_choice,
    class_codes,
    named,
    pointers,
    sorted_rows,
)
from deem_crowd.exceptions import DataError, FormError, ParameterError, first_few
from deem_crowd.memory import require

if TYPE_CHECKING:
    import torch

Coded = tuple[npt.NDArray[np.integer[Any]], pd.Index]
"""Numbers, and the Index that they point into."""


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
        The caller's own ids, in their dtype, named ``task``, ``worker`` and ``label``. Tasks and workers stand in
        order of first appearance, classes in canonical order (sorted where they can be).

    Examples
    --------
    >>> import pandas as pd
    >>> from deem_crowd import Answers
    >>> rows = [["t1", "ann", "cat"], ["t1", "bob", "dog"], ["t2", "ann", "dog"]]
    >>> answers = Answers.from_frame(pd.DataFrame(rows, columns=["task", "worker", "label"]))
    >>> answers
    Answers(3 answers, 2 tasks, 2 workers, 2 classes)
    >>> answers.dense().tolist()
    [[0, 1], [1, -1]]
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
        task: Hashable = "task",
        worker: Hashable = "worker",
        label: Hashable = "label",
        missing: Missing = "error",
        duplicates: Duplicates = "last",
        classes: Sequence[Hashable] | pd.Index | None = None,
    ) -> Answers:
        """Read crowd-kit's long format: one row an answer, columns ``task``, ``worker``, ``label``.

        Parameters
        ----------
        data : DataFrame, R rows
            Other columns, the order of the columns and the index do not matter.
        task, worker, label : hashable
            The names of the three columns, where they are called otherwise.
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
        from deem_crowd.data.doubts import warn_of_doubts

        names = {"task": task, "worker": worker, "label": label}
        answers = cls.from_codes(
            *frames.long_codes(data, names), missing=missing, duplicates=duplicates, classes=classes
        )
        warn_of_doubts(answers, classes_given=classes is not None)
        return answers

    @classmethod
    def from_codes(
        cls,
        task: tuple[npt.NDArray[Any], pd.Index],
        worker: tuple[npt.NDArray[Any], pd.Index],
        label: tuple[npt.NDArray[Any], pd.Index] | None = None,
        *,
        soft: tuple[npt.NDArray[np.float64], pd.Index] | None = None,
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
        soft : (floats, Index), in place of ``label``
            Distributions, shape (R, K), whose rows sum to 1, and their K classes.
        missing, duplicates, classes
            As in :meth:`from_frame`.

        Raises
        ------
        DataError, ParameterError
        """
        check_choice("missing", missing, ("error", "drop"))
        check_choice("duplicates", duplicates, ("error", "last", "first"))
        (task_codes, tasks), (worker_codes, workers) = task, worker
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
                    f"column 'label' is missing in {len(absent)} of {len(given)} rows (rows "
                    f"{first_few(absent)}). Drop those rows, or pass missing='drop' to leave them out."
                )
            task_codes, worker_codes, values = task_codes[given], worker_codes[given], values[given]
        order = sorted_rows(task_codes, worker_codes, values, tasks, workers, duplicates)
        if order is not None:
            task_codes, worker_codes, values = task_codes[order], worker_codes[order], values[order]
        return cls(
            task_ptr=pointers(task_codes, len(tasks)),
            worker=worker_codes.astype(np.int32, copy=False),
            label=values.astype(np.int32, copy=False) if soft is None else None,
            soft=None if soft is None else values,
            tasks=named(tasks, "task"),
            workers=named(workers, "worker"),
            classes=label_index,
        )

    @classmethod
    def from_parquet(
        cls,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        task: str = "task",
        worker: str = "worker",
        label: str = "label",
        where: Any = None,
        missing: Missing = "error",
        duplicates: Duplicates = "last",
        classes: Sequence[Hashable] | pd.Index | None = None,
    ) -> Answers:
        """Read the long format from parquet files, piece by piece: never all rows' ids at once.

        Memory follows 12 bytes an answer and the distinct ids, whatever the ids are.

        Parameters
        ----------
        paths : path, or list of paths
            Files, folders of ``*.parquet``, or patterns such as ``'answers-*.parquet'``, local or by URI (``s3://``,
            ``gs://``, ``abfss://``, what fsspec knows); read in the order of their names. Folders named ``key=value``
            are columns.
        task, worker, label : str
            What the columns are called.
        where : pyarrow.dataset.Expression, optional
            The rows to read, such as ``pyarrow.dataset.field("year") == 2026``.
        missing, duplicates, classes
            As in :meth:`from_frame`; the last of repeated answers is the one in the last row of the last file.

        Raises
        ------
        MissingColumnError, FormError, DataError, ParameterError, FileNotFoundError
        """
        from deem_crowd.data.doubts import warn_of_doubts
        from deem_crowd.data.parquet import read_columns

        names = {"task": task, "worker": worker, "label": label}
        answers = cls.from_codes(
            *read_columns(paths, names, where),
            missing=missing,
            duplicates=duplicates,
            classes=classes,
        )
        warn_of_doubts(answers, classes_given=classes is not None)
        return answers

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

        check_choice("duplicates", duplicates, ("error", "last", "first"))
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
        task, worker, soft = frames.soft_codes(data, classes)
        return cls.from_codes(task, worker, soft=soft, duplicates=duplicates)

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
            Entry (n, i) is the class 0..K-1 that worker i gave task n, −1 where they gave none.
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
        task, worker, label = arrays.hard_codes(
            predictions, n_classes, (tasks, workers, classes), warn_empty
        )
        return cls.from_codes(task, worker, label, classes=label[1], duplicates="error")

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
            they gave none. Sums within 1e-3 of 1 are normalised.
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
        task, worker, soft = arrays.soft_codes(
            predictions, n_classes, (tasks, workers, classes), warn_empty
        )
        return cls.from_codes(task, worker, soft=soft, duplicates="error")

    # ------------------------------------------------------------------- parts

    def select(
        self,
        *,
        tasks: slice | npt.NDArray[Any] | None = None,
        workers: Coded | None = None,
        classes: Coded | None = None,
        rows: npt.NDArray[np.bool_] | None = None,
    ) -> Answers:
        """Return some of the answers, or the same answers over other workers or classes.

        Parameters
        ----------
        tasks : slice, or integers or booleans over N, optional
            The tasks to keep, in this order.
        workers, classes : (integers of shape (D,) or (K,), Index), optional
            The new numbers of the workers or classes, and the Index that they point into. Answers of a worker or with
            a class numbered −1 are left out; a soft answer keeps the probabilities of the other classes, and is left
            out if all of them are zero.
        rows : booleans, shape (R,), optional
            The answers to keep. Their tasks, workers and classes stay.

        Returns
        -------
        Answers
        """
        if isinstance(tasks, slice) and workers is None and classes is None and rows is None:
            start, stop, step = tasks.indices(self.n_tasks)
            if step == 1:
                return self._between(start, max(start, stop))
        task, worker, label, soft = self.task, self.worker, self.label, self.soft
        keep = np.ones(self.n_answers, dtype=bool) if rows is None else rows.copy()
        task_index, worker_index, class_index = self.tasks, self.workers, self.classes
        if tasks is not None:
            chosen = np.arange(self.n_tasks)[tasks]
            place = np.full(self.n_tasks, -1, dtype=np.int32)
            place[chosen] = np.arange(len(chosen), dtype=np.int32)
            task, task_index = place[task], self.tasks.take(chosen)
            keep &= task >= 0
        if workers is not None:
            worker, worker_index = workers[0].astype(np.int32)[worker], workers[1].rename("worker")
            keep &= worker >= 0
        if classes is not None:
            number, class_index = classes[0], classes[1].rename("label")
            if soft is None:
                label = number.astype(np.int32)[self.hard_label]
                keep &= label >= 0
            else:
                spread = np.zeros((self.n_answers, len(class_index)))
                spread[:, number[number >= 0]] = soft[:, number >= 0]
                soft, keep = spread, keep & (spread.sum(axis=1) > 0)
        picked: npt.NDArray[Any] | slice = slice(None) if keep.all() else np.flatnonzero(keep)
        key = task.astype(np.int64)[picked] * len(worker_index) + worker[picked]
        if (key[1:] < key[:-1]).any():
            picked = np.arange(self.n_answers)[picked][np.argsort(key, kind="stable")]
        return Answers(
            task_ptr=pointers(task[picked], len(task_index)),
            worker=worker[picked],
            label=None if label is None else label[picked],
            soft=None if soft is None else soft[picked],
            tasks=task_index,
            workers=worker_index,
            classes=class_index,
        )

    def _between(self, start: int, stop: int) -> Answers:
        """Return the answers to tasks start:stop as views, in O(1) beside the ids."""
        part = slice(int(self.task_ptr[start]), int(self.task_ptr[stop]))
        return Answers(
            task_ptr=self.task_ptr[start : stop + 1] - self.task_ptr[start],
            worker=self.worker[part],
            label=None if self.label is None else self.label[part],
            soft=None if self.soft is None else self.soft[part],
            tasks=self.tasks[start:stop],
            workers=self.workers,
            classes=self.classes,
        )

    def checked(self) -> Answers:
        """Return these answers if they are consistent; for whoever builds them by hand. Costs O(R).

        Raises
        ------
        DataError
            If pointers fall, numbers point outside the ids, a worker stands twice in a task or out of order, ids
            repeat, or soft answers are no distributions.
        """
        from deem_crowd.data.consistency import fault_of

        fault = fault_of(self)
        if fault is not None:
            raise DataError(
                f"these Answers are inconsistent: {fault}. Build them with Answers.from_codes."
            )
        return self

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


def as_answers(
    predictions: npt.ArrayLike | Answers,
    n_classes: int | None,
    warn_empty: tuple[str, ...] = ("task", "worker"),
) -> Answers:
    """Read integers of shape (N, D), distributions of shape (N, K, D), or take answers as they are."""
    if isinstance(predictions, Answers):
        if n_classes is not None and predictions.n_classes != n_classes:
            raise DataError(
                f"the answers have {predictions.n_classes} classes, but n_classes={n_classes}."
            )
        return predictions.checked()
    try:
        n_axes = getattr(predictions, "ndim", None) or np.asarray(predictions).ndim
    except ValueError:  # ragged: from_dense says so
        n_axes = 2
    if n_axes == 3:
        return Answers.from_soft(predictions, n_classes, warn_empty=warn_empty)
    return Answers.from_dense(predictions, n_classes, warn_empty=warn_empty)

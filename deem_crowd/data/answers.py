"""Answers: who said what about which task, stored once, by task, in O(answers) memory."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import arrays, frames
from deem_crowd.data.assembly import Duplicates as Duplicates
from deem_crowd.data.assembly import Missing as Missing
from deem_crowd.data.assembly import assembled, check_choice
from deem_crowd.data.merging import merged
from deem_crowd.data.parts import Coded, selected
from deem_crowd.data.views import Views
from deem_crowd.exceptions import DataError


@dataclass(frozen=True, eq=False, repr=False)
class Answers(Views):
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
            *frames.long_codes(data, names),
            missing=missing,
            duplicates=duplicates,
            classes=classes,
            label_column=label,
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
        label_column: Hashable = "label",
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
        label_column : hashable
            What messages call the column of labels.

        Raises
        ------
        DataError, ParameterError
        """
        return assembled(
            cls,
            task,
            worker,
            label,
            soft=soft,
            missing=missing,
            duplicates=duplicates,
            classes=classes,
            label_column=label_column,
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
        from deem_crowd.data.consistency import DISTINCT
        from deem_crowd.data.doubts import warn_of_doubts
        from deem_crowd.data.parquet import read_columns

        names = {"task": task, "worker": worker, "label": label}
        answers = cls.from_codes(
            *read_columns(paths, names, where),
            missing=missing,
            duplicates=duplicates,
            classes=classes,
        )
        answers.__dict__[DISTINCT] = True
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
            they gave none. Sums within 1e-3 of 1 are normalised (8e-3 of torch's bfloat16).
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
        return selected(self, tasks, workers, classes, rows)

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

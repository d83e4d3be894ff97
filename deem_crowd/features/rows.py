"""Features in any form a caller has them, as rows that belong to tasks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index as ids
from deem_crowd.data.frames import synonyms
from deem_crowd.data.lookup import as_index, by_column
from deem_crowd.data.masks import refuse_masked
from deem_crowd.data.tensors import of_tensor
from deem_crowd.exceptions import DataError, DataWarning, FormError, counted, first_few
from deem_crowd.runtime.warning import warn


@dataclass(frozen=True)
class Rows:
    """The features of those tasks that have some.

    Attributes
    ----------
    x : array or CSR array, shape (M, p)
    place : integers, shape (M,)
        The task, 0..N-1, of each row.
    n_tasks : int
        N.
    """

    x: Any
    place: npt.NDArray[np.int64]
    n_tasks: int

    def spread(self, values: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return values by row, shape (M, K), as values by task, shape (N, K); ``other`` where there is no row."""
        spread = np.empty((self.n_tasks, values.shape[1]))
        spread[:] = other
        spread[self.place] = values
        return spread


def read(features: Any, tasks: pd.Index) -> Rows:
    """Bring features to tasks.

    Parameters
    ----------
    features : DataFrame, array, scipy sparse matrix or torch tensor
        A frame is indexed by task (a column ``task`` takes precedence over its index); rows may be missing, and rows
        of tasks
        that are not asked about are left out, with a warning. Anything else has one row a task, in the order of
        ``tasks``, and so have tables of polars and Arrow without a column ``task``.
    tasks : Index, length N

    Raises
    ------
    FormError
        If this is no table of numbers.
    DataError
        If rows match no task, a task has two rows, or values are missing or infinite.
    """
    features = in_pandas(features, tasks)
    if isinstance(features, pd.DataFrame):
        return _of_frame(features, tasks)
    x = matrix(features)
    _require_one_each(x.shape[0], tasks)
    return Rows(_finite(x, tasks), np.arange(len(tasks)), len(tasks))


def in_pandas(features: Any, tasks: pd.Index | None = None) -> Any:
    """Return a table of polars or Arrow as a frame; anything else as it is.

    A table without a column ``task`` has one row a task: it gets ``tasks`` as its index. What Arrow keeps of an index
    of pandas comes back.

    Raises
    ------
    DataError
        If there are not as many rows as tasks.
    """
    library = type(features).__module__.partition(".")[0]
    if library not in ("polars", "pyarrow") or not hasattr(type(features), "columns"):
        return features
    frame = (features.collect() if hasattr(features, "collect") else features).to_pandas()
    if "task" not in frame.columns and tasks is not None and isinstance(frame.index, pd.RangeIndex):
        _require_one_each(len(frame), tasks)
        frame.index = tasks
    return frame


def _require_one_each(n_rows: int, tasks: pd.Index) -> None:
    """Raise :class:`DataError` unless rows without ids are as many as the tasks."""
    if n_rows != len(tasks):
        raise DataError(
            f"features have {counted(n_rows, 'row')}, and there {'is' if len(tasks) == 1 else 'are'} "
            f"{counted(len(tasks), 'task')}: without ids there has to be one row a task, "
            "tasks in order of first appearance among the answers. Pass a DataFrame "
            "indexed by task, or a file with a column 'task', instead."
        )


def by_position(features: Any, predictions: Any) -> Any:
    """Return features indexed by the row numbers of the answers, where both are frames with ids in their index.

    All other features are returned as they are.

    Parameters
    ----------
    features : any form of :func:`read`
    predictions : array or DataFrame, N rows
        The answers, a row a task.

    Raises
    ------
    DataError
        If several rows of answers have one id, if the ids of the features are in a column that is not called ``task``,
        or if they equal those of the answers as text only.
    """
    table = in_pandas(features)
    if not (isinstance(table, pd.DataFrame) and isinstance(predictions, pd.DataFrame)):
        return features
    if table is not features and "task" not in table and isinstance(table.index, pd.RangeIndex):
        return features  # polars has no index: its rows have the order of the answers
    features = table
    rows = flat(predictions.index)
    if rows.equals(pd.RangeIndex(len(rows))):
        return features
    _refuse_tasks_in_a_column(features, rows)
    about = flat(as_index(features["task"]) if "task" in features.columns else features.index)
    if not about.isin(rows).any():
        if not about.equals(pd.RangeIndex(len(about))):  # no row numbers either
            _refuse_other_kind(about, rows, "df.index.dtype", "task" in features)
        return features
    twice = rows[rows.duplicated()].unique()
    if len(twice):
        raise DataError(
            f"the index of the answers holds {counted(len(twice), 'id')} more than once ({first_few(twice)}), so that "
            "features cannot be matched by it. If both frames have their rows in the same order, call "
            "reset_index(drop=True) on both."
        )
    place = rows.get_indexer(about)
    there = place >= 0
    if not there.all():
        others = about[~there]
        warn(
            f"features have {counted(len(others), 'row')} for tasks that are not among the answers "
            f"({first_few(others)}): left out. classifier_ predicts labels for them.",
            DataWarning,
        )
    return features.drop(columns="task", errors="ignore")[there].set_axis(place[there])


def flat(index: pd.Index) -> pd.Index:
    """Return ids of several parts as tuples."""
    return index.to_flat_index() if isinstance(index, pd.MultiIndex) else index


def _refuse_tasks_in_a_column(frame: pd.DataFrame, tasks: pd.Index) -> None:
    """Raise if a frame without an index of its own has the tasks in a column that is called like them."""
    if "task" in frame.columns or not isinstance(frame.index, pd.RangeIndex):
        return
    named = [tasks.name] if tasks.name is not None and tasks.name in list(frame.columns) else []
    for name in [*synonyms(frame.columns, ["task"]), *named]:
        if frame[name].is_unique and frame[name].isin(tasks).all():
            raise DataError(
                f"column {name!r} of the features holds tasks, but rows of a frame are matched by its index: pass "
                f"features.set_index({name!r})."
            )


def _refuse_other_kind(about: pd.Index, tasks: pd.Index, dtype: str, column: bool) -> None:
    """Raise if features, whose ids may stand in a column, and answers have ids that read alike, of two kinds."""
    shared = about.isin(tasks).any()
    halved = shared and {about.dtype.kind, tasks.dtype.kind} == {"i", "f"}
    if tasks.dtype == about.dtype or (shared and not halved):
        return
    if halved or pd.Index(about.astype(str)).isin(tasks.astype(str)).any():
        remedy = f".set_axis(features.index.astype({dtype}))"
        if column:
            remedy = f".assign(task=features['task'].astype({dtype}))"
        if about.hasnans:  # which no whole number stands for
            remedy = f"[features.index.notna()].set_axis(features.index.dropna().astype({dtype}))"
            if column:
                remedy = f".dropna(subset='task').astype({{'task': {dtype}}})"
        raise DataError(
            f"features name tasks as {first_few(about, 3)} ({about.dtype}), and the answers as "
            f"{first_few(tasks, 3)} ({tasks.dtype}): give both one dtype, e.g. features{remedy}."
        )


def _of_frame(frame: pd.DataFrame, tasks: pd.Index) -> Rows:
    _refuse_tasks_in_a_column(frame, tasks)
    index = "index"
    if "task" in frame.columns:
        index = "task"
        frame = by_column(frame, "task")
    about = flat(frame.index)
    _refuse_other_kind(about, tasks, "df['task'].dtype", index == "task")
    try:
        ids.refuse_collisions(tasks, about, "task")
    except DataError as error:
        raise DataError(
            f"features name tasks as {first_few(about, 3)}, and the answers as {first_few(tasks, 3)}: {error}"
        ) from None
    twice = about[about.duplicated()]
    if len(twice):
        raise DataError(
            f"features give {counted(len(twice.unique()), 'task')} more than one row: {first_few(twice.unique())}. "
            "Keep one of them."
        )
    row = about.get_indexer(tasks)
    place = np.flatnonzero(row >= 0)
    if not len(tasks):
        raise DataError(
            "there are no answers: classifier_.predict labels things by their features alone."
        )
    if not len(place):
        raise DataError(
            f"none of the {counted(len(frame), 'row')} of features ({first_few(about)}) is about one of the "
            f"{counted(len(tasks), 'task')} ({first_few(tasks)}): index the frame by task, or give it a column 'task'."
        )
    unasked = len(frame) - len(place)
    if unasked:
        others = about[~about.isin(tasks)]
        warn(
            f"features have {counted(unasked, 'row')} for tasks that are not among the answers ({first_few(others)}): "
            "left out. classifier_ predicts labels for them.",
            DataWarning,
        )
    there = frame.iloc[row[place]].infer_objects()
    wrong = [name for name, kind in there.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if wrong:
        is_list = any(isinstance(value, list | np.ndarray) for value in there[wrong[0]].head(1))
        remedy = (
            f"Give each number a column: pd.DataFrame(np.stack(features[{wrong[0]!r}]), features.{index})."
            if is_list
            else "Encode such columns, e.g. by pd.get_dummies, or drop them."
        )
        raise FormError(
            f"features hold {counted(len(wrong), 'column')} without numbers: {first_few(wrong)}. {remedy}"
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        x = matrix(there.to_numpy(dtype=np.float32, na_value=np.nan))
    return Rows(_finite(x, tasks.take(place), there.columns), place, len(tasks))


def names(features: Any) -> list[str] | None:
    """Return the names of the columns of a frame, or None where there are none that tell them apart."""
    if not isinstance(features, pd.DataFrame):
        return None
    found = [name for name in features.columns if name != "task"]
    told = len(set(found)) == len(found) and all(isinstance(name, str) for name in found)
    return found if told else None


def in_order(features: Any, columns: list[str] | None) -> Any:
    """Return the columns of a frame in an order; anything without names as it is.

    Raises
    ------
    DataError
        If the frame has other columns.
    """
    found = names(features)
    if columns is None or found is None or found == columns:
        return features
    lacking, strange = (
        [a for a in b if a not in c] for b, c in ((columns, found), (found, columns))
    )
    if lacking or strange:
        said = [f"lack {first_few(lacking)}"] if lacking else []
        said += (
            [f"have {first_few(strange)} instead" if lacking else f"also have {first_few(strange)}"]
            if strange
            else []
        )
        raise DataError(
            f"features {' and '.join(said)}: they have {counted(len(found), 'column')}, and the model was fitted with "
            f"{len(columns)}. Pass the columns of fit, in any order."
        )
    return features[["task", *columns] if "task" in features.columns else columns]


def matrix(features: Any) -> Any:
    """Return features as a float array or a CSR array, shape (N, p).

    Raises
    ------
    FormError
        If they have another form.
    """
    features = in_pandas(features)
    if isinstance(features, pd.DataFrame):
        features = features.to_numpy()
    if hasattr(features, "detach"):
        features = of_tensor(features, "features")
    if hasattr(features, "tocsr"):
        from scipy import sparse

        return sparse.csr_array(features, dtype=np.float32)
    if isinstance(features, Mapping):
        raise FormError(
            "features are a dict; a table of numbers is needed, one row a task: "
            "pd.DataFrame.from_dict(features, orient='index')."
        )
    if isinstance(features, str | os.PathLike):
        raise FormError(
            f"features are the text {str(features)!r}; read the file first, e.g. pd.read_parquet(path)."
        )
    if hasattr(features, "to_pandas"):
        raise FormError(
            f"features are a {type(features).__name__} of {type(features).__module__.partition('.')[0]}; pass "
            "features.to_pandas(), with a column 'task'."
        )
    refuse_masked(features, "features", "Fill them in: features.filled(…).")
    array = np.asarray(features)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise FormError(
            f"features have shape {array.shape} and dtype {array.dtype}; a table of numbers is needed, one row a task. "
            f"{_as_numbers(array)}."
        )
    if array.shape[1] == 0:
        raise FormError("features have no column. Give at least one, or leave out features=.")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _as_numbers(array: npt.NDArray[Any]) -> str:
    """Say what makes a table of numbers of an array that is none."""
    if array.dtype.kind in "biuf":
        return f"Reshape them: x.reshape({len(array) if array.ndim > 2 else -1}, {-1 if array.ndim > 2 else 1})"
    if array.ndim < 2:
        return "Encode text, e.g. by TfidfVectorizer"
    return "Pass np.asarray(features, dtype=float) if they are numbers; encode text, e.g. by OneHotEncoder"


def _finite(x: Any, tasks: pd.Index, columns: pd.Index | None = None) -> Any:
    values = x if isinstance(x, np.ndarray) else x.data
    if np.isfinite(values).all():
        return x
    row, column = np.nonzero(~np.isfinite(x)) if isinstance(x, np.ndarray) else _not_finite(x)
    bad, wrong = np.unique(row), np.unique(column)
    where = "" if columns is None else f", {first_few(columns.take(wrong))}"
    raise DataError(
        f"features are missing or infinite (as 32-bit numbers) in {counted(len(wrong), 'column')}{where}, for "
        f"{counted(len(bad), 'task')}: {first_few(tasks.take(bad))}. Fill them in, or leave those rows "
        "out: the tasks then go by their answers alone."
    )


def _not_finite(x: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return rows and columns of what is not finite in a CSR array."""
    bad = np.flatnonzero(~np.isfinite(x.data))
    return np.searchsorted(x.indptr, bad, side="right") - 1, x.indices[bad]

"""Wide frames, one row a task and one column a worker → Answers."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers
from deem_crowd.data.doubts import warn_of_counts, warn_of_doubts
from deem_crowd.data.lookup import by_column
from deem_crowd.data.missing import missing_rows
from deem_crowd.data.wide import odd_columns
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    ParameterError,
    counted,
    first_few,
)
from deem_crowd.runtime.warning import warn
from deem_crowd_adapters import roles
from deem_crowd_adapters.kinds import is_place

EXACT_IN_FLOAT = 2**53
"""Up to here float64 holds every whole number."""


class _Cells(NamedTuple):
    """The cells that hold an answer, of the columns of one dtype."""

    row: npt.NDArray[Any]
    column: npt.NDArray[Any]
    label: pd.Series
    n_missing: int


def from_wide(
    frame: Any,
    *,
    task: Hashable | None = None,
    workers: Sequence[Hashable] | None = None,
    classes: Sequence[Hashable] | pd.Index | None = None,
) -> Answers:
    """Read a wide frame: one row a task, one column a worker, NaN where there is no answer.

    Tasks and workers keep their order and stay even if they have no answer. All columns share one label
    space. pandas stores whole numbers beside NaN as floats: where every label is a whole number and answers
    are missing, labels are integers, whichever columns are floats.

    Parameters
    ----------
    frame : DataFrame, shape (N, D), or a path
        The index holds the tasks, or a column does; the other columns are the workers.
    task : hashable, optional
        The column of the tasks; ``task`` where there is such a column, else the index.
    workers : sequence of column names, optional
        The workers; every column besides the task's if omitted. A column whose values are nearly all distinct, or
        that shares no value with the others, is then refused: it holds ids or notes.
    classes : sequence, optional
        The label space, where it is wider than what was answered or its order matters.

    Returns
    -------
    Answers
        R answers by N tasks and D workers, K classes. Beside the frame and R, memory takes two bytes a cell.

    Raises
    ------
    FormError
        If this is no frame, or a long one.
    MissingColumnError
        If a column that was named is not there.
    DataError
        If ids are missing or repeat, labels of different kinds collide, or a column looks like no worker.
    """
    if is_place(frame):
        from deem_crowd_adapters.exports.read import from_export

        return from_export(frame, "wide", task=task, workers=workers, classes=classes)
    named = workers is not None
    frame = _checked_form(frame, task, workers)
    tasks = _ids(frame.index, "task", "index")
    names = _ids(frame.columns, "worker", "columns")
    groups = list(_groups(frame))
    labels = _one_series([g.label for g in groups], sum(g.n_missing for g in groups))
    codes, label_ids = ids.factorize(labels, "label")
    row = np.concatenate([g.row for g in groups] or [np.zeros(0, np.int64)])
    column = np.concatenate([g.column for g in groups] or [np.zeros(0, np.int64)])
    one_hot = False
    if not named:
        _refuse_odd_columns(column, codes, names, len(label_ids))
        one_hot = _warns_one_hot(row, column, codes, label_ids, (tasks, names))
    _warn_empty("task", tasks, np.bincount(row, minlength=len(tasks)), "gets a missing label")
    if len(tasks):
        per_worker = np.bincount(column, minlength=len(names))
        _warn_empty("worker", names, per_worker, "counts as an average worker")
    answers = Answers.from_codes((row, tasks), (column, names), (codes, label_ids), classes=classes)
    warn_of_doubts(answers, classes_given=classes is not None)
    if classes is None and not named and not one_hot:
        warn_of_counts(answers)
    return answers


def _refuse_odd_columns(
    column: npt.NDArray[Any], codes: npt.NDArray[Any], names: pd.Index, n_codes: int
) -> None:
    """Raise if a column with ten answers or more holds ids or notes, to judge by its values beside the others'."""
    odd_one = odd_columns(column, codes, names, n_codes)
    if odd_one is None:
        return
    odd, text = odd_one
    name = names[odd[0]]
    rest = [other for i, other in enumerate(names) if i not in set(odd.tolist())]
    raise DataError(
        f"{text} If it holds the tasks, pass task={name!r}; else name the columns of the workers: "
        f"workers={rest[:3]!r}{'' if len(rest) <= 3 else ' and so on'}."
    )


def _warns_one_hot(
    row: npt.NDArray[Any],
    column: npt.NDArray[Any],
    codes: npt.NDArray[Any],
    labels: pd.Index,
    names: tuple[pd.Index, pd.Index],
) -> bool:
    """Warn, and tell, if each of ten rows or more holds one 1 beside zeros, as one-hot labels of one source do."""
    tasks, workers = names
    if len(tasks) < 10 or sorted(map(str, labels)) not in (["0", "1"], ["False", "True"]):
        return False
    ones = codes == int(str(labels[1]) in ("1", "True"))
    one_hot = bool((np.bincount(row[ones], minlength=len(tasks)) == 1).all())
    one_hot = one_hot and np.ptp(column[ones]) > 0
    if one_hot:
        warn(
            f"each row holds one {labels[codes[ones][0]]} beside zeros, as one-hot labels do: the columns "
            f"({first_few(workers)}) look like classes, and each counts as a worker. If they are classes, "
            "df.idxmax(axis=1) makes the labels of one source of them; if not, name the workers: workers=[…].",
            DataWarning,
        )
    return one_hot


def _checked_form(
    frame: pd.DataFrame, task: Hashable | None, workers: Sequence[Hashable] | None
) -> pd.DataFrame:
    """Return the frame with the tasks as its index and the workers as its columns."""
    if not isinstance(frame, pd.DataFrame):
        raise FormError(
            f"expected a DataFrame (tasks × workers), got {type(frame).__name__}. "
            "For a matrix of labels use deem_crowd_adapters.from_dense(x)."
        )
    names = list(frame.columns)
    if workers is None and all(name in names for name in roles.LONG):
        raise FormError(
            "this frame has columns task, worker and label: it is the long format. Use "
            "deem_crowd_adapters.from_long(df) or DEEMAggregator().fit(df)."
        )
    key: Hashable = "task" if task is None else task
    if task is not None or key in names:
        roles.find(names, ["task"], {"task": key}, where="the frame")
        frame = by_column(frame, key)
    if workers is None:
        return frame
    chosen = list(workers)
    if isinstance(workers, str) or len(set(chosen)) != len(chosen) or key in chosen:
        raise ParameterError(
            f"workers={workers!r} is no list of columns, each once and without the task's. Name each worker's column."
        )
    roles.find(
        list(frame.columns),
        [str(name) for name in chosen],
        dict(zip(map(str, chosen), chosen, strict=True)),
        where="the frame",
    )
    return frame[chosen]


def _ids(index: pd.Index, name: str, where: str) -> pd.Index:
    """Return the ids of one side of the frame, checked: none missing, none twice, none alike."""
    flat = index.to_flat_index() if isinstance(index, pd.MultiIndex) else index
    values = pd.Series(flat, dtype=flat.dtype)
    absent = missing_rows(values)
    if len(absent):
        raise DataError(
            f"the {name} is missing at {len(absent)} of {counted(len(flat), 'place')} of the {where} (positions "
            f"{first_few(absent)}). Name each {name}, or drop what has no name."
        )
    _, taken = ids.factorize(values, name)
    if len(taken) != len(flat):
        again = flat[flat.duplicated()].unique()
        raise DataError(
            f"{counted(len(again), f'{name} occurs', f'{name}s occur')} more than once: {first_few(again)}. In the "
            f"wide format each has one {'row' if name == 'task' else 'column'}; repeated answers need the long format."
        )
    return taken if len(taken) else flat.rename(name)


def _groups(frame: pd.DataFrame) -> Iterator[_Cells]:
    """Take the answers out of the frame, the columns of one dtype at a time."""
    positions: dict[Any, list[int]] = {}
    for position, dtype in enumerate(frame.dtypes):
        positions.setdefault(dtype, []).append(position)
    for dtype, columns in positions.items():
        if isinstance(dtype, np.dtype):
            block = frame if len(columns) == frame.shape[1] else frame.iloc[:, columns]
            values = block.to_numpy()  # one dtype: a view where pandas holds one block
            given = pd.notna(values)
            row, column = np.nonzero(given)
            label = pd.Series(values[given], dtype=dtype)
            yield _Cells(
                row, np.asarray(columns, dtype=np.int64)[column], label, given.size - len(row)
            )
        else:
            rows, labels, sizes = [], [], []
            for position in columns:
                series = frame.iloc[:, position].array
                given = ~np.asarray(pd.isna(series))
                rows.append(np.flatnonzero(given))
                labels.append(pd.Series(series[given]))
                sizes.append(len(rows[-1]))
            label = pd.concat(labels, ignore_index=True)
            if isinstance(dtype, pd.SparseDtype):
                label = pd.Series(label.to_numpy(), dtype=dtype.subtype)
            yield _Cells(
                np.concatenate(rows),
                np.repeat(columns, sizes),
                label,
                len(columns) * len(frame) - len(label),
            )


def _one_series(labels: list[pd.Series], n_missing: int) -> pd.Series:
    """Join the labels of columns of several dtypes into one label space, without losing a digit."""
    labels = [part for part in labels if len(part)] or labels[:1]
    if not labels:
        return pd.Series([], dtype=object)
    if all(pd.api.types.is_numeric_dtype(part) and part.dtype.kind in "iuf" for part in labels):
        if len({part.dtype for part in labels}) == 1 and not isinstance(labels[0].dtype, np.dtype):
            return pd.concat(labels, ignore_index=True)  # all nullable, or all of Arrow
        plain = [pd.Series(part.to_numpy(dtype=_plain(part.dtype))) for part in labels]
        return _one_number(plain, n_missing)
    if len(labels) == 1:
        part = labels[0]
        # True / False / NaN is an object column to pandas; without the NaN it is boolean again.
        return _inferred(part)
    if any(part.dtype != labels[0].dtype for part in labels):
        # pandas would join some kinds into floats; what collides is found among the objects.
        labels = [part.astype(object) for part in labels]
    return _inferred(pd.concat(labels, ignore_index=True))


def _inferred(labels: pd.Series) -> pd.Series:
    """Give objects of one kind their own dtype; integers among floats stay objects, floats would lose digits."""
    if labels.dtype != object or pd.api.types.infer_dtype(labels) == "mixed-integer-float":
        return labels
    return labels.infer_objects()


def _one_number(labels: list[pd.Series], n_missing: int) -> pd.Series:
    floats = [part for part in labels if part.dtype.kind == "f"]
    whole = all(_is_whole(part) for part in floats)
    if floats and whole and (n_missing or len(floats) < len(labels)):
        labels = [part.astype(np.int64) if part.dtype.kind == "f" else part for part in labels]
    if len({part.dtype for part in labels}) == 1:
        return pd.concat(labels, ignore_index=True)
    kinds = {part.dtype.kind for part in labels}
    wide = [part for part in labels if part.dtype.kind in "iu"]
    largest = max((int(part.max()) for part in wide), default=0)
    smallest = min((int(part.min()) for part in wide), default=0)
    common: Any = object
    if "f" not in kinds:
        if largest <= np.iinfo(np.int64).max:
            common = np.int64
        elif smallest >= 0:
            common = np.uint64
    elif max(largest, -smallest) <= EXACT_IN_FLOAT:
        common = np.float64
    return pd.concat([part.astype(common) for part in labels], ignore_index=True)


def _plain(dtype: Any) -> np.dtype[Any]:
    """Return numpy's dtype for a numeric one of pandas or Arrow."""
    return dtype if isinstance(dtype, np.dtype) else np.dtype(dtype.numpy_dtype)


def _is_whole(part: pd.Series) -> bool:
    values = part.to_numpy()
    return bool((np.abs(values) <= EXACT_IN_FLOAT).all() and (values == np.floor(values)).all())


def _warn_empty(what: str, names: pd.Index, counts: npt.NDArray[Any], then: str) -> None:
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        warn(
            f"{len(empty)} {what}{'s' if len(empty) > 1 else ''} without answers "
            f"({first_few(names.take(empty[:6]))}): each {then}.",
            DataWarning,
        )

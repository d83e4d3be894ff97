"""Labels that are known, in any form a caller has them, as a class for each task."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index
from deem_crowd.data.answers import Answers, Duplicates
from deem_crowd.data.lookup import as_index
from deem_crowd.data.masks import refuse_masked
from deem_crowd.data.missing import nan_missing
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingColumnError,
    counted,
    first_few,
)
from deem_crowd.runtime.warning import warn

Gold = pd.Series | Mapping[Any, Any] | pd.DataFrame | None


def pairs(
    gold: pd.Series | Mapping[Any, Any] | pd.DataFrame | None,
    task: Hashable | None = None,
    label: Hashable | None = None,
) -> pd.DataFrame | None:
    """Return known labels as a frame with columns ``task`` and ``label``, whatever form they came in.

    Tables of polars and Arrow are taken as well, and a frame whose index is called ``task``.

    ``task`` and ``label`` are what these columns may be called instead.
    """
    if gold is None:
        return None
    gold = in_pandas(gold)
    if isinstance(gold, pd.DataFrame):
        named = {"task": task, "label": label}
        other = {name: part for part, name in named.items() if part not in gold and name in gold}
        gold = gold.rename(columns=other)
        if not {"task", "label"} <= set(gold.columns):
            raise MissingColumnError(
                "gold as a frame needs columns 'task' and 'label'; found "
                f"{first_few(gold.columns, 20)}. Rename them, or pass a Series of labels whose index is the tasks."
            )
        found = gold[["task", "label"]].reset_index(drop=True)
        return found.assign(label=nan_missing(found["label"]))
    if isinstance(gold, pd.Series):
        tasks, labels = gold.index, gold
    elif isinstance(gold, Mapping):
        tasks = pd.Index(list(gold), tupleize_cols=False)
        labels = pd.Series(list(gold.values()), dtype=None if len(tasks) else object)
    else:
        raise FormError(
            f"gold is a {type(gold).__name__} of unknown order; pass a Series indexed by task, a dict "
            "task → label, or a DataFrame with columns 'task' and 'label'."
            f"{' A file is read by deem_crowd_adapters.read_gold(path).' if isinstance(gold, str) else ''}"
        )
    return pd.DataFrame({"task": tasks.to_series().array, "label": nan_missing(labels).array})


def followed(
    earlier: pd.DataFrame | None, later: pd.DataFrame | None, duplicates: Duplicates
) -> pd.DataFrame | None:
    """Return the known labels of earlier calls and of a later one, frames as :func:`pairs` returns them.

    A later label of a task replaces the earlier one, and a missing one takes it back, unless ``duplicates`` says that
    the first stands or that this is an error.

    Raises
    ------
    DataError, FormError
    """
    if earlier is None or later is None:
        return later if earlier is None else earlier
    if later["task"].dtype == object:
        index.require_hashable(later["task"], "gold (task)")
    earlier = earlier[earlier["label"].notna()]
    if duplicates == "first":
        later = later[~later["task"].isin(earlier["task"])]
    now = later[later["label"].notna()]
    again = earlier["task"].isin(later["task"])
    said = dict(zip(now["task"], now["label"], strict=True))
    old = earlier[again].drop_duplicates()
    changed = [task for task, label in old.to_numpy(object) if task in said and said[task] != label]
    back = [task for task in old["task"] if task not in said]
    if duplicates == "error" and (changed or back):
        raise DataError(
            f"gold changes the known label of {counted(len(changed + back), 'task')}: {first_few(changed + back)}. "
            "Leave them out, or set duplicates='last': a later label then replaces the earlier one."
        )
    if back:
        warn(
            f"gold takes back the known label of {counted(len(back), 'task')}: {first_few(back)}.",
            DataWarning,
        )
    kept = [frame for frame in (earlier[~again], now) if len(frame)]
    return pd.concat(kept, ignore_index=True) if kept else None


def in_pandas(table: Any, id_: str = "task") -> Any:
    """Return a table of polars or Arrow as one of pandas, with a column ``task`` where its index is called so.

    ``id_`` is another name of that column.
    """
    if isinstance(table, pd.Series | Mapping):
        return table
    if (
        not isinstance(table, pd.DataFrame)
        and hasattr(table, "to_pandas")
        and hasattr(table, "columns")
    ):
        table = table.to_pandas()
    if isinstance(table, pd.DataFrame) and id_ not in table and table.index.name == id_:
        return table.reset_index()
    return table


def positions(
    frame: pd.DataFrame | None, answers: Answers, again: bool = False, kept: bool = False
) -> npt.NDArray[np.int64] | None:
    """Return the known class of each task, shape (N,), −1 where unknown.

    With ``again`` these labels were given to the fit, which has warned of tasks that are not among the answers. With
    ``kept`` the labels of such tasks are remembered, and may be of a class that comes with their answers.
    """
    if frame is None:
        return None
    tasks, labels = frame["task"], frame["label"]
    for name, column in (("task", tasks), ("label", labels)):
        if column.dtype == object:
            index.require_hashable(column, f"gold ({name})")
    given = labels.notna().to_numpy()
    position = answers.tasks.get_indexer(pd.Index(tasks.to_numpy()[given], tupleize_cols=False))
    known = as_index(labels[given])
    classes = index.class_places(answers.classes, known)
    unknown = np.flatnonzero((classes < 0) & (position >= 0 if kept else True))
    if len(unknown):
        strange = dict.fromkeys(known.take(unknown))
        raise DataError(
            f"gold holds {counted(len(strange), 'label')} that no worker gave: {first_few(strange)}. "
            f"Labels given: {first_few(answers.classes, 10)}. Correct gold, or leave those tasks out. Where such a "
            "label is right, pass all classes with the answers: deem_crowd.Answers.from_frame(df, classes=[…])."
        )
    elsewhere = np.flatnonzero(position < 0)
    if len(elsewhere) and len(elsewhere) == len(position):
        refuse_other_kind(tasks.to_numpy()[given], answers.tasks)
    if len(elsewhere) and not again:
        none = len(elsewhere) == len(position)
        warn_of_silent(
            tasks.to_numpy()[given][elsewhere], kept, answers.tasks if none and not kept else ()
        )
    here = position >= 0
    gold = np.full(answers.n_tasks, -1, dtype=np.int64)
    gold[position[here]] = classes[here]
    torn = np.flatnonzero(gold[position[here]] != classes[here])
    if len(torn):
        tasks_torn = answers.tasks.take(np.unique(position[here][torn]))
        raise DataError(
            f"gold gives {counted(len(tasks_torn), 'task')} more than one label: {first_few(tasks_torn)}. "
            "Keep one of them."
        )
    return cast("npt.NDArray[np.int64]", gold)


def warn_of_silent(
    tasks: Sequence[Any] | npt.NDArray[Any], kept: bool, others: Sequence[Any] | pd.Index = ()
) -> None:
    """Warn of labels that are known of tasks without answers, of which there is one at least.

    ``kept`` says whether they are remembered. ``others`` are the tasks with answers, where none has a known label.
    """
    until = f" until {'it has' if len(tasks) == 1 else 'they have'} some" if kept else ""
    warn(
        f"gold names {counted(len(tasks), 'task')} without answers here ({first_few(tasks)}): ignored{until}."
        f"{none_of(others)}",
        DataWarning,
    )


def none_of(others: Sequence[Any] | pd.Index) -> str:
    """Say, of known labels none of which is a task's, what the tasks are called; nothing where there are none."""
    if not len(others):
        return ""
    return f" No task with answers is among them: those are called {first_few(others)}. Write ids alike in both."


def refuse_other_kind(gold: npt.NDArray[Any], tasks: pd.Index, name: str = "gold") -> None:
    """Raise :class:`DataError` if ids of gold, none of which is a task's, read like tasks: '7' and 7.

    ``name`` is what messages call it.
    """
    named = {str(task): task for task in tasks}
    alike = [(one, named[str(one)]) for one in gold.tolist() if str(one) in named]
    if alike:
        one, other = alike[0]
        raise DataError(
            f"{name} {'name' if name == 'labels' else 'names'} no task of the answers: the ids are of another kind, "
            f"{one!r} ({type(one).__name__}) where the answers have {other!r} ({type(other).__name__}), and "
            f"{counted(len(alike), 'id')} would match as text. Convert one of them, e.g. to text by .astype(str)."
        )


def _numbered(name: str, answers: Answers) -> str:
    """Say how names of classes become numbers."""
    named = answers.classes.dtype.kind not in "iu"
    order = first_few(answers.classes, 10) if named else "…"
    return f" Names become numbers, in the order of the classes, by pd.Categorical({name}, [{order}]).codes."


def class_vector(values: npt.ArrayLike, answers: Answers, name: str) -> npt.NDArray[np.int64]:
    """Check a vector of classes, shape (N,), −1 where unknown."""
    if hasattr(values, "detach"):  # a tensor, perhaps on another device
        values = values.detach().cpu().numpy()
    if isinstance(values, Mapping):
        raise FormError(
            f"{name} is a dict; here it is a vector with one class per task, −1 where unknown: shape "
            f"({answers.n_tasks},). DEEMAggregator takes a dict task → label."
        )
    refuse_masked(
        values,
        f"classes of {name}",
        f"Write −1 where a class is unknown: {name}.filled(-1).",
    )
    array = np.asarray(values)
    if array.ndim != 1 or len(array) != answers.n_tasks:
        raise FormError(
            f"{name} has shape {array.shape}; one class per task is needed, −1 where unknown: shape "
            f"({answers.n_tasks},)."
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise FormError(
            f"{name} is NaN for {counted(int(np.isnan(array).sum()), 'task')}. Write −1 where a class is unknown: "
            "np.nan_to_num(x, nan=-1)."
        )
    whole = array.dtype.kind in "iub" or (
        array.dtype.kind == "f" and bool(np.isfinite(array).all() and (array % 1 == 0).all())
    )
    if not whole:
        kind = (
            f"continuous values (dtype {array.dtype})"
            if array.dtype.kind == "f"
            else f"dtype {array.dtype}"
        )
        raise FormError(
            f"{name} has {kind}; classes are whole numbers 0..{answers.n_classes - 1}, "
            f"−1 where unknown.{'' if array.dtype.kind == 'f' else _numbered(name, answers)}"
        )
    array = array.astype(np.int64)
    bad = (array < -1) | (array >= answers.n_classes)
    if bad.any():
        kinds = "value that is not a class", "values that are not classes"
        strange = counted(int(bad.sum()), *kinds)
        raise DataError(
            f"{name} holds {strange}: {first_few(np.unique(array[bad]))} "
            f"(rows {first_few(np.flatnonzero(bad))}). Classes are 0..{answers.n_classes - 1}."
        )
    return array

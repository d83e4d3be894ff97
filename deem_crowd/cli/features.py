"""Features of tasks from a file, and the classifier that was learned from them to a file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from deem_crowd.cli import files, intake
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    UnsupportedError,
    counted,
    first_few,
)
from deem_crowd.runtime import extras
from deem_crowd.runtime.warning import warn

if TYPE_CHECKING:
    import pandas as pd

_SKOPS = ".skops"
_SPARSE = frozenset(("format", "shape", "data"))
_INDEX = re.compile(r"__index_level_0__|Unnamed: 0|")
"""What an index without a name is called in files that pandas writes."""


def of_tasks(path: str | None, asked: intake.Reading, ids: Any) -> Any:
    """Return the features in the file that --features names, as :func:`read` does; None of no file."""
    if path is None:
        return None
    return read(path, asked.format, ids, asked.columns.get("task", "task"))


def require_dense(features: Any) -> None:
    """Raise :class:`FormError` if features are sparse, where distances between tasks are needed."""
    if hasattr(features, "tocsr"):
        raise FormError(
            "features are sparse: save them as an array that is not sparse, with fewer columns if they are many, or "
            "pass --diversify none or --pairs."
        )


def for_answered(features: Any, tasks: pd.Index, others: list[Any]) -> Any:
    """Return the features that a fit needs, without those of ``others``, tasks that nobody answered.

    Parameters
    ----------
    features : DataFrame indexed by task, or array
        An array has rows for ``tasks``, and may have further ones, for ``others``.
    tasks : Index
        Those of the answers.
    others : list
    """
    import pandas as pd

    if not isinstance(features, pd.DataFrame):
        whole = len(others) > 0 and features.shape[0] == len(tasks) + len(others)
        return features[: len(tasks)] if whole else features
    answered = features.index.isin(tasks)
    return features[answered] if answered.any() else features


def read(path: str, format: str | None, ids: Any, column: str = "task") -> Any:
    """Return the features in a file.

    A table (CSV, parquet …) or .npz with a column or array ``task``, or ``column``, gives a frame indexed by task;
    anything else has one row a task, in the order of the answers. Arrays are read without pickle.

    Parameters
    ----------
    path : str
        .npy, .npz (one array, ``X``, or a sparse matrix that scipy saved), or a table.
    format : str, optional
        Of tables whose names tell none.
    ids : mapping
        Under ``task`` the ids that those of the file are to become where they are written alike.
    column : str
        What the answers call their column of tasks.

    Raises
    ------
    DataError, FormError
    """
    import pandas as pd

    if path.endswith((".npy", ".npz")):
        x, task = _arrays(path, column)
        if task is None:
            return x
        frame = pd.DataFrame(x.toarray() if hasattr(x, "toarray") else x)
        frame.insert(0, "task", task)
    else:
        frame = _table(path, files.format_asked(path, format))
        if "task" not in frame and column in frame:
            frame = frame.rename(columns={column: "task"})
        frame = _indexed(frame)
        frame = frame.assign(
            **{name: _numbers(frame[name]) for name in frame.columns if name != "task"}
        )
    if "task" not in frame:
        return _by_order(frame, path, ids)
    return _by_task(frame, path, ids)


def _table(path: str, format: str | None) -> pd.DataFrame:
    """Return all columns of a table, of JSON records, or of the only sheet of a workbook."""
    from deem_crowd_adapters.files import read_table

    frame = (
        intake.only_table(path) if intake.is_document(path, format) else read_table(path, format)
    )
    if frame is None:
        raise FormError(
            f"{path} holds no table of features. Give a table, JSON records or a workbook of one sheet, one row a task."
        )
    return frame


def _indexed(frame: pd.DataFrame) -> pd.DataFrame:
    """Take the index that pandas wrote without a name for the tasks, unless a column ``task`` names them."""
    found = [name for name in frame.columns if _INDEX.fullmatch(str(name))]
    if len(found) != 1:
        return frame
    return (
        frame.drop(columns=found) if "task" in frame else frame.rename(columns={found[0]: "task"})
    )


def _by_order(frame: pd.DataFrame, path: str, ids: Any) -> Any:
    """Return a table without tasks, one row a task, as an array.

    Raises
    ------
    FormError
        If columns hold no numbers, or one of them holds ids of tasks.
    """
    import pandas as pd

    from deem_crowd.data.frames import synonyms

    wrong = [name for name, kind in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if wrong:
        raise FormError(
            f"{path} has no column 'task', and {counted(len(wrong), 'column')} without numbers: "
            f"{first_few(wrong)}. "
            "Call the column of task ids 'task'; turn other text into numbers, or leave it out."
        )
    for name in synonyms(frame.columns, ["task"]):
        task = intake.written_like(frame[name], ids["task"])
        if task.is_unique and task.isin(ids["task"]).any():
            raise FormError(
                f"{path}: column {name!r} holds the ids of tasks: call it 'task', so that rows are matched by it."
            )
    return frame.to_numpy()


def _numbers(column: pd.Series) -> pd.Series:
    """Return a column of text as numbers, if they all are."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    try:
        return pd.to_numeric(column.where(column != "", None))
    except (ValueError, TypeError):
        return column


def _by_task(frame: pd.DataFrame, path: str, ids: Any) -> pd.DataFrame:
    intake.refuse_gaps(frame["task"], path)
    task = intake.written_like(frame["task"], ids["task"])
    return frame.drop(columns="task").set_axis(task, axis=0)


def _arrays(path: str, column: str) -> tuple[Any, Any]:
    """Return the features, and the tasks if the file names them: ``task``, or ``column``."""
    import numpy as np

    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content, None
        with content:
            names = set(content.files)
            named = next((name for name in ("task", column) if name in names), None)
            task = None if named is None else content[named]
            if names >= _SPARSE:
                from scipy import sparse

                return sparse.load_npz(path).tocsr(), task
            features = sorted(names - {named})
            name = "X" if "X" in features else features[0] if len(features) == 1 else None
            if name is None:
                raise DataError(
                    f"{path} holds {len(features)} arrays ({first_few(features)}): name the features X, and the ids of "
                    "tasks task."
                )
            others = [one for one in features if one != name]
            if others and task is None:
                warn(
                    f"{path} holds {first_few(others)} beside features, and no array 'task': rows are taken to be in "
                    "the order in which tasks first appear in the answers. If one is the task ids, call it 'task'.",
                    DataWarning,
                )
            return content[name], task
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, DataError | FileNotFoundError):
            raise
        raise FormError(
            f"{path} is no array that can be read without pickle ({error}). "
            "Save numbers, and ids as task.astype(str), with numpy.save or numpy.savez."
        ) from error


def check_classifier_path(
    path: str | None, inputs: Iterable[str | None], outputs: Iterable[str | None]
) -> None:
    """Refuse a file that the classifier cannot be written to.

    Raises
    ------
    typer.BadParameter
    """
    if path is None:
        return
    option = "--save-classifier"
    if not path.endswith(_SKOPS):
        raise typer.BadParameter(f"{path!r} has to end in {_SKOPS}", param_hint=option)
    place = os.path.realpath(path)
    files.refuse_output(option, path, inputs)
    if any(other is not None and os.path.realpath(other) == place for other in outputs):
        raise typer.BadParameter(
            f"{path!r} is already where another output goes", param_hint=option
        )
    try:
        extras.require("classifier", "classifiers in files")
    except UnsupportedError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def save_classifier(aggregator: Any, path: str) -> None:
    """Write the classifier that was learned, in the format of skops, which runs no code when it is read.

    Raises
    ------
    DataError
        If none was learned.
    """
    import skops.io

    from deem_crowd.features.named import on_its_own
    from deem_crowd.runtime.atomic import atomic_write

    classifier = getattr(aggregator, "classifier_", None)
    if classifier is None:
        raise DataError(
            "no classifier was learned (a warning says why): leave out --save-classifier."
        )
    with atomic_write(path) as file:
        file.write(skops.io.dumps(on_its_own(classifier)))

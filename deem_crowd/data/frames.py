"""Long frames, hard and soft → coded columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index as ids
from deem_crowd.data import nested
from deem_crowd.data.arrays import checked_soft
from deem_crowd.data.missing import missing_rows
from deem_crowd.exceptions import (
    DataError,
    FormError,
    MissingColumnError,
    ParameterError,
    counted,
    first_few,
)

COLUMNS = ("task", "worker", "label")

SYNONYMS = {
    "task": "item item_id task_id id example example_id sample_id question question_id unit_id instance_id hitid "
    "document_id text_id row_id index study study_id studyid case case_id image_id",
    "worker": "worker_id annotator annotator_id rater rater_id user user_id judge judge_id coder labeler labeller "
    "labeler_id source model lf performer workerid assessor expert completed_by reader reader_id observer examiner "
    "grader judge_model moderator participant participant_id annotated_by labeled_by labelled_by rated_by coded_by "
    "judged_by graded_by answered_by annotator_name rater_name coder_name worker_name judge_name",
    "label": "annotation answer response verdict rating class category judgment judgement value vote choice output "
    "label_id prediction grade finding diagnosis decision",
    "score": "rating grade points mark stars value logit reward scores ratings",
}
"""Well-known other names of the columns, in lower case; they are suggested, never taken."""

Coded = tuple[npt.NDArray[Any], pd.Index]
"""Codes, shape (R,), −1 where missing, and the distinct values that they stand for."""


def long_codes(data: pd.DataFrame, names: Mapping[str, Hashable]) -> tuple[Coded, Coded, Coded]:
    """Return tasks, workers and labels of a long frame of R rows; ``names`` says what its columns are called.

    Raises
    ------
    MissingColumnError, FormError, DataError
    """
    columns = require_columns(data, names=names)
    _refuse_missing(columns, names)
    task, worker, label = (ids.factorize(columns[part], part) for part in COLUMNS)
    return task, worker, label


def soft_codes(
    data: pd.DataFrame, classes: Sequence[Hashable] | None
) -> tuple[Coded, Coded, tuple[npt.NDArray[np.float64], pd.Index]]:
    """Return tasks, workers and distributions, shape (R, K), of a long frame with one column per class.

    Rows whose probabilities are missing are left out; their tasks and workers stay.

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
    times = Counter(names) + Counter(data.columns)  # once asked for, once in the frame
    twice = [c for c in names if times[c] != 2 or c in ("task", "worker")]
    if twice:
        raise FormError(
            f"probability columns {first_few(dict.fromkeys(twice))} stand twice, or are the task's or worker's. "
            "Name each class once in classes=[...]."
        )
    _refuse_missing(columns, {})
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
    index = pd.Index(names, name="label", tupleize_cols=False)
    return (task_codes[given], tasks), (worker_codes[given], workers), (values[given], index)


def _refuse_missing(columns: Mapping[str, pd.Series], names: Mapping[str, Hashable]) -> None:
    for part in ("task", "worker"):
        rows = missing_rows(columns[part])
        if len(rows):
            name = names.get(part, part)
            raise DataError(
                f"column '{name}' is missing in {len(rows)} of {counted(len(columns[part]), 'row')} (rows "
                f"{first_few(rows)}). Drop or repair those rows: df.dropna(subset=['{name}'])"
                f"{_back_to_whole(columns[part], name)}."
            )


def _back_to_whole(ids_: pd.Series, name: Hashable) -> str:
    """Return what else to do where pandas holds whole numbers as floats, since some are missing."""
    given = ids_.dropna()
    if given.dtype not in ("float64", "float32") or not len(given) or not (given % 1 == 0).all():
        return ""
    return (
        f".astype({{'{name}': 'int64'}}), since pandas has made 1.0 of 1 where others are missing"
    )


def require_columns(
    data: pd.DataFrame,
    parts: Sequence[str] = COLUMNS,
    names: Mapping[str, Hashable] | None = None,
) -> dict[str, pd.Series]:
    """Return the columns that play the parts, or say which are missing and what to call instead.

    Parameters
    ----------
    data : DataFrame
    parts : sequence of 'task', 'worker', 'label'
    names : mapping, optional
        What the columns of those parts are called, where they are not called so.

    Raises
    ------
    FormError
        If this is no DataFrame, or a column stands there more than once.
    MissingColumnError
        If a column is not there.
    ParameterError
        If one column is named for two parts.
    """
    if isinstance(getattr(data, "answers", None), pd.DataFrame):
        kind = type(data).__name__
        raise FormError(f"expected a DataFrame, got {kind}: pass its frame of answers, .answers.")
    nested.refuse_series(data)
    if not isinstance(data, pd.DataFrame):
        raise FormError(
            f"expected a DataFrame with columns {first_few(parts)}, got {type(data).__name__}. "
            "Rows and dicts become one by pd.DataFrame(data, columns=[…]); a matrix of labels goes to deem_crowd.DEEM, "
            "other tables and files to deem_crowd_adapters.to_answers."
        )
    called = {part: (names or {}).get(part, part) for part in parts}
    refuse_shared(called)
    absent = [name for name in called.values() if name not in data.columns]
    if absent:
        in_index = [name for name in absent if name in data.index.names]
        there = [*data.columns, *data.index.names]
        by_name = synonyms(there, called) | {n: p for p, n in called.items() if n in there}
        if lists := nested.advice(data, by_name):
            hint = lists
        elif in_index and not _looks_wide(data, called, absent):
            verb = "is" if len(in_index) == 1 else "are"
            hint = f"{first_few(in_index)} {verb} in the index: call df.reset_index() first."
        elif _looks_wide(data, called, absent):
            hint = (
                "For a wide frame (one row a task, one column a worker) use "
                "deem_crowd_adapters.from_wide(df)."
            )
        elif absent == ["label"] and _looks_soft(data):
            hint = (
                "For probabilities, one column a class, use deem_crowd_adapters.from_soft_long(df)."
            )
        elif any(part != name for part, name in called.items() if name in absent):
            hint = "Name columns that are there: task=…, worker=…, label=…."
        elif suggested := synonyms(data.columns, absent):
            hint = f"Rename the columns: df.rename(columns={suggested!r}), if these are meant."
        else:
            hint = f"Rename the columns: df.rename(columns={{…: '{absent[0]}'}})."
        raise MissingColumnError(
            f"missing columns {first_few(absent)}; found {first_few(data.columns, 20)}. {hint}"
        )
    columns: dict[str, pd.Series] = {}
    for part, name in called.items():
        column = data[name]
        if not isinstance(column, pd.Series):
            raise FormError(
                f"column '{name}' stands {column.shape[1]} times in the frame. Keep one of them."
            )
        columns[part] = column
    return columns


def refuse_shared(names: Mapping[str, Hashable]) -> None:
    """Raise :class:`ParameterError` if one column is named for two parts: ids are no labels."""
    by_name: dict[Hashable, list[str]] = {}
    for part, name in names.items():
        by_name.setdefault(name, []).append(part)
    for name, parts in by_name.items():
        if len(parts) > 1:
            raise ParameterError(
                f"column {name!r} is named for {' and '.join(parts)}. Name a column of its own for each: "
                f"{', '.join(f'{part}=…' for part in parts)}."
            )


def _looks_wide(
    data: pd.DataFrame, called: Mapping[str, Hashable], absent: Sequence[Hashable]
) -> bool:
    """Tell whether a frame without workers and labels may have a column for each worker."""
    parts = {part for part, name in called.items() if name in absent}
    return (
        {"worker", "label"} <= parts
        and all(called[part] == part for part in parts)
        and not synonyms(data.columns, absent)
        and data.shape[1] > 1 + ("task" not in parts)
    )


def _looks_soft(data: pd.DataFrame) -> bool:
    """Tell whether a frame has two columns or more of floats beside the tasks and workers, and nothing else."""
    rest = data.dtypes.drop(["task", "worker"], errors="ignore")
    return len(rest) > 1 and all(map(pd.api.types.is_float_dtype, rest))


def synonyms(columns: Iterable[Any], parts: Iterable[Any]) -> dict[Any, str]:
    """Return those columns that are well-known names of missing parts, each with its part; one column a part."""
    suggested: dict[Any, str] = {}
    for part in parts:
        names = [part, *SYNONYMS.get(part, "").split()]
        plain = {re.sub(r"[\s-]+", "_", str(c).strip().casefold()): c for c in columns}
        column = next((plain[name] for name in names if name in plain), None)
        if column is not None:
            suggested.setdefault(column, part)
    return suggested

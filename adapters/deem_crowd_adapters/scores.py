"""Numeric scores of judges (ratings, logits, rewards) → soft answers, by the rank of a score among the judge's own."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.data.frames import synonyms
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
from deem_crowd_adapters.exports.content import open_content
from deem_crowd_adapters.exports.same_values import holds_scalars
from deem_crowd_adapters.exports.sheet_rows import refuse_bad_tasks, refuse_no_tasks
from deem_crowd_adapters.exports.sheets import NO_PERSON, names_in
from deem_crowd_adapters.pairwise import NO_VERDICT
from deem_crowd_adapters.tables import to_frame

_PARTS = ("task", "worker", "score")
_OF_WORDS = (
    "Leave them empty where a judge gave no score; verdicts that are words go through to_answers."
)


def from_scores(
    data: Any,
    *,
    classes: Sequence[Hashable] = ("bad", "good"),
    share: float = 0.5,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    score: Hashable | None = None,
    workers: Sequence[Hashable] | str | None = None,
    columns: roles.Columns | None = None,
) -> Answers:
    r"""Read scores, where judges have scales of their own: what counts is how a judge ranks the tasks.

    One judge gives 8 for what another gives 4, and logits have no scale at all, so that a cut at a fixed score does not
    make a vote. Of the n scores of a judge, with r the rank of one (the mean rank where scores are equal, 1 the
    lowest),

    .. math:: p(\text{second class}) = σ( logit((r - 1/2) / n) + logit(share) ).

    A judge that gave all tasks the same score says nothing, and is left out with a warning. So are rows without a
    score: empty ones, and those with null, N/A, error and the like.

    Parameters
    ----------
    data : table of pandas, polars or Arrow, R rows, or the path of such a table
        Columns ``task``, ``worker`` (the judge) and ``score``: numbers, higher for the second class. A table without
        the columns ``worker`` and ``score`` is read as one row a task and one column a judge, unless a column with
        another usual name for workers (``judge``, ``annotator``) holds names, or tasks repeat, or there is one with a
        usual name for scores (``rating``) as well: then these columns have to be named.
    classes : two hashables
        What a low and a high score stand for.
    share : float
        How often the second class is expected, in (0, 1).
    task, worker, score : hashable, optional
        The names of single columns, as in ``columns``.
    workers : list of columns, or their names with commas, optional
        The judges' columns of a table with one column a judge. If omitted, all columns of numbers, and a warning
        names them.
    columns : mapping, optional
        What ``task``, ``worker`` and ``score`` are called here.

    Returns
    -------
    Answers
        Soft ones: N tasks, D judges, K = 2 classes.

    Raises
    ------
    MissingColumnError
        If a column is not there.
    DataError
        If scores are not numbers, or infinite, or no judge tells tasks apart.
    ParameterError
    """
    low, high = _classes(classes)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ParameterError(f"share={share!r} is not allowed: it is a number between 0 and 1.")
    named = roles.named(columns, task=task, worker=worker, score=score)
    frame = _table(data, named, names_in(workers))
    values = _numbers(frame["score"])
    kept = np.isfinite(values)
    keys = frame.loc[kept, ["task", "worker"]].reset_index(drop=True)
    by_judge = pd.Series(values[kept]).groupby([keys["worker"]], sort=False, observed=True)
    level = (by_judge.rank() - 0.5) / by_judge.transform("size")
    silent = by_judge.transform("nunique") < 2
    _warn(int((~kept).sum()), keys.loc[silent, "worker"].unique())
    if silent.all():
        raise DataError(
            "column 'score': no judge gives two different scores, so that none tells tasks apart. Is it the right "
            "column (score=...)?"
        )
    odds = np.log(level / (1 - level)) + np.log(share / (1 - share))
    chance = 1 / (1 + np.exp(-odds))
    soft = keys.assign(_low=1 - chance, _high=chance)[~silent.to_numpy()]
    soft.columns = pd.Index(["task", "worker", low, high], dtype=object)
    return Answers.from_soft_frame(soft)


def _classes(classes: Any) -> tuple[Hashable, Hashable]:
    listed = list(classes) if isinstance(classes, Sequence | np.ndarray | pd.Index) else []
    if isinstance(classes, str) or len(listed) != 2 or listed[0] == listed[1]:
        raise ParameterError(
            f"classes={classes!r} is not allowed: it is two different labels, what a low and a high score stand for: "
            "classes=('bad', 'good'), in the shell --adapter-set classes='[\"bad\", \"good\"]'."
        )
    if set(listed) & {"task", "worker"}:
        raise ParameterError("classes cannot be called 'task' or 'worker'.")
    return listed[0], listed[1]


def _table(data: Any, named: roles.Columns | None, judges: list[Hashable]) -> pd.DataFrame:
    """Return the columns task, worker and score."""
    where = "the table"
    if isinstance(data, str | os.PathLike):
        from deem_crowd_adapters.files import read_table

        where = os.fspath(data)
        document = open_content(where).frame if where.lower().endswith((".json", ".xlsx")) else None
        data = read_table(where) if document is None else document
    frame = to_frame(data)
    by_name = dict(named or {})
    if judges or not (
        {"worker", "score"} & {*map(str, frame.columns), *by_name} or _looks_long(frame, by_name)
    ):
        task = roles.find(list(frame.columns), ["task"], by_name, where=where)["task"]
        return _of_wide(frame, task, judges, where)
    names = roles.find(list(frame.columns), _PARTS, named, where=where)
    table = frame[[names[part] for part in _PARTS]]
    return table.set_axis(list(_PARTS), axis=1)


def _looks_long(frame: pd.DataFrame, by_name: roles.Columns) -> bool:
    """Tell whether a column that is called like one of workers holds them, not the scores of one of several judges.

    It holds names; or another column is called like one of scores; or tasks repeat.
    """
    called = synonyms(frame.columns, ["worker"])
    columns = [frame[name] for name in called if isinstance(frame[name], pd.Series)]
    if any(not _holds_numbers(column) for column in columns):
        return True
    task = frame.get(by_name.get("task", "task"))
    repeats = isinstance(task, pd.Series) and bool(task.map(str).duplicated().any())
    return bool(columns) and (repeats or bool(synonyms(frame.columns, ["score"])))


def _of_wide(
    frame: pd.DataFrame, task: Hashable, judges: list[Hashable], where: str
) -> pd.DataFrame:
    """Return the columns task, worker and score of a table with one row a task and one column a judge."""
    absent = [name for name in judges if name not in frame.columns]
    if absent:
        raise ParameterError(
            f"{where} lacks {counted(len(absent), 'column')} that workers= names, {first_few(absent)}; found "
            f"{first_few(frame.columns, 20)}. Name columns that are there."
        )
    asked = [str(name) for name in frame.columns if not judges or name in judges]
    twice = [name for name in dict.fromkeys(asked) if asked.count(name) > 1]
    if twice:
        raise FormError(
            f"{where} has {counted(len(twice), 'column name')} more than once (compared as text): {first_few(twice)}. "
            "Rename these columns, or keep one of each."
        )
    refuse_no_tasks(frame, where)
    if not judges:
        numbers = [name for name in frame.columns if name != task and _holds_numbers(frame[name])]
        judges = [name for name in numbers if not NO_PERSON.search(str(name))]
        if not judges:
            almost = [
                name for name in frame.columns if name != task and _remedy(frame[name].dropna())
            ]
            remedy = (
                f"{first_few(almost)} {'hold' if len(almost) > 1 else 'holds'} texts such as "
                f"{frame[almost[0]].dropna().iloc[0]!r}. {_remedy(frame[almost[0]].dropna())}"
                if almost
                else "Name the judges' columns: workers=[…] (in the shell: --adapter-set workers=…,…)."
            )
            raise DataError(
                f"{where} has no column of numbers beside the tasks, {task!r}. {remedy}"
            )
        others = [name for name in frame.columns if name != task and name not in judges]
        left = f"; left out: {first_few(others)}" if others else ""
        warn(
            f"{where} is read as one row a task ({task!r}) and one column a judge ({first_few(judges, 8)}){left}. "
            "To name the judges yourself: workers=[…] (in the shell: --adapter-set workers=…,…).",
            DataWarning,
        )
    tasks = frame[task]
    refuse_bad_tasks(tasks.tolist(), task, where)
    parts = [
        pd.DataFrame({"task": tasks, "worker": str(name), "score": frame[name]}) for name in judges
    ]
    return pd.concat(parts, ignore_index=True)


def _holds_numbers(column: pd.Series) -> bool:
    """Tell whether what stands in a column is numbers, perhaps as text."""
    given = column.dropna()
    if not len(given) or not holds_scalars(given) or pd.api.types.is_bool_dtype(given):
        return False
    words = pd.to_numeric(given, errors="coerce").isna()
    stated = given[words].astype(str).str.strip().str.casefold()
    return bool(stated.isin(NO_VERDICT).all() and not words.all())


def _numbers(scores: pd.Series) -> npt.NDArray[np.float64]:
    """Return scores as floats, NaN where there is none.

    Raises
    ------
    DataError
    """
    numbers = pd.to_numeric(scores, errors="coerce")
    wrong = scores.notna() & numbers.isna()
    wrong &= ~scores.where(wrong, "").astype(str).str.strip().str.casefold().isin(NO_VERDICT)
    if wrong.any():
        raise DataError(
            f"column 'score': {counted(int(wrong.sum()), 'value is no number', 'values are no numbers')}: "
            f"{first_few(scores[wrong].unique())}. "
            f"{_remedy(scores[wrong]) or _OF_WORDS}"
        )
    values: npt.NDArray[np.float64] = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            f"column 'score': {counted(int(infinite.sum()), 'value is', 'values are')} infinite, first in row "
            f"{int(infinite.argmax())}. Give a number, or leave such fields empty."
        )
    return values


def _remedy(wrong: pd.Series) -> str:
    """Return how to write texts that are numbers in another form; empty if they are not."""
    texts = wrong.astype(str).str.strip()
    if len(texts) and texts.str.fullmatch(r"[-+]?\d+,\d+").all():
        return "Write decimals with a point; pd.read_csv(path, sep=';', decimal=',') reads them."
    if len(texts) and texts.str.fullmatch(r"\d+([.]\d+)? ?(/|out of) ?\d+").all():
        return (
            "Write the score alone, 7 for 7/10: column.str.extract(r'^([\\d.]+)')[0].astype(float)."
        )
    return ""


def _warn(n_missing: int, silent: npt.NDArray[Any]) -> None:
    parts = []
    if n_missing:
        parts.append(f"{counted(n_missing, 'row has', 'rows have')} no score")
    if len(silent):
        parts.append(
            f"{counted(len(silent), 'judge gives', 'judges give')} one score throughout ({first_few(silent)})"
        )
    if parts:
        warn(f"{'; '.join(parts)}: they are left out.", DataWarning)

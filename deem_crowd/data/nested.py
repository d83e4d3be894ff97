"""Answers that do not stand one a row: lists, counts of votes, a Series. Messages say how to make a table of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.exceptions import FormError

LOOK_AT = 50
"""Rows that are looked at to tell whether a column holds lists."""


def advice(data: pd.DataFrame, parts: Mapping[Any, str], table: str = "df") -> str:
    """Say how to give each answer a row of its own where rows hold several; empty where none does.

    It is also empty where workers and labels have plain columns: lists beside them are something else. Where a column
    holds counts of votes, it says that these name no workers.

    Parameters
    ----------
    data : DataFrame, N rows
    parts : mapping
        Columns, perhaps in the index, that may be those of tasks, workers and labels → ``task``, ``worker``, ``label``.
    table : str
        What the frame is called in the advice.
    """
    head = data.iloc[:LOOK_AT]
    for name in head:
        if counts := advice_on_counts(head[name], f"column {name!r}", f"{table}[{name!r}]"):
            return counts
    lists = {name: found for name in head if (found := _lists(head[name]))}
    if {"worker", "label"} <= {part for name, part in parts.items() if name not in lists}:
        return ""
    task = next((name for name, part in parts.items() if part == "task"), "…")
    for name, found in lists.items():
        if all(isinstance(each, dict) for one in found for each in one):
            return (
                f"Column {name!r} holds several answers in each row. Give each a row of its own: "
                f"pd.json_normalize({table}.to_dict('records'), {name!r}, [{task!r}])."
            )
    together: dict[tuple[int, ...], list[Any]] = {}
    for name, found in lists.items():
        together.setdefault(tuple(len(one) for one in found), []).append(name)
    names = max(together.values(), key=len, default=[])
    if len(names) < 2:
        return ""
    return (
        f"Columns {', '.join(map(repr, names))} hold lists, several answers in each row. Give each a row of its own: "
        f"{table}.explode({names!r})."
    )


def _lists(column: Any) -> list[Any]:
    """Return the lists that a column holds if it holds nothing else, beside what is missing, and one is not empty."""
    if not isinstance(column, pd.Series) or column.dtype != object:
        return []
    given = [v for v in column if not (pd.api.types.is_scalar(v) and pd.isna(v))]
    lists = all(isinstance(v, list) or (isinstance(v, np.ndarray) and v.ndim) for v in given)
    return given if lists and any(map(len, given)) else []


def advice_on_counts(values: Iterable[Any], what: str, code: str) -> str:
    """Say what dicts from classes to counts of votes are good for; empty of anything else.

    ``what`` is what holds them, and ``code`` the expression for it. Dicts that all have one and the same key are no
    counts: they may be ids.
    """
    given = [v for v in values if not (pd.api.types.is_scalar(v) and pd.isna(v))]
    if not all(map(_is_counts, given)) or len(set().union(*given)) < 2:
        return ""
    return (
        f"{what[:1].upper()}{what[1:]} holds counts for each class, and not who answered: workers cannot be told "
        "apart, and nothing can be learned beyond the shares. The label with most votes is "
        f"{code}.map(lambda votes: max(votes, key=votes.get, default=None)). To learn more, pass the table "
        "that was counted, one row an answer."
    )


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0
        for n in value.values()
    )


def refuse_series(data: Any) -> None:
    """Raise :class:`FormError` if this is a Series, with the code that makes a table of one by task and worker."""
    if not isinstance(data, pd.Series):
        return
    if data.index.nlevels != 2:
        raise FormError(
            "a Series holds no workers: pass a table with one row an answer, columns task, worker and label."
        )
    named = {"task", "worker"} == set(data.index.names)
    levels = "" if named else ".rename_axis(['task', 'worker'])"
    order = "" if named else ", if the levels of its index stand in this order"
    raise FormError(
        f"a Series of labels by task and worker is no table: pass series{levels}.reset_index(name='label'){order}."
    )

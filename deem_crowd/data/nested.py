"""Rows that hold several answers in lists: how to make a row of each, for messages."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

LOOK_AT = 50
"""So many rows tell whether a column holds lists."""


def advice(data: pd.DataFrame, task: Hashable = "…", table: str = "df") -> str:
    """Say how rows that hold several answers become one row an answer; empty where none does.

    Parameters
    ----------
    data : DataFrame, N rows
    task : hashable
        The column of the tasks.
    table : str
        What the frame is called in the advice.
    """
    head = data.iloc[:LOOK_AT]
    lists = {name: found for name in head if (found := _lists(head[name]))}
    for name, found in lists.items():
        if all(isinstance(each, dict) for one in found for each in one):
            return (
                f"Column {name!r} holds the answers of several workers a row: "
                f"pd.json_normalize({table}.to_dict('records'), {name!r}, [{task!r}]) makes a row of each."
            )
    together: dict[tuple[int, ...], list[Any]] = {}
    for name, found in lists.items():
        together.setdefault(tuple(len(one) for one in found), []).append(name)
    names = max(together.values(), key=len, default=[])
    if len(names) < 2:
        return ""
    return (
        f"Columns {', '.join(map(repr, names))} hold lists, several answers a row: {table}.explode({names!r}) makes a "
        "row of each."
    )


def _lists(column: Any) -> list[Any]:
    """Return the lists that a column holds if it holds nothing else, beside what is missing."""
    if not isinstance(column, pd.Series) or column.dtype != object:
        return []
    given = [v for v in column if isinstance(v, (list, np.ndarray)) or not pd.isna(v)]
    return given if all(isinstance(v, (list, np.ndarray)) for v in given) else []

"""Rows of a wide table that are no tasks: sums below it, its header once more, and rows without an id of their own."""

from __future__ import annotations

import re
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.no_answers import SUMS_UP
from deem_crowd.exceptions import DataError, counted, first_few
from deem_crowd_adapters.exports.same_values import are_measured, holds_scalars

_NUMBER = re.compile(r"\s*[-+]?\d+([.,]\d+)?\s*%?\s*")
_MOST = 5
"""No more rows than these are looked at."""


def refuse_no_tasks(frame: pd.DataFrame, name: str) -> None:
    """Raise if rows repeat the names of the columns, or the last hold numbers that no row above holds and add it up.

    Parameters
    ----------
    frame : DataFrame
        N rows, one a task or one a person.
    name : str
        How messages call the table.

    Raises
    ------
    DataError
        With the rows and the call that leaves them out.
    """
    again = np.flatnonzero(_repeat_header(frame))
    if len(again):
        raise DataError(
            f"{name}: {counted(len(again), 'row repeats', 'rows repeat')} the names of the columns (rows "
            f"{first_few(again)}), as in sheets that were joined. Remove {'it' if len(again) == 1 else 'them'}."
        )
    found = list(range(len(without_totals(frame)), len(frame)))
    if not found:
        return
    cells = [str(cell) for cell in frame.iloc[found[0]] if not pd.isna(cell)]
    one = len(found) == 1
    raise DataError(
        f"{name}: {counted(len(found), 'row')} at the end (rows {first_few(found)}: {first_few(cells, 5)}) "
        f"{'looks' if one else 'look'} like sums or means of the rows above, and such numbers would count as labels. "
        f"Leave {'it' if one else 'them'} out: df.iloc[:{found[0]}], or delete {'it' if one else 'them'} in the file. "
        f"If {'it is a task' if one else 'they are tasks'}, give {'it an id' if one else 'them ids'} that "
        f"{'is' if one else 'are'} no {'name' if one else 'names'} of sums."
    )


def refuse_bad_tasks(tasks: list[Hashable], column: Hashable | None, name: str) -> None:
    """Raise :class:`DataError` if a task of a wide table is missing or has two rows."""
    missing = np.flatnonzero(pd.isna(pd.Series(tasks, dtype=object)))
    if len(missing):
        raise DataError(
            f"{name}: column {column!r} is missing in {counted(len(missing), 'row')} (rows {first_few(missing)}). "
            "Fill it, or leave those rows out."
        )
    if len(set(tasks)) < len(tasks):
        twice = pd.Series(tasks, dtype=object)
        twice = twice[twice.duplicated()]
        raise DataError(
            f"{name}: column {column!r} holds {counted(len(twice), 'task')} a second time "
            f"({first_few(twice.unique())}). A wide table has one row a task."
        )


def of_tasks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the rows that :func:`refuse_no_tasks` refuses."""
    return without_totals(frame[~_repeat_header(frame)])


def _repeat_header(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which rows hold the names of two columns or more in these columns, shape (N,).

    A name that another column holds, too, is a label: judges called like the models that they compare.
    """
    if not frame.columns.is_unique:
        return np.zeros(len(frame), dtype=bool)
    names = [c for c in frame.columns if isinstance(c, str) and holds_scalars(frame[c])]
    rows = {c: (frame[c] == c).to_numpy(dtype=bool, na_value=False) for c in names}
    same = [
        found
        for c, found in rows.items()
        if found.any() and not any((frame[other] == c).any() for other in names if other != c)
    ]
    return np.sum(same, axis=0, dtype=int) > 1 if same else np.zeros(len(frame), dtype=bool)


def without_totals(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the rows at its end that add it up."""
    n = len(frame)
    if not frame.columns.is_unique:
        return frame
    cells = frame[[c for c in frame.columns if holds_scalars(frame[c])]]
    while n > max(len(frame) - _MOST, 3) and _adds_up(cells, n - 1):
        n -= 1
    return frame.iloc[:n]


def _adds_up(frame: pd.DataFrame, row: int) -> bool:
    """Tell whether a row has no id, or one such as Total, and numbers only, of which most stand in no cell above."""
    above = frame.iloc[: min(row, len(frame) - _MOST)]
    last = frame.iloc[row].dropna().to_dict()
    key = _id_column(above)
    if key is None or (key in last and not SUMS_UP.search(str(last[key]))):
        return False
    held = {c: cell for c, cell in last.items() if c != key}
    if len(held) < 2 or not all(map(_is_number, held.values())):
        return False
    others = {str(cell) for c in held for cell in above[c].dropna().unique()}
    return 2 * sum(str(cell) not in others for cell in held.values()) > len(held)


def _id_column(frame: pd.DataFrame) -> Hashable | None:
    """Return the first column whose cells are all there and differ, and are no real numbers, as scores are."""
    return next(
        (
            c
            for c in frame.columns
            if frame[c].notna().all()
            and frame[c].astype(str).is_unique
            and not are_measured(list(map(str, frame[c])))
        ),
        None,
    )


def _is_number(cell: object) -> bool:
    return _NUMBER.fullmatch(str(cell)) is not None

"""Columns of files as text, as label sets hold them."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from deem_crowd.exceptions import DataError, counted, first_few


def refuse_gaps(table: pd.DataFrame, path: Path) -> None:
    """Refuse rows of a file with a missing value: as text it would become a name like any other."""
    for name, column in table.items():
        gaps = table.index[column.isna().to_numpy()]
        if len(gaps):
            raise DataError(
                f"{path}: column {name!r} is missing in {len(gaps):,} of {counted(len(table), 'row')} "
                f"({'row' if len(gaps) == 1 else 'rows'} {first_few(gaps)}; the first is row 0). Drop those rows."
            )


def spelled_alike(names: pd.Series, given: pd.Index) -> pd.Series:
    """Return whole numbers, such as 2.0 or 2, as the answers spell them: in columns with gaps they have a point."""
    if names.isin(given).all():
        return names
    spelling = {_whole(name): name for name in given}
    if len(spelling) < len(given):  # the answers spell one number in two ways: these are two names
        return names
    other = names.map(lambda name: spelling.get(_whole(name), name))
    return names.where(names.isin(given), other)


def _whole(name: str) -> str:
    return re.sub(r"^(-?\d+)\.0+$", r"\1", name)


def as_text(column: pd.Series) -> pd.Series:
    """Return a column as text; whole numbers lose the point that a missing value in their column gave them."""
    if (
        pd.api.types.is_float_dtype(column)
        and (column % 1 == 0).all()
        and (column.abs() < 2**53).all()  # larger ones may be rounded, and may not fit
    ):
        column = column.astype("int64")
    return column.astype(str)

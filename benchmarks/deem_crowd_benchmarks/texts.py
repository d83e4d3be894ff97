"""Columns of files as text, as label sets hold them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from deem_crowd.exceptions import DataError, counted, first_few


def refuse_gaps(table: pd.DataFrame, path: Path) -> None:
    """Refuse rows of a file in which something is missing: as text it would be a name like any other."""
    for name, column in table.items():
        gaps = table.index[column.isna().to_numpy()]
        if len(gaps):
            raise DataError(
                f"{path}: column {name!r} is missing in {len(gaps):,} of {counted(len(table), 'row')} "
                f"({'row' if len(gaps) == 1 else 'rows'} {first_few(gaps)}; the first is row 0). Drop those rows."
            )


def without_points(gold: pd.Series, given: pd.Index) -> pd.Series:
    """Return true labels such as 2.0 as the 2 that workers gave: tables with gaps are written so."""
    whole = gold.str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)
    return gold.where(gold.isin(given) | ~whole.isin(given), whole)


def as_text(column: pd.Series) -> pd.Series:
    """Return a column as text; whole numbers have no point, which is all that a missing value beside them adds."""
    if pd.api.types.is_float_dtype(column) and (column % 1 == 0).all():
        column = column.astype("int64")
    return column.astype(str)

"""Any table in memory → the pandas frame of the columns that are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from deem_crowd.data import nested
from deem_crowd.data.frames import synonyms
from deem_crowd.exceptions import FormError
from deem_crowd_adapters import roles
from deem_crowd_adapters.kinds import is_arrow, is_polars


def to_frame(
    data: Any, needed: Sequence[str] | None = None, columns: roles.Columns | None = None
) -> pd.DataFrame:
    """Return the needed columns of a table as a pandas frame, under our names, in their own dtypes.

    Parameters
    ----------
    data : pandas DataFrame, polars DataFrame or LazyFrame, Arrow table, batch or stream; R rows
    needed : sequence of str, optional
        The parts to return; every column, under its own name, if omitted.
    columns : mapping, optional
        What those parts are called in ``data``.

    Raises
    ------
    MissingColumnError, FormError, ParameterError
    """
    nested.refuse_series(data)
    if is_polars(data):
        from deem_crowd_adapters.polars import polars_to_frame

        return polars_to_frame(data, needed, columns)
    if is_arrow(data):
        from deem_crowd_adapters.arrow import arrow_to_frame

        return arrow_to_frame(data, needed, columns)
    if not isinstance(data, pd.DataFrame):
        raise FormError(
            f"expected a table (pandas, polars, Arrow), got {type(data).__name__}. For a file use "
            "deem_crowd_adapters.read_long(path), for rows pd.DataFrame(rows, columns=[...])."
        )
    if needed is None:
        return data

    def lists() -> str:
        named = {name: part for part, name in (columns or {}).items()}
        return nested.advice(data, synonyms(data.columns, needed) | named)

    names = roles.find(list(data.columns), needed, columns, where="the frame", remedy=lists)
    return pd.DataFrame({part: data[name] for part, name in names.items()})

"""Arrow tables and polars frames in the long format, without losing what their dtypes say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from deem_crowd import ids
from deem_crowd.answers import COLUMNS, Answers
from deem_crowd.exceptions import FormError, MissingColumnError, first_few

if TYPE_CHECKING:
    import polars
    import pyarrow


def arrow_to_frame(table: pyarrow.Table | pyarrow.RecordBatch) -> pd.DataFrame:
    """Return the columns ``task``, ``worker`` and ``label`` as pandas columns.

    Integers stay integers where some are missing. Dictionaries become categories; where Arrow does not call them
    ordered they stand as the rows happened to come, so they are sorted: no result may hang on the order of rows.

    Raises
    ------
    MissingColumnError
    """
    import pyarrow as pa

    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    absent = [name for name in COLUMNS if name not in table.column_names]
    if absent:
        raise MissingColumnError(
            f"missing columns {first_few(absent)}; found {first_few(table.column_names, 20)}. "
            "Rename them with table.rename_columns([...])."
        )
    chosen: pd.DataFrame = table.select(list(COLUMNS)).to_pandas(integer_object_nulls=True)
    for name in COLUMNS:
        kind = chosen[name].dtype
        if isinstance(kind, pd.CategoricalDtype) and not kind.ordered:
            in_order = kind.categories.take(ids.sorted_order(kind.categories))
            chosen[name] = chosen[name].cat.reorder_categories(in_order)
    return chosen


def from_arrow(table: pyarrow.Table | pyarrow.RecordBatch, **options: Any) -> Answers:
    """Arrow table or record batch in the long format, R rows.

    Options are those of :meth:`deem_crowd.Answers.from_frame`, and so are the errors raised.
    """
    return Answers.from_frame(arrow_to_frame(table), **options)


def from_polars(frame: polars.DataFrame | polars.LazyFrame, **options: Any) -> Answers:
    """polars DataFrame or LazyFrame (which is collected) in the long format, R rows.

    Options are those of :meth:`deem_crowd.Answers.from_frame`, and so are the errors raised.
    """
    import polars as pl

    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, pl.DataFrame):
        raise FormError(f"expected a polars frame, got {type(frame).__name__}.")
    chosen = frame.select([c for c in frame.columns if c in COLUMNS])
    return from_arrow(chosen.to_arrow(compat_level=pl.CompatLevel.oldest()), **options)

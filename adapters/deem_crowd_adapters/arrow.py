"""Arrow tables → the pandas frame of the columns needed, without losing a type, → Answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.exceptions import FormError
from deem_crowd_adapters import roles

_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def from_arrow(
    data: Any,
    *,
    columns: roles.Columns | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
) -> Answers:
    """Read the long format from Arrow.

    Parameters
    ----------
    data : pyarrow Table, RecordBatch or RecordBatchReader, or what offers Arrow's C interface; R rows
    columns : mapping, optional
        What ``task``, ``worker`` and ``label`` are called here.
    missing, duplicates, classes
        As in :meth:`deem_crowd.Answers.from_frame`.

    Returns
    -------
    Answers
        R answers by N tasks and D workers, K classes.

    Raises
    ------
    MissingColumnError, FormError, DataError, ParameterError
    """
    frame = arrow_to_frame(data, roles.LONG, columns)
    return Answers.from_frame(frame, missing=missing, duplicates=duplicates, classes=classes)


def arrow_to_frame(
    data: Any,
    needed: Sequence[str] | None = None,
    columns: roles.Columns | None = None,
    *,
    where: str = "the Arrow table",
) -> pd.DataFrame:
    """Return the needed columns of an Arrow table as a pandas frame; see :func:`series`.

    Raises
    ------
    MissingColumnError, FormError, ParameterError
    """
    table = _table(data)
    if needed is None:
        names = {name: name for name in roles.find(table.column_names, table.column_names)}
    else:
        names = roles.find(table.column_names, needed, columns, where=where)
    # The frame's index is made here, so that what pandas once wrote into the schema turns no column into one.
    index = pd.RangeIndex(table.num_rows)
    series_ = {part: series(table.column(name)).set_axis(index) for part, name in names.items()}
    return pd.DataFrame(series_, index=index)


def series(column: pa.ChunkedArray) -> pd.Series:
    """Return an Arrow column, shape (R,), as a Series that holds the same values.

    Integers and booleans with nulls become pandas' nullable ones (floats would lose digits), dictionaries
    become categoricals. Arrow's unordered dictionaries stand in whatever order the rows came, and the order
    of classes must not depend on that: their categories are sorted. Ordered dictionaries keep their order.
    """
    if pa.types.is_run_end_encoded(column.type):
        column = pa.chunked_array(
            [pc.run_end_decode(chunk) for chunk in column.chunks], type=column.type.value_type
        )
    if pa.types.is_dictionary(column.type):
        return _categorical(column)
    if column.null_count and column.type in _NULLABLE:
        nullable = _NULLABLE[column.type]
        return column.to_pandas(types_mapper=lambda _: nullable)
    return column.to_pandas()


def _table(data: Any) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pd.DataFrame) or not (
        hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")
    ):
        raise FormError(
            f"expected an Arrow table, batch or stream, got {type(data).__name__}. "
            "deem_crowd_adapters.to_answers(data) takes other things, too."
        )
    try:
        return pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError) as error:
        raise FormError(f"{type(data).__name__} is no table that Arrow reads: {error}") from error


def _categorical(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if not kind.ordered:
        # A dictionary may hold a value twice, or null, or differ from chunk to chunk.
        column = column.cast(kind.value_type).dictionary_encode()
    column = column.unify_dictionaries()
    if not column.num_chunks:
        categories = series(pa.chunked_array([], type=kind.value_type))
        return pd.Series(pd.Categorical([], categories=categories, ordered=kind.ordered))
    categories = pd.Index(series(pa.chunked_array([column.chunk(0).dictionary])))
    codes = pc.fill_null(
        pa.chunked_array([chunk.indices.cast(pa.int64()) for chunk in column.chunks]), -1
    )
    values = pd.Categorical.from_codes(
        codes.to_numpy(), categories=categories, ordered=kind.ordered
    )
    if not kind.ordered:
        values = values.reorder_categories(categories.take(ids.sorted_order(categories)))
    return pd.Series(values)

"""Arrow tables → the pandas frame of the columns needed, without losing a type, → Answers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.data.arrow import require_plain, series
from deem_crowd.exceptions import FormError
from deem_crowd_adapters import roles


def from_arrow(
    data: Any,
    *,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    columns: roles.Columns | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
) -> Answers:
    """Read the long format from Arrow.

    Parameters
    ----------
    data : pyarrow Table, RecordBatch or RecordBatchReader, or what offers Arrow's C interface; R rows
    task, worker, label : hashable, optional
        The names of single columns, as in ``columns``.
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
    columns = roles.named(columns, task=task, worker=worker, label=label)
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
    for part in set(names) & set(roles.LONG):
        require_plain(table.schema.field(names[part]).type, names[part], where)
    series_ = {part: series(table.column(name)).set_axis(index) for part, name in names.items()}
    return pd.DataFrame(series_, index=index)


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

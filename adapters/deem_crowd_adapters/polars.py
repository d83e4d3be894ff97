"""polars frames → the pandas frame of the columns needed, without losing a type, → Answers.

polars is imported only where somebody hands in one of its frames.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.exceptions import FormError
from deem_crowd_adapters import roles
from deem_crowd_adapters.arrow import arrow_to_frame
from deem_crowd_adapters.kinds import is_polars

if TYPE_CHECKING:
    import polars


def from_polars(
    data: polars.DataFrame | polars.LazyFrame,
    *,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    columns: roles.Columns | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
) -> Answers:
    """Read the long format from polars. Of a lazy frame only the columns needed are computed.

    Parameters
    ----------
    data : polars DataFrame or LazyFrame, R rows
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
    frame = polars_to_frame(data, roles.LONG, columns)
    return Answers.from_frame(frame, missing=missing, duplicates=duplicates, classes=classes)


def polars_to_frame(
    data: polars.DataFrame | polars.LazyFrame,
    needed: Sequence[str] | None = None,
    columns: roles.Columns | None = None,
) -> pd.DataFrame:
    """Return the needed columns of a polars frame as a pandas frame.

    Enums keep their order; integers of 128 bits become Python's.

    Raises
    ------
    MissingColumnError, FormError, ParameterError
    """
    if not is_polars(data):
        raise FormError(
            f"expected a polars DataFrame or LazyFrame, got {type(data).__name__}. "
            "deem_crowd_adapters.to_answers(data) takes other things, too."
        )
    import polars as pl

    header = data.collect_schema().names()
    names = roles.find(
        header, header if needed is None else needed, columns, where="the polars frame"
    )
    picked = data.select(pl.col(name).alias(part) for part, name in names.items())
    frame = picked.collect() if isinstance(picked, pl.LazyFrame) else picked
    odd = [part for part, kind in frame.schema.items() if kind == pl.Object]
    if odd:
        raise FormError(
            f"column {odd[0]!r} has the polars type Object, which cannot be read. Cast it to a type of values."
        )
    wide = [part for part, kind in frame.schema.items() if kind in (pl.Int128, _uint128(pl))]
    out = arrow_to_frame(frame.drop(wide).to_arrow())
    columns_ = {
        part: pd.Series(frame[part].to_list(), dtype=object) if part in wide else out[part]
        for part in frame.columns
    }
    return pd.DataFrame(columns_)


def _uint128(pl: Any) -> Any:
    return getattr(pl, "UInt128", pl.Int128)  # later than the oldest polars that is supported

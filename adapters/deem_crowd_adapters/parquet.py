"""Parquet → the pandas frame of the columns needed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from deem_crowd.exceptions import DataError
from deem_crowd_adapters import roles
from deem_crowd_adapters.arrow import arrow_to_frame
from deem_crowd_adapters.source import Source


def read_parquet(
    source: Source, needed: Sequence[str] | None, columns: roles.Columns | None = None
) -> pd.DataFrame:
    """Return columns of a parquet file; others are not read.

    Parameters
    ----------
    source : Source
    needed : sequence of str, optional
        The parts to return; every column, under its own name, if omitted.
    columns : mapping, optional
        What those parts are called in the file.

    Raises
    ------
    MissingColumnError, FormError, DataError, ParameterError, OSError
    """
    with source.seekable() as file:
        try:
            reader = parquet.ParquetFile(file, page_checksum_verification=True)
            header = reader.schema_arrow.names
            names = roles.find(
                header, header if needed is None else needed, columns, where=source.name
            )
            table = reader.read(columns=list(names.values()))
            table.validate(full=True)  # text that is no UTF-8
            return arrow_to_frame(table, list(names), names, where=source.name)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{source.name} is not a readable parquet file: {str(error).strip()}. Fetch or write the file again, "
                "or name its format."
            ) from error

"""Parquet files → coded columns, row group by row group, in memory of the codes and the distinct ids."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DataError, FormError, MissingColumnError, first_few

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("task", "worker", "label")
ROWS = 1 << 20
"""Rows that are looked at together."""

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Coded = tuple[npt.NDArray[np.int32], pd.Index]


def expand(paths: Paths) -> list[str]:
    """Return the files that paths, folders and patterns stand for.

    Raises
    ------
    FileNotFoundError
        If one of them stands for none.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: list[str] = []
    for path in [os.fspath(p) for p in given]:
        if os.path.isdir(path):
            here = sorted(str(p) for p in Path(path).glob("*.parquet"))
        elif os.path.exists(path):
            here = [path]
        else:
            here = sorted(glob.glob(path))
        if not here:
            raise FileNotFoundError(f"{path}: there is no such file, and no parquet file fits it")
        found += here
    if not found:
        raise FileNotFoundError("no parquet file was named")
    return found


def is_pattern(path: str) -> bool:
    """Tell whether a path names several files at once."""
    return os.path.isdir(path) or (glob.has_magic(path) and not os.path.exists(path))


def read_columns(paths: Paths) -> tuple[Coded, Coded, Coded]:
    """Return task, worker and label of all rows, each as codes by first appearance, shape (R,), and its ids.

    A missing label has the code −1.

    Raises
    ------
    MissingColumnError, FormError, DataError, FileNotFoundError
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = expand(paths)
    columns = {name: _Column(name) for name in COLUMNS}
    for path in files:
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise  # the system's own: the file, not what is in it
            raise DataError(f"{path} is no parquet file: {str(error).strip()}") from error
        with file:
            names = file.schema_arrow.names
            lacking = [name for name in COLUMNS if name not in names]
            if lacking:
                raise MissingColumnError(
                    f"{path}: column {', '.join(map(repr, lacking))} is missing; found {first_few(names, 20)}."
                )
            for name in COLUMNS:
                columns[name].expect(file.schema_arrow.field(name).type, path)
            try:
                for batch in file.iter_batches(batch_size=ROWS, columns=list(COLUMNS)):
                    for name in COLUMNS:
                        columns[name].add(batch.column(name), path)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{path} cannot be read: {str(error).strip()}") from error
    task, worker, label = (columns[name].coded() for name in COLUMNS)
    return task, worker, label


class _Column:
    """One column's codes so far, and its distinct ids."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._table: dict[Any, int] = {}
        self._codes: list[npt.NDArray[np.int32]] = []
        self._type: pa.DataType | None = None
        self._rows = 0

    def expect(self, found: pa.DataType, path: str) -> None:
        """Take note of the column's type in a file; all files have to have one kind."""
        import pyarrow as pa

        if pa.types.is_dictionary(found):
            found = found.value_type
        if pa.types.is_nested(found):
            raise FormError(
                f"{path}: column {self.name!r} holds {found}; ids and labels are plain values."
            )
        if self._type is None or pa.types.is_null(self._type):
            self._type = found
        elif not pa.types.is_null(found) and _kind(found) != _kind(self._type):
            raise DataError(
                f"{path}: column {self.name!r} is {found}, and was {self._type} in the files before. "
                "Write all parts with one type."
            )

    def add(self, column: pa.Array, path: str) -> None:
        """Code one batch of rows."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if column.null_count and self.name != "label":
            where = self._rows + np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
            raise DataError(
                f"{path}: column {self.name!r} is missing in {column.null_count} rows (rows "
                f"{first_few(where)} of all). Drop or repair those rows."
            )
        coded = column.dictionary_encode()
        table = self._table
        rank = np.fromiter(
            (table.setdefault(value, len(table)) for value in coded.dictionary.to_pylist()),
            dtype=np.int32,
            count=len(coded.dictionary),
        )
        rank = np.append(rank, np.int32(-1))
        indices = coded.indices.fill_null(len(rank) - 1).to_numpy(zero_copy_only=False)
        self._codes.append(rank[indices])
        self._rows += len(column)

    def coded(self) -> Coded:
        """Return all codes, and the ids in the dtype that pandas gives the column."""
        import pyarrow as pa

        codes = np.concatenate(self._codes) if self._codes else np.zeros(0, dtype=np.int32)
        self._codes = []
        values = pa.array(list(self._table), type=self._type).to_pandas()
        return codes, pd.Index(values, name=self.name)


def _kind(found: pa.DataType) -> str:
    """Name what values of an Arrow type are to Python."""
    import pyarrow as pa

    for kind in ("integer", "floating", "boolean", "temporal", "decimal"):
        if getattr(pa.types, f"is_{kind}")(found):
            return kind if kind != "temporal" else str(found)
    if pa.types.is_string(found) or pa.types.is_large_string(found):
        return "text"
    return str(found)

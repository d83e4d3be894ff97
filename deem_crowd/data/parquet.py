"""Parquet files → coded columns, row group by row group, in memory of the codes and the distinct ids."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DataError, MissingColumnError, first_few

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

    from deem_crowd.data.arrow import ColumnCoder

    files = expand(paths)
    coders = {name: ColumnCoder(name) for name in COLUMNS}
    for path in files:
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
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
                coders[name].expect(file.schema_arrow.field(name).type, path)
            try:
                for batch in file.iter_batches(batch_size=ROWS, columns=list(COLUMNS)):
                    for name in COLUMNS:
                        column = batch.column(name)
                        column.validate(full=True)  # text that is no UTF-8
                        if name != "label":
                            _refuse_missing(column, name, coders[name].n_rows, path)
                        coders[name].add(column, path)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{path} cannot be read: {str(error).strip()}") from error
    task, worker, label = (coders[name].coded() for name in COLUMNS)
    return task, worker, label


def _refuse_missing(column: pa.Array, name: str, n_before: int, path: str) -> None:
    """Raise if ids are missing in a batch that stands after ``n_before`` rows."""
    import pyarrow.compute as pc

    missing = pc.is_null(column, nan_is_null=True)
    if pc.any(missing).as_py():
        rows = n_before + np.flatnonzero(missing.to_numpy(zero_copy_only=False))
        raise DataError(
            f"{path}: column {name!r} is missing in {len(rows)} rows (rows {first_few(rows)} of all). "
            "Drop or repair those rows."
        )

"""Parquet files → coded columns, row group by row group, in memory of the codes and the distinct ids."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DataError

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

    from deem_crowd.data.batches import LongTable

    table = LongTable()
    for path in expand(paths):
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise  # the system's own: the file, not what is in it
            raise DataError(f"{path} is no parquet file: {str(error).strip()}") from error
        with file:
            table.expect(file.schema_arrow, path)
            try:
                for batch in file.iter_batches(batch_size=ROWS, columns=list(COLUMNS)):
                    table.add(batch, path)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{path} cannot be read: {str(error).strip()}") from error
    return table.coded()

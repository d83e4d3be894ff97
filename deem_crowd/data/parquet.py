"""Parquet files → coded columns, row group by row group, in memory of the codes and the distinct ids."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

COLUMNS = ("task", "worker", "label")
ROWS = 1 << 20
"""Rows that are looked at together."""

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Coded = tuple[npt.NDArray[np.int32], pd.Index]


def expand(paths: Paths) -> list[str]:
    """Return the files that paths, folders, patterns and URIs stand for.

    Raises
    ------
    FileNotFoundError
        If one of them stands for none.
    """
    from deem_crowd.data import datasets

    return [file.path for file in datasets.files_of(paths)]


def is_pattern(path: str) -> bool:
    """Tell whether a path names several files at once."""
    return os.path.isdir(path) or (glob.has_magic(path) and not os.path.exists(path))


def read_columns(
    paths: Paths, names: Mapping[str, str] | None = None, where: Any = None
) -> tuple[Coded, Coded, Coded]:
    """Return task, worker and label of all rows, each as codes by first appearance, shape (R,), and its ids.

    A missing label has the code −1.

    Parameters
    ----------
    paths : path, URI, or list of these
        See :func:`expand`; ``s3://``, ``gs://``, ``abfss://`` and what else pyarrow or fsspec know.
    names : mapping, optional
        What the columns ``task``, ``worker`` and ``label`` are called; folders named ``key=value`` are columns, too.
    where : pyarrow.dataset.Expression, optional
        The rows to read; files and row groups that hold none are skipped.

    Raises
    ------
    MissingColumnError, FormError, DataError, FileNotFoundError, OSError
    """
    import pyarrow as pa

    from deem_crowd.data import datasets
    from deem_crowd.data.batches import LongTable

    table = LongTable(names)
    for file in datasets.files_of(paths, where):
        file.read_into(table, where, ROWS)
    found = table.coded()
    pa.default_memory_pool().release_unused()  # Arrow keeps what it has freed, a gigabyte after many rows
    return found

"""Files of answers and of known labels → frames and Answers."""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeAlias

import pandas as pd

from deem_crowd.exceptions import ParameterError
from deem_crowd_adapters import formats, roles
from deem_crowd_adapters.source import Place, Source
from deem_crowd_adapters.writing import write_table

__all__ = [
    "format_of",
    "read_gold",
    "read_long",
    "read_soft_long",
    "read_table",
    "write_table",
]

FileColumns: TypeAlias = "Mapping[str, Hashable] | Sequence[str]"
"""Our name → the file's; or, for CSV and TSV without a header, the names of all columns in their order."""


def format_of(path: str | os.PathLike[str], format: str | None = None) -> str:
    """Return the format that a path is written in: ``format`` if given, else by its name; ``-`` and devices get CSV.

    Raises
    ------
    ParameterError
        If the format is unknown or the name tells none.
    """
    name = os.fspath(path)
    return formats.output_of(name, format)


def read_table(
    path_or_buffer: Place, format: str | None = None, columns: FileColumns | None = None
) -> pd.DataFrame:
    """Read every column of a file, under its own name, with the rules of :func:`read_long`.

    Parameters
    ----------
    path_or_buffer, format, columns
        As in :func:`read_long`; ``columns`` renames nothing here, it can only name the columns of CSV and TSV
        without a header row.

    Returns
    -------
    DataFrame
        R rows.

    Raises
    ------
    DataError, ParameterError, OSError
    """
    return _read(path_or_buffer, format, None, columns)


def read_long(
    path_or_buffer: Place, format: str | None = None, columns: FileColumns | None = None
) -> pd.DataFrame:
    """Read the columns ``task``, ``worker`` and ``label`` of a file.

    Parquet and JSON lines have types, which are kept. CSV and TSV have none: an empty field is missing, ``""``
    is the empty text, ``NA`` and ``null`` are text; a column is integers if writing the integers gives back
    every field as it stood (``007`` stays text), and text otherwise.

    Parameters
    ----------
    path_or_buffer : path, '-' for standard input, or open file
        Compressed content (gzip, bzip2, xz, Zstandard) is recognised. Text is UTF-8, with or without a byte order mark.
    format : 'csv', 'tsv', 'jsonl' or 'parquet', optional
        By the name's suffix if omitted; by the content of standard input, pipes and open files without a name.
    columns : mapping, or sequence of str, optional
        What the three are called in the file, e.g. ``{"worker": "annotator"}``; or, for CSV and TSV without a
        header row, the names of all its columns.

    Returns
    -------
    DataFrame
        R rows, columns ``task``, ``worker``, ``label``, in the order of the file.

    Raises
    ------
    MissingColumnError
        Naming the columns found and needed.
    DataError
        If the content cannot be read; names the file and the place in it.
    ParameterError
    OSError
        As the system reports it, e.g. FileNotFoundError.
    """
    return _read(path_or_buffer, format, roles.LONG, columns)


def read_gold(
    path_or_buffer: Place,
    format: str | None = None,
    columns: FileColumns | None = None,
    *,
    like: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Read the columns ``task`` and ``label`` of a file of known labels, as :func:`read_long` reads answers.

    Parameters
    ----------
    path_or_buffer, format, columns
        As in :func:`read_long`.
    like : DataFrame, optional
        The answers that the labels belong to. CSV and TSV are then read as integers or text as those are, so
        that the ids of both match.

    Returns
    -------
    DataFrame
        Columns ``task``, ``label``.

    Raises
    ------
    MissingColumnError, DataError, ParameterError, OSError
    """
    return _read(path_or_buffer, format, roles.GOLD, columns, like)


def read_soft_long(
    path_or_buffer: Place,
    format: str | None = None,
    classes: Sequence[str] | None = None,
    columns: FileColumns | None = None,
) -> pd.DataFrame:
    """Read ``task``, ``worker`` and one probability column per class of a file.

    Parameters
    ----------
    path_or_buffer, format, columns
        As in :func:`read_long`; ``columns`` renames ``task`` and ``worker``.
    classes : sequence of str, optional
        The probability columns, K of them; every column besides the task's and the worker's if omitted.

    Returns
    -------
    DataFrame
        R rows; ``task``, ``worker``, and K columns of floats.

    Raises
    ------
    MissingColumnError, DataError, ParameterError, OSError
    """
    source, kind = _opened(path_or_buffer, format)
    headerless = columns is not None and not isinstance(columns, Mapping)
    frame = _read_source(source, kind, None, columns if headerless else None)
    renamed = None if headerless else columns
    names = roles.find(list(frame.columns), roles.SOFT, renamed, where=source.name)  # type: ignore[arg-type]
    frame = frame.rename(columns={name: part for part, name in names.items()})
    probability_columns = [name for name in frame.columns if name not in roles.SOFT]
    chosen = probability_columns if classes is None else list(classes)
    roles.find(list(frame.columns), chosen, where=source.name)
    frame = frame[[*roles.SOFT, *chosen]]
    if kind in formats.DELIMITERS:
        from deem_crowd_adapters.text import numbers

        frame = numbers(frame, chosen, source.name)
    return frame


def _read(
    place: Place,
    format: str | None,
    needed: Sequence[str] | None,
    columns: FileColumns | None,
    like: pd.DataFrame | None = None,
) -> pd.DataFrame:
    source, kind = _opened(place, format)
    return _read_source(source, kind, needed, columns, like)


def _opened(place: Place, format: str | None) -> tuple[Source, str]:
    """Return the source and its format. A name that tells none is refused before anything is read."""
    if format is not None:
        formats.checked(format)
    elif isinstance(place, (str, os.PathLike)) and not formats.is_stream(os.fspath(place)):
        require_file(os.fspath(place))
        format = formats.of(os.fspath(place))
    source = Source(place)
    return source, format or formats.by_name(source.name) or formats.by_content(source.head())


def require_file(name: str) -> None:
    """Raise :class:`FileNotFoundError` where there is no file of that name, whatever the name says."""
    if not os.path.exists(name):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _read_source(
    source: Source,
    kind: str,
    needed: Sequence[str] | None,
    columns: FileColumns | None,
    like: pd.DataFrame | None = None,
) -> pd.DataFrame:
    # The readers are imported when used: who reads CSV need not wait for parquet.
    if kind in formats.DELIMITERS:
        from deem_crowd_adapters.text import read_text

        return read_text(source, formats.DELIMITERS[kind], needed, columns, like)
    if columns is not None and not isinstance(columns, Mapping):
        raise ParameterError(
            f"columns={list(columns)!r} names the columns of a file without a header, and {kind} files name "
            "theirs. Pass a mapping from our names to the file's."
        )
    if kind == "jsonl":
        from deem_crowd_adapters.jsonl import read_jsonl

        return read_jsonl(source, needed, columns)
    from deem_crowd_adapters.parquet import read_parquet

    return read_parquet(source, needed, columns)

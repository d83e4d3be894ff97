"""Frames → files, whole or not at all."""

from __future__ import annotations

import bz2
import contextlib
import datetime
import gzip
import io
import json
import lzma
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd

from deem_crowd.data.lookup import written_shortly
from deem_crowd.exceptions import DataError, FormError, first_few
from deem_crowd.runtime.atomic import atomic_write
from deem_crowd_adapters import formats

_ROWS = 65536
"""Rows that are turned into text at a time."""
_FORMULA = frozenset("=+-@")
"""What a formula begins with, to spreadsheets; see OWASP, *CSV Injection*."""


def write_table(
    frame: pd.DataFrame | pd.Series,
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    spreadsheet: bool = False,
) -> None:
    """Write a table as CSV, TSV, JSON lines or parquet.

    The file is written beside its place and moved there when it is complete: a reader sees the old file or the
    new one, and an error or interrupt leaves the old one. Missing values are empty fields in CSV and TSV (the
    empty text is ``""``) and null elsewhere, so that :func:`read_long` reads back what was written.

    Parameters
    ----------
    frame : DataFrame or Series
        Named levels of the index become the first columns; an index without a name is left out.
    path : path, or '-' for standard output
        Compressed if the name ends in ``.gz``, ``.bz2``, ``.xz`` or ``.zst``. A device or pipe is written directly.
    format : 'csv', 'tsv', 'jsonl' or 'parquet', optional
        By the name's suffix if omitted; CSV on standard output.
    spreadsheet : bool
        Put an apostrophe before texts of CSV and TSV that a spreadsheet would take for formulas: those that begin with
        ``=``, ``+``, ``-`` or ``@``, also in full width or after whitespace and control characters, and those that
        begin with a tab or a line end. What is read back then has it, too.

    Raises
    ------
    ParameterError
        If the format is unknown.
    FormError, DataError
        If the format cannot hold the table.
    OSError
        As the system reports it.
    """
    name = os.fspath(path)
    kind = formats.output_of(name, format)
    table = _with_index(frame)
    if name == "-":
        _write(table, kind, sys.stdout.buffer, spreadsheet)
        sys.stdout.buffer.flush()
        return
    with atomic_write(name) as raw:
        if name.endswith(".gz"):
            # No name and time inside, so that equal tables make equal files.
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
                _write(table, kind, cast("BinaryIO", file), spreadsheet)
        elif name.endswith(".zst"):
            import pyarrow as pa

            whole = io.BytesIO()
            _write(table, kind, whole, spreadsheet)
            raw.write(pa.Codec("zstd").compress(whole.getvalue(), asbytes=True))
        elif name.endswith((".bz2", ".xz")):
            opener: Any = bz2.open if name.endswith(".bz2") else lzma.open
            with opener(raw, "wb") as file:
                _write(table, kind, file, spreadsheet)
        else:
            _write(table, kind, raw, spreadsheet)


def _with_index(frame: pd.DataFrame | pd.Series) -> pd.DataFrame:
    if not isinstance(frame, (pd.DataFrame, pd.Series)):
        raise FormError(f"expected a DataFrame or Series, got {type(frame).__name__}.")
    table = frame.to_frame() if isinstance(frame, pd.Series) else frame.copy(deep=False)
    index = table.index
    table = table.reset_index(drop=True)
    for level in reversed(range(index.nlevels)):
        if index.names[level] is not None:
            ids = index.get_level_values(level)
            values = pd.Series(ids, dtype=ids.dtype)
            # A class may be called like the index: both are written.
            table.insert(0, index.names[level], values, allow_duplicates=True)
    return table


def _write(table: pd.DataFrame, kind: str, file: BinaryIO, spreadsheet: bool) -> None:
    if kind in formats.DELIMITERS:
        _write_text(table, formats.DELIMITERS[kind], file, spreadsheet)
        return
    names = [str(name) for name in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormError(
            f"{kind} cannot hold two columns called {first_few(twice)}. Rename one, or write CSV."
        )
    table = table.set_axis(names, axis=1)
    (_write_jsonl if kind == "jsonl" else _write_parquet)(table, file)


def _write_text(table: pd.DataFrame, delimiter: str, file: BinaryIO, spreadsheet: bool) -> None:
    special = frozenset(f'{delimiter}"\r\n')

    def shown(value: Any) -> str:
        text = _as_text(value)
        number = isinstance(value, (int, float, np.number))
        if spreadsheet and not number and _is_formula(text):
            text = "'" + text
        return quoted(text)

    def quoted(text: str) -> str:
        # Readers skip rows of white space alone that are not in quotes.
        if text.strip() and special.isdisjoint(text) and text[0] != "\ufeff":
            return text
        return '"' + text.replace('"', '""') + '"'

    def written(column: list[Any]) -> list[str]:
        kinds = set(map(type, column))
        if kinds <= {int, float, type(None)}:  # the text of a number needs no look at it
            return ["" if value is None else str(value) for value in column]
        if kinds == {str} and not spreadsheet and all(map(str.strip, column)):
            together = "".join(column)
            if not any(char in together for char in (*special, "\ufeff")):
                return column
        return ["" if value is None else shown(value) for value in column]

    with _text(file) as out:
        out.write(delimiter.join(shown(name) for name in table.columns) + "\n")
        for columns in _blocks(table):
            # A row of one missing value would be a blank line, which readers skip: "," is not possible there.
            cells = [written(column) for column in columns]
            out.writelines(delimiter.join(row) + "\n" for row in zip(*cells, strict=True))


def _is_formula(text: str) -> bool:
    """Tell whether a spreadsheet might take a text for a formula, whatever it skips or converts on the way."""
    if text[:1] in {"\t", "\r", "\n"}:
        return True
    first = next((c for c in text if unicodedata.category(c)[0] not in "CZ"), "")
    return unicodedata.normalize("NFKC", first)[:1] in _FORMULA


def _write_jsonl(table: pd.DataFrame, file: BinaryIO) -> None:
    names = list(table.columns)
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_text).encode
    with _text(file) as out:
        for columns in _blocks(table):
            out.writelines(
                encode(dict(zip(names, row, strict=True))) + "\n"
                for row in zip(*columns, strict=True)
            )


def _write_parquet(table: pd.DataFrame, file: BinaryIO) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        arrow = pa.Table.from_pandas(table, preserve_index=False)
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        OverflowError,
        UnicodeError,
    ) as error:
        raise DataError(
            f"parquet cannot hold this table: {error}. Give each column values of one kind, e.g. "
            "df.astype(str)."
        ) from error
    parquet.write_table(arrow, file)


@contextlib.contextmanager
def _text(file: BinaryIO) -> Iterator[io.TextIOWrapper]:
    out = io.TextIOWrapper(file, "utf-8", newline="", write_through=False)
    try:
        yield out
        out.flush()
    except UnicodeEncodeError as error:
        raise DataError(f"a value is no valid Unicode text: {error}.") from error
    finally:
        with contextlib.suppress(ValueError, UnicodeEncodeError):
            out.detach()  # the file belongs to the caller


def _blocks(table: pd.DataFrame) -> Iterator[list[list[Any]]]:
    """Yield rows, so many at a time, as one list of plain Python values per column; None is missing."""
    for start in range(0, len(table), _ROWS):
        block = table.iloc[start : start + _ROWS]
        yield [_plain(block.iloc[:, i]) for i in range(table.shape[1])]


def _plain(column: pd.Series) -> list[Any]:
    absent = column.isna().to_numpy()
    # a 32-bit float in its own shortest form: 0.1, and not 0.10000000149011612
    values = (written_shortly(pd.Index(column)) if column.dtype == np.float32 else column).tolist()
    if not absent.any():
        return values
    return [None if gone else value for gone, value in zip(absent, values, strict=True)]


def _as_text(value: Any) -> str:
    """Return a value as text; numbers in the shortest form that reads back the same."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (datetime.date, datetime.time)):  # Timestamps among them
        return value.isoformat()
    return str(value)

"""JSON lines, or one list of objects → typed columns. JSON's own types stand: ``"7"`` is text, ``7`` a number,
``null`` is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.exceptions import DataError
from deem_crowd_adapters import roles
from deem_crowd_adapters.formats import PARQUET_MARK, UTF8_MARK
from deem_crowd_adapters.json_text import parse_json
from deem_crowd_adapters.source import Source


def read_jsonl(
    source: Source, needed: Sequence[str] | None, columns: roles.Columns | None = None
) -> pd.DataFrame:
    """Return columns of a file of JSON objects, one a line; blank lines are skipped.

    A key that a line lacks is missing there; a key that no line has is a missing column. A file without lines
    is a table without rows.

    Parameters
    ----------
    source : Source
    needed : sequence of str, optional
        The parts to return; every key, under its own name, if omitted.
    columns : mapping, optional
        What those parts are called in the file. ``item.id`` is ``id`` in the object ``item``.

    Raises
    ------
    MissingColumnError, DataError, ParameterError, OSError
    """
    seen: dict[str, None] = {}
    lists: dict[str, list[Any]] = {}
    same: dict[str, str] = {}  # one object for equal texts: ids repeat
    names = dict.fromkeys(needed or ())
    wanted = None if needed is None else {(columns or {}).get(part, part) for part in names}
    inner = [str(name) for name in wanted or () if "." in str(name)]
    n_rows = 0
    for number, row in _rows(source):
        for key, value in (*row.items(), *_within(row, inner)):
            seen.setdefault(key)
            if wanted is not None and key not in wanted:
                continue
            if isinstance(value, str):
                value = same.setdefault(value, value)
            column = lists.setdefault(key, [])
            column.extend([None] * (n_rows - len(column)))
            column.append(value)
        n_rows = number
    if not n_rows and needed is not None:
        roles.find(needed, needed, None)
        return pd.DataFrame({part: pd.Series([], dtype=object) for part in needed})
    header = list(seen)
    chosen = roles.find(header, header if needed is None else needed, columns, where=source.name)
    out = {}
    for part, key in chosen.items():
        values = lists[key]
        values.extend([None] * (n_rows - len(values)))
        out[part] = _typed(values, part, source.name)
    return pd.DataFrame(out)


def _within(row: dict[str, Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield those values of objects within an object that are named by their path."""
    for name in names:
        if name in row:
            continue
        value: Any = row
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            yield name, value


def _rows(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number of rows so far, object); of a list in brackets its entries."""
    source.refuse_wide_text()
    named_lines = source.name.lower().endswith((".jsonl", ".ndjson"))
    if not named_lines and source.head().removeprefix(UTF8_MARK).lstrip().startswith(b"["):
        yield from _entries(source)
        return
    n_rows = 0
    with source.open() as file:
        for line_number, line in enumerate(file, 1):
            text = line.removeprefix(UTF8_MARK) if line_number == 1 else line
            if not text.strip():
                continue
            where = f"{source.name}, line {line_number},"
            if text.startswith(PARQUET_MARK):
                raise DataError(f"{source.name} holds parquet: pass format='parquet'.")
            row = parse_json(_decoded(text, source), where, "One object a line is needed.", False)
            if not isinstance(row, dict):
                raise DataError(
                    f"{where} is not a JSON object but {type(row).__name__}. "
                    'Each line is {"task": …, "worker": …, "label": …}.'
                )
            n_rows += 1
            yield n_rows, row


def _entries(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    with source.open() as file:
        text = _decoded(file.read().removeprefix(UTF8_MARK), source)
    for number, row in enumerate(parse_json(text, source.name, finite=False), 1):
        if not isinstance(row, dict):
            raise DataError(
                f"{source.name}, entry {number - 1}, is not a JSON object but {type(row).__name__}. "
                'Each entry is {"task": …, "worker": …, "label": …}.'
            )
        yield number, row


def _decoded(content: bytes, source: Source) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise source.undecodable() or error from error


def _typed(values: list[Any], part: str, where: str) -> pd.Series:
    """Return JSON values, shape (R,), as a Series; integers and booleans beside null stay what they are."""
    kinds = {type(value) for value in values} - {type(None)}
    absent = any(value is None for value in values)
    if kinds == {str}:
        bad = next((i for i, v in enumerate(values) if v is not None and not _is_text(v)), None)
        if bad is not None:
            raise DataError(
                f"{where}, row {bad}: {part!r} is {values[bad]!a}, which is half of a character (a lone surrogate)."
            )
    if float in kinds:
        bad = next(
            (i for i, v in enumerate(values) if isinstance(v, float) and math.isinf(v)), None
        )
        if bad is not None:
            raise DataError(
                f"{where}, row {bad}: {part!r} is a number too large for a float, or infinite. Write it as text."
            )
    if kinds == {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return pd.Series(values, dtype="Int64" if absent else "int64")
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean" if absent else "bool")
    if kinds == {int, float} and all(abs(v) <= 2**53 for v in values if isinstance(v, int)):
        # JSON knows one kind of number
        return pd.Series([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    return pd.Series(values, dtype=object).infer_objects()


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

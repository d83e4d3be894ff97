"""A file of any kind, opened: JSON records, one JSON object, a table, arrays, XML or an archive of files."""

from __future__ import annotations

import io
import json
import os
import tokenize
import zipfile
import zlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import pandas as pd

from deem_crowd.exceptions import DataError, DeemCrowdError, counted, first_few
from deem_crowd.runtime import extras
from deem_crowd.runtime.cached import cached_property
from deem_crowd_adapters.compressed import within_bounds
from deem_crowd_adapters.exports.zips import unpacked
from deem_crowd_adapters.formats import PARQUET_MARK, UTF8_MARK
from deem_crowd_adapters.json_text import parse_json
from deem_crowd_adapters.source import Place, Source
from deem_crowd_adapters.text import is_whole, read_text

Kind = Literal["records", "object", "table", "arrays", "xml", "archive", "sheets"]

MAX_JSON_BYTES = 4 * 2**30
"""A larger JSON document is refused before it is parsed; JSON lines and tables have no such bound."""
_DATA = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".xml", ".npy", ".npz", ".parquet", ".xlsx")
"""Ends of the names of an archive's files that are read; others are pictures, texts and the like."""


@dataclass(frozen=True)
class Content:
    """One file, opened once.

    ``value`` is a list of dicts (``records``), a dict (``object``), a DataFrame of every column (``table``), a dict
    name → array (``arrays``; a single array has the name ``""``), text (``xml``), a list of :class:`Content`
    (``archive``) or a dict sheet → DataFrame (``sheets``).
    """

    name: str
    """How messages call it."""
    kind: Kind
    value: Any = field(repr=False)

    @cached_property
    def stem(self) -> str:
        """The file's name without folders and suffixes: the name of a source that has no other."""
        base = PurePath(self.name).name
        while PurePath(base).suffix and not PurePath(base).suffix[1:].isdigit():
            base = PurePath(base).stem
        return base or self.name

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of the object, of the first fifty records, or the columns of the table."""
        if self.kind == "records":
            return frozenset(key for record in self.value[:50] for key in record)
        if self.kind in ("object", "table", "arrays", "sheets"):
            return frozenset(str(key) for key in self.value)
        return frozenset()

    @cached_property
    def frame(self) -> pd.DataFrame | None:
        """All columns of the table, the records or the only sheet; None if the file is not one table."""
        if self.kind == "records":
            return pd.DataFrame(self.value)
        if self.kind == "sheets" and len(self.value) == 1:
            return cast(pd.DataFrame, next(iter(self.value.values())))
        return cast(pd.DataFrame, self.value) if self.kind == "table" else None

    def damaged(self, place: str, what: str, remedy: str = "") -> DataError:
        """Return the error that says what is wrong at a place of this file."""
        return DataError(f"{self.name}, {place}: {what}.{' ' + remedy if remedy else ''}")


def open_content(place: Place, sheet: Any = None) -> Content:
    """Open a file by what it holds; its name only breaks ties.

    Parameters
    ----------
    place : path, '-' or open file
        Compressed content (gzip, bzip2, xz, Zstandard) is recognised.
    sheet : str or int, optional
        Of a workbook, the only sheet to read.

    Raises
    ------
    DataError
        If it cannot be read as what it looks like; names the file and the place in it.
    OSError
    """
    return _content(Source(place), sheet)


def _content(source: Source, sheet: Any = None) -> Content:
    head = source.head()
    text = head.removeprefix(UTF8_MARK).lstrip()
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):  # the second one begins an empty archive
        return _archive(source, sheet)
    if head.startswith(b"\x93NUMPY"):
        with source.open() as file:
            return Content(source.name, "arrays", {"": _array(file.read(), source.name)})
    if head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise DataError(
            f"{source.name} is a Python pickle, which runs code when it is opened. Save the answers as CSV, JSON, "
            "npy or parquet."
        )
    if head.startswith(PARQUET_MARK):
        from deem_crowd_adapters.parquet import read_parquet

        return Content(source.name, "table", read_parquet(source, None))
    source.refuse_wide_text()
    if text.startswith((b"{", b"[")):
        return _json(source)
    if text.startswith(b"<"):
        with source.open() as file:
            return Content(source.name, "xml", _decoded(file.read(), source))
    line = text.partition(b"\n")[0]
    delimiter = "\t" if line.count(b"\t") > line.count(b",") else ","
    return Content(source.name, "table", read_text(source, delimiter, None))


def _decoded(content: bytes, source: Source) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise source.undecodable() or error from error


def _json(source: Source) -> Content:
    """Read a JSON document, or JSON lines where the first line is a whole object and more follows."""
    with source.open() as file:
        content = _at_most(file, MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise DataError(
            f"{source.name} is a JSON document of more than {MAX_JSON_BYTES // 2**30} GiB. Export JSON lines "
            "or parquet."
        )
    text = _decoded(content, source)
    if PurePath(source.name).suffix.lower() in (".jsonl", ".ndjson") or _is_lines(text):
        return Content(source.name, "records", list(_lines(text, source.name)))
    value = parse_json(text, source.name)
    if isinstance(value, dict):
        return Content(source.name, "object", value)
    strange = [i for i, record in enumerate(value) if not isinstance(record, dict)]
    if strange:
        raise DataError(
            f"{source.name}: {len(strange)} of {counted(len(value), 'entry', 'entries')} of the list "
            f"{'is no JSON object' if len(strange) == 1 else 'are no JSON objects'} (entries "
            f"{first_few(strange)}; the first is a {type(value[strange[0]]).__name__}). One object a record is needed."
        )
    return Content(source.name, "records", value)


_DAMAGED_ZIP = (
    LookupError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)
"""What opening a damaged archive raises."""


def _at_most(file: BinaryIO, size: int) -> bytes:
    """Return up to ``size`` bytes, without asking for memory that the file does not fill."""
    pieces: list[bytes] = []
    while size > 0 and (piece := file.read(min(size, 2**24))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _is_lines(text: str) -> bool:
    """Tell whether the first line is a whole object and another one begins after it."""
    first, _, rest = text.lstrip().partition("\n")
    if not (
        first.rstrip().endswith("}") and first.startswith("{") and rest.lstrip().startswith("{")
    ):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(text: str, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        record = parse_json(line, f"{name}, line {number},")
        if not isinstance(record, dict):
            raise DataError(
                f"{name}, line {number}, is not a JSON object but {type(record).__name__}. One object a line is needed."
            )
        yield record


def _array(content: bytes, name: str) -> Any:
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, MemoryError, tokenize.TokenError) as error:
        if "pickle" in str(error) or "Object arrays" in str(error):
            raise DataError(
                f"{name} holds objects, and reading them would run code (a pickle). Save numbers: "
                "np.save(path, matrix.astype(np.int64))."
            ) from error
        raise DataError(f"{name} is no complete npy array: {error}. Save it again.") from error


def _archive(source: Source, sheet: Any) -> Content:
    """Read an archive: a workbook, arrays (npz), or files of which each is read by itself."""
    with source.open() as file:
        data = file.read()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            size = sum(info.file_size for info in archive.infolist())
            within_bounds(source.name, len(data), size)
            if "xl/workbook.xml" in names:
                return Content(source.name, "sheets", _sheets(data, source.name, sheet))
            if names and all(name.endswith(".npy") for name in names):
                arrays = {
                    name.removesuffix(".npy"): _array(
                        unpacked(archive, data, name), f"{source.name}, {name}"
                    )
                    for name in names
                }
                return Content(source.name, "arrays", arrays)
            parts = [
                _member(unpacked(archive, data, name), name, source.name)
                for name in names
                if not name.startswith("__MACOSX/")
                and not os.path.basename(name).startswith(".")
                and name.lower().endswith(_DATA)
            ]
    except DeemCrowdError:
        raise
    except NotImplementedError as error:
        raise DataError(
            f"{source.name} is packed in a way that cannot be read: {error}. Unpack it and read its files."
        ) from error
    except _DAMAGED_ZIP as error:
        raise DataError(
            f"{source.name} is not a complete zip archive: {error}. Fetch or export it again."
        ) from error
    if not names:
        raise DataError(f"{source.name} is an empty archive. Export it again.")
    if not parts:
        raise DataError(
            f"{source.name} holds no file of answers, but {first_few(names)}; files that end in "
            f"{', '.join(_DATA)} are read. Give the file of answers itself."
        )
    return Content(source.name, "archive", parts)


def _member(content: bytes, name: str, where: str) -> Content:
    file = io.BytesIO(content)
    file.name = f"{where}/{name}"
    return _content(Source(cast("Any", file)))


def _sheets(data: bytes, name: str, sheet: Any) -> dict[str, pd.DataFrame]:
    extras.require("excel", f"workbooks such as {name}")
    try:
        # As objects: else pandas takes texts such as 007 and 1e5 for the numbers 7 and 100000.
        sheets = pd.read_excel(
            io.BytesIO(data), sheet_name=sheet, dtype=object, keep_default_na=False, na_values=[""]
        )
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{name} is not a readable Excel workbook: {error}. Save it again."
        ) from error
    named = {str(sheet): sheets} if isinstance(sheets, pd.DataFrame) else sheets
    return _with_whole_numbers({name: _without_blank_end(frame) for name, frame in named.items()})


def _with_whole_numbers(sheets: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return sheets whose cells of text are integers where all those of a column, on any sheet, are written as such."""
    texts: dict[Hashable, set[str]] = {}
    for frame in sheets.values():
        for name in frame.columns:
            texts.setdefault(name, set()).update(c for c in frame[name] if isinstance(c, str))
    whole = {name for name, held in texts.items() if held and all(map(is_whole, held))}

    def typed(column: pd.Series) -> pd.Series:
        cells = column.tolist()
        if column.name in whole:
            cells = [int(cell) if isinstance(cell, str) else cell for cell in cells]
        column = pd.Series(cells, column.index, dtype=object)
        found = column.infer_objects()
        # Beside empty cells, integers become floats, which have 53 bits.
        loses = found.dtype.kind == "f" and any(
            isinstance(c, int) and abs(c) > 2**53 for c in cells
        )
        return column if loses else found

    return {
        name: pd.DataFrame({c: typed(frame[c]) for c in frame.columns}, frame.index)
        for name, frame in sheets.items()
    }


def _without_blank_end(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a sheet without the rows at its end whose cells are empty or white space."""
    for n_rows in range(len(frame), 0, -1):
        if any(not pd.isna(cell) and str(cell).strip() for cell in frame.iloc[n_rows - 1]):
            return frame.iloc[:n_rows]
    return frame.iloc[:0]

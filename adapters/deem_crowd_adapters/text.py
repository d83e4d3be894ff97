"""CSV and TSV → typed columns.

A text file has no types, so these rules stand in for them. An empty field is missing; ``""`` in quotes is the
empty text; ``NA``, ``null`` and ``None`` are text like any other
(labels that look missing raise a warning). A column is integers only if writing the
integers gives back every field as it stood (so ``007`` stays text); else it is text.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pacsv

from deem_crowd.exceptions import (
    DataError,
    MissingColumnError,
    ParameterError,
    counted,
    first_few,
)
from deem_crowd_adapters import regions, roles
from deem_crowd_adapters.formats import PARQUET_MARK
from deem_crowd_adapters.source import Source

_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_CANONICAL_INTEGER = r"^(0|-?[1-9][0-9]*)$"
_KINDS = {",": "CSV", ";": "CSV", "|": "CSV", "\t": "TSV"}
_OF_A_SURVEY = (
    "It looks like a survey of Qualtrics: one row a respondent, one column a question. Read it as a form: "
    "to_answers(path, format='form') (in the shell: --adapter form)."
)
"""What helps with a table whose rows are workers and whose columns are tasks."""
_BLOCK = 2**23
"""Bytes; also the longest row that can be read."""


class JoinedFilesError(DataError):
    """The header stands among the rows again: no guess about what kind of table this is gets around it."""


def read_text(
    source: Source,
    delimiter: str,
    needed: Sequence[str] | None,
    columns: Mapping[str, Hashable] | Sequence[str] | None = None,
    like: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return columns of a CSV or TSV file, each as integers or as text.

    Parameters
    ----------
    source : Source
    delimiter : str
        Where it is a comma and the header holds none, semicolons or bars separate the fields if the header has them:
        so spreadsheets write CSV where the comma is the decimal mark, and databases dump tables.
    needed : sequence of str, optional
        The parts to return; every column, under its own name, if omitted.
    columns : mapping, or sequence of str, optional
        What those parts are called in the file; or, for a file without a header, the names of all its columns.
    like : DataFrame, optional
        Columns found here are read as integers or text as they are there, so that ids in two files match.

    Raises
    ------
    MissingColumnError, FormError, DataError, ParameterError, OSError
    """
    if source.head(4) == PARQUET_MARK:
        raise DataError(f"{source.name} holds parquet: pass format='parquet'.")
    source.refuse_wide_text()
    delimiter, header = _separated(source, delimiter)
    given = _given_names(columns)
    renamed = columns if isinstance(columns, Mapping) else None
    if given is None and not header and needed is not None:
        raise MissingColumnError(
            f"{source.name} is empty. The first line names the columns: {', '.join(needed)}."
        )
    columns_there = header if given is None else given
    wanted = columns_there if needed is None else needed
    if any("\udc80" <= letter <= "\udcff" for name in header for letter in name):
        undecodable = source.undecodable()  # in the header even an extra column is doubtful
        if undecodable is not None:
            raise undecodable
    if b'""ImportId""' in source.head():
        remedy = _OF_A_SURVEY
    else:
        remedy = _of_one_field(source, header, delimiter, wanted) or _remedy(
            header, delimiter, wanted
        )
    names = roles.find(columns_there, wanted, renamed, where=source.name, remedy=lambda: remedy)
    if not header:
        return pd.DataFrame({part: pd.Series([], dtype=object) for part in names})
    table = _table(source, delimiter, list(names.values()), given)
    if given is None:
        _refuse_repeated_header(table, source.name)
    return pd.DataFrame(
        {
            part: _typed(table.column(name), None if like is None else like.get(part))
            for part, name in names.items()
        }
    )


def _given_names(columns: Any) -> list[str] | None:
    if columns is None or isinstance(columns, Mapping):
        return None
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise ParameterError(
            f"columns={columns!r} is neither a mapping (our name → the file's) nor a list of the names of all "
            "columns of a file without a header."
        )
    return list(columns)


def _separated(source: Source, delimiter: str) -> tuple[str, list[str]]:
    """Return what separates the fields of a file, and the fields of its first record."""
    header = _header(source, delimiter)
    for other in ";|":
        if delimiter == "," and len(header) == 1 and other in header[0]:
            fields = _header(source, other)
            if len(fields) > 1:
                return other, fields
    return delimiter, header


def _of_one_field(
    source: Source, header: Sequence[str], delimiter: str, needed: Sequence[str]
) -> str:
    """Return what helps where the first line is one field and names no columns; empty if neither is so."""
    if len(header) != 1 or len(needed) < 2 or header[0].startswith(("sep=", "#")):
        return ""
    if header[0].count(delimiter) >= len(needed) - 1:
        return (
            "Each line stands in quotation marks as a whole: remove those around the lines, or save the table as CSV "
            "once more."
        )
    if len(_header(source, delimiter, 1)) >= len(needed):
        return f"The first line ({header[0]!r}) seems to be a title: remove the lines above the names of the columns."
    return ""


def _header(source: Source, delimiter: str, after: int = 0) -> list[str]:
    """Return the fields of the first record, or of one ``after`` it; none if there is nothing but blank lines."""
    with source.open() as file:
        # What cannot be decoded is found later, if it stands in a column that is needed.
        text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
        try:
            rows = (row for row in csv.reader(text, delimiter=delimiter) if row)
            return next(itertools.islice(rows, after, None), [])
        except csv.Error as error:
            undecodable = source.undecodable()  # Python 3.10 trips over the zeros of UTF-16 first
            if undecodable is not None:
                raise undecodable from error
            raise DataError(f"{source.name} has no readable header: {error}.") from error
        finally:
            text.detach()


def _remedy(header: Sequence[str], delimiter: str, needed: Sequence[str]) -> str:
    if header and (said := regions.named_by_line("\t".join(header))):
        return said
    if header and header[0].startswith(("sep=", "#")):
        return f"The first line ({header[0]!r}) names no columns: remove it, as tail -n +2 does."
    for other, called in ((";", "semicolons"), ("\t", "tabs"), (",", "commas"), ("|", "bars")):
        if (
            other != delimiter
            and len(header) == 1
            and header[0].count(other) >= len(needed) - 1 > 0
        ):
            if other == "\t":
                return "The fields seem to be separated by tabs: pass format='tsv'."
            if other == ",":
                return "The fields seem to be separated by commas: pass format='csv'."
            return f"The fields seem to be separated by {called}; save the file with commas."
    if sum(not name.strip() for name in header) > 1:
        return (
            "If the names of the columns stand in a row below the first, remove the rows above it."
        )
    if len(header) >= len(needed):
        names = [*needed, *(f"c{i}" for i in range(len(needed), len(header)))]
        return f"If the file has no header row, name its columns in their order: columns={names!r}."
    return ""


class _Lines(io.RawIOBase):
    """Passes a file on without the blank lines at its end, ends its last line, and counts its quotation marks.

    A line is blank if it holds nothing but ``delimiter`` and white space, as spreadsheets write below a table.
    """

    def __init__(self, file: BinaryIO, delimiter: str) -> None:
        self._file = file
        # The bytes of a no-break space: in UTF-8 a line of nothing else has no other letter.
        self._blank = " \t\r\n\xa0".encode() + delimiter.encode()
        self._ahead = file.read(1)  # tells the last chunk, which has to bring the end of its line
        self._ready = self._held = b""
        self._in_line = False
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._ready and self._ahead:
            chunk = self._ahead + self._file.read(size - 2 if size > 2 else size)
            self._ahead = self._file.read(1)
            self._ready = self._not_blank(chunk)
            if self._ready:
                self._in_line = self._ready[-1:] not in b"\r\n"
            if self._in_line and not self._ahead:
                self._ready += b"\n"
            self.count += self._ready.count(b'"')
        end = len(self._ready) if size < 0 else size
        passed, self._ready = self._ready[:end], self._ready[end:]
        return passed

    def _not_blank(self, chunk: bytes) -> bytes:
        """Return what comes next, holding back blank lines until another line follows."""
        chunk = self._held + chunk
        end = len(chunk.rstrip(self._blank))
        if end or self._in_line:
            ends = [place for mark in (b"\n", b"\r") if (place := chunk.find(mark, end)) >= 0]
            end = min(ends) + 1 if ends else len(chunk)
        self._held = chunk[end:]
        return chunk[:end]


def _table(source: Source, delimiter: str, names: list[str], given: list[str] | None) -> pa.Table:
    with source.open() as file:
        counted = _Lines(file, delimiter)
        try:
            table = pacsv.read_csv(
                pa.PythonFile(counted, mode="r"),
                # One thread, so that errors tell the row.
                read_options=pacsv.ReadOptions(
                    use_threads=False, block_size=_BLOCK, column_names=given
                ),
                parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(names, _DICTIONARY),
                    include_columns=names,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise _explained(source, _KINDS[delimiter], error) from error
    if counted.count % 2:
        _refuse_open_quote(source, delimiter)
    return table


def _refuse_repeated_header(table: pa.Table, where: str) -> None:
    """Raise if rows of two columns or more repeat the names of the columns, as in files that were joined."""
    if table.num_columns < 2:
        return
    rows: Any = None
    for name in reversed(table.column_names):  # the label's column has the fewest distinct values
        column = table.column(name).unify_dictionaries()
        if not column.num_chunks or pc.index(column.chunk(0).dictionary, name).as_py() < 0:
            return
        equal = pc.fill_null(pc.equal(column.cast(pa.string()), name), False)
        rows = equal if rows is None else pc.and_(rows, equal)
    repeated = np.flatnonzero(rows.to_numpy())
    if len(repeated):
        raise JoinedFilesError(
            f"{where}: {counted(len(repeated), 'row repeats', 'rows repeat')} the header (rows "
            f"{first_few(repeated)}), as in files that were joined. Remove those lines."
        )


def _explained(source: Source, kind: str, error: Exception) -> DataError:
    undecodable = source.undecodable() if "UTF8" in str(error) else None
    if undecodable is not None:
        return undecodable
    text = str(error).strip()
    if "straddl" in text:
        text = f"a row is longer than {_BLOCK // 2**20} MiB, or a quotation mark is never closed"
    return DataError(f"{source.name} is not regular {kind}: {text[:300]}. Correct that row.")


def _refuse_open_quote(source: Source, delimiter: str) -> None:
    """Raise if a quoted field never ends: everything after it would have been read as one value."""
    kind = _KINDS[delimiter]
    with source.open() as file:
        text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        line = 1
        try:
            for _ in reader:
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{source.name} is not regular {kind}: the quotation marks of the row that begins on line {line} do "
                f"not match ({error}). Close the quoted field, or double the marks within it."
            ) from error
        finally:
            text.detach()


def _typed(column: pa.ChunkedArray, like: pd.Series | None) -> pd.Series:
    """Return a column of text, shape (R,), as integers where that loses nothing, else as text."""
    if not column.num_chunks:
        return pd.Series([], dtype=object)
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    values = array.dictionary
    integers_allowed = like is None or pd.api.types.is_integer_dtype(like.dtype)
    integers = _integers(values) if integers_allowed else None
    if integers is None:
        return array.cast(pa.string()).to_pandas()
    codes = array.indices
    if array.null_count:
        taken = integers.take(codes)
        return taken.to_pandas(types_mapper=lambda _: pd.Int64Dtype())
    return pd.Series(integers.to_numpy()[codes.to_numpy()])


def is_whole(text: str) -> bool:
    """Tell whether a text is an integer of 64 bits, written as integers are: 7, and not 007 or +7."""
    written = len(text) <= 20 and re.fullmatch(_CANONICAL_INTEGER, text) is not None
    return written and -(2**63) <= int(text) < 2**63


def _integers(values: pa.StringArray) -> pa.Int64Array | None:
    """Return distinct texts as integers, None unless each integer is written exactly so."""
    if not len(values) or not pc.all(pc.match_substring_regex(values, _CANONICAL_INTEGER)).as_py():
        return None
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:  # beyond 64 bits
        return None


def numbers(frame: pd.DataFrame, names: Sequence[Any], where: str) -> pd.DataFrame:
    """Return ``frame`` with the columns ``names``, read as integers or text, turned into floats.

    Raises
    ------
    DataError
        If one holds what is no number.
    """
    out = frame.copy()
    for name in names:
        column = frame[name]
        values = pd.to_numeric(column, errors="coerce")
        bad = np.flatnonzero((values.isna() & column.notna()).to_numpy())
        if len(bad):
            found = counted(len(bad), "entry", "entries")
            raise DataError(
                f"column {name!r} of {where} holds {found} other than numbers (rows {first_few(bad)}: "
                f"{first_few(column.iloc[bad])}). Name the probability columns in classes=[...], and write decimals "
                "with a point."
            )
        out[name] = values.astype(np.float64)
    return out

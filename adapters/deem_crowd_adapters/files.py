"""Files in the long format: CSV, TSV, JSON lines, parquet; plain, gzipped, or on the standard streams.

Text files have no types. A column is read as integers only if writing them gives back every field as it was; else it
stays text, so that ``007``, ``1.0``, ``NA`` and ``None`` are the ids or labels they look like. An empty field is
missing.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

from deem_crowd.answers import COLUMNS, Answers
from deem_crowd.exceptions import DataError, ParameterError, first_few

FORMATS = ("csv", "tsv", "jsonl", "parquet")
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_BIGGEST = 18  # decimal digits that any int64 can hold


def format_of(path: str | os.PathLike[str], format: str | None = None) -> str:
    """Return the format of a file by its name (``.gz`` aside), or ``format`` if that is given; ``-`` is CSV.

    Raises
    ------
    ParameterError
        If the format is unknown or the name tells none.
    """
    if format is not None:
        if format not in FORMATS:
            raise ParameterError(f"format={format!r} is not one of {first_few(FORMATS)}.")
        return format
    if str(path) == "-":
        return "csv"
    name = Path(path).name.removesuffix(".gz")
    found = _SUFFIXES.get(Path(name).suffix.lower())
    if found is None:
        raise ParameterError(
            f"the name of {str(path)!r} tells no format. Name it .csv, .tsv, .jsonl or .parquet, or give the format: "
            f"{first_few(FORMATS)}."
        )
    return found


def read_table(path: str | os.PathLike[str], format: str | None = None) -> pd.DataFrame:
    """Read a table from a file, or from standard input for ``-``.

    Raises
    ------
    OSError
        As the system gives it, if the file cannot be opened.
    DataError
        If its content is not in the format; the message names the file and the place.
    ParameterError
        If no format can be told.
    """
    kind = format_of(path, format)
    name = "standard input" if str(path) == "-" else str(path)
    raw = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError) as error:
            raise DataError(f"{name} is not a complete gzip file: {error}.") from error
    if kind == "parquet":
        return _read_parquet(raw, name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not UTF-8: byte {raw[error.start]:#04x} at position {error.start}. Convert it first, e.g. "
            "iconv -f latin1 -t utf8."
        ) from error
    return _read_json_lines(text, name) if kind == "jsonl" else _read_separated(text, name, kind)


def read_long(path: str | os.PathLike[str], format: str | None = None) -> pd.DataFrame:
    """Read answers in the long format: a frame of R rows with at least ``task``, ``worker`` and ``label``.

    Parameters
    ----------
    path : path, or '-' for standard input
    format : {'csv', 'tsv', 'jsonl', 'parquet'}, optional
        By the file's name if omitted.

    Raises
    ------
    MissingColumnError
        If one of the three columns is not there.
    OSError, DataError, ParameterError
        As :func:`read_table`.
    """
    from deem_crowd.answers import require_columns

    frame = read_table(path, format)
    require_columns(frame, COLUMNS)
    return frame


def from_file(path: str | os.PathLike[str], format: str | None = None, **options: Any) -> Answers:
    """CSV, TSV, JSON lines or parquet file in the long format; ``-`` is standard input.

    Options are those of :meth:`deem_crowd.Answers.from_frame`; errors as :func:`read_long`.
    """
    return Answers.from_frame(read_long(path, format), **options)


def write_table(
    frame: pd.DataFrame, path: str | os.PathLike[str], format: str | None = None
) -> None:
    """Write a frame, without its index, so that the file is the old one or the new one, never half of it.

    Parameters
    ----------
    frame : DataFrame
    path : path, or '-' for standard output
        ``.gz`` at the end compresses.
    format : {'csv', 'tsv', 'jsonl', 'parquet'}, optional
        By the file's name if omitted.

    Raises
    ------
    OSError, ParameterError
    """
    kind = format_of(path, format)
    if str(path) == "-":
        _write(frame, sys.stdout.buffer, kind)
        sys.stdout.buffer.flush()
        return
    with _replacing(Path(path)) as raw:
        if str(path).endswith(".gz"):
            # no time stamp inside, so that equal frames give equal files
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
                _write(frame, packed, kind)
        else:
            _write(frame, raw, kind)


def _write(frame: pd.DataFrame, stream: IO[bytes] | gzip.GzipFile, kind: str) -> None:
    if kind == "parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        stream.write(buffer.getvalue())
    elif kind == "jsonl":
        text = frame.to_json(orient="records", lines=True, force_ascii=False, date_format="iso")
        stream.write((text if text.endswith("\n") or not text else text + "\n").encode())
    else:
        separator = "," if kind == "csv" else "\t"
        stream.write(frame.to_csv(index=False, sep=separator, lineterminator="\n").encode())


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file beside ``path`` that takes its place only when all has been written."""
    target = Path(os.path.realpath(path))  # write through a link, do not replace it
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _read_parquet(raw: bytes, name: str) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(raw))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name} is not a readable parquet file: {error}.") from error
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    return frame


def _read_separated(text: str, name: str, kind: str) -> pd.DataFrame:
    if not text.strip():
        raise DataError(f"{name} is empty. The first line names the columns: {', '.join(COLUMNS)}.")
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep="," if kind == "csv" else "\t",
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            index_col=False,
        )
    except pd.errors.ParserError as error:
        raise DataError(f"{name} is not regular {kind.upper()}: {error}.") from error
    return frame.apply(_integers_if_same) if len(frame) else frame


def _integers_if_same(column: pd.Series) -> pd.Series:
    """Return a column of text as integers if each of them, written out, is the text it came from."""
    text = column.dropna()
    first = str(text.iloc[0]) if len(text) else ""
    if not first.lstrip("-").isdigit() or int(text.str.len().max()) > _BIGGEST:
        return column
    if not text.str.fullmatch(r"0|-?[1-9][0-9]*").all():
        return column
    return column.astype("int64" if len(text) == len(column) else "Int64")


def _read_json_lines(text: str, name: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataError(f"{name}, line {number}, is not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise DataError(
                f"{name}, line {number}, is not a JSON object but {type(row).__name__}. "
                'Each line is {"task": …, "worker": …, "label": …}.'
            )
        rows.append(row)
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # object columns keep integers apart from floats and text; one kind throughout gets its own dtype
    data = {c: pd.Series([row.get(c) for row in rows], dtype=object) for c in columns}
    return pd.DataFrame({c: s.infer_objects() for c, s in data.items()})

"""Which file format a name or the first bytes stand for."""

from __future__ import annotations

import difflib
import os
from pathlib import PurePath

from deem_crowd.exceptions import ParameterError, first_few

FORMATS = ("csv", "tsv", "jsonl", "parquet")
DELIMITERS = {"csv": ",", "tsv": "\t"}
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
UTF8_MARK = b"\xef\xbb\xbf"
PARQUET_MARK = b"PAR1"


def checked(format: str) -> str:
    """Return ``format`` if there is one of that name.

    Raises
    ------
    ParameterError
    """
    if format in FORMATS:
        return format
    close = difflib.get_close_matches(str(format).lower().lstrip("."), FORMATS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ParameterError(f"format={format!r} is not one of {first_few(FORMATS)}.{hint}")


def by_name(name: str) -> str | None:
    """Return the format a file's name stands for, None if it says nothing; ``.gz`` and the like are no format."""
    path = PurePath(name)
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return _SUFFIXES.get(path.suffix.lower())


def by_content(head: bytes) -> str:
    """Return the format that a file's first bytes look most like."""
    if head.startswith(PARQUET_MARK):
        return "parquet"
    text = head.removeprefix(UTF8_MARK).lstrip()
    if text[:1] in (b"{", b"["):
        return "jsonl"
    header = text.partition(b"\n")[0]
    return "tsv" if header.count(b"\t") > header.count(b",") else "csv"


def is_stream(name: str) -> bool:
    """Tell whether a path is standard input or output, a pipe or the like, whose name says nothing of the content."""
    return name == "-" or (os.path.exists(name) and not os.path.isfile(name))


def output_of(name: str, format: str | None = None) -> str:
    """Return the format that a file is written in: as :func:`of`; CSV where the name is that of a stream.

    Raises
    ------
    ParameterError
    """
    stream = is_stream(name) and not os.path.isdir(name)
    return "csv" if stream and format is None else of(name, format)


def of(name: str, format: str | None = None) -> str:
    """Return ``format`` if it is given and known, else what the name stands for.

    Raises
    ------
    ParameterError
    """
    if format is not None:
        return checked(format)
    known = by_name(name)
    if known is None and name.lower().endswith((".xlsx", ".xlsm")):
        raise ParameterError(
            f"{name!r} is a workbook, which cannot be written, or read in this place. Use .csv, .tsv, .jsonl or "
            ".parquet: spreadsheets save and open CSV."
        )
    if known is None:
        raise ParameterError(
            f"the name of {name!r} tells no format. Name it .csv, .tsv, .jsonl or .parquet, or give the format: "
            f"{first_few(FORMATS)}."
        )
    return known

"""Files, whatever they are → one row an answer: the long format read as it is, everything else as an export."""

from __future__ import annotations

import functools
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import pandas as pd

from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.exceptions import DataError, MissingColumnError, ParameterError
from deem_crowd_adapters import formats, roles
from deem_crowd_adapters.files import FileColumns, read_long, read_soft_long, require_file
from deem_crowd_adapters.source import Place, Source

if TYPE_CHECKING:
    from deem_crowd_adapters.exports.read import Export

_DOCUMENTS = (b"[", b"<", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY", b"\x80")
"""How a file begins that is no table of rows: a list, XML, an archive, an array, a pickle."""
_NAMES = (
    ".json",
    ".zip",
    ".eval",
    ".npy",
    ".npz",
    ".xlsx",
    ".xlsm",
    ".xml",
    ".pkl",
    ".pickle",
    ".pt",
)
"""What the name of such a file ends with."""


_ROUNDED = 0.05
"""How far from 1 rows may sum for columns to be recognised as probabilities; reading them is stricter."""


def is_several(data: Any) -> bool:
    """Tell whether paths, a folder or a pattern name several files."""
    from deem_crowd.data.parquet import is_pattern

    if isinstance(data, (str, os.PathLike)):
        return is_pattern(os.fspath(data))
    return (
        isinstance(data, (list, tuple))
        and len(data) > 0
        and all(isinstance(each, (str, os.PathLike)) for each in data)
    )


def read_answers(
    data: Any, format: str | None = None, columns: FileColumns | None = None, **options: Any
) -> pd.DataFrame:
    """Read answers from a file, several files, a pattern or a folder, in the long format or as a tool exports them.

    Parameters
    ----------
    data : path, folder, pattern, sequence of paths, '-' or open file
    format, columns
        As in :func:`read_long`: with either, the files are in the long format.
    options
        As in :func:`read_export`: ``question``, ``multiple`` and what the format takes.

    Returns
    -------
    DataFrame
        R rows, columns ``task``, ``worker``, ``label``.

    Raises
    ------
    MissingColumnError, DataError, ParameterError, OSError
    """
    given = _read(data, format, columns, options)
    return given if isinstance(given, pd.DataFrame) else given.answers


def _read(
    data: Any,
    format: str | None,
    columns: FileColumns | None,
    options: dict[str, Any],
    soft: bool = False,
) -> pd.DataFrame | Export:
    """Return a table in the long format, or what an export holds; with ``soft``, a table may hold probabilities."""
    from deem_crowd_adapters.exports import read, several

    if is_several(data):
        if format is None and columns is None:
            return read.read_export(data, **options)
        parts = [read_answers(path, format, columns, **options) for path in several.expand(data)]
        return pd.concat(_written_alike(parts), ignore_index=True)
    if format is None and isinstance(columns, Mapping) and _is_workbook_name(data):
        named: dict[str, Any] = {**columns, **options}
        return read.read_export(data, "excel", **named)
    if format is not None or columns is not None:
        _refuse_options(options)
        return read_long(data, format or ("jsonl" if _is_json_name(data) else None), columns)
    if _is_document_name(data):
        return read.read_export(data, **options)
    _check_name(data)
    source = Source(data)
    if options or _is_document(source):
        return read.read_export(source, **options)
    try:
        return read_long(source)
    except MissingColumnError:
        export = read.attempt(source)
        found = _probabilities(source) if export is None and soft else export
        if found is None:
            raise
        return found


def _written_alike(parts: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Make whole numbers text in a column that is text in another file: one other entry makes a column so."""
    for name in parts[0].columns:
        kinds = [pd.api.types.infer_dtype(part[name], skipna=True) for part in parts]
        if {*kinds} - {"empty"} == {"integer", "string"}:
            parts = [
                part.assign(**{name: part[name].astype(object).map(str, na_action="ignore")})
                if kind == "integer"
                else part
                for part, kind in zip(parts, kinds, strict=True)
            ]
    return parts


def _probabilities(source: Source) -> pd.DataFrame | None:
    """Return a table with a column of probabilities for each class, or None if it is not one."""
    try:
        table = read_soft_long(source)
    except (MissingColumnError, DataError):
        return None
    classes = table.drop(columns=list(roles.SOFT))
    if classes.shape[1] < 2 or not all(map(pd.api.types.is_float_dtype, classes.dtypes)):
        return None
    total = classes.sum(axis=1, min_count=1).dropna()
    return table if len(total) and ((total - 1).abs() <= _ROUNDED).all() else None


def _is_json_name(data: Any) -> bool:
    return isinstance(data, (str, os.PathLike)) and ".json" in PurePath(data).suffixes


def _is_workbook_name(data: Any) -> bool:
    return isinstance(data, (str, os.PathLike)) and os.fspath(data).lower().endswith(
        (".xlsx", ".xlsm")
    )


def from_file(
    path_or_buffer: Any,
    format: str | None = None,
    *,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    columns: FileColumns | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
    **options: Any,
) -> Answers:
    """Read a file of answers, in the long format or as a tool exports them.

    Parameters
    ----------
    path_or_buffer : path, folder, pattern, sequence of paths, '-' or open file
    format, columns
        As in :func:`read_long`; with either, the file is in the long format.
    task, worker, label : str, optional
        The names of single columns, as in ``columns``.
    missing, duplicates, classes
        As in :meth:`deem_crowd.Answers.from_frame`.
    options
        As in :func:`read_export`, e.g. ``question="sentiment"`` where an export holds several questions.

    Returns
    -------
    Answers
        R answers by N tasks and D workers, K classes.

    Raises
    ------
    MissingColumnError, DataError, ParameterError, OSError
    """
    given = with_gold(
        path_or_buffer,
        format,
        columns=roles.named(columns, task=task, worker=worker, label=label),
        missing=missing,
        duplicates=duplicates,
        classes=classes,
        **options,
    )
    return given[0]


def with_gold(
    path_or_buffer: Any,
    format: str | None = None,
    *,
    columns: FileColumns | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    classes: Sequence[Hashable] | pd.Index | None = None,
    **options: Any,
) -> tuple[Answers, pd.Series]:
    """Return what :func:`from_file` does, and the true labels that the export of a tool holds, by task."""
    from deem_crowd_adapters.exports.read import answers_of, refuse_lists, stated

    refuse_lists(options.get("multiple"))
    given = _read(path_or_buffer, format, columns, options, soft=True)
    if isinstance(given, pd.DataFrame):
        if "label" in given.columns:
            answers = Answers.from_frame(
                given, missing=missing, duplicates=duplicates, classes=classes
            )
        else:
            chosen = None if classes is None else list(classes)
            answers = Answers.from_soft_frame(given, chosen, duplicates=duplicates)
        return answers, pd.Series([], dtype=object)
    return answers_of(given, missing, duplicates, classes), stated(given)


def _for_format(format: str) -> functools.partial[Answers]:
    """Return :func:`from_file` for files of one format."""
    reader = functools.partial(from_file, format=format)
    functools.update_wrapper(reader, from_file, assigned=("__module__", "__doc__"), updated=())
    reader.__dict__["__name__"] = f"from_{format}"
    return reader


from_csv = _for_format("csv")
from_tsv = _for_format("tsv")
from_jsonl = _for_format("jsonl")
from_parquet = _for_format("parquet")


def _refuse_options(options: dict[str, Any]) -> None:
    if options:
        raise ParameterError(
            f"{', '.join(options)}: the long format has no such options. Leave out the format and the columns, so "
            "that the file is read as what it is."
        )


def _is_document_name(data: Any) -> bool:
    return isinstance(data, (str, os.PathLike)) and os.fspath(data).lower().endswith(_NAMES)


def _check_name(data: Place) -> None:
    """Let a file whose name tells no format be opened only if it is there."""
    if isinstance(data, (str, os.PathLike)) and os.fspath(data) != "-":
        require_file(os.fspath(data))


def _is_document(source: Source) -> bool:
    """Tell whether a file is one document: by its first bytes, or because its first line is no whole JSON object."""
    head = source.head().removeprefix(formats.UTF8_MARK).lstrip()
    line, newline, _ = head.partition(b"\n")
    return head.startswith(_DOCUMENTS) or (
        line.startswith(b"{") and bool(newline) and not line.rstrip().endswith(b"}")
    )

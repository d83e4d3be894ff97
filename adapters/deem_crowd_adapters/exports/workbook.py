"""Excel workbooks: a long sheet, a sheet for each annotator, or a wide sheet."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.data.frames import COLUMNS, synonyms
from deem_crowd.exceptions import DataError, ParameterError, counted, first_few
from deem_crowd_adapters.exports import known, several
from deem_crowd_adapters.exports import sheets as wide
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format

_NO_PERSON = re.compile(
    r"(^|[^a-z])(control|check|notes?|readme|instructions?|guidelines?|codebook|legend|key|summary|stats|statistics|results?"
    r"|gold|golden|truth|true|correct|majority|consensus|adjudicat\w*|final|agreed|aggregat\w*|resolved|pred\w*|model)"
    r"([^a-z]|$)",
    re.IGNORECASE,
)
"""Names of sheets that are no annotator's, though they may have the same columns."""

_BY_FILE = "a table for each annotator"
_NOUN = ("sheet", "file")
TITLE_ROWS = "title rows"
"""The key of ``DataFrame.attrs`` under which a sheet says how many rows stood above the names of its columns."""

Sheets = dict[str, pd.DataFrame]


class _Files(Sheets):
    """Sheets that are files of their own."""


def _where(content: Content, name: str) -> str:
    return name if isinstance(content.value, _Files) else f"{content.name}, sheet {name!r}"


def _is_workbook(content: Content) -> bool:
    return content.kind == "sheets"


def read(
    content: Content,
    collected: Collected,
    task: Any = None,
    worker: Any = None,
    label: Any = None,
    workers: Any = None,
    sheet: Any = None,
) -> None:
    """Add the answers of a workbook.

    A sheet with columns task, worker and label is read as such, several of them as one. Two sheets or more with common
    columns are one annotator's each: the sheet's name is the annotator, sheets called gold, control, notes and the
    like are left out, and gold is gold. Else a single sheet is read as a wide table.

    Parameters
    ----------
    content : Content
    collected : Collected
    task, worker, label : str, optional
        The names of the columns, where they are others.
    workers : list of str, or names with commas, optional
        The annotators' columns of a wide sheet.
    sheet : str or int, optional
        The only sheet to read.

    Raises
    ------
    DataError, ParameterError
    """
    if isinstance(content.value, _Files):
        collected.tool = _BY_FILE
    sheets = {name: _tidy(frame) for name, frame in content.value.items()}
    for name, frame in sheets.items():
        if TITLE_ROWS in frame.attrs:
            above = counted(frame.attrs[TITLE_ROWS], "row")
            collected.notes.append(
                f"{above} above the names of the columns left out in sheet {name!r}"
            )
    sheets = {name: frame for name, frame in sheets.items() if len(frame)}
    names = {"task": task or "task", "worker": worker or "worker", "label": label or "label"}
    long = {n: f for n, f in sheets.items() if set(names.values()) <= set(f.columns)}
    alike = {} if workers is not None else _alike(sheets)
    if long:
        _say_left_out(sheets, long, collected)
        for name, frame in long.items():
            _add_long(frame, names, content, name, collected)
    elif len(alike) > 1 and not wide.name_workers(alike.values()):
        _say_left_out(sheets, alike, collected)
        _add_by_sheet(sheets, alike, task, label, content, collected)
    else:
        _add_wide(sheets, task, workers, content, collected)


def by_file(contents: Sequence[Content], tool: str | None = None) -> Sequence[Content]:
    """Return files of one sheet each with common columns as one workbook, a sheet for each file; others as they are.

    So a file for each annotator is read like a sheet for each. Tables that another format knows are not taken.
    """
    frames = []
    for content in contents:
        if content.kind == "sheets":
            usable = {name: _tidy(frame) for name, frame in content.value.items()}
            sheets = [
                f
                for n, f in usable.items()
                if len(f) and (len(usable) == 1 or not _NO_PERSON.search(n))
            ]
        elif (
            content.kind == "table"
            and tool in (None, "excel")
            and known.recognised(content) is None
        ):
            sheets = [_tidy(content.value)]
        else:
            return contents
        if len(sheets) != 1:
            return contents
        frames += sheets
    if len(frames) < 2 or any(set(COLUMNS) <= set(frame.columns) for frame in frames):
        return contents
    if len(set(frames[0].columns).intersection(*(frame.columns for frame in frames[1:]))) < 2:
        return contents
    names = several.short_names([content.name for content in contents])
    files = _Files(zip(names, frames, strict=True))
    alike = _alike(files)
    if len(alike) < 2 or not _id_columns(alike) or wide.name_workers(alike.values()):
        return contents
    return [Content(f"{len(names)} files ({first_few(names, 3)})", "sheets", files)]


def _tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a sheet without empty rows, empty columns that have no name, and titles above the names of columns.

    Its index counts the rows below the sheet's first one, and ``attrs`` has how many rows stood above the names.
    """
    frame = _below_titles(frame.dropna(how="all"))
    frame = frame.set_axis([str(c).strip() for c in frame.columns], axis=1)
    unnamed = [c for c in frame.columns if c.startswith("Unnamed:") and frame[c].isna().all()]
    return frame.drop(columns=unnamed)


def _below_titles(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a sheet whose first row is a title, with names for few columns, as a table below the row of names.

    That is the first row which fills every column that holds anything.
    """
    held = frame.dropna(axis=1, how="all")
    unnamed = [str(c).startswith("Unnamed:") for c in held.columns]
    full = np.flatnonzero(held.notna().all(axis=1).to_numpy())
    if sum(unnamed) <= len(unnamed) / 2 or not len(full):
        return frame
    row = int(full[0])
    names = [_plain(name) for name in held.iloc[row]]
    if len(set(names)) < len(names):
        return frame
    below = held.iloc[row + 1 :].set_axis(names, axis=1).infer_objects()
    below.attrs[TITLE_ROWS] = int(held.index[row]) + 1
    return below


def _alike(sheets: Sheets) -> Sheets:
    """Return the annotators' sheets, cut to the columns that all of them have.

    These are the most sheets that share the columns of one of them, some of which repeat values as labels do; sheets
    that are no person's by their name are left out.
    """
    people = {n: f for n, f in sheets.items() if not _NO_PERSON.search(n) and f.shape[1] > 1}
    candidates = []
    for base in people.values():
        columns = list(base.columns)
        members = {n: f[columns] for n, f in people.items() if set(columns) <= set(f.columns)}
        repeats = any(f[c].nunique() < f[c].count() for f in members.values() for c in columns)
        candidates.append((repeats and len(members) > 1, len(members), len(columns), members))
    return max(candidates, key=lambda each: each[:3])[3] if candidates else {}


def _say_left_out(sheets: Sheets, used: Sheets, collected: Collected) -> None:
    others = [name for name in sheets if name not in used]
    if others:
        collected.notes.append(
            f"{_NOUN[collected.tool == _BY_FILE]}s left out: {first_few(others)}"
        )


def _plain(value: Any) -> Any:
    """Return a cell as it was typed: a whole number beside empty cells is an integer, an empty cell None."""
    if value is None or value != value:
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value.strip() if isinstance(value, str) else value


def _cells(frame: pd.DataFrame, column: str) -> list[Any]:
    return [_plain(value) for value in frame[column].astype(object)]


def _ids(frame: pd.DataFrame, column: str, where: str) -> list[Hashable]:
    ids = _cells(frame, column)
    empty = [row + 2 for row, value in zip(frame.index, ids, strict=True) if value is None]
    if empty:
        merged = ids[0] is not None and 2 * len(empty) >= len(ids)
        below = ", where cells were merged with the id above" if merged else ""
        raise DataError(
            f"{where}: column {column!r} is empty in {counted(len(empty), 'row')} (rows {first_few(empty)}). Fill them"
            f"{below}, or leave the rows out."
        )
    return ids


def _add_long(
    frame: pd.DataFrame, names: dict[str, str], content: Content, sheet: str, collected: Collected
) -> None:
    where = _where(content, sheet)
    tasks, workers = _ids(frame, names["task"], where), _ids(frame, names["worker"], where)
    for task, worker, label in zip(tasks, workers, _cells(frame, names["label"]), strict=True):
        collected.add("label", task, worker, label)


def _add_by_sheet(
    sheets: Sheets,
    alike: Sheets,
    task: str | None,
    label: str | None,
    content: Content,
    collected: Collected,
) -> None:
    columns = list(next(iter(alike.values())).columns)
    for name, chosen in (("task", task), ("label", label)):
        if chosen is not None and chosen not in columns:
            raise ParameterError(
                f"{name}={chosen!r}: the sheets {first_few(alike, 3)} of {content.name} have no such column; they have "
                f"{first_few(columns, 20)}."
            )
    key = task or _id_column(alike, columns, content)
    rows: dict[str, dict[Hashable, Any]] = {}
    tables: dict[str, tuple[list[Hashable], pd.DataFrame]] = {}
    for name, frame in alike.items():
        ids = _ids(frame, key, _where(content, name))
        twice = pd.Series(ids, dtype=object)
        twice = twice[twice.duplicated()]
        if len(twice):
            raise DataError(
                f"{_where(content, name)}: column {key!r} holds {counted(len(twice), 'task')} a second time "
                f"({first_few(twice.unique())}). Keep one row a task."
            )
        tables[name] = (ids, frame)
    for column in columns:
        if column != key:
            rows[column] = _values(tables, column)
    questions = [label] if label else _questions(tables, columns, key, rows, content)
    collected.notes.append(
        f"each {_NOUN[collected.tool == _BY_FILE]} is read as an annotator's ({first_few(alike, 8)}); tasks are column "
        f"{key!r}"
    )
    for question in questions:
        for name, (ids, frame) in tables.items():
            for each, answer in zip(ids, _cells(frame, question), strict=True):
                collected.add(question, each, name, answer)
        for name, frame in sheets.items():
            if wide.TRUTH.search(name) and {key, question} <= set(frame.columns):
                for each, answer in zip(_cells(frame, key), _cells(frame, question), strict=True):
                    if each is not None and answer is not None:
                        collected.known(question, each, answer)


def _values(
    tables: dict[str, tuple[list[Hashable], pd.DataFrame]], column: str
) -> dict[Hashable, set[Any]]:
    """Return the distinct values that the sheets hold for each task in a column."""
    values: dict[Hashable, set[Any]] = defaultdict(set)
    for ids, frame in tables.values():
        for each, value in zip(ids, _cells(frame, column), strict=True):
            if value is not None:
                values[each].add(value)
    return values


def _id_columns(alike: Sheets) -> list[str]:
    """Return the columns that may be the tasks', the likeliest first: distinct in each sheet and shared by sheets."""
    fitting = []
    for column in next(iter(alike.values())).columns:
        values = [set(_cells(frame, column)) - {None} for frame in alike.values()]
        distinct = all(len(v) == len(f) for v, f in zip(values, alike.values(), strict=True))
        if distinct and values[0].intersection(set().union(*values[1:])):
            fitting.append(column)
    return sorted(fitting, key=lambda column: not wide.ID.search(column))


def _id_column(alike: Sheets, columns: list[str], content: Content) -> str:
    """Return the column of the tasks."""
    fitting = _id_columns(alike)
    if not fitting:
        raise DataError(
            f"{content.name}: the sheets {first_few(alike, 3)} look like one for each annotator, and none of their "
            f"columns {first_few(columns, 20)} holds ids that are distinct in each sheet and shared by several. Name "
            f"the column of the tasks: task={columns[0]!r} (in the shell: --task {columns[0]})."
        )
    return fitting[0]


def _questions(
    tables: dict[str, tuple[list[Hashable], pd.DataFrame]],
    columns: list[str],
    key: str,
    rows: dict[str, dict[Hashable, Any]],
    content: Content,
) -> list[str]:
    """Return the columns that differ between sheets for one task, and are not the annotator's own name."""

    def is_constant(column: str) -> bool:
        return all(len(f) > 1 and f[column].nunique() <= 1 for _, f in tables.values())

    differ = [
        c
        for c in columns
        if c != key and any(len(v) > 1 for v in rows[c].values()) and not is_constant(c)
    ]
    named = [c for c in columns if synonyms([c], ["label"])]
    if differ or named:
        return differ or named
    rest = [c for c in columns if c != key]
    raise DataError(
        f"{content.name}: no column differs between the sheets {first_few(tables, 3)}, so that none looks like the "
        f"answer. Name it: label={rest[0]!r} (in the shell: --label {rest[0]})."
    )


def _add_wide(
    sheets: Sheets, task: Any, workers: Any, content: Content, collected: Collected
) -> None:
    """Add the answers of the only sheet that is a wide table; say what is missing if there is none."""
    named = set(wide.names_in(workers))
    fitting = [
        name
        for name, frame in sheets.items()
        if (named <= set(frame.columns) if named else wide.plan(frame, task))
    ]
    if len(fitting) == 1 and (named or not wide.long_names(sheets[fitting[0]])):
        _say_left_out(sheets, {fitting[0]: sheets[fitting[0]]}, collected)
        name = f"{content.name}, sheet {fitting[0]!r}"
        wide.read_table(sheets[fitting[0]], name, collected, task, workers)
        return
    shown = "; ".join(
        f"{name!r} ({len(frame)} rows: {first_few(frame.columns, 8)})"
        for name, frame in list(sheets.items())[:6]
    )
    for frame in sheets.values():
        names = wide.long_names(frame)
        if names:
            options = ", ".join(f"{part}={name!r}" for part, name in names.items())
            raise DataError(
                f"{content.name}: columns task, worker and label are needed. If these are meant: {options}. Sheets: "
                f"{shown}."
            )
    many = (
        "several sheets fit; name one: sheet='…'"
        if len(fitting) > 1
        else "name the columns: task='…', worker='…', label='…'"
    )
    raise DataError(
        f"{content.name} is a workbook in which no sheet is clearly one of answers: "
        f"{shown or 'all sheets are empty'}. A long sheet has columns task, worker, label; a wide one a column for "
        f"each annotator; or each annotator has a sheet with the same columns. If it is there, {many}."
    )


FORMATS = (
    Format(
        "excel",
        "Excel workbook",
        _is_workbook,
        read,
        ("task", "worker", "label", "workers", "sheet"),
    ),
)

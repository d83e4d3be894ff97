"""Forms, as asked for: one row a person, one column a task, beside what the survey's tool writes about the person."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import pandas as pd

from deem_crowd.exceptions import DataError, ParameterError, counted, first_few
from deem_crowd_adapters.exports import forms, sheet_rows, sheets
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.same_values import (
    as_given,
    holds_scalars,
    is_categorical,
    shared_values,
    values_of,
)

_ABOUT = re.compile(
    r"id|(start|completion|last modified) time|time ?stamp|language|total points|score|quiz feedback"
    r"|(points|feedback) - .*|submitdate|lastpage|startlanguage|seed|startdate|datestamp|ipaddr|refurl|token"
    r"|(collector|respondent) id|(start|end|recorded) ?date|date (created|modified)|ip ?address|(first|last) name"
    r"|custom data.*|status|progress|duration.*|finished|responseid|recipient.*|externalreference"
    r"|location(latitude|longitude)|distributionchannel|userlanguage|q_.*"
)
"""What tools of surveys call the columns that they add to the answers."""


def read(content: Content, collected: Collected, worker: Any = None, tasks: Any = None) -> None:
    """Add the answers of a form: those of each person (row) to each task (column).

    Parameters
    ----------
    content : Content
        One table of P rows.
    collected : Collected
    worker : hashable, optional
        The column that names the person; if omitted, one that is called as such and differs between rows, else the
        row's number.
    tasks : list of columns, or their names with commas, optional
        If omitted, the columns that hold the same few values.

    Raises
    ------
    DataError
        If no two columns hold the same few values.
    ParameterError
        If a column that was named is not there.
    """
    assert content.frame is not None  # as read.py has seen
    frame = forms.without_head(content.frame)
    sheet_rows.refuse_no_tasks(frame, content.name)
    columns = sheets.names_in(tasks)
    absent = [c for c in [worker, *columns] if c is not None and c not in frame.columns]
    if absent:
        raise ParameterError(
            f"{content.name} has no columns {first_few(absent)}; found {first_few(frame.columns, 20)}."
        )
    frame = as_given(frame[[c for c in frame.columns if holds_scalars(frame[c])]], worker)
    person = forms.person_of(frame, None, columns) if worker is None else worker
    groups = [columns] if columns else _groups(frame, person, content.name)
    people = range(1, len(frame) + 1) if person is None else frame[person].tolist()
    nameless = [row for row, name in enumerate(people) if pd.isna(name)]
    if nameless:
        raise DataError(
            f"{content.name}: column {person!r} is missing in {counted(len(nameless), 'row')} (rows "
            f"{first_few(nameless)}). Fill "
            "it, leave those rows out, or name another column: worker=… (in the shell: --worker COLUMN)."
        )
    where = "the row's number" if person is None else f"column {person!r}"
    shown = first_few([column for members in groups for column in members], 8)
    collected.notes.append(f"read as a form: people are {where}, tasks {shown}")
    collected.one_question = (
        " If they all are one question, asked of several tasks, name them: tasks=[…] (in the shell: --adapter-set "
        '\'tasks=["…", "…"]\').'
    )
    collected.tool_option = "'form'"
    for members in groups:
        _add(frame, members, list(people), collected)


def _add(
    frame: pd.DataFrame, columns: list[Hashable], people: list[Any], collected: Collected
) -> None:
    for column in columns:
        join = forms.boxes(frame[column])
        cells = frame[column].astype(object).where(frame[column].notna(), None)
        for person, label in zip(people, cells, strict=True):
            ticked = forms.split(label, join) if join and isinstance(label, str) else label
            collected.add(str(columns[0]), str(column), person, ticked)
    collected.tasks.update(dict.fromkeys(map(str, columns)))


def _groups(frame: pd.DataFrame, person: Hashable | None, name: str) -> list[list[Hashable]]:
    """Return the columns that hold the same few values, where each box of check boxes is one."""
    values: dict[Hashable, set[str]] = {}
    for column in frame.columns:
        if column == person or _ABOUT.fullmatch(str(column).partition(". ")[0].strip().casefold()):
            continue
        if join := forms.boxes(frame[column]):
            cells = values_of(frame, column)
            values[column] = {part for cell in cells for part in forms.split(cell, join)}
        elif is_categorical(frame[column]):
            values[column] = values_of(frame, column)
    groups, _ = shared_values(values, [])
    if not groups:
        raise DataError(
            f"{name} shows no two columns with the same few values, so that no column looks like a task. Name them: "
            "tasks=['…', '…'] (in the shell: --adapter form --adapter-set 'tasks=[\"…\", \"…\"]')."
        )
    return groups


FORMATS = (Format("form", "form", lambda content: False, read, ("worker", "tasks")),)

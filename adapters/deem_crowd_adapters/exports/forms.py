"""Tables that look wide and are not: forms with one row a person, and tables with one column a class."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd

from deem_crowd.exceptions import DataError, first_few

_TIME = re.compile(r"^time ?stamp$", re.IGNORECASE)
_PEOPLE = (
    re.compile(r"e-?mail|user ?name", re.IGNORECASE),
    re.compile(r"^(full )?name$|student", re.IGNORECASE),
    re.compile(r"respondent|participant|response ?id", re.IGNORECASE),
)
"""How a column is called that names the person of a row, the better names first."""
_RATER = re.compile(
    r"(r|rater|grader|judge|annotator|worker|coder|reviewer|reader|expert|labell?er|model|source|llm|gpt)[ _-]*\w{1,2}",
    re.IGNORECASE,
)
"""How columns are called that are sources, so that rows are what they rated: students' essays, or e-mails."""
_TOOLS = (
    ("Microsoft Forms", {"start time", "completion time"}, ""),
    ("LimeSurvey", {"lastpage", "startlanguage"}, ""),
    ("SurveyMonkey", {"respondent id", "collector id"}, "second line"),
    ("Qualtrics", {"responseid", "recordeddate"}, "second and the third line"),
)
"""Tools of surveys, the columns that only they write, and lines below the header that are no answers."""


def refuse_people(
    frame: pd.DataFrame, task: Hashable | None, sources: Sequence[Hashable], name: str
) -> None:
    """Raise if the rows look like people who answered a form, and the columns like tasks.

    Parameters
    ----------
    frame : DataFrame
        N rows, of people or of tasks.
    task : hashable, optional
        The column that would be the tasks'.
    sources : sequence
        The columns that would be sources.
    name : str
        How messages call the table.

    Raises
    ------
    DataError
        With the call that gives each answer a row of its own.
    """
    tool, lines = tool_of(frame.columns)
    by_name = task is not None and _named_for_people(frame, task, sources)
    asking = 2 * sum(str(c).rstrip(" *").endswith("?") for c in sources) > len(sources)
    if not (tool or by_name or asking):
        return
    person = _person(frame, task, sources)
    row = "one row a person" if person is None else f"one row a person ({person!r})"
    before = f"First remove the {lines} of the file. " if lines else ""
    table = "df"
    if person is None:
        table, person = "df.rename_axis('person').reset_index()", "person"
    insist = task if task is not None else frame.columns[0]
    raise DataError(
        f"{name} looks like a form{f' of {tool}' if tool else ''}: {row}, one column a task ({first_few(sources, 3)}). "
        f"{before}Give it one row an answer, {table}.melt({person!r}, tasks, 'task', 'label'), where tasks lists these "
        f"columns and {person!r} is the worker. If each row is a task, say so: task={insist!r} (in the shell: "
        f"--adapter wide --task {_quoted(insist)})."
    )


def _named_for_people(frame: pd.DataFrame, task: Hashable, sources: Sequence[Hashable]) -> bool:
    """Tell whether the column of ids is called as one of people is, and the others are not called as raters are."""
    if not any(p.search(str(task)) for p in (*_PEOPLE, _TIME)):
        return False
    if all(_RATER.fullmatch(str(source)) for source in sources):
        return False
    of_mail = re.search("mail", str(task), re.IGNORECASE) is not None  # addresses, or what was sent
    return not of_mail or bool(frame[task].astype(str).str.contains("@", regex=False).any())


def tool_of(columns: Iterable[Hashable]) -> tuple[str, str]:
    """Return the tool of surveys that writes such columns, and its lines that are no answers; empty if none does."""
    plain = {str(c).partition(". ")[0].strip().casefold() for c in columns}
    return next(((tool, lines) for tool, marks, lines in _TOOLS if marks <= plain), ("", ""))


def _person(
    frame: pd.DataFrame, task: Hashable | None, sources: Sequence[Hashable]
) -> Hashable | None:
    """Return the column that names the person of a row; None if none does."""
    rest = [c for c in frame.columns if c not in sources]
    for pattern in _PEOPLE:
        for column in rest:
            # lines below the header have no person
            told = frame[column].isna().sum() < 3 and frame[column].nunique() > len(frame) / 2
            if pattern.search(str(column)) and told:
                return column
    return task


def refuse_classes(frame: pd.DataFrame, sources: Sequence[Hashable], name: str) -> None:
    """Raise if the cells of each row add up to one number, as one-hot labels and counts by class do.

    Parameters
    ----------
    frame : DataFrame
        N rows.
    sources : sequence
        The columns that would be sources.
    name : str
        How messages call the table.

    Raises
    ------
    DataError
    """
    cells = frame[list(sources)].astype(object)
    texts = cells.where(cells.notna(), 0).astype(str).replace({"True": "1", "False": "0"})
    numbers = texts.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    if np.isnan(numbers).any() or (numbers < 0).any() or (numbers % 1).any():
        return
    sums = numbers.sum(1)
    if len(sums) < 10 or np.ptp(sums) > 0 or (np.ptp(numbers, axis=0) > 0).sum() < 2:
        return
    if sums[0] == 1:
        what = "as one-hot labels do, where each column is a class"
        remedy = (
            "They are the labels of one source: df[columns].idxmax(axis=1) makes one column of them, and a file for "
            "each source, or the columns task, worker, label, can be read"
        )
    else:
        what = "as counts of answers do, where each column is a class"
        remedy = (
            "Counts do not say who answered, so that nothing can be learned about the sources. The label with most "
            "votes is df[columns].idxmax(axis=1); to learn more, get the answers themselves"
        )
    shown = ",".join(map(str, sources))
    raise DataError(
        f"{name}: the columns {first_few(sources)} add up to {sums[0]:.0f} in every row, {what}. {remedy}. If the "
        f"columns are sources, name them: workers={shown!r} (in the shell: --adapter wide --adapter-set "
        f"workers={_quoted(shown)})."
    )


def _quoted(name: Hashable) -> str:
    text = str(name)
    return text if re.fullmatch(r"[\w.,-]+", text) else f"'{text}'"

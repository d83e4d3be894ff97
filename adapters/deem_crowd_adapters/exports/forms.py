"""Tables that look wide and are not: forms with one row a person, and tables with one column a class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd

from deem_crowd.data.frames import synonyms
from deem_crowd.exceptions import DataError, counted, first_few

_TIME = re.compile(r"^time ?stamp$", re.IGNORECASE)
_PEOPLE = (
    re.compile(r"e-?mail|user ?name", re.IGNORECASE),
    re.compile(r"^(full )?name$|student", re.IGNORECASE),
    re.compile(r"respondent|participant|response ?id|prolific", re.IGNORECASE),
)
"""How a column is called that names the person of a row, the better names first."""
_RATER = re.compile(
    r"(r|rater|grader|judge|annotator|worker|coder|reviewer|reader|expert|labell?er|model|source|llm|gpt)[ _-]*\w{1,2}",
    re.IGNORECASE,
)
"""How columns are called that are sources, so that rows are what they rated: students' essays, or e-mails."""
_TASK = re.compile(
    r"(q|question|item|task|frage|image|img|photo|picture|stimulus|sentence|tweet)[ _.-]*\d+"
    r"|.+\.(jpe?g|png|gif|webp|tiff?|bmp|svg|mp[34]|wav|ogg|txt|pdf)",
    re.IGNORECASE,
)
"""How columns are called that are tasks, so that rows are people."""
_TOOLS = (
    ("Microsoft Forms", ("completion time", "start time"), 0),
    ("LimeSurvey", ("lastpage", "startlanguage"), 0),
    ("SurveyMonkey", ("respondent id", "collector id"), 1),
    ("Qualtrics", ("responseid", "recordeddate"), 2),
)
"""Tools of surveys, columns that only they write, and how many lines below the header may be no answers."""
_JOINS = (";", ", ")
"""How tools of surveys join the boxes that somebody ticked."""


def refuse_people(
    frame: pd.DataFrame, task: Hashable | None, sources: Sequence[Hashable], name: str
) -> None:
    """Raise if the rows look like people who answered a form, and the columns like tasks.

    Columns of check boxes count as such where none is named.

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
        With the call that reads them as one answer each.
    """
    tool = tool_of(frame.columns)
    by_name = task is not None and _named_for_people(frame, task, sources)
    asking = 2 * sum(_asks(c) for c in sources) > len(sources)
    worker = None if all(_RATER.fullmatch(str(c)) for c in sources) else worker_of(frame)
    boxed = not sources and is_of_boxes(frame)
    if not (tool or by_name or asking or boxed or worker is not None):
        return
    ticked: dict[Hashable, str] = {c: join for c in frame.columns if (join := boxes(frame[c]))}
    sources = list(sources) or list(ticked)
    person = person_of(frame, task, sources) if worker is None else worker
    row = "one row a person" if person is None else f"one row a person ({person!r})"
    tasks = f", one column a task ({first_few(sources, 3)})" if sources else ", one column a task"
    named = "" if person is None else f", worker={person!r}"
    in_shell = "" if person is None else f" --worker {quoted(person)}"
    if task is None and sources:
        shown = ",".join(map(str, sources))
        in_wide = f"--adapter wide --adapter-set workers={quoted(shown)}"
        insist = f"name the columns: workers={shown!r} (in the shell: {in_wide})"
    else:
        first = task if task is not None else frame.columns[0]
        insist = f"say so: task={first!r} (in the shell: --adapter wide --task {quoted(first)})"
    raise DataError(
        f"{name} looks like a form{f' of {tool}' if tool else ''}: {row}{tasks}. Read it as one: "
        f"to_answers(path, format='form'{named}) (in the shell: --adapter form{in_shell}).{_of_boxes(frame, ticked)} "
        f"If each row is a task, {insist}."
    )


def _asks(column: Hashable) -> bool:
    """Tell whether a column is called like a question or another task."""
    name = str(column).rstrip(" *")
    return name.endswith("?") or _TASK.fullmatch(name) is not None


def worker_of(frame: pd.DataFrame) -> Hashable | None:
    """Return the column that is called like one of workers and names another one in each row; None if none does.

    A table that also has a column called like one of labels is a long one.
    """
    found = synonyms(frame.columns, ["worker"])
    if synonyms(frame.columns, ["label"]) or len(frame) < 2:
        return None
    return next((c for c in found if frame[c].notna().all() and frame[c].is_unique), None)


def turned(frame: pd.DataFrame, task: Hashable | None, sources: Sequence[Hashable]) -> list[str]:
    """Return what to say where cells of one column agree and those of one row do not, as if rows were people.

    Parameters
    ----------
    frame : DataFrame
        N rows, read as tasks.
    task : hashable, optional
        The column that is read as that of the tasks.
    sources : sequence
        The D columns that are read as sources.
    """
    given = [frame[c].dropna().astype(str) for c in sources]
    cells = pd.concat(given, keys=range(len(given)))
    columns, rows = cells.index.get_level_values(0), cells.index.get_level_values(1)
    expected = float((cells.value_counts(normalize=True) ** 2).sum())
    across, n_pairs = _agreement(cells, rows)
    down, _ = _agreement(cells, columns)
    by_chance = expected + 2 * (expected * (1 - expected) / max(n_pairs, 1)) ** 0.5
    if len(sources) < 3 or len(frame) < 10 or across > by_chance or down < expected + 0.1:
        return []
    named, in_shell = (
        ("", "") if task is None else (f", worker={task!r}", f" --worker {quoted(task)}")
    )
    return [
        f"two cells of one row agree in {across:.0%} of cases and two of one column in {down:.0%} ({expected:.0%} by "
        "chance): if each row is a person and each column a task, read it as a form: to_answers(path, "
        f"format='form'{named}) (in the shell: --adapter form{in_shell})"
    ]


def _agreement(cells: pd.Series, groups: pd.Index) -> tuple[float, float]:
    """Return the share of pairs of cells in one group that are alike, and how many pairs there are."""
    alike = cells.groupby([groups, cells.to_numpy()]).size()
    sizes = cells.groupby(groups).size()
    n_pairs = float((sizes * (sizes - 1)).sum() / 2)
    return float((alike * (alike - 1)).sum() / 2) / max(n_pairs, 1.0), n_pairs


def _of_boxes(frame: pd.DataFrame, ticked: dict[Hashable, str]) -> str:
    """Say which columns are check boxes, and what becomes of them."""
    if not ticked:
        return ""
    column, join = next(iter(ticked.items()))
    cell = next(text for text in frame[column].dropna().astype(str) if join in text.strip(" ;"))
    return (
        f" Cells of {counted(len(ticked), 'column')} ({first_few(ticked, 3)}) hold several answers at once, such as "
        f"{cell!r}, as check boxes do: multiple='drop' (in the shell: --adapter-set multiple=drop) leaves these out, "
        "and read_export(path, 'form', multiple='lists').answers keeps them for one question a box (docs/your-data.md, "
        "Several labels a task)."
    )


def boxes(column: pd.Series) -> str:
    """Return what joins the answers in the cells of a column, as of check boxes; empty where each cell holds one.

    The parts of the cells are few and come back in other cells, so that texts with commas are none.
    """
    texts = list({text.strip(): None for text in column.dropna() if isinstance(text, str)})
    for join in _JOINS:
        joined = [text for text in texts if join in text.strip(" ;")]
        times = Counter(part for text in texts for part in split(text, join))
        if not joined or len(times) > min(50, len(texts)):
            continue
        if all(times[part] > 1 for text in joined for part in split(text, join)):
            return join
    return ""


def split(cell: str, join: str) -> list[str]:
    """Return the answers that stand in one cell, joined."""
    return [part.strip() for part in cell.split(join) if part.strip(" ;")]


def is_of_boxes(frame: pd.DataFrame) -> bool:
    """Tell whether a column names people, or says when they answered, and others hold check boxes."""
    named = [c for c in frame.columns if _TIME.match(str(c)) or _names_people(frame, c)]
    return bool(named) and any(boxes(frame[c]) for c in frame.columns if c not in named)


def _named_for_people(frame: pd.DataFrame, task: Hashable, sources: Sequence[Hashable]) -> bool:
    """Tell whether the column of ids is called as one of people is, and the others are not called as raters are."""
    if not any(p.search(str(task)) for p in (*_PEOPLE, _TIME)):
        return False
    if all(_RATER.fullmatch(str(source)) for source in sources):
        return False
    of_mail = re.search("mail", str(task), re.IGNORECASE) is not None  # addresses, or what was sent
    return not of_mail or bool(frame[task].astype(str).str.contains("@", regex=False).any())


def tool_of(columns: Iterable[Hashable]) -> str:
    """Return the tool of surveys that writes such columns; empty if none does."""
    plain = set(map(_bare, columns))
    return next((tool for tool, marks, _ in _TOOLS if set(marks) <= plain), "")


def without_head(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a form without the lines below the header that repeat its questions: SurveyMonkey's and Qualtrics'."""
    tool = tool_of(frame.columns)
    for name, (mark, *_), lines in _TOOLS:
        if name == tool and lines:
            ids = frame[next(c for c in frame.columns if _bare(c) == mark)].head(lines)
            above = ids.isna() | ids.astype(str).str.contains("ImportId", regex=False)
            return frame.iloc[int(np.flatnonzero(above).max(initial=-1)) + 1 :]
    return frame


def _bare(column: Hashable) -> str:
    return str(column).partition(". ")[0].strip().casefold()


def _names_people(
    frame: pd.DataFrame, column: Hashable, pattern: re.Pattern[str] | None = None
) -> bool:
    """Tell whether a column is called as one of people is, and names one in nearly every row."""
    asked = _PEOPLE if pattern is None else (pattern,)
    if not any(p.search(str(column)) for p in asked):
        return False
    said = frame[column].dropna()  # lines below the header have no person
    return len(frame) - len(said) < 3 and said.astype(str).nunique() > len(frame) / 2


def person_of(
    frame: pd.DataFrame, task: Hashable | None = None, sources: Sequence[Hashable] = ()
) -> Hashable | None:
    """Return the column that names the person of a row; ``task``, or None, if none does."""
    rest = [c for c in frame.columns if c not in sources]
    for pattern in _PEOPLE:
        for column in rest:
            if _names_people(frame, column, pattern):
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
        f"workers={quoted(shown)})."
    )


def quoted(name: Hashable) -> str:
    """Return a name as it is written in the shell."""
    text = str(name)
    return text if re.fullmatch(r"[\w.,-]+", text) else "'" + text.replace("'", "'\\''") + "'"

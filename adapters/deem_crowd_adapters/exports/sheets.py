"""Wide tables: one row a task, one column a source, beside ids, texts and notes; also with several questions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from deem_crowd.data.frames import COLUMNS, synonyms
from deem_crowd.exceptions import DataError, ParameterError, first_few
from deem_crowd_adapters.exports import forms, sheet_rows
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.same_values import (
    ABSTAINS,
    PARTS,
    as_given,
    holds_scalars,
    is_categorical,
    mostly_in,
    respelt,
    shared_values,
    stem,
    values_of,
)

FEW = 10
"""A table of fewer rows is not taken for a wide one by its values."""
NO_PERSON = re.compile(
    r"(^|[^a-z])(gold|golden|truth|true|correct|majority|mv|vote|consensus|adjudicat\w*|final|agreed|aggregat\w*|resolved"
    r"|pred|predicted|prediction|predictions|model|baseline|target|reference|ref)([^a-z]|$)",
    re.IGNORECASE,
)
"""Names of columns that are no independent source."""
_MODEL = re.compile(r"(^|[^a-z])(vote|pred|predicted|prediction|predictions|model)([^a-z]|$)", re.I)
"""Names that are those of sources where there are several of a kind, pred_svm and pred_forest, and no people."""
TRUTH = re.compile(r"(^|[^a-z])(gold|golden|truth|true|correct)([^a-z]|$)", re.IGNORECASE)
"""How true labels are called."""
ID = re.compile(
    r"(^|[_\s.-])(id|ids|key|task|item|uid|uuid|index|idx|hash|url|name|no|nr|number)$",
    re.IGNORECASE,
)
"""How a column of ids is called."""
_SLOT = re.compile(
    r"^(worker|annotator|ann|rater|coder|label|labeler|judge|answer|a|r)[\s_.-]*\d+$", re.IGNORECASE
)


@dataclass
class Plan:
    """How a wide table is to be read."""

    task: Hashable | None
    """The column of the tasks; None is the row's number."""
    groups: dict[str, list[Hashable]] = field(default_factory=dict)
    """Question → the columns of its sources."""
    gold: dict[str, Hashable] = field(default_factory=dict)
    """Question → the column of its true labels."""
    no_person: list[Hashable] = field(default_factory=list)
    """Columns that hold the same values and were left out for their names."""
    partial: list[Hashable] = field(default_factory=list)
    """Columns that were left out because they hold some of the values only."""
    respelt: list[Hashable] = field(default_factory=list)
    """Columns that were left out because they hold the values in another spelling."""
    strange: list[Hashable] = field(default_factory=list)
    """Columns that were left out because they hold other values, though they are called like sources."""
    mostly: list[Hashable] = field(default_factory=list)
    """Columns that were left out because too many of their values are others, though most of their cells are not."""
    silent: list[Hashable] = field(default_factory=list)
    """Columns beside labelling functions that were left out because they hold −1 alone."""
    abstains: bool = False
    """Whether the columns are labelling functions of one class each, whose other value, −1, is no class."""


def long_names(frame: pd.DataFrame) -> dict[str, str]:
    """Return which columns of a table look like task, worker and label under other names; empty unless all three do."""
    names = {part: part for part in COLUMNS if part in frame.columns}
    missing = [part for part in COLUMNS if part not in names]
    other = {part: name for name, part in synonyms(list(frame.columns), missing).items()}
    return (
        {**names, **other}
        if len({**names, **other}) == len(COLUMNS) and "worker" in {**names, **other}
        else {}
    )


def name_workers(frames: Iterable[pd.DataFrame]) -> bool:
    """Tell whether a table says whose each answer is, under another name than ``worker``: it is no one person's."""
    pairs = [
        frame[[names["task"], names["worker"]]].set_axis(["task", "worker"], axis=1).astype(str)
        for frame in frames
        if (names := long_names(frame))
    ]
    if all(frame["worker"].nunique() < 2 for frame in pairs):
        return False
    together = pd.concat([frame.drop_duplicates() for frame in pairs])
    # what says the same of a task in all tables that have it is the task's own, as the author of a text is
    says_two = together.drop_duplicates()["task"].duplicated().any()
    return bool(says_two) or not together["task"].duplicated().any()


def plan(frame: pd.DataFrame, task: Hashable | None = None) -> Plan | None:
    """Return how a table is to be read as a wide one; None if no two of its columns share their values.

    Parameters
    ----------
    frame : DataFrame
        N rows; columns of ids, texts, sources and whatever else.
    task : hashable, optional
        The column of the tasks.
    """
    frame = sheet_rows.of_tasks(frame)
    n = len(frame)
    frame = as_given(frame[[c for c in frame.columns if holds_scalars(frame[c])]], task)
    chosen = task
    if chosen is None:
        distinct: list[Hashable] = [
            c for c in frame.columns if n > 1 and frame[c].notna().all() and frame[c].nunique() == n
        ]
        named = [c for c in distinct if ID.search(str(c))]
        chosen = next(iter(named or distinct), None)
    values: dict[Hashable, set[str]] = {
        c: values_of(frame, c) for c in frame.columns if c != chosen and is_categorical(frame[c])
    }
    one_sided = [
        c
        for c, held in values.items()
        if len(held - ABSTAINS) == 1 and (held & ABSTAINS or frame[c].isna().any())
    ]
    silent = [c for c, held in values.items() if one_sided and held <= ABSTAINS]
    for column in silent:
        del values[column]
    shared, partial = shared_values(values, one_sided)
    groups = [group for group in shared if not _is_long(frame, group)]
    if not groups:
        return None
    made = Plan(chosen, partial=[c for c in partial if not NO_PERSON.search(str(c))], silent=silent)
    made.respelt = [
        c for c in respelt(values, groups) if c not in partial and not NO_PERSON.search(str(c))
    ]
    stems = {stem(c) for group in groups for c in group} - {""}
    read_or_said = {*partial, *made.respelt, *(c for group in groups for c in group)}
    left = [c for c in values if c not in read_or_said and not NO_PERSON.search(str(c))]
    made.strange = [c for c in left if stem(c) in stems]
    made.mostly = [c for c in left if c not in made.strange and mostly_in(frame[c], groups, values)]
    made.abstains = all(
        c in one_sided or not values[c] & ABSTAINS for group in groups for c in group
    )
    made.abstains &= len(set().union(*(values[c] for c in one_sided)) - ABSTAINS) > 1
    for columns in groups:
        for question, members in _questions(columns).items():
            people = [c for c in members if not NO_PERSON.search(str(c))] or _models(members)
            others = [c for c in members if c not in people]
            truth = [c for c in others if TRUTH.search(str(c))]
            if len(people) < 2:
                continue
            if question in made.groups:
                question = f"{question} ({people[0]})"
            made.groups[question] = people
            made.no_person += others
            if len(truth) == 1:
                made.gold[question] = truth[0]
    return made if made.groups else None


def _models(columns: Sequence[Hashable]) -> list[Hashable]:
    """Return the columns that are called after models, all of one family of names; none if they are of several."""
    models = [c for c in columns if _MODEL.search(str(c)) and not TRUTH.search(str(c))]
    families = {stem(c) for c in models}
    return models if len(families) == 1 and "" not in families else []


def _questions(columns: Sequence[Hashable]) -> dict[str, list[Hashable]]:
    """Divide columns by the question that their names tell: tag_ann1 and subtag_ann1 answer two.

    Names that are made of a question and a source, with each source in each question, are so divided.
    """
    pairs = [PARTS.split(str(c)) for c in columns]
    for at in (-1, 0):  # the source is the last part of the name, or the first
        table: dict[str, dict[str, Hashable]] = defaultdict(dict)
        for column, parts in zip(columns, pairs, strict=True):
            if len(parts) < 2:
                break
            rest = parts[:-1] if at else parts[1:]
            table["_".join(rest)][parts[at]] = column
        else:
            sources = {frozenset(row) for row in table.values()}
            if len(table) > 1 and len(sources) == 1 and len(next(iter(sources))) > 1:
                return {question: list(row.values()) for question, row in table.items()}
    names = [str(c) for c in columns]
    backwards = _common([name[::-1] for name in names])[::-1]
    common = _common(names).rstrip("_-. 0123456789") or backwards.lstrip("_-. ")
    return {common or "label": list(columns)}


def _common(names: Sequence[str]) -> str:
    """Return the letters with which all names begin."""
    first, last = min(names), max(names)
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:n]


def _is_long(frame: pd.DataFrame, group: Sequence[Hashable]) -> bool:
    """Tell whether the rows are answers: some column repeats, and with one of ``group`` names each row once."""
    n = len(frame)
    distinct: dict[Hashable, int] = {x: frame[x].nunique() for x in frame.columns}
    return any(
        1 < distinct[x] <= n / 1.5
        and (distinct[x] + 1) * (distinct[c] + 1) >= n
        and not frame.duplicated([x, c]).any()
        for c in group
        for x in frame.columns
        if x != c and n > 3
    )


def _is_wide(content: Content) -> bool:
    """Tell whether columns of ten rows or more share their values and none is called like a long table's workers.

    What a tool of surveys writes may have fewer rows; such forms, and those of check boxes, are read in order to be
    refused by name.
    """
    if content.kind not in ("records", "table") or (frame := content.frame) is None:
        return False
    if forms.tool_of(content.keys):
        return True
    if len(content.value) < FEW:
        return False
    if synonyms(content.keys, ["worker"]) and forms.worker_of(frame) is None:
        return False
    return plan(frame) is not None or forms.is_of_boxes(frame)


def read(content: Content, collected: Collected, task: Any = None, workers: Any = None) -> None:
    """Add the answers of a wide table, whose columns are told apart by their values and names."""
    assert content.frame is not None  # as _is_wide has seen
    read_table(content.frame, content.name, collected, task, workers)


def read_table(
    frame: pd.DataFrame, name: str, collected: Collected, task: Any = None, workers: Any = None
) -> None:
    """Add the answers of a wide table.

    Parameters
    ----------
    frame : DataFrame
        N rows.
    name : str
        How messages call it.
    collected : Collected
    task, workers
        The columns of the tasks and of the sources (a list, or names with commas), where they are not to be found.

    Raises
    ------
    DataError
        If it is open which columns are sources; the message names the option that settles it.
    ParameterError
        If a column that was named is not there.
    """
    sheet_rows.refuse_no_tasks(frame, name)
    named = names_in(workers)
    absent = [c for c in [task, *named] if c is not None and c not in frame.columns]
    if absent:
        raise ParameterError(
            f"{name} has no columns {first_few(absent)}; found {first_few(frame.columns, 20)}."
        )
    if named:
        made = Plan(task, {"label": named})
        if task is None:
            guess = plan(frame)
            made.task = None if guess is None or guess.task in named else guess.task
    else:
        guess = plan(frame, task)
        if guess is None:
            if task is None:
                forms.refuse_people(frame, None, [], name)
            raise DataError(
                f"{name} shows no two columns with the same few values, so that no column looks like a source. Name "
                "them: task='…', workers=['…', '…'] (in the shell: --adapter wide --task … --adapter-set workers=…,…). "
                "For numeric scores of judges, use the adapter 'scores', which reads such tables as well."
            )
        made = guess
        columns = [c for members in made.groups.values() for c in members]
        if task is None:
            forms.refuse_people(frame, made.task, columns, name)
        for members in made.groups.values():
            forms.refuse_classes(frame, members, name)
        _refuse_mixed(made, name)
        if task is None and len(made.groups) == 1:
            collected.notes += forms.turned(frame, made.task, columns)
    _say(made, name, collected, bool(named))
    if len(made.groups) > 1:
        shown = ",".join(str(c) for members in made.groups.values() for c in members)
        collected.one_question = (
            f" If all columns answer one question, name them: workers={shown!r} (in the shell: --adapter wide "
            "--adapter-set workers=…,…)."
        )
    frame = as_given(frame, made.task)
    tasks: list[Hashable] = (
        list(range(len(frame))) if made.task is None else frame[made.task].tolist()
    )
    sheet_rows.refuse_bad_tasks(tasks, made.task, name)
    collected.tasks.update(dict.fromkeys(tasks))
    for question, columns in made.groups.items():
        for column in columns:
            values = frame[column].astype(object).where(frame[column].notna(), None)
            for row, label in enumerate(values):
                if made.abstains and str(label) in ABSTAINS:
                    collected.skip("votes of -1, which abstain")
                else:
                    collected.add(question, tasks[row], str(column), label)
        if question in made.gold:
            for row, label in enumerate(frame[made.gold[question]]):
                if not pd.isna(label):
                    collected.known(question, tasks[row], label)


def names_in(workers: Any) -> list[Hashable]:
    """Return the columns that ``workers`` names: a list, names with commas, or nothing."""
    return (
        [w.strip() for w in workers.split(",")] if isinstance(workers, str) else list(workers or ())
    )


def _refuse_mixed(made: Plan, name: str) -> None:
    """Raise if most of the columns of a question form a family of names and some do not."""
    for columns in made.groups.values():
        families: dict[str, list[Hashable]] = defaultdict(list)
        for column in columns:
            families[stem(column)].append(column)
        largest = max(families.values(), key=len)
        rest = [column for column in columns if column not in largest]
        if rest and stem(largest[0]) and len(largest) > 1:
            every = ",".join(str(c) for members in made.groups.values() for c in members)
            some, task = ",".join(map(str, largest)), ""
            if made.task is not None:
                task = f", task={made.task!r}"
            raise DataError(
                f"{name} is a wide table, and it is open whether {first_few(rest)} are sources like "
                f"{first_few(largest)}: their names differ, and they use the same labels. If they are, name all: "
                f"workers='{every}'{task} (in the shell: --adapter wide --adapter-set workers='{every}'). If not, "
                f"leave them out: workers='{some}'{task} (--adapter wide --adapter-set workers='{some}')."
            )


def _say(made: Plan, name: str, collected: Collected, named: bool) -> None:
    if not named:
        where = "the row's number" if made.task is None else f"column {made.task!r}"
        columns = [c for members in made.groups.values() for c in members]
        collected.notes.append(
            f"read as a wide table: tasks are {where}, sources {first_few(columns, 8)}"
        )
    if made.no_person:
        collected.notes.append(
            f"left out for their names, as no independent sources: {first_few(made.no_person)}"
        )
    if made.partial:
        collected.notes.append(
            f"left out, since they hold some of the labels only: {first_few(made.partial)}; if they are sources, name "
            "all sources: workers=[…] (in the shell: --adapter wide --adapter-set workers=…,…)"
        )
    if made.respelt:
        collected.notes.append(
            f"left out, since they spell the labels in another way, by case or spaces: {first_few(made.respelt)}; if "
            "they are sources, write labels alike"
        )
    if made.strange:
        collected.notes.append(
            f"left out, since they hold other values, though they are called like sources: {first_few(made.strange)}"
        )
    if made.mostly:
        collected.notes.append(
            f"left out, since half of their values or more are others: {first_few(made.mostly)}; if they are sources, "
            "name all sources: workers=[…] (in the shell: --adapter wide --adapter-set workers=…,…)"
        )
    if made.silent:
        collected.notes.append(f"left out, since they hold -1 alone: {first_few(made.silent)}")
    slots = [c for members in made.groups.values() for c in members if _SLOT.match(str(c))]
    if len(slots) > 1:
        collected.notes.append(
            f"columns such as {str(slots[0])!r} are taken for people; if they are slots that different people filled, "
            "their skills mean nothing: use a table with the people's ids"
        )


FORMATS = (Format("wide", "wide table", _is_wide, read, ("task", "workers")),)

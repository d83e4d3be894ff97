"""Which columns of a wide table hold the same few values, as sources that answer one question do."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import pandas as pd

_MOST_CLASSES = 50
_WHOLE = re.compile(r"-?\d+\.0")
_DECIMAL = re.compile(r"\s*[-+]?\d*[.,]?\d+\s*")
_DATE = re.compile(r"(\d{4}-\d\d?-\d\d?|\d\d?/\d\d?/\d{2,4})([T\s]|$)")
PARTS = re.compile(r"[_\s.-]+")
"""What separates the parts of a column's name."""
ABSTAINS = {"-1"}
"""How labelling functions say that they do not answer."""


def values_of(frame: pd.DataFrame, name: Hashable) -> set[str]:
    """Return the distinct values of a column as text."""
    return set(map(str, frame[name].dropna().unique()))


def holds_scalars(column: pd.Series) -> bool:
    """Tell a column of names or numbers from one of lists or dicts, such as embeddings."""
    first = column.first_valid_index()
    return first is None or isinstance(column.loc[first], Hashable)


def is_categorical(column: pd.Series) -> bool:
    """Tell whether a column holds a few names or whole numbers, repeated, and not ids, texts, dates or measurements."""
    given = column.dropna()
    distinct = given.nunique()
    if not distinct or distinct > _MOST_CLASSES or given.dtype.kind in "mM":
        return False
    if given.dtype.kind == "f" and not (given == given.round()).all():
        return False
    texts = {text: n for text, n in given.value_counts().items() if isinstance(text, str)}
    if len(texts) == distinct and are_measured(texts):
        return False
    if len(texts) == distinct and all(map(_DATE.match, texts)):
        return False
    if texts and sum(len(text) * n for text, n in texts.items()) > 40 * sum(texts.values()):
        return False
    return distinct <= max(2, len(given) / 2) or (distinct < len(column) and len(given) <= 12)


def are_measured(texts: Iterable[str]) -> bool:
    """Tell whether texts are numbers, with a point or a comma, and some are no whole ones."""
    return all(map(_DECIMAL.fullmatch, texts)) and any(
        float(t.replace(",", ".")) % 1 for t in texts
    )


def shared_values(
    values: dict[Hashable, set[str]], one_sided: list[Hashable]
) -> tuple[list[list[Hashable]], list[Hashable]]:
    """Return groups of columns that share half of all their values or more, and columns that may belong to one.

    A column that holds some values of a group only joins it if it is called like one of its columns. Labelling
    functions of one value each (``one_sided``) form one group where nothing else shares values.
    """
    found = _grouped(values, [])
    groups = [group for group in found if len(group[1]) > 1]
    if groups and all(set(members) <= set(one_sided) for _, members in groups):
        held = set().union(*(values[c] for c in one_sided))
        found = _grouped(values, [(held, list(one_sided))])
        groups = found[:1]
    partial = []
    for mine, members in found:
        wider = [group for group in groups if group[1] is not members and mine <= group[0]]
        stems = {stem(column) for column in members} - {""}
        like = [group for group in wider if stems & {stem(column) for column in group[1]}]
        if like:
            like[0][1].extend(members)
            groups = [group for group in groups if group[1] is not members]
        elif wider and len(members) == 1:
            partial += members
    place = list(values).index
    return [sorted(members, key=place) for _, members in groups], partial


def respelt(values: dict[Hashable, set[str]], groups: list[list[Hashable]]) -> list[Hashable]:
    """Return columns of no group that share half of a group's values or more but for case and spaces."""

    def plain(columns: list[Hashable]) -> set[str]:
        return {value.strip().casefold() for column in columns for value in values[column]}

    grouped = {column for group in groups for column in group}
    alike = []
    for column in [c for c in values if c not in grouped]:
        mine = plain([column])
        if any(len(mine & held) >= 0.5 * len(mine | held) for held in map(plain, groups)):
            alike.append(column)
    return alike


def mostly_in(
    column: pd.Series, groups: Sequence[list[Hashable]], values: dict[Hashable, set[str]]
) -> bool:
    """Tell whether most cells of a column hold what the columns of one group hold, and several values of it."""
    said = column.dropna().astype(str)
    return any(
        2 * said.isin(held).sum() > len(said) and said[said.isin(held)].nunique() > 1
        for held in (set().union(*(values[c] for c in group)) for group in groups)
    )


def _grouped(
    values: dict[Hashable, set[str]], found: list[tuple[set[str], list[Hashable]]]
) -> list[tuple[set[str], list[Hashable]]]:
    """Add the columns that stand in no group to the first whose values they share by half, or begin a group."""
    for column in [c for c in values if not any(c in members for _, members in found)]:
        mine = values[column]
        for held, members in found:
            if len(mine & held) >= 0.5 * len(mine | held):
                members.append(column)
                held |= mine
                break
        else:
            found.append((set(mine), [column]))
    return found


def stem(name: Hashable) -> str:
    """Return what columns of one family have in common: their name without its number or last part."""
    text = str(name)
    bare = re.sub(r"[\s_.-]*\d+$", "", text)
    if bare != text:
        return bare
    parts = PARTS.split(text)
    return parts[0] if len(parts) > 1 else ""


def as_given(frame: pd.DataFrame, task: Hashable | None) -> pd.DataFrame:
    """Return whole numbers that were written as decimals (1.0, as beside empty cells) as the integers they were."""
    frame = frame.copy(deep=False)
    for column in [c for c in frame.columns if c != task]:
        distinct: Any = frame[column].dropna().unique() if holds_scalars(frame[column]) else []
        if len(distinct) and all(_WHOLE.fullmatch(str(value)) for value in distinct):
            numbers = {value: int(str(value)[:-2]) for value in distinct}
            frame[column] = pd.Series(map(numbers.get, frame[column]), frame.index, dtype=object)
    return frame

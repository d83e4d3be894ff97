"""Plain tables as files: the long format beside other files, and a file for each annotator."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from pathlib import PurePath
from typing import Any

import pandas as pd

from deem_crowd.data.frames import synonyms
from deem_crowd_adapters import roles
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import having, is_rows
from deem_crowd_adapters.exports.sheets import TRUTH

_is_long = having(*roles.LONG)


def _is_one_annotators(content: Content) -> bool:
    """Tell whether a table has tasks and labels, and no column that could name a worker.

    By its name, or by what it holds: where tasks stand in several rows, and a column tells the rows of each task apart
    by values that come again with other tasks, these are people, whatever the column is called.
    """
    if not is_rows(content, *roles.GOLD) or synonyms(content.keys, ["worker"]):
        return False
    return not _people(content)


def _people(content: Content) -> list[str]:
    """Return the columns that tell the rows of each task apart, by few values that come with several tasks each."""
    tasks = _column(content, "task")
    if len(set(map(str, tasks))) == len(tasks):
        return []
    found = []
    for name in content.keys - set(roles.GOLD):
        said = [str(one) for one in _column(content, name) if one is not None]
        pairs = set(zip(map(str, tasks), said, strict=False))
        if len(said) == len(tasks) == len(pairs) and 2 * len(set(said)) <= len(said):
            found.append(name)
    return sorted(found)


def read_long(content: Content, collected: Collected) -> None:
    """Add the answers of a table with columns task, worker, label."""
    collected.workers_are_global = True
    _add(content, collected, "worker")


def read_one_annotators(content: Content, collected: Collected) -> None:
    """Add the answers of a table with columns task and label, by the annotator that the file is named after.

    A file with a name such as gold holds known labels.
    """
    collected.workers_are_global = True
    if is_gold(content):
        _know(content, collected)
    else:
        read_any_annotators(content, collected)


def read_any_annotators(content: Content, collected: Collected) -> None:
    """Add the answers of a table with columns task and label, whatever the file is called."""
    collected.workers_are_global = True
    _add(content, collected, None)


def is_gold(content: Content) -> bool:
    """Tell whether a file has a name such as gold."""
    return TRUTH.search(content.stem) is not None


def _know(content: Content, collected: Collected) -> None:
    labels = zip(_column(content, "task"), _column(content, "label"), strict=True)
    given = [(task, label) for task, label in labels if task is not None and label is not None]
    for task, label in given:
        collected.known("label", task, label)
    name = PurePath(content.name).name
    collected.skip(
        f"labels of {name!r}, which by its name holds known labels (gold=, in the shell --gold FILE, uses them)",
        len(given),
    )


def _add(content: Content, collected: Collected, worker: str | None) -> None:
    columns = [_column(content, name) for name in ("task", "label")]
    people: Any = itertools.repeat(content.stem) if worker is None else _column(content, worker)
    for task, label, who in zip(*columns, people, strict=False):
        if task is None or who is None:
            raise content.damaged(
                "a row", "task or worker is missing", "Fill it, or leave the row out."
            )
        collected.add("label", task, who, label)


def _column(content: Content, name: str) -> list[Hashable]:
    if content.kind == "records":
        return [record.get(name) for record in content.value]
    column: pd.Series = content.value[name].astype(object)
    return column.where(column.notna(), None).tolist()


FORMATS = (
    Format("long", "long table", _is_long, read_long),
    Format("files", "table of one annotator", _is_one_annotators, read_one_annotators),
)

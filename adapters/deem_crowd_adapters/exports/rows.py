"""What readers of several tools need: rows of a file as dicts, names of judges, short names of long texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

import pandas as pd

from deem_crowd.exceptions import DataError
from deem_crowd_adapters.exports.content import Content

_NO_NAME = frozenset(
    {"result", "results", "annotations", "annotation", "output", "outputs", "judgments", "data"}
)
"""What many files are called, so that their folder tells whose they are."""


def rows_of(content: Content) -> Iterator[dict[str, Any]]:
    """Yield the records of a list of objects, or the rows of a table with None where a cell is empty."""
    if content.kind == "records":
        yield from content.value
        return
    frame: pd.DataFrame = content.value.astype(object)
    frame = frame.where(frame.notna(), None)
    for row in frame.to_dict("records"):
        yield {str(key): value for key, value in row.items()}


def is_rows(content: Content, *keys: str) -> bool:
    """Tell whether a file holds records or a table with all of these keys."""
    return having(*keys)(content)


def having(*keys: str, kinds: tuple[str, ...] = ("records", "table")) -> Callable[[Content], bool]:
    """Return a test whether a file is of one of these kinds and has all of these keys."""
    return lambda content: content.kind in kinds and content.keys.issuperset(keys)


def name_of_file(content: Content, levels: int = 1) -> str:
    """Return what a file says by its name; where all files have that name, its archive or folders say it.

    Parameters
    ----------
    content : Content
    levels : int
        How many folders make the name; those below a folder ``evaluators`` do in any case.
    """
    stem = content.stem
    if stem.lower() not in _NO_NAME:
        return stem
    folders = [part for part in PurePath(content.name).parent.parts if part not in ("/", ".", "..")]
    if folders and folders[-1].lower().endswith(".zip"):
        return PurePath(folders[-1]).stem
    if "evaluators" in folders:
        folders = folders[folders.index("evaluators") + 1 :]
        levels = len(folders)
    return "/".join(folders[-levels:]) or stem


def short(text: str, *rest: Any, length: int = 60) -> str:
    """Return the beginning of a text, and a hash of all of it and of ``rest``, as the id of a task."""
    whole = json.dumps([text, *rest], ensure_ascii=False, sort_keys=True, default=str)
    mark = hashlib.sha1(whole.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    line = " ".join(text.split())
    return f"{line[:length]}{'…' if len(line) > length else ''} [{mark[:10]}]"


def canonical(*data: Any) -> str:
    """Return data as text by which a task is known in another file."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, default=str)


class Spot(NamedTuple):
    """A place in a file, with the errors about what is found there; as text, the file's name and its own."""

    content: Content
    name: str

    def __str__(self) -> str:
        return f"{self.content.name}, {self.name}"

    def damaged(self, what: str) -> DataError:
        """Return the error that says what is wrong here."""
        return self.content.damaged(self.name, what)

    def hashable(self, value: Any, what: str) -> Hashable:
        """Return an id, which is text, a number or a truth value.

        Raises
        ------
        DataError
            If it is something else; names the file, the place and what should be there.
        """
        if isinstance(value, (str, int, float, bool)):
            return value
        raise self.damaged(f"{what} is {_shown(value)} and no text or number")

    def listed(self, value: Any, what: str) -> list[Any]:
        """Return a list; None counts as an empty one.

        Raises
        ------
        DataError
        """
        if value is None:
            return []
        if isinstance(value, list):
            return value
        if hasattr(value, "tolist"):  # an array in a parquet file
            items = value.tolist()
            if isinstance(items, list):
                return items
        raise self.damaged(f"{what} is {_shown(value)} and no list")

    def mapped(self, value: Any, what: str) -> dict[str, Any]:
        """Return an object; None counts as an empty one.

        Raises
        ------
        DataError
        """
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        raise self.damaged(f"{what} is {_shown(value)} and no object")


def records_of(content: Content) -> Iterator[tuple[Spot, dict[str, Any]]]:
    """Yield :func:`rows_of` a file, each with its place."""
    for number, row in enumerate(rows_of(content)):
        yield Spot(content, f"record {number}"), row


def _shown(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} ({str(value)[:40]})"

"""Which column of a table plays which part: found, renamed, missing, or there twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

from deem_crowd.data.frames import refuse_shared, synonyms
from deem_crowd.exceptions import FormError, MissingColumnError, ParameterError, first_few

LONG = ("task", "worker", "label")
"""The parts of the long format."""
SOFT = ("task", "worker")
"""Those of the soft long format; its other columns are the classes."""
GOLD = ("task", "label")
"""Those of a table of known labels."""

Columns: TypeAlias = "Mapping[str, Hashable]"
"""Our name of a part → the table's name for it, where they differ."""


def find(
    found: Sequence[Any],
    needed: Sequence[str],
    columns: Columns | None = None,
    *,
    where: str = "the table",
    remedy: Callable[[], str] = str,
) -> dict[str, Any]:
    """Return the name of the column that plays each part.

    Parameters
    ----------
    found : sequence
        The column names of the table.
    needed : sequence of str
        The parts to be played, e.g. task, worker, label.
    columns : mapping, optional
        Our name → the table's name, for parts that are called otherwise there.
    where : str
        What the table is, for messages.
    remedy : callable
        Returns what else could help, said where a column is missing.

    Raises
    ------
    MissingColumnError
        If columns are missing; both what was found and what is needed are named.
    FormError
        If a column that is needed stands in the table more than once.
    ParameterError
        If ``columns`` is no mapping, renames what is not needed, or names one column for two parts.
    """
    renamed = _checked(columns, needed)
    names = {part: renamed.get(part, part) for part in needed}
    refuse_shared({part: name for part, name in names.items() if part in (*LONG, "score")})
    absent = [name for name in names.values() if name not in found]
    if absent:
        raise MissingColumnError(
            f"{where}: missing columns {first_few(absent)}; found {first_few(found, 20) or 'none'}; "
            f"needed {first_few(names.values())}. {_advice(names, found, remedy)}"
        )
    for part, name in names.items():
        times = sum(1 for other in found if other == name)
        if times > 1:
            raise FormError(
                f"column {name!r} ({part}) stands {times} times in {where}. Keep one of them."
            )
    return names


def named(columns: Any = None, **parts: Hashable | None) -> Any:
    """Return ``columns`` with the names of single parts, such as ``task="item"``, put in.

    Raises
    ------
    ParameterError
        If a part is named in both ways.
    """
    given = {part: name for part, name in parts.items() if name is not None}
    if not given:
        return columns
    if columns is not None and not isinstance(columns, Mapping):
        raise ParameterError(
            f"{first_few(given)} cannot be named beside columns={list(columns)!r}, which names every column."
        )
    twice = [part for part in given if part in (columns or {})]
    if twice:
        raise ParameterError(f"{first_few(twice)} is named twice, by itself and in columns.")
    return {**(columns or {}), **given}


def _checked(columns: Columns | None, needed: Sequence[str]) -> Columns:
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise ParameterError(
            f"columns={columns!r} is no mapping from our names to the table's, such as "
            f"{{{needed[0]!r}: 'item'}}."
        )
    unknown = [part for part in columns if part not in needed]
    if unknown:
        raise ParameterError(
            f"columns renames {first_few(unknown)}, and the parts are {first_few(needed)}. Our name "
            f"stands first: {{{needed[0]!r}: 'item'}}."
        )
    return columns


def _advice(names: Mapping[str, Any], found: Sequence[Any], remedy: Callable[[], str]) -> str:
    """Suggest columns whose names differ in nothing but case and blanks, or say how to rename."""
    plain = {str(name).strip().casefold(): name for name in found}
    absent = {part: name for part, name in names.items() if name not in found}
    alike = {
        part: plain[str(name).strip().casefold()]
        for part, name in absent.items()
        if str(name).strip().casefold() in plain
    }
    if alike:
        return f"Did you mean columns={alike!r}?"
    suggested = {part: name for name, part in synonyms(found, absent).items()}
    if suggested:
        return f"If these are meant, pass columns={suggested!r}."
    part = next(iter(absent))
    return remedy() or f"If a column has another name, say so: columns={{{part!r}: …}}."

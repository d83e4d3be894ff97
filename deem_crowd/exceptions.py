"""Errors and warnings, under one base each.

Every error of the project is a :class:`DeemCrowdError` and, beside that, the builtin a caller would
expect (``ValueError``, ``KeyError``, ``TypeError``, ``MemoryError``), so that both habits of catching work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class DeemCrowdError(Exception):
    """Base of every error that deem-crowd raises on purpose."""


class DataError(DeemCrowdError, ValueError):
    """The data break the contract; the message names the place, the count and the remedy."""


class MissingColumnError(DataError, KeyError):
    """A frame lacks a column that is needed."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class FormError(DataError, TypeError):
    """The data have another form (type, axes, layout) than the call takes."""


class MissingAnswersError(DataError, AttributeError):
    """A table of a fitted object needs its answers, and the object does not have them."""


class ParameterError(DeemCrowdError, ValueError):
    """A parameter is unknown, of the wrong type or out of its range."""


class ProcessLostError(DeemCrowdError, ConnectionError):
    """Another process of a fit by several is gone, or does not answer."""


class UnsupportedError(DeemCrowdError, NotImplementedError):
    """The combination of parameters is not something this version can do."""


class MemoryNeedError(MemoryError, DeemCrowdError):
    """The model would need more memory than is there; raised before anything is allocated."""


class OverwriteError(DeemCrowdError, FileExistsError):
    """Writing would destroy a file or folder that is an input, or that deem-crowd did not write."""


class PluginError(DeemCrowdError):
    """A plugin cannot be used: it does not load, clashes with another or returns rubbish."""


class DataWarning(UserWarning):
    """The data are usable, but something in them deserves a look."""


class FindingsWarning(DataWarning):
    """What stands out among the answers that a model was fitted to, with names: workers that repeat one another …"""


class ParameterWarning(UserWarning):
    """A parameter was given that has no part in the fit."""


class PluginWarning(UserWarning):
    """A plugin was skipped."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun for a message: 1 label, 1,200 labels."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def counted_of(
    number: int, total: int, noun: str, one: str, several: str, plural: str | None = None
) -> str:
    """Return a part of a count with its verb for a message: 1 of 60 tasks has, 2 of 60 tasks have."""
    return f"{number:,} of {counted(total, noun, plural)} {one if number == 1 else several}"


def first_few(values: Iterable[Any], limit: int = 5) -> str:
    """Return the first ``limit`` of ``values`` as text for a message, with an ellipsis if cut."""
    shown: list[str] = []
    narrow: Any = values if str(getattr(values, "dtype", "")) == "float32" else None
    if getattr(narrow, "ndim", 0) == 1:  # as 0.1, and not as 0.10000000149011612
        values = map(float, getattr(narrow, "to_numpy", lambda: narrow)()[: limit + 1].astype(str))
    for value in values:
        if len(shown) == limit:
            shown.append("…")
            break
        item = value.item() if getattr(value, "ndim", None) == 0 else value
        text = repr(item)
        shown.append(text if len(text) <= 60 else text[:57] + "…" + text[-1])
    return ", ".join(shown)

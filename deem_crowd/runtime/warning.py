"""Warnings that point at the caller's line, however deep in here they arise."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_OURS = frozenset(
    ("deem_crowd", "deem_crowd_adapters", "deem_crowd_benchmarks", "deem_crowd_plugins")
)


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the first line up the stack that is in none of our packages."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _root(frame.f_globals.get("__name__")) in _OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def said_once() -> Iterator[None]:
    """Show a warning that many fits of a caller's classifier repeat word for word once, at the end."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for one in {(one.category, str(one.message)): one for one in caught}.values():
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _root(module: object) -> str:
    return str(module).partition(".")[0]

"""Warnings that point at the caller's line, however deep in here they arise."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
    """Show a warning that many fits of a caller's classifier repeat word for word only once."""
    once = _Once()
    warnings.showwarning = once
    try:
        yield
    finally:
        once.open = False
        if warnings.showwarning is once:
            warnings.showwarning = once.before


class _Once:
    """Shows each warning once while it is open, and every warning from then on.

    Where threads overlap, one of them may install a closed record again (``warnings.catch_warnings`` restores what it
    found), so a closed one must not swallow the warnings that come later.
    """

    def __init__(self) -> None:
        self.open, self.seen = True, set[tuple[type[Warning], str]]()
        self.before: Any = warnings.showwarning
        while isinstance(self.before, _Once) and not self.before.open:
            self.before = self.before.before

    def __call__(
        self, message: Warning | str, category: type[Warning], *place: Any, **more: Any
    ) -> None:
        said = category, str(message)
        repeated = self.open and said in self.seen
        if self.open:
            self.seen.add(said)
        if not repeated:
            self.before(message, category, *place, **more)


def _root(module: object) -> str:
    return str(module).partition(".")[0]

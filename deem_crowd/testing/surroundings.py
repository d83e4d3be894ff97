"""What a plugin leaves behind in its process: text on the standard streams, and settings that others see."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import torch

FILTERS = "the filters of warnings"


_ALLOWED = {"logging", "warnings", "_py_warnings"}
"""Modules whose output callers can switch on and off."""


class _Overheard(io.TextIOBase):
    """Passes text on to a standard stream and records it for a while; log handlers may keep a reference to it.

    Parameters
    ----------
    name : str
        'stdout' or 'stderr'.
    heard : list of str
        Collects what is written while ``listening``, except warnings and log records on standard error.
    """

    def __init__(self, name: str, heard: list[str]) -> None:
        self.name, self.heard = name, heard
        self.stream, self.listening = getattr(sys, name), True

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.listening and text and not (self.name == "stderr" and _allowed()):
            self.heard.append(text)
        now = self if self.listening else getattr(sys, self.name)
        (now.stream if isinstance(now, _Overheard) else now).write(text)
        return len(text)


def _allowed() -> bool:
    """Return whether a warning or a log record is being written."""
    frame: FrameType | None = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") not in _ALLOWED:
        frame = frame.f_back
    return frame is not None


@contextmanager
def written(heard: dict[str, list[str]]) -> Iterator[None]:
    """Record what is written inside to standard output and standard error, and pass it on.

    Parameters
    ----------
    heard : dict of list of str
        'standard output' and 'standard error' → what was written there so far.
    """
    out = _Overheard("stdout", heard["standard output"])
    err = _Overheard("stderr", heard["standard error"])
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        out.listening = err.listening = False


@contextmanager
def settings_kept(changed: list[str]) -> Iterator[None]:
    """Note in ``changed`` which settings of the process differ at the end, and restore them.

    Imports may add options and filters of warnings: these are not noted.
    """
    before = {name: read() for name, (read, _) in _SETTINGS.items()}
    modules = set(sys.modules)
    try:
        yield
    finally:
        for name, (read, restore) in _SETTINGS.items():
            was, now = before[name], read()
            if isinstance(now, dict):
                now = {part: value for part, value in now.items() if part in was}
                was = {part: was[part] for part in now}
            if now != was:
                if name != FILTERS or modules.issuperset(sys.modules):
                    changed.append(name if not isinstance(now, dict) else _named(name, was, now))
                restore(before[name])


def _named(name: str, before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return a setting with the first of its parts that has changed."""
    part = next(key for key in now if now[key] != before[key])
    return f"{name} ({part}: {before[part]!r} to {now[part]!r})"


def _options() -> dict[str, Any]:
    """Return all options of pandas, by name."""

    def flat(options: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
        for name, value in options.items():
            if isinstance(value, dict):
                yield from flat(value, f"{above}{name}.")
            else:
                yield above + name, value

    held: Any = pd.options
    return dict(flat(held.d, ""))


def _set_options(before: dict[str, Any]) -> None:
    for name, value in _options().items():
        if name in before and value != before[name]:
            pd.set_option(name, before[name])


def _set_filters(before: list[Any]) -> None:
    warnings.resetwarnings()  # also makes Python forget which warnings it has shown
    warnings.filters[:] = before  # type: ignore[index]


_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "options of pandas": (_options, _set_options),
    FILTERS: (lambda: list(warnings.filters), _set_filters),
    "what numpy does about floating-point errors": (np.geterr, lambda old: np.seterr(**old)),
    "the default dtype of torch": (torch.get_default_dtype, torch.set_default_dtype),
}

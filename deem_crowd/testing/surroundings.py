"""What a plugin leaves behind in its process: text on the standard streams, and settings that others see, too."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import pandas as pd
import torch

FILTERS = "the filters of warnings"


@contextmanager
def written(heard: dict[str, list[str]]) -> Iterator[None]:
    """Remember what is written inside to standard output and standard error, and write it then.

    Warnings, and records of a log that nobody has set up, are not counted: they go where the process sends them.

    Parameters
    ----------
    heard : dict of list of str
        'standard output' and 'standard error' → what was written there so far.
    """
    streams = {"standard output": sys.stdout, "standard error": sys.stderr}
    parts = {name: io.StringIO() for name in streams}
    shows, last_resort = warnings.showwarning, logging.lastResort
    true_error = sys.stderr

    def show(
        message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        with redirect_stderr(true_error):
            shows(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    logging.lastResort = logging.StreamHandler(true_error)
    logging.lastResort.setLevel(logging.WARNING)
    try:
        with redirect_stdout(parts["standard output"]), redirect_stderr(parts["standard error"]):
            yield
    finally:
        warnings.showwarning, logging.lastResort = shows, last_resort
        for name, stream in streams.items():
            if text := parts[name].getvalue():
                heard[name].append(text)
                stream.write(text)


@contextmanager
def settings_kept(changed: list[str]) -> Iterator[None]:
    """Note in ``changed`` which settings of the process are others at the end, and set them back."""
    before = {name: read() for name, (read, _) in _SETTINGS.items()}
    try:
        yield
    finally:
        for name, (read, restore) in _SETTINGS.items():
            now = read()
            if now != before[name]:
                changed.append(
                    name if not isinstance(now, dict) else _named(name, before[name], now)
                )
                restore(before[name])


def _named(name: str, before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return a setting with the first of its parts that has changed."""
    part = next(key for key in now if now[key] != before.get(key))
    return f"{name} ({part}: {before.get(part)!r} to {now[part]!r})"


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
        if value != before[name]:
            pd.set_option(name, before[name])


def _set_filters(before: list[Any]) -> None:
    warnings.resetwarnings()  # which also makes earlier warnings of a place count no more
    warnings.filters[:] = before  # type: ignore[index]


_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "options of pandas": (_options, _set_options),
    FILTERS: (lambda: list(warnings.filters), _set_filters),
    "what numpy does about floating-point errors": (np.geterr, lambda old: np.seterr(**old)),
    "the default dtype of torch": (torch.get_default_dtype, torch.set_default_dtype),
}

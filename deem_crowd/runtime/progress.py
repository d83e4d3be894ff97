"""How far long work is: a bar where somebody watches, lines in the log where nobody does; through tqdm.auto.

Nothing is shown, and tqdm is not imported, before :data:`AFTER` seconds are over.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from deem_crowd.runtime.fork import in_every_fork

T = TypeVar("T")

AFTER = 2.0
"""Seconds of silence, in which most work is done."""
_BETWEEN = 0.1
"""Seconds between two drawings of the bar, at least."""
_BETWEEN_LINES = 10.0
"""Seconds between two lines of the log, at least."""

logger = logging.getLogger("deem_crowd.progress")  # a public name

Report = Callable[[int, float], None]
"""Called with (passes so far, log-likelihood per task)."""


class Progress:
    """The progress of one piece of work, which may have several stages.

    A bar with the total and an estimate of the time left stands on standard error where that is a terminal, and in
    notebooks. The logger ``deem_crowd.progress`` gets the same at the level INFO.

    Parameters
    ----------
    what : str
        What is done, in a word.
    unit : str
        What is counted, in the plural.
    shown : bool
        False leaves the bar out; the log is asked as ever.
    total : int
        Steps of all stages, at most.
    """

    def __init__(self, what: str, unit: str, shown: bool = True, total: int = 0) -> None:
        self.what, self.unit, self.total = what, unit, total
        self.done = 0
        self._shown = shown
        self._stage_begin = self._stage_end = 0
        self._begun = time.monotonic()
        self._drawn_at, self._logged_at = self._begun - _BETWEEN, self._begun
        self._bar: Any = None

    def expect(self, total: int) -> None:
        """Say how many steps all stages have, at most."""
        self.total = total

    def stage(self, most: int) -> Report:
        """Begin a stage of at most so many steps; what the one before has left over counts as done."""
        self._stage_begin = self._stage_end
        self._stage_end += most

        return _Stage(self)

    def due(self) -> bool:
        """Tell whether an update would be read now."""
        return time.monotonic() - self._begun >= AFTER

    def pass_done(self, n_passes: int, log_likelihood: float) -> None:
        """Say that so many passes of a stage are done; NaN for a log-likelihood that nobody asked for."""
        known = log_likelihood == log_likelihood
        text = f"log-likelihood per task {log_likelihood:.5f}" if known else ""
        self.update(self._stage_begin + n_passes, text)

    def update(self, done: int, text: str = "") -> None:
        """Say that so many steps are done, with a few words on how it stands."""
        self.done = done
        now = time.monotonic()
        elapsed = now - self._begun
        if elapsed < AFTER:
            return
        if now - self._logged_at >= (_BETWEEN_LINES if self._logged_at > self._begun else 0):
            self._logged_at = now
            logger.info("%s: %s", self.what, self._line(elapsed, text))
        if self._bar is None and self._shown:
            self._bar = _bar(self.what, self.unit, max(self.total, done), elapsed)
            self._shown = self._bar is not None
        if self._bar is not None and (now - self._drawn_at >= _BETWEEN or done == self.total):
            self._drawn_at = now
            self._bar.total, self._bar.n = max(self.total, done), done
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.refresh()

    def say(self, text: str) -> None:
        """Write a line on standard error, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        elif sys.stderr is not None:
            sys.stderr.write(f"{text}\n")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _line(self, elapsed: float, text: str) -> str:
        left = elapsed * (self.total - self.done) / self.done if self.done else float("nan")
        most = " at most" if self._stage_end else ""
        line = f"{self.done:,} of {max(self.total, self.done):,} {self.unit}{most}, {elapsed:.0f} s"
        if left == left:
            line += f", {left:.0f} s left{most}"
        return f"{line}; {text}" if text else line


class _Stage:
    """What is told of the passes of a stage."""

    def __init__(self, progress: Progress) -> None:
        self.due, self._told = progress.due, progress.pass_done

    def __call__(self, n_passes: int, log_likelihood: float) -> None:
        self._told(n_passes, log_likelihood)


def due(report: Report) -> bool:
    """Tell whether the log-likelihood would be read that a report is told now; yes where that is not known."""
    asked: Callable[[], bool] | None = getattr(report, "due", None)
    return asked is None or asked()


@contextmanager
def watched(what: str, unit: str, shown: bool = True, total: int = 0) -> Iterator[Progress]:
    """Yield a :class:`Progress` whose bar is gone when the block is left."""
    progress = Progress(what, unit, shown, total)
    try:
        yield progress
    finally:
        progress.close()


def tracked(steps: Sequence[T], what: str, unit: str) -> Iterator[T]:
    """Yield steps of work one after the other, and show how many are done."""
    with watched(what, unit, total=len(steps)) as progress:
        for number, step in enumerate(steps, 1):
            yield step
            progress.update(number)


def only_stage(progress: Progress | None, most: int) -> Report | None:
    """Return what reports the one stage there is, of at most so many steps; None where nobody asks."""
    if progress is None:
        return None
    progress.expect(most)
    return progress.stage(most)


@functools.lru_cache(maxsize=1)
def load_tqdm() -> Any:
    """Return the bar of tqdm.auto: widgets in notebooks that have them, text elsewhere.

    A notebook without ipywidgets is no reason for a warning.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # no thread

    Bar.set_lock(threading.RLock())
    return Bar


in_every_fork(load_tqdm.cache_clear)  # with a lock of its own


def _bar(what: str, unit: str, total: int, elapsed: float) -> Any:
    """Return a bar that has been there for some seconds, or None where nobody would see it."""
    notebook = in_notebook()
    if not notebook and not (sys.stderr is not None and sys.stderr.isatty()):
        return None
    # text on standard error is red in notebooks
    file = sys.stdout if notebook else sys.stderr
    bar = load_tqdm()(
        total=total, desc=what, unit=f" {unit}", leave=False, smoothing=0, dynamic_ncols=True, file=file
    )  # fmt: skip
    bar.start_t -= elapsed
    return bar


def quiet_in_notebooks() -> None:
    """Import tqdm.auto in a notebook, silently: crowd-kit imports it, too, and tqdm would complain in red."""
    if in_notebook():
        load_tqdm()


def in_notebook() -> bool:
    """Tell whether this is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})

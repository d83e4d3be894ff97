"""A progress bar for fits long enough to want one; silent when told, and where nobody is watching."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Below this many answers a fit is over before a bar could be read.
_WORTH_SHOWING = 3_000_000
_WORTH_SHOWING_SAMPLED = 10_000
_SECONDS_BETWEEN = 0.1


@contextmanager
def reporter(
    n_answers: int, wanted: bool, sampled: bool = False
) -> Iterator[Callable[[int, float], None] | None]:
    """Yield a callback (passes, log-likelihood per task) that moves a bar on standard error, or None.

    ``sampled`` says that training is by samples, with epochs that take much longer than passes.
    """
    worth = _WORTH_SHOWING_SAMPLED if sampled else _WORTH_SHOWING
    if not wanted or n_answers < worth or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    unit = "epochs" if sampled else "passes"
    bar = Progress(
        SpinnerColumn(),
        TextColumn("deem: {task.completed:,.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,  # no thread: the callback draws
    )
    with bar:
        task = bar.add_task("", total=None, unit=unit)
        shown_at = -_SECONDS_BETWEEN

        def show(n_passes: int, log_likelihood: float) -> None:
            nonlocal shown_at
            now = time.monotonic()
            due = now - shown_at >= _SECONDS_BETWEEN
            shown_at = now if due else shown_at
            text = f"log-likelihood per task {log_likelihood:.5f}"
            bar.update(task, completed=n_passes, description=text, refresh=due)

        yield show

"""The tables that the shell shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from deem_crowd.discovery import Plugin

if TYPE_CHECKING:
    from deem_crowd_benchmarks.comparison import Result


class Column:
    """A column of numbers: its heading, the number of a result, how to write it, which is best."""

    def __init__(
        self,
        heading: str,
        value: Callable[[Result], float | None],
        form: str,
        best: Callable[[list[float]], float] | None = None,
    ) -> None:
        self.heading = heading
        self._value = value
        self._form = form
        self._best = best

    def cells(self, results: Sequence[Result]) -> list[str]:
        """Return the text of each result's cell; a star marks the best, and all that are written like it."""
        values = [self._value(result) for result in results]
        there = [value for value in values if value is not None and value == value]
        top = format(self._best(there), self._form) if self._best and there else None
        cells = []
        for value in values:
            text = "–" if value is None or value != value else format(value, self._form)
            cells.append(f"[bold]{text} *[/bold]" if text == top else f"{text}  ")
        return cells


ACCURACY = Column("accuracy", lambda result: result.accuracy, ".4f", max)
LOG_LOSS = Column("log-loss", lambda result: result.log_loss, ".4f", min)
SECONDS = Column("seconds", lambda result: result.seconds, ".3f", min)


def comparison_table(results: Sequence[Result], columns: Sequence[Column]) -> Table:
    """Return one row a method; one that failed shows its error."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    failed = any(result.error for result in results)
    if failed:
        table.add_column("error", overflow="fold", style="red")
    cells = [column.cells(results) for column in columns]
    for row, result in enumerate(results):
        error = [escape(result.error)] if failed else []
        table.add_row(escape(result.method), *(column[row] for column in cells), *error)
    return table


def entry_table(plugins: Sequence[Plugin]) -> Table:
    """Return one row for each adapter, aggregator and sampler that the plugins offer."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("kind", "name"):
        table.add_column(heading, no_wrap=True)
    table.add_column("description", overflow="fold")
    for heading in ("plugin", "distribution", "version"):
        table.add_column(heading, no_wrap=True)
    entries = sorted(
        ((entry, plugin) for plugin in plugins for entry in plugin.entries),
        key=lambda pair: (pair[0].kind, pair[0].name),
    )
    for entry, plugin in entries:
        fields = (entry.kind, entry.name, entry.description, plugin.name)
        table.add_row(*(escape(field) for field in (*fields, entry.distribution, entry.version)))
    return table


def skipped_table(plugins: Sequence[Plugin], denied_by: str) -> Table:
    """Return one row for each plugin that is broken or denied, with the reason."""
    table = Table(
        box=box.SIMPLE_HEAD, title="Not loaded", title_justify="left", title_style="bold red"
    )
    for heading in ("plugin", "distribution", "version"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", overflow="fold")
    for plugin in plugins:
        why = f"denied by {denied_by}" if plugin.denied else f"broken: {plugin.problem}"
        fields = (plugin.name, plugin.distribution, plugin.version, why)
        table.add_row(*(escape(field) for field in fields))
    return table

"""The table of ``demo`` and ``compare``: one row a method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table

from deem_crowd.cli.shell import cell
from deem_crowd_benchmarks.running.comparison import Result


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
COVERAGE = Column("coverage", lambda result: result.coverage, ".4f")
SECONDS = Column("seconds", lambda result: result.seconds, ".3f", min)


def comparison_table(results: Sequence[Result], columns: Sequence[Column]) -> Table:
    """Return one row a method; one that failed shows its error. Coverage is shown where a method left tasks open."""
    if any(result.coverage is not None and result.coverage < 1 for result in results):
        columns = [*columns, COVERAGE]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    failed = any(result.error for result in results)
    if failed:
        table.add_column("error", overflow="fold", style="red")
    cells = [column.cells(results) for column in columns]
    for row, result in enumerate(results):
        error = [cell(result.error)] if failed else []
        table.add_row(cell(result.method), *(column[row] for column in cells), *error)
    return table

"""The report of a folder of results: in the terminal, as Markdown, and as one HTML file."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from deem_crowd.exceptions import DataError, counted
from deem_crowd.runtime.atomic import atomic_write
from deem_crowd_benchmarks.pages import statistics
from deem_crowd_benchmarks.pages.summary import SCALE, Summary, summarise
from deem_crowd_benchmarks.pages.tables import Table
from deem_crowd_benchmarks.running.runs import RESULTS, Row, cores, read_rows

MARKDOWN, HTML = "report.md", "report.html"
TITLE = "Aggregators side by side"


class Picture(NamedTuple):
    """A figure of the HTML report."""

    title: str
    caption: str
    svg: str


def write_report(
    out: str | Path, reference: str | None = None, rows: Sequence[Row] | None = None
) -> Summary:
    """Write ``report.md`` and ``report.html`` beside the results of a folder, whole or not at all.

    Parameters
    ----------
    out : path
        A folder with ``results.jsonl``.
    reference : str, optional
        The method that others are compared with; by default the first one.
    rows : list of dict, optional
        Those to report; by default all in the folder.

    Returns
    -------
    Summary

    Raises
    ------
    DataError
        If there are no results.
    """
    out = Path(out)
    rows = read_rows(out) if rows is None else rows
    if not rows:
        raise DataError(f"{out} holds no results ({RESULTS}): run a benchmark into it first.")
    summary = summarise(rows, out, reference)
    _write(out / MARKDOWN, markdown(summary, rows))
    _write(out / HTML, html(summary, rows, out, reference))
    return summary


def tables_of(summary: Summary) -> list[Table]:
    """Return the tables that the terminal shows: overview and accuracy, or what else there is."""
    shown = [
        summary.overview,
        *summary.details[:1],
        summary.scaling,
        summary.samplers,
        *summary.decisions,
        summary.failures,
    ]
    return [table for table in shown if table is not None]


def rich_tables(table: Table, width: int) -> list[RichTable]:
    """Return a table for a terminal that is ``width`` columns wide; as several with the same rows if it does not fit.

    A terminal would cut numbers off in a table that does not fit, and what is left of 0.019 still reads like a number.
    """
    columns = range(len(table.header))
    heads = [i for i in columns if set(range(i + 1)) <= table.text_columns]
    numbers = [i for i in columns if i not in heads]
    if not numbers or table.text_columns & set(numbers):  # text gives way: it is folded
        return [_rich_table(table, columns, table.title)]
    room = {i: _width(_rich_table(table, [i], "")) - 1 for i in columns}  # neighbours share an edge
    names = 1 + sum(room[i] for i in heads)
    parts: list[list[int]] = [[]]
    for i in numbers:
        if parts[-1] and names + sum(room[j] for j in (*parts[-1], i)) > width:
            parts.append([])
        parts[-1].append(i)
    return [
        _rich_table(table, [*heads, *part], table.title + (" (continued)" if n else ""))
        for n, part in enumerate(parts)
    ]


def _width(rich: RichTable) -> int:
    """Return how wide a table is where there is room enough."""
    room = 100_000
    return Console(width=room).measure(rich).maximum


def _rich_table(table: Table, columns: Sequence[int], title: str) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for i in columns:
        text = i in table.text_columns
        rich.add_column(
            escape(table.header[i]),
            justify="left" if text else "right",
            overflow="fold",
            # a long heading is folded, numbers are not
            min_width=None if text else max((cell_len(row[i]) for row in table.rows), default=1),
        )
    for r, row in enumerate(table.rows):
        cells = [
            f"[bold]{escape(row[i])}[/bold]" if (r, i) in table.best else escape(row[i])
            for i in columns
        ]
        rich.add_row(*cells)
    return rich


def markdown(summary: Summary, rows: Sequence[Row]) -> str:
    """Return the report as Markdown."""
    parts = [f"# {TITLE}", facts(rows)]
    tables = [
        summary.overview,
        *summary.details,
        summary.scaling,
        summary.samplers,
        *summary.decisions,
        summary.failures,
    ]
    for table in tables:
        if table is None:
            continue
        lines = ["| " + " | ".join(map(_md, table.header)) + " |"]
        lines.append(
            "|"
            + "|".join(
                "---" if i in table.text_columns else "---:" for i in range(len(table.header))
            )
            + "|"
        )
        for r, row in enumerate(table.rows):
            cells = [f"**{_md(c)}**" if (r, i) in table.best else _md(c) for i, c in enumerate(row)]
            lines.append("| " + " | ".join(cells) + " |")
        parts += [f"## {table.title}", "\n".join(lines)]
        if table.note:
            parts.append(_md(table.note))
    if summary.warnings:
        parts += ["## Warnings", "\n".join(f"- {_md(said)}" for said in summary.warnings)]
    return "\n\n".join(parts) + "\n"


def html(summary: Summary, rows: Sequence[Row], out: Path, reference: str | None = None) -> str:
    """Return the report as one HTML file that needs nothing else and runs nothing."""
    import jinja2

    source = (
        importlib.resources.files("deem_crowd_benchmarks.pages") / "templates" / "report.html.j2"
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(source.read_text(encoding="utf-8"))
    tables = (summary.scaling, summary.samplers, *summary.decisions)
    others = [table for table in tables if table is not None]
    return template.render(
        title=TITLE,
        facts=facts(rows),
        overview=summary.overview,
        others=others,
        figures=pictures(summary, rows, out, reference),
        details=summary.details,
        failures=summary.failures,
        warnings=summary.warnings,
    )


def pictures(
    summary: Summary, rows: Sequence[Row], out: Path, reference: str | None = None
) -> list[Picture]:
    """Return the figures that the rows allow."""
    from deem_crowd_benchmarks.pages import figures

    drawn = []
    accuracies = summary.accuracies
    scored = [row for row in rows if "method" in row and row["kind"] != SCALE]
    if len(accuracies) and accuracies.shape[1]:
        shown = figures.chosen_methods(accuracies, reference)
        intervals = statistics.accuracy_intervals(scored, out)
        drawn.append(
            Picture(
                "Accuracy per set",
                "Bars are 95 % bootstrap intervals over the tasks with gold; overlapping ones can still differ, as the "
                "tasks are the same for all methods: the overview compares in pairs.",
                figures.accuracy_per_set(accuracies, intervals, shown),
            )
        )
        complete = accuracies.loc[:, accuracies.notna().mean() > 0.5].dropna()
        if len(complete) and complete.shape[1] > 1:
            seconds = statistics.per_set(scored, "seconds")
            drawn.append(
                Picture(
                    "Accuracy against time",
                    f"Means over the {len(complete)} sets that all of these methods were scored on; upper left is "
                    "better.",
                    figures.accuracy_against_time(accuracies, seconds),
                )
            )
        if not np.isnan(summary.ranking.critical_difference):
            drawn.append(
                Picture(
                    "Critical differences",
                    f"Mean ranks over {summary.ranking.n_sets} sets, 1 is best. Methods under one bar are not told "
                    "apart at 5 % (Nemenyi).",
                    figures.critical_difference(summary.ranking),
                )
            )
        if any(row.get("reliability") for row in scored):
            drawn.append(
                Picture(
                    "Reliability",
                    "All tasks with gold of all sets together. On the dashed line probabilities mean what they say; "
                    "below it a method is too sure.",
                    figures.reliability_curves(scored, shown),
                )
            )
        drawn += _confusions(scored, shown)
    if any(row.get("kind") == SCALE and row["status"] == "ok" for row in rows):
        caption = "Both axes are logarithmic: a straight line of slope 1 is a cost that follows the answers."
        drawn.append(
            Picture("Scaling", caption, figures.scaling_curves([r for r in rows if "method" in r]))
        )
    return drawn


def facts(rows: Sequence[Row]) -> str:
    """Return what was run on what, in a line."""
    sets = {(row["kind"], row["set"]) for row in rows if "set" in row}
    methods = {row["method"] for row in rows if "method" in row}
    seeds = {row["seed"] for row in rows}
    threads = sorted({row["threads"] for row in rows if "threads" in row})
    parts = [counted(len(rows), "run")]
    if methods:
        parts.append(f"{counted(len(methods), 'method')} on {counted(len(sets), 'label set')}")
    parts.append(counted(len(seeds), "seed"))
    if threads:
        parts.append(f"threads a run: {', '.join(map(str, threads))}")
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("deem-crowd", "crowd-kit", "torch", "numpy")
    )
    return f"{'; '.join(parts)}. Reported on {cores()} cores, Python {platform.python_version()}, {versions}."


def _confusions(rows: Sequence[Row], shown: Sequence[str]) -> list[Picture]:
    """Return confusion matrices for the largest set with few classes, of the first shown method that has some."""
    from deem_crowd_benchmarks.pages import figures

    for method in shown:
        mine = [row for row in rows if row["method"] == method and row.get("workers")]
        if mine:
            row = max(mine, key=lambda r: (r["n_classes"] <= 6, r["n_answers"]))
            caption = (
                f"{row['set']}: the workers with most answers. Rows are answers, columns the true class, in % of "
                "the column; above by gold (grey: no gold of that class), below as found without it."
            )
            return [Picture("Confusion matrices", caption, figures.confusion_matrices(row))]
    return []


def _md(text: str) -> str:
    """Return text that Markdown shows as it is."""
    for character in "\\`*_[]|":
        text = text.replace(character, "\\" + character)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)  # not every reader minds a backslash here
    return " ".join(text.split())


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())

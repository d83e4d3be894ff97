"""The tables that the shell shows."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from deem_crowd.cli.shell import cell
from deem_crowd.plugins.discovery import Plugin


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
        table.add_row(*(cell(field) for field in (*fields, entry.distribution, entry.version)))
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
        table.add_row(*(cell(field) for field in fields))
    return table

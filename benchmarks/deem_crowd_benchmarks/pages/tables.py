"""Tables of text, as the terminal, Markdown and HTML show them."""

from __future__ import annotations

from dataclasses import dataclass, field

DASH = "–"


@dataclass
class Table:
    """Text in rows and columns; the first column is a heading, the others are numbers."""

    title: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""
    best: set[tuple[int, int]] = field(default_factory=set)
    """(row, column) of the cells to set off."""
    text_columns: set[int] = field(default_factory=lambda: {0})


def number(value: float, form: str) -> str:
    """Return a number in a format, with a minus sign; a dash for NaN."""
    return DASH if value != value else format(value, form).replace("-", "−")

"""What all sections of the report share: their form, and figures that may be missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deem_crowd.exceptions import DataError
from deem_crowd.insight.results import Results
from deem_crowd.report.details import Table
from deem_crowd.report.figures import Figure, draw


@dataclass
class Section:
    """A question, sentences that answer it, tables and figures."""

    heading: str
    sentences: list[str]
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def drawn(title: str, caption: str, plot: Any, results: Results, **options: Any) -> list[Figure]:
    """Return a figure, or none where there is nothing to draw."""
    try:
        return [draw(title, caption, plot, results, **options)]
    except DataError:
        return []

"""Reports whose figures are drawn, and not written as SVG, where what they look like is not the question."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def figures_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have matplotlib write empty pictures: most of the time that a report takes is theirs."""
    from matplotlib.figure import (
        Figure,  # here, since every process that hands out tests loads this file
    )

    def empty(_: Figure, file: Any, **how: Any) -> None:
        file.write("<svg></svg>")

    monkeypatch.setattr(Figure, "savefig", empty)

"""The figures of a report, as SVG that takes the ink of the page."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_INK = "#010203"
"""Stands for the colour of the page's text while matplotlib draws."""


class Figure(NamedTuple):
    """A figure with its title and caption."""

    title: str
    caption: str
    svg: str


def draw(title: str, caption: str, plot: Callable[..., Any], *args: Any, **options: Any) -> Figure:
    """Return what a function of :mod:`deem_crowd.plots` draws."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Sheet

    size = options.pop("size", (4.8, 2.9))
    style: Any = {
        "svg.hashsalt": title,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "legend.facecolor": "none",
        "text.parse_math": False,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        # texts stay texts, which the reader's browser draws with fonts of its own
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        mpl.rcdefaults()  # a page looks alike whatever style the caller has set
        mpl.rcParams.update(style)
        sheet = Sheet(figsize=size, layout="constrained")
        plot(*args, ax=sheet.add_subplot(), **options)
        stream = io.StringIO()
        sheet.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return Figure(title, caption, text[text.index("<svg") :].replace(_INK, "currentColor"))

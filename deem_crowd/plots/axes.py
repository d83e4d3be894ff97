"""What all plots share: axes to draw on, colours, and how names are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deem_crowd.exceptions import DataError
from deem_crowd.runtime import extras

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8c8c8c"
SHEET = "cividis"
"""The colour map of heat maps."""


def axes(ax: Axes | None, width: float = 6.4, height: float = 4.0) -> Axes:
    """Return the Axes given, or those of a new figure of that size in inches.

    Raises
    ------
    UnsupportedError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    extras.require("plots", "plots")
    import matplotlib.pyplot as plt

    _, made = plt.subplots(figsize=(width, height), layout="constrained")
    return made


def plain(name: str) -> str:
    """Return a name that matplotlib shows as it is, without reading it as a formula."""
    return name.replace("$", r"\$")


def require(holds: bool, what: str) -> None:
    """Refuse to draw what the model does not have."""
    if not holds:
        raise DataError(f"there is nothing to draw: the model has {what}.")


def title(ax: Axes, text: str, left_out: str = "") -> None:
    """Set a title, with a second line on what the plot leaves out."""
    ax.set_title(f"{text}\n{left_out}" if left_out else text, loc="left", fontsize="medium")


def heat_map(ax: Axes, values: Any, low: float, label: str) -> None:
    """Draw a matrix of values up to 1 in colours with a bar, and with numbers in the cells where they are few."""
    import numpy as np

    rows, columns = (np.arange(n + 1) - 0.5 for n in values.shape)
    # cells as shapes: no picture is embedded where the plot is written as SVG
    sheet = ax.pcolormesh(columns, rows, values, cmap=SHEET, vmin=low, vmax=1.0)
    ax.set_ylim(len(values) - 0.5, -0.5)
    bar = ax.figure.colorbar(sheet, ax=ax, label=label)
    if bar.solids is not None:
        bar.solids.set_rasterized(False)
        bar.solids.set_edgecolor("face")  # or light shows between the steps
    if values.size <= 144:
        middle = (low + 1) / 2
        for (row, column), value in np.ndenumerate(values):
            if value == value:  # NaN stays blank
                colour = "black" if value > middle else "white"
                ax.text(
                    column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour
                )

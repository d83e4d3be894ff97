"""The pictures of a report, as SVG text."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from deem_crowd_benchmarks.pages.statistics import Interval, Ranking, standing
from deem_crowd_benchmarks.pages.summary import SCALE, scaling_points
from deem_crowd_benchmarks.running.runs import Row

WIDTH = 6.4
"""Inches, at 10 points: still readable where a phone makes half of it."""

# The colours of Okabe and Ito, which most colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_GREY = "#9a9a9a"
_MARKERS = "osD^vPX"
_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,  # a name may hold dollars
    "svg.fonttype": "path",  # looks the same with whatever fonts the reader has
}


def chosen_methods(accuracies: pd.DataFrame, reference: str | None) -> list[str]:
    """Return the methods that get a colour: the reference, then the best by mean accuracy, scored on most sets."""
    scored = accuracies.loc[:, accuracies.notna().mean() > 0.5]
    order = list(standing(scored).index)
    first = [reference] if reference in order else []
    return (first + [m for m in order if m not in first])[:6]


def accuracy_per_set(
    accuracies: pd.DataFrame,
    intervals: dict[tuple[str, str, str], Interval],
    shown: Sequence[str],
) -> str:
    """Draw a row of dots for each set, with intervals for the ``shown`` methods and grey dots for the rest."""
    n = len(accuracies)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, 1.5 + n * (0.22 + 0.07 * len(shown))), layout="constrained")
        axes = figure.add_subplot()
        spread = np.linspace(-0.3, 0.3, len(shown)) if len(shown) > 1 else [0.0]
        rest = [m for m in accuracies.columns if m not in shown]
        for i, method in enumerate(rest):
            axes.plot(
                100 * accuracies[method],
                range(n),
                "|",
                color=_GREY,
                ms=7,
                label="others" if i == 0 else None,
            )
        for i, method in enumerate(shown):
            y = np.arange(n) + spread[i]
            axes.plot(
                100 * accuracies[method],
                y,
                _MARKERS[i % 7],
                color=_COLOURS[i % 7],
                ms=4,
                label=method,
            )
            for row, (kind, name) in enumerate(accuracies.index):
                interval = intervals.get((kind, name, method))
                if interval is not None:
                    ends = [100 * interval.low, 100 * interval.high]
                    axes.plot(ends, [y[row]] * 2, "-", color=_COLOURS[i % 7], lw=1)
        axes.set_yticks(range(n), [name for _, name in accuracies.index])
        axes.set_ylim(n - 0.5, -0.5)
        axes.set_xlabel("accuracy, %, with 95 % intervals over tasks")
        figure.legend(loc="outside upper center", ncols=min(4, len(shown) + bool(rest)))
    return _svg(figure)


def accuracy_against_time(accuracies: pd.DataFrame, seconds: pd.DataFrame) -> str:
    """Draw each method at its mean accuracy and its geometric mean of seconds, over the sets that all have."""
    scored = accuracies.loc[:, accuracies.notna().mean() > 0.5].dropna()
    times = np.exp(np.log(seconds.reindex(index=scored.index, columns=scored.columns)).mean())
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        axes = figure.add_subplot()
        means = 100 * scored.mean()
        axes.set_xscale("log")
        axes.plot(times, means, "o", color=_COLOURS[0])
        _name_points(axes, [(float(times[str(m)]), float(means[str(m)]), str(m)) for m in scored])
        _plain(axes.xaxis)
        axes.set_xlabel("seconds, geometric mean over sets")
        axes.set_ylabel("accuracy, %, mean over sets")
        axes.margins(y=0.12)
        # Names stand beside their points, so that there has to be room for a name however close the times are.
        ends = np.log10([times.min(), times.max()])
        half = 0.65 * max(np.ptp(ends), 0.5)
        axes.set_xlim(10 ** (ends.mean() - half), 10 ** (ends.mean() + half))
    return _svg(figure)


def critical_difference(ranking: Ranking) -> str:
    """Draw mean ranks on a line, with bars over groups that are not told apart (Demšar, JMLR 7, 2006)."""
    names, values = list(ranking.mean_ranks.index), ranking.mean_ranks.to_numpy()
    k = len(names)
    groups = ranking.groups()
    half = (k + 1) // 2
    height = 1.2 + 0.24 * half + 0.14 * len(groups)
    with mpl.rc_context({**_STYLE, "axes.grid": False}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        low, high = 1, max(k, 2)
        axes.set_xlim(low - 0.36 * (high - low), high + 0.36 * (high - low))
        depth = 0.14 * len(groups) + 0.2
        axes.set_ylim(-(depth + 0.24 * half), 0.75)
        axes.axis("off")
        axes.plot([low, high], [0, 0], color="black", lw=1)
        for tick in range(low, high + 1):
            axes.plot([tick, tick], [0, 0.07], color="black", lw=1)
            axes.text(tick, 0.12, str(tick), ha="center", va="bottom")
        cd = ranking.critical_difference
        axes.plot([low, min(low + cd, high)], [0.5, 0.5], color="black", lw=2)
        axes.text(low, 0.57, f"critical difference {cd:.2f}", ha="left", va="bottom")
        for i, name in enumerate(names):
            left = i < half
            y = -(depth + 0.24 * (i if left else k - 1 - i))
            side = low - 0.03 * (high - low) if left else high + 0.03 * (high - low)
            axes.plot([values[i], values[i], side], [0, y, y], color="#555555", lw=0.8)
            text = f"{name}  {values[i]:.2f}" if left else f"{values[i]:.2f}  {name}"
            axes.text(
                side,
                y,
                text + " " if left else " " + text,
                ha="right" if left else "left",
                va="center",
            )
        for i, group in enumerate(groups):
            ends = [ranking.mean_ranks[group[0]] - 0.04, ranking.mean_ranks[group[-1]] + 0.04]
            axes.plot(ends, [-0.12 - 0.14 * i] * 2, color=_COLOURS[1], lw=3, solid_capstyle="butt")
    return _svg(figure)


def reliability_curves(rows: Sequence[Row], shown: Sequence[str]) -> str:
    """Draw accuracy against confidence, all sets' tasks together, bins with ten tasks or more."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 100], [0, 100], "--", color=_GREY, lw=1)
        for i, method in enumerate(shown):
            curves = [
                row["reliability"]
                for row in rows
                if row["method"] == method and row.get("reliability")
            ]
            if not curves:
                continue
            tasks, confidence, accuracy = (
                np.array([c[key] for c in curves]) for key in ("tasks", "confidence", "accuracy")
            )
            total = tasks.sum(0)
            there = total >= 10
            x = (tasks * confidence).sum(0)[there] / total[there]
            y = (tasks * accuracy).sum(0)[there] / total[there]
            style = f"{_MARKERS[i % 7]}-"
            axes.plot(100 * x, 100 * y, style, color=_COLOURS[i % 7], ms=4, lw=1.2, label=method)
        axes.set_xlabel("confidence: the highest probability, %")
        axes.set_ylabel("accuracy of labels held with it, %")
        axes.set_xlim(0, 102)
        axes.set_ylim(0, 102)
        axes.legend(loc="upper left")
    return _svg(figure)


def confusion_matrices(row: Row) -> str:
    """Draw, for the busiest workers of a run, the confusion matrix by gold above the one the method found.

    Rows are answers, columns true classes, and columns sum to 1.
    """
    workers: list[dict[str, Any]] = row["workers"]
    n = len(workers)
    classes = workers[0]["classes"]
    edges = np.arange(len(classes) + 1) - 0.5
    small = len(classes) > 5
    with mpl.rc_context({**_STYLE, "axes.grid": False, "font.size": 8}):
        figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
        grid = figure.subplots(2, n, squeeze=False)
        for j, worker in enumerate(workers):
            counts = np.array(worker["gold"], dtype=float)
            by_gold = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            # kept with the true class in rows; drawn as errors_ has them
            for i, (title, values) in enumerate(
                (("by gold", by_gold.T), (f"by {row['method']}", np.array(worker["estimated"]).T))
            ):
                axes = grid[i][j]
                # as rectangles: pictures inside the file are not shown everywhere
                axes.pcolormesh(edges, edges, values, vmin=0, vmax=1, cmap="Blues")
                axes.set_aspect("equal")
                axes.set_ylim(len(classes) - 0.5, -0.5)
                axes.set_title(
                    f"{_short(worker['worker'])}\n{title}" if i == 0 else title, fontsize=8
                )
                ticks = range(len(classes))
                axes.set_xticks(
                    ticks, [_short(c, 6) for c in classes] if i == 1 else [], rotation=90
                )
                axes.set_yticks(ticks, [_short(c, 6) for c in classes] if j == 0 else [])
                if j == 0:
                    axes.set_ylabel("answered")
                if i == 1:
                    axes.set_xlabel("true")
                for a in ticks if not small else []:
                    for b in ticks:
                        axes.text(
                            b, a, f"{100 * values[a, b]:.0f}", ha="center", va="center", fontsize=7,
                            color="white" if values[a, b] > 0.6 else "black",
                        )  # fmt: skip
                if i == 0:
                    empty = counts.sum(1) == 0
                    for a in np.flatnonzero(empty).tolist():
                        axes.axvspan(a - 0.5, a + 0.5, color="#eeeeee", zorder=2)
    return _svg(figure)


def scaling_curves(rows: Sequence[Row]) -> str:
    """Draw seconds and memory against answers, both on logarithmic scales."""
    large = [row for row in rows if row.get("kind") == SCALE]
    methods = list(dict.fromkeys(row["method"] for row in large))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
        panels = figure.subplots(2, 1, sharex=True)
        for i, method in enumerate(methods):
            points = scaling_points(large, method)
            for axes, part in zip(panels, (1, 2), strict=True):
                x, y = [p[0] for p in points], [max(p[part], 1e-3) for p in points]
                style = f"{_MARKERS[i % 7]}-"
                axes.plot(x, y, style, color=_COLOURS[i % 7], label=method, ms=5)
        for axes, label in zip(panels, ("seconds", "peak MB above the frame"), strict=True):
            axes.set_xscale("log")
            axes.set_yscale("log")
            _plain(axes.xaxis)
            _plain(axes.yaxis)
            axes.set_ylabel(label)
        panels[1].set_xlabel("answers")
        panels[0].legend()
    return _svg(figure)


def _name_points(axes: Any, points: list[tuple[float, float, str]]) -> None:
    """Write names beside points, moved up where they would cover each other."""
    low, high = min(p[1] for p in points), max(p[1] for p in points)
    step = max(high - low, 1e-6) * 0.05
    taken: list[tuple[float, float]] = []
    for x, y, name in sorted(points, key=lambda p: p[1]):
        place = y
        while any(abs(np.log10(x / a)) < 0.45 and abs(place - b) < step for a, b in taken):
            place += step / 4
        taken.append((x, place))
        axes.annotate(
            name, (x, y), (x * 1.12, place), va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": _GREY, "lw": 0.5} if place - y > step / 2 else None,
        )  # fmt: skip


def _plain(axis: Any) -> None:
    """Write the ticks of a logarithmic axis as numbers."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def _short(text: str, limit: int = 14) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "deem-crowd"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for it
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]

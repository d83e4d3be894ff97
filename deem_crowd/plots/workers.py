"""Plots of workers: skills, confusion, agreement in pairs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.lookup import written_shortly
from deem_crowd.exceptions import ParameterError, counted, first_few
from deem_crowd.insight.findings import shown
from deem_crowd.insight.results import AnswersLike, Model, Results, results_of
from deem_crowd.insight.tables import compare
from deem_crowd.plots.axes import BLUE, GREY, axes, heat_map, plain, require, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def skills(
    model: Model, answers: AnswersLike = None, *, ax: Axes | None = None, most: int = 40
) -> Axes:
    """Draw the skills of workers with their 95 % intervals, the best on top; a mark shows what chance gives.

    Parameters
    ----------
    model : DEEMAggregator or DEEM, fitted
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; only a model that comes from a file needs it.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    most : int
        Of more workers, half as many of the best and of the worst are drawn, which the title says.

    Returns
    -------
    Axes

    Raises
    ------
    NotFittedError, MissingAnswersError, DataError, FormError
    UnsupportedError
        If matplotlib is not installed.
    """
    results = results_of(model, answers)
    n = results.answers.n_workers
    require(n > 0, "no workers")
    order = np.argsort(results.skills, kind="stable")
    kept, left_out = _ends(order, most)
    place = np.arange(len(kept))
    skill, (low, high) = results.skills[kept], results.intervals[kept].T
    ax = axes(ax, height=max(2.4, 0.22 * len(kept) + 1.2))
    reach = np.clip([skill - low, high - skill], 0, None)
    ax.errorbar(
        skill, place, xerr=reach, fmt="o", color=BLUE, markersize=4, label="skill, 95 % interval"
    )
    ax.plot(results.chance[kept], place, "|", color=GREY, markersize=9, label="by chance")
    ax.set_yticks(place, [plain(shown(w, 24)) for w in results.answers.workers[kept]])
    ax.set_xlim(0, 1)
    ax.set_xlabel("chance of the right answer")
    ax.grid(axis="x", alpha=0.3)
    # beside the title, where no worker is
    ax.legend(
        loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, fontsize="small", frameon=False
    )
    text = f"{most // 2} lowest and {most - most // 2} highest\n{left_out:,} in between left out"
    title(ax, f"Skills of {counted(n, 'worker')}", text if left_out else "")
    return ax


def confusion(
    model: Model,
    answers: AnswersLike = None,
    *,
    worker: Hashable | Sequence[Hashable] | None = None,
    ax: Axes | None = None,
    most: int = 20,
) -> Any:
    """Draw confusion matrices: rows are answers, columns true labels, and each column sums to 1.

    Parameters
    ----------
    model, answers, ax
        As in :func:`skills`.
    worker : id, or list of ids, optional
        One worker; or a grid of several, for which no ``ax`` is taken. If omitted, all workers, by their answers.
    most : int
        Of more classes, the most frequent ones are drawn, which the title says.

    Returns
    -------
    Axes, or an array of Axes for a list

    Raises
    ------
    ParameterError
        For a worker that there is not, or an ``ax`` with a list.
    DataError
        If there are no answers.
    """
    results = results_of(model, answers)
    require(results.answers.n_workers > 0 and results.answers.n_classes > 0, "no answers")
    if isinstance(worker, list):
        if ax is not None:
            raise ParameterError("a grid of several workers makes its own figure: leave out ax.")
        return _grid(results, worker, most)
    if worker is None:
        require(bool(results.n_answers_of_worker.any()), "no answers")
        table = results.tables.mean(results.n_answers_of_worker.astype(np.float64))
        return _one_confusion(results, table, "All workers", ax, most)
    table = results.tables.of(np.array([_position(results, worker)]))[0]
    return _one_confusion(results, table, shown(worker, 28), ax, most)


def agreement(
    model: Model, answers: AnswersLike = None, *, ax: Axes | None = None, most: int = 40
) -> Axes:
    """Draw the chance-corrected agreement (Cohen's κ) of workers in pairs.

    Workers that repeat one another stand side by side, framed. Of more than ``most`` workers, members of such
    groups come first and then those with most answers. See :func:`skills` for the parameters.
    """
    from matplotlib.patches import Rectangle

    results = results_of(model, answers)
    panel = compare(results)
    require(len(panel.counts.sources) > 1, "fewer than two workers with answers")
    groups = [np.searchsorted(panel.counts.sources, group) for group in panel.groups]
    number = results.n_answers_of_worker[panel.counts.sources]
    grouped = np.concatenate(groups) if groups else np.zeros(0, dtype=np.int64)
    rest = np.setdiff1d(np.argsort(-number, kind="stable"), grouped, assume_unique=True)
    order = np.concatenate([grouped, rest])[:most].astype(np.int64)
    kappa = panel.counts.kappa[np.ix_(order, order)]
    np.fill_diagonal(kappa, np.nan)
    side = max(3.0, 0.22 * len(order) + 1.8)
    ax = axes(ax, side + 1, side)
    heat_map(ax, kappa, -0.2, "chance-corrected agreement (κ)")
    names = [plain(shown(w, 16)) for w in results.answers.workers[panel.counts.sources[order]]]
    ax.set_xticks(np.arange(len(order)), names, rotation=90, fontsize="small")
    ax.set_yticks(np.arange(len(order)), names, fontsize="small")
    start = 0
    for group in groups:
        if start + len(group) > len(order):
            break
        corner = (start - 0.5, start - 0.5)
        ax.add_patch(
            Rectangle(corner, len(group), len(group), fill=False, edgecolor="#d55e00", linewidth=2)
        )
        start += len(group)
    left_out = panel.n_workers - len(order)
    framed = "framed: repeat one another" if start else "nobody repeats another"
    title(
        ax,
        f"Agreement in pairs\n{framed}",
        f"{counted(left_out, 'worker')} left out" if left_out else "",
    )
    return ax


def _ends(order: npt.NDArray[np.intp], most: int) -> tuple[npt.NDArray[np.intp], int]:
    """Return the first and the last of an order, and how many that leaves out."""
    if most < 2:
        raise ParameterError(f"most={most!r} is too few: 2 at least.")
    if len(order) <= most:
        return order, 0
    kept = np.concatenate([order[: most // 2], order[len(order) - (most - most // 2) :]])
    return kept, len(order) - most


def _position(results: Results, worker: Any) -> int:
    wanted = pd.Index([worker], tupleize_cols=False)
    (place,) = results.answers.workers.get_indexer(wanted)
    if place < 0:
        raise ParameterError(
            f"there is no worker {worker!r}; workers are {first_few(results.answers.workers)}."
        )
    return int(place)


def _one_confusion(
    results: Results, table: npt.NDArray[np.float64], name: str, ax: Axes | None, most: int
) -> Axes:
    """Draw a table [answer, label], shape (K, K)."""
    k = len(table)
    kept = np.sort(np.argsort(-results.priors, kind="stable")[:most])
    part = table[np.ix_(kept, kept)]
    side = max(2.6, 0.32 * len(kept) + 1.6)
    ax = axes(ax, side + 1, side)
    heat_map(ax, part, 0.0, "share of the column")
    names = [plain(shown(c, 16)) for c in written_shortly(results.answers.classes[kept])]
    upright = len(kept) > 4 or max(map(len, names)) > 6
    ax.set_xticks(np.arange(len(kept)), names, rotation=90 if upright else 0)
    ax.set_yticks(np.arange(len(kept)), names)
    ax.set_xlabel("true label")
    ax.set_ylabel("answer")
    left_out = (
        f"the {counted(k - len(kept), 'rarest class', 'rarest classes')} left out"
        if k > len(kept)
        else ""
    )
    title(ax, plain(name), left_out)
    return ax


def _grid(results: Results, workers: list[Hashable], most: int) -> Any:
    import matplotlib.pyplot as plt

    if not workers:
        raise ParameterError("worker=[] names nobody: name one worker at least.")
    places = [_position(results, worker) for worker in workers]
    columns = min(len(workers), 4)
    rows = -(-len(workers) // columns)
    _, grid = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 2.8 * rows), squeeze=False, layout="constrained"
    )
    for ax, worker, place in zip(grid.flat, workers, places, strict=False):
        table = results.tables.of(np.array([place]))[0]
        _one_confusion(results, table, shown(worker, 28), ax, most)
    for ax in grid.flat[len(workers) :]:
        ax.set_visible(False)
    return grid

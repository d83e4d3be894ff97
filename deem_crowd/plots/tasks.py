"""Plots of tasks and of the fit: confidence, coverage, hard tasks, calibration, training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deem_crowd.exceptions import DataError, counted
from deem_crowd.insight.findings import shown
from deem_crowd.insight.reliability import wilson
from deem_crowd.insight.results import AnswersLike, Model, Results, results_of
from deem_crowd.plots.axes import BLUE, GREY, ORANGE, axes, plain, require, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def confidence(model: Model, answers: AnswersLike = None, *, ax: Axes | None = None) -> Axes:
    """Draw a histogram of the confidence of labels, in twenty bins; see :func:`deem_crowd.plots.skills`."""
    results = results_of(model, answers)
    values = results.confidence[results.label >= 0]
    require(len(values) > 0, "no labels")
    ax = axes(ax, height=3.2)
    ax.hist(values, bins=np.linspace(0, 1, 21).tolist(), color=BLUE)
    ax.set_xlim(0, 1)
    ax.set_xlabel("confidence")
    ax.set_ylabel("tasks")
    missing = len(results.label) - len(values)
    title(
        ax,
        f"Confidence of {counted(len(values), 'label')}, {values.mean():.2f} on average",
        f"{counted(missing, 'task')} without a label left out" if missing else "",
    )
    return ax


def coverage(
    model: Model, answers: AnswersLike = None, *, gold: Any = None, ax: Axes | None = None
) -> Axes:
    """Draw the accuracy of the labels that are kept against their share, the most certain kept first.

    Parameters
    ----------
    model, answers, ax
        As in :func:`deem_crowd.plots.skills`.
    gold : Series, dict, DataFrame or array, optional
        Known labels: the true accuracy on them is drawn beside the expected one. Those given to fit are left out.
    """
    results = results_of(model, answers)
    ax = axes(ax)
    order = np.argsort(-results.confidence, kind="stable")
    order = order[results.label[order] >= 0]
    require(len(order) > 0, "no labels")
    kept = np.arange(1, len(order) + 1)
    ax.plot(
        kept / len(order),
        np.cumsum(results.confidence[order]) / kept,
        color=BLUE,
        label="expected by the model",
    )
    truth = results.gold(gold)
    if truth is not None:
        rated = order[results.unseen(truth)[order] >= 0]
        require(len(rated) > 0, "no task with gold that fit has not seen")
        right = np.cumsum(results.label[rated] == truth[rated])
        number = np.arange(1, len(rated) + 1)
        label = f"true, on {counted(len(rated), 'task')} with gold"
        ax.plot(number / len(rated), right / number, color=ORANGE, linestyle="--", label=label)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of tasks kept, the most certain first")
    ax.set_ylabel("accuracy of their labels")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower left", frameon=False)
    title(ax, "Accuracy against coverage")
    return ax


def hard_tasks(
    model: Model, answers: AnswersLike = None, *, ax: Axes | None = None, most: int = 20
) -> Axes:
    """Draw the least certain tasks with who said what: a row a task, a column a worker, the label in the cell.

    Of more than 30 workers, those with most answers to these tasks are drawn, which the title says. See
    :func:`deem_crowd.plots.skills` for the other parameters.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    results = results_of(model, answers)
    require(results.answers.n_answers > 0, "no answers")
    data = results.answers
    order = np.argsort(results.confidence, kind="stable")
    order = order[results.n_answers_of_task[order] > 0][:most]
    row = np.full(data.n_tasks, -1)
    row[order] = np.arange(len(order))
    here = row[data.task] >= 0
    number = np.bincount(data.worker[here], minlength=data.n_workers)
    workers = np.argsort(-number, kind="stable")[: min(30, int((number > 0).sum()))]
    column = np.full(data.n_workers, -1)
    column[workers] = np.arange(len(workers))
    here &= column[data.worker] >= 0
    sheet = np.full((len(order), len(workers)), np.nan)
    sheet[row[data.task[here]], column[data.worker[here]]] = results.hard_answer[here]
    ax = axes(ax, max(4.0, 0.3 * len(workers) + 2.6), max(2.6, 0.26 * len(order) + 1.8))
    k = data.n_classes
    colours = ListedColormap(colormaps["cividis"](np.linspace(0.05, 0.95, max(k, 2))))
    ax.imshow(sheet, cmap=colours, vmin=0, vmax=max(k - 1, 1), aspect="auto")
    for (i, j), code in np.ndenumerate(sheet):
        if code == code:
            name = plain(shown(data.classes[int(code)], 5))
            dark = code < (k - 1) / 2
            colour = "white" if dark else "black"
            ax.text(j, i, name, ha="center", va="center", fontsize=6, color=colour)
    ax.set_xticks(np.arange(len(workers)), [plain(shown(w, 16)) for w in data.workers[workers]])
    ax.tick_params(axis="x", rotation=90, labelsize="small")
    said = [
        f"{shown(data.tasks[n], 20)} → {shown(data.classes[results.label[n]], 10)} "
        f"{results.confidence[n]:.2f}"
        for n in order
    ]
    ax.set_yticks(np.arange(len(order)), [plain(text) for text in said], fontsize="small")
    left_out = int((number > 0).sum()) - len(workers)
    title(
        ax,
        f"The {len(order)} least certain of {counted(data.n_tasks, 'task')}",
        f"{counted(left_out, 'worker')} with fewer answers to them left out" if left_out else "",
    )
    return ax


def calibration(
    model: Model, answers: AnswersLike = None, *, gold: Any, ax: Axes | None = None
) -> Axes:
    """Draw the share of right labels against their confidence, in ten bins, with Wilson's 95 % intervals.

    On the diagonal confidence means what it says; below it labels are too sure.

    Parameters
    ----------
    model, answers, ax
        As in :func:`deem_crowd.plots.skills`.
    gold : Series, dict, DataFrame or array
        Known labels. Those given to fit are left out.
    """
    results = results_of(model, answers)
    mean, right, low, high, number = calibration_bins(results, results.gold(gold))
    require(len(mean) > 0, "no task with both a label and gold that fit has not seen")
    ax = axes(ax, 4.6, 4.2)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    reach = np.clip([right - low, high - right], 0, None)
    ax.errorbar(mean, right, yerr=reach, fmt="o-", color=BLUE, markersize=4)
    ax.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("confidence")
    ax.set_ylabel("share of right labels")
    title(ax, f"Calibration on {counted(int(number.sum()), 'task')} with gold")
    return ax


def training(model: Model, answers: AnswersLike = None, *, ax: Axes | None = None) -> Axes:
    """Draw the path of the log-likelihood per task, in nats; see :func:`deem_crowd.plots.skills`."""
    history = results_of(model, answers).history
    require(len(history) > 0, "no history of training")
    ax = axes(ax, height=3.2)
    ax.plot(np.arange(len(history)), history, color=BLUE, marker="o" if len(history) < 30 else None)
    ax.set_xlabel("pass")
    ax.set_ylabel("log-likelihood per task (nats)")
    ax.grid(alpha=0.3)
    title(ax, "Training")
    return ax


def calibration_bins(
    results: Results, truth: npt.NDArray[np.int64] | None
) -> tuple[npt.NDArray[np.float64], ...]:
    """Return mean confidence, share right, its interval's ends, and number of labels, for each bin that has any."""
    if truth is None:
        raise DataError("calibration needs gold: pass gold={task: label}.")
    truth = results.unseen(truth)
    rated = (truth >= 0) & (results.label >= 0)
    sure = results.confidence[rated]
    right = (results.label == truth)[rated].astype(np.float64)
    place = np.minimum((sure * 10).astype(np.int64), 9)
    number = np.bincount(place, minlength=10).astype(np.float64)
    filled = number > 0
    total = np.maximum(number, 1)
    hits = np.bincount(place, weights=right, minlength=10)
    low, high = wilson(hits, number)
    mean = np.bincount(place, weights=sure, minlength=10) / total
    return mean[filled], (hits / total)[filled], low[filled], high[filled], number[filled]

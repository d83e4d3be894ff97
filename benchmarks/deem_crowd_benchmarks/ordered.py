"""Ordered classes: how far labels are from the gold, with and without the order.

    python -m deem_crowd_benchmarks.ordered DATA ... [--seeds 1]

DATA as for ``deem-crowd benchmark --data``; ``law:ordered`` draws ratings. Sets whose labels are no numbers are left
out; whether numbers are an order is yours to know.
"""

from __future__ import annotations

import warnings
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning
from deem_crowd_benchmarks.sets.label_sets import sources

FloatArray = npt.NDArray[np.float64]
METHODS = ("votes", "unordered", "ordered")


def absolute_errors(probas: pd.DataFrame, gold: pd.Series) -> tuple[float, float]:
    """Return the mean absolute error of the likeliest class and of the median, in units of the classes.

    A tie for the likeliest class counts as a fair draw among those that tie. The median is the class with the least
    expected absolute error; of two the lower one.

    Parameters
    ----------
    probas : DataFrame, shape (N, K)
        Columns are the classes, which are numbers.
    gold : Series, index task
        Tasks without probabilities are left out.
    """
    gold = gold[gold.index.isin(probas.index)]
    levels = probas.columns.to_numpy(dtype=np.float64)
    p = probas.loc[gold.index].to_numpy()
    error = np.abs(levels[None, :] - gold.to_numpy(dtype=np.float64)[:, None])
    likeliest = p >= p.max(1, keepdims=True) - 1e-12
    mode = (error * likeliest).sum(1) / likeliest.sum(1)
    expected = p @ np.abs(levels[:, None] - levels[None, :])
    by_level = np.argsort(levels)
    least = by_level[(expected[:, by_level] <= expected.min(1, keepdims=True) + 1e-9).argmax(1)]
    median = error[np.arange(len(error)), least]
    return float(mode.mean()), float(median.mean())


def vote_shares(answers: Answers) -> pd.DataFrame:
    """Return the share of the answers to each task that name each class, shape (N, K)."""
    counts = np.zeros((answers.n_tasks, answers.n_classes))
    np.add.at(counts, (answers.task, answers.hard_label), 1.0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return pd.DataFrame(shares, index=answers.tasks, columns=answers.classes)


def run(answers: Answers, gold: pd.Series) -> dict[str, tuple[float, float]]:
    """Return the errors of each method, as :func:`absolute_errors` does."""
    posteriors = {
        "votes": vote_shares(answers),
        "unordered": DEEMAggregator().fit_predict_proba(answers),
        "ordered": DEEMAggregator(ordered=True).fit_predict_proba(answers),
    }
    return {name: absolute_errors(probas, gold) for name, probas in posteriors.items()}


def main(data: list[str], seeds: Annotated[int, typer.Option(min=1)] = 1) -> None:
    """Print the mean absolute error of each method on each set, means over seeds."""
    rows = []
    for source in sources(list(data)):
        for seed in range(seeds if source.drawn else 1):
            label_set = source.load(seed)
            try:
                numbers = label_set.answers.assign(label=pd.to_numeric(label_set.answers["label"]))
                gold = pd.to_numeric(label_set.gold)
            except ValueError:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # of repeated answers
                answers = Answers.from_frame(numbers, duplicates="last")
                if answers.n_classes < 3:
                    continue
                errors = run(answers, gold)
            for name, (mode, median) in errors.items():
                rows.append(
                    {"set": source.name, "method": name, "likeliest": mode, "median": median}
                )
    if not rows:
        typer.echo("error: no set has three classes or more that are numbers.", err=True)
        raise typer.Exit(1)
    mean = pd.DataFrame(rows).groupby(["set", "method"], sort=False).mean()
    table = Table(box=None)
    table.add_column("set", no_wrap=True)
    columns = [(column, name) for column in ("likeliest", "median") for name in METHODS]
    for column, name in columns:
        table.add_column(f"{name}, {column}", justify="right")
    for one in mean.index.get_level_values("set").unique():
        values = [float(mean.loc[(one, name)][column]) for column, name in columns]
        best = min(values)
        table.add_row(one, *(f"{v:.3f}{' *' if v < best + 5e-4 else ''}" for v in values))
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)

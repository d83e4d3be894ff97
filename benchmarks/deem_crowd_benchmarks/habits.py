"""Workers who name one class all the time: labels with and without a model of habits, on drawn crowds.

    python -m deem_crowd_benchmarks.habits [--seeds 4]

Each row is a number of classes and a share of such workers, each with a class of its own; the others are right as often
as Beta(6, 2) says, and err evenly. Draws have 200 tasks and 20 workers, or 600 and 30, and two, three or five answers a
task. *least* is the smallest difference from the votes among the draws, in points. MACE is crowd-kit's. The model is
:mod:`deem_crowd.selection.habits`.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
import typer
from crowdkit.aggregation import MACE
from rich.console import Console
from rich.table import Table

from deem_crowd.data.answers import Answers
from deem_crowd.selection.parts import Parts
from deem_crowd_benchmarks.ablations import probabilities
from deem_crowd_benchmarks.ordered import vote_shares
from deem_crowd_benchmarks.running.measures import accuracy, log_loss

CLASSES, LAZY, OF_TASK = (2, 3, 6), (0.0, 0.15, 0.25, 0.4), (2, 3, 5)
SIZES = ((200, 20), (600, 30))
"""Tasks and workers."""
RESTARTS = 5
"""Of MACE, which starts at random."""
VARIANTS = {"without": Parts(habits=False), "with": Parts()}


def draw(
    n_classes: int, lazy: float, of_task: int, size: tuple[int, int], seed: int
) -> tuple[pd.DataFrame, pd.Series]:
    """Return answers (task, worker, label), and the truth (index task)."""
    rng = np.random.default_rng(seed)
    n_tasks, n_workers = size
    truth = rng.integers(n_classes, size=n_tasks)
    habit, skill = rng.integers(n_classes, size=n_workers), rng.beta(6, 2, n_workers)
    worker = np.concatenate([rng.choice(n_workers, of_task, replace=False) for _ in truth])
    task = np.repeat(np.arange(n_tasks), of_task)
    wrong = (truth[task] + rng.integers(1, n_classes, size=len(task))) % n_classes
    label = np.where(rng.random(len(task)) < skill[worker], truth[task], wrong)
    label = np.where(worker < round(lazy * n_workers), habit[worker], label)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    return frame, pd.Series(truth)


def main(seeds: Annotated[int, typer.Option(min=1)] = 4) -> None:
    """Print accuracy and log-loss, means over draws."""
    rows = []
    for n_classes in CLASSES:
        for lazy in LAZY:
            for of_task in OF_TASK:
                for size in SIZES:
                    for seed in range(seeds):
                        frame, truth = draw(n_classes, lazy, of_task, size, seed)
                        law = {"K": str(n_classes), "lazy": f"{100 * lazy:.0f} %"}
                        rows.append({**law, **_measured(frame, truth, seed)})
    found = pd.DataFrame(rows)
    shown = ["votes", "MACE", *VARIANTS]
    table = Table(box=None)
    for column in ("K", "lazy", *shown):
        table.add_column(column, justify="right", no_wrap=True)
    for variant in VARIANTS:
        table.add_column(f"{variant}, least", justify="right")
        table.add_column(f"{variant}, log-loss", justify="right")
    by_law = found.groupby(["K", "lazy"], sort=False)
    groups = [(f"{k}|{lazy}", part) for (k, lazy), part in by_law]
    for key, part in [*groups, ("all|", found)]:
        values = [f"{100 * part[column].mean():.1f}" for column in shown]
        for variant in VARIANTS:
            values.append(f"{100 * (part[variant] - part['votes']).min():+.1f}")
            values.append(f"{part[f'{variant}, log-loss'].mean():.3f}")
        table.add_row(*key.split("|"), *values)
    Console(width=150).print(table)


def _measured(frame: pd.DataFrame, truth: pd.Series, seed: int) -> dict[str, float]:
    """Return the accuracy of each method, and the log-loss of ours."""
    read = Answers.from_frame(frame)
    labels = MACE(n_restarts=RESTARTS, n_iter=30, random_state=seed).fit_predict(frame)
    measured = {
        "votes": accuracy(vote_shares(read), truth),
        "MACE": float((labels.reindex(truth.index) == truth).mean()),
    }
    for variant, parts in VARIANTS.items():
        found = probabilities(read, parts)
        measured[variant] = accuracy(found, truth)
        measured[f"{variant}, log-loss"] = log_loss(found, truth)
    return measured


if __name__ == "__main__":
    typer.run(main)

"""Crowds of known law, and how aggregators do on them.

python -m deem_crowd_benchmarks.generated [--seeds 3]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd_benchmarks import comparison

Skills = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]


class Law(NamedTuple):
    """The law of a crowd: independent answers given the label, each right with the worker's skill."""

    n_tasks: int
    n_workers: int
    n_classes: int
    answers_per_task: int
    skills: Skills
    prior: tuple[float, ...] | None = None


def beta(a: float, b: float) -> Skills:
    """Skills drawn from Beta(a, b)."""
    return lambda rng, n: rng.beta(a, b, n)


def mixture(share: float, one: float, other: float) -> Skills:
    """Skill ``one`` for about ``share`` of the workers, ``other`` for the rest."""
    return lambda rng, n: np.where(rng.random(n) < share, one, other)


LAWS = {
    "class imbalance 94:4:2": Law(2000, 30, 3, 5, beta(4, 2), (0.94, 0.04, 0.02)),
    "two answers a task": Law(2000, 60, 4, 2, beta(4, 2)),
    "ten classes": Law(3000, 60, 10, 4, beta(3, 2)),
    "half spammers": Law(1000, 30, 2, 6, mixture(0.5, 0.5, 0.85)),
    "35 % adversaries": Law(1000, 30, 2, 6, mixture(0.35, 0.15, 0.85)),
    "few tasks": Law(100, 8, 2, 4, beta(4, 2)),
    "2,000 workers": Law(1500, 2000, 4, 5, beta(4, 2)),
}


def crowd(law: Law, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Draw a crowd.

    Every task is given to workers drawn uniformly (a worker drawn twice answers once); a wrong answer is uniform over
    the other classes.

    Returns
    -------
    answers : DataFrame
        Long format, one row per (task, worker).
    truth : Series, shape (N,)
        Index task.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(law.n_classes, law.n_tasks, p=law.prior)
    task = np.repeat(np.arange(law.n_tasks), law.answers_per_task)
    worker = rng.integers(0, law.n_workers, len(task))
    right = rng.random(len(task)) < law.skills(rng, law.n_workers)[worker]
    wrong = (truth[task] + rng.integers(1, law.n_classes, len(task))) % law.n_classes
    label = np.where(right, truth[task], wrong)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    answers = frame.drop_duplicates(["task", "worker"]).reset_index(drop=True)
    return answers, pd.Series(truth, index=pd.RangeIndex(law.n_tasks, name="task"))


def main(
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    methods: Annotated[str, typer.Option(help="names in the registry")] = "deem,ds,mv",
) -> None:
    """Print the mean accuracy of each method over the seeds."""
    names = methods.split(",")
    table = Table("law", *names, box=None)
    for title, law in LAWS.items():
        runs = []
        for seed in range(seeds):
            answers, truth = crowd(law, seed)
            runs.append([r.accuracy for r in comparison.compare(answers, names, truth)])
        means = np.array(runs, dtype=float).mean(axis=0)
        table.add_row(title, *(f"{m:.3f}" for m in means))
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)

"""Few answers a worker: labels of two classes with and without averaged skills, on drawn crowds.

    python -m deem_crowd_benchmarks.few_answers [--seeds 4] [--answers 4000]

Each row is a law with two, three or five answers a task and a number of answers a worker. *least* is the smallest
difference from the votes among the draws, in points. The averaged skills are
:mod:`deem_crowd.selection.averaged_skills`.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd.data.answers import Answers
from deem_crowd.selection.parts import Parts
from deem_crowd_benchmarks.ablations import probabilities
from deem_crowd_benchmarks.ordered import vote_shares
from deem_crowd_benchmarks.running.measures import accuracy, log_loss

OF_TASK, OF_WORKER = (2, 3, 5), (3, 5, 10, 20, 50)
VARIANTS = {"tables": Parts(averaged=False), "averaged": Parts()}

Law = tuple[float, tuple[float, float], tuple[float, float], bool]
LAWS: dict[str, Law] = {
    "one skill": (0.5, (4, 2), (4, 2), False),
    "one skill, a class of 20 %": (0.2, (4, 2), (4, 2), False),
    "a skill for each class": (0.5, (4, 2), (4, 2), True),
    "a skill for each class, one of 20 %": (0.2, (4, 2), (4, 2), True),
    "one class is known better": (0.5, (8, 1), (4, 2), True),
    "the frequent class is known better": (0.2, (8, 1), (4, 2), True),
}
"""The share of class 1, the Beta distributions of the skills at classes 0 and 1, and whether they are drawn apart."""


def draw(
    law: Law, n_answers: int, of_task: int, of_worker: int, seed: int
) -> tuple[pd.DataFrame, pd.Series]:
    """Return answers (task, worker, label) of a law, and the truth (index task)."""
    share, zero, one, apart = law
    rng = np.random.default_rng(seed)
    n_tasks = n_answers // of_task
    n = n_tasks * of_task
    n_workers = max(n // of_worker, of_task)
    truth = (rng.random(n_tasks) < share).astype(int)
    skills: list[npt.NDArray[np.float64]] = [rng.beta(*zero, n_workers), rng.beta(*one, n_workers)]
    skill = np.stack(skills if apart else [skills[0], skills[0]], 1)
    task = np.repeat(np.arange(n_tasks), of_task)
    worker = rng.permutation(np.arange(n) % n_workers)
    right = rng.random(n) < skill[worker, truth[task]]
    label = np.where(right, truth[task], 1 - truth[task])
    answers = pd.DataFrame({"task": task, "worker": worker, "label": label})
    return answers.drop_duplicates(["task", "worker"]), pd.Series(truth)


def main(
    seeds: Annotated[int, typer.Option(min=1)] = 4,
    answers: Annotated[int, typer.Option(min=100)] = 4000,
) -> None:
    """Print accuracy and log-loss of each law, means over draws, with tables alone and with averaged skills."""
    rows = []
    for name, law in LAWS.items():
        for of_task in OF_TASK:
            for of_worker in OF_WORKER:
                for seed in range(seeds):
                    frame, truth = draw(law, answers, of_task, of_worker, seed)
                    read = Answers.from_frame(frame)
                    votes = accuracy(vote_shares(read), truth)
                    row: dict[str, object] = {"law": name, "of_task": of_task, "votes": votes}
                    for variant, parts in VARIANTS.items():
                        found = probabilities(read, parts)
                        row[variant] = accuracy(found, truth)
                        row[f"{variant}, log-loss"] = log_loss(found, truth)
                        row[f"{variant}, least"] = accuracy(found, truth) - votes
                    rows.append(row)
    frame = pd.DataFrame(rows)
    least = [f"{variant}, least" for variant in VARIANTS]
    table = Table(box=None)
    for column in ("law", "answers a task", "votes", *VARIANTS):
        table.add_column(column, justify="left" if column == "law" else "right", no_wrap=True)
    for variant in VARIANTS:
        table.add_column(f"{variant}, least", justify="right")
        table.add_column(f"{variant}, log-loss", justify="right")
    groups = [
        (f"{name}|{n}", part) for (name, n), part in frame.groupby(["law", "of_task"], sort=False)
    ]
    for key, part in [*groups, ("all|", frame)]:
        mean, worst = part.drop(columns="law").mean(), part[least].min()
        values = [f"{100 * mean[c]:.1f}" for c in ("votes", *VARIANTS)]
        for variant in VARIANTS:
            values += [
                f"{100 * worst[f'{variant}, least']:+.1f}",
                f"{mean[f'{variant}, log-loss']:.3f}",
            ]
        table.add_row(*key.split("|"), *values)
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)

"""CPU time of fits side by side, which other work on the machine disturbs less than seconds by the clock.

    OMP_NUM_THREADS=1 python -m deem_crowd_benchmarks.cpu_time [--answers 1e6] [--classes 2,4,10] [--seeds 3]

For each number of classes a generated crowd, five answers a task and 500 a worker; from the DataFrame to the labels by
``pandas.factorize`` on the three columns (the floor of whatever starts from a frame), the plain model, the default one
and crowd-kit's DawidSkene with at most its 100 iterations, one after the other; medians over the seeds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEMAggregator
from deem_crowd_benchmarks.sets.laws import crowd_of


def cpu_seconds(action: Callable[..., object], *arguments: object) -> float:
    """Return what a call takes of this process's CPU time, in seconds."""
    began = time.process_time()
    action(*arguments)
    return time.process_time() - began


def measure(n_answers: int, n_classes: int, seed: int) -> list[float]:
    """Return CPU seconds of factorize, of the plain and the default model and of DawidSkene on one crowd."""
    from crowdkit.aggregation import DawidSkene

    frame = crowd_of(n_answers, seed, n_classes).answers
    few = frame.iloc[:5000]
    times = [cpu_seconds(lambda: [pd.factorize(frame[name]) for name in frame])]
    for automatic in (False, True):
        model = DEEMAggregator(auto_hyperparameters=automatic)
        model.fit(few)  # what a first call loads is not counted
        times.append(cpu_seconds(model.fit_predict, frame))
    return [*times, cpu_seconds(DawidSkene(n_iter=100).fit_predict, frame)]


def main(
    answers: Annotated[float, typer.Option(help="Answers of a crowd.")] = 1e6,
    classes: Annotated[str, typer.Option(help="Numbers of classes, with commas.")] = "2,4,10",
    seeds: Annotated[int, typer.Option(help="Crowds for each number of classes.")] = 3,
) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names = ("factorize s", "plain s", "default s", "DawidSkene s")
    ratios = ("plain, times as fast", "default, times as fast", "plain × factorize", "default ×")
    table = Table("K", *names, *ratios, box=None)
    for k in (int(number) for number in classes.split(",")):
        runs = [measure(int(answers), k, seed) for seed in range(seeds)]
        floor, plain, default, ds = np.median(runs, axis=0)
        shown = (ds / plain, ds / default, plain / floor, default / floor)
        table.add_row(
            str(k),
            *(f"{value:.3f}" for value in (floor, plain, default, ds)),
            *(f"{value:.1f}" for value in shown),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    typer.run(main)

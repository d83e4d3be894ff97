"""Which optimiser for the exact model: passes, seconds and objective of EM with extrapolation and of L-BFGS.

    python -m deem_crowd_benchmarks.optimisers [FOLDER]

Both start from the same point with the same fixed pseudo-answers and stop by the same rule, on generated crowds and on
the label sets of FOLDER, if one is given. ``ds`` is EM as Dawid and Skene wrote it, without extrapolation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.votes import diagonal, start
from deem_crowd.training import likelihood as training
from deem_crowd.training import one_unit
from deem_crowd_benchmarks.sets.label_sets import sources
from deem_crowd_benchmarks.sets.laws import crowd_of


def measure(answers: Answers, tol: float = 1e-7) -> dict[str, tuple[int, float, float]]:
    """Return {optimiser: (passes, best seconds of three, penalised log-likelihood per answer)}."""
    passes = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    skill, own = start(answers, passes, 1, "mv", True, torch.Generator())
    weight = skill[:, None, None] * diagonal(passes.n_classes, 1) + own
    begin = Energy(torch.zeros(passes.n_classes, dtype=torch.float64), weight, weight.mean(0))
    plans: tuple[tuple[str, training.Optimizer, float], ...] = (
        ("em", "em", 64.0),
        ("ds", "em", 1.0),
        ("lbfgs", "lbfgs", 64.0),
    )
    by_name = {}
    for name, optimizer, longest in plans:
        settings = training.Settings(
            penalty=1.0, optimizer=optimizer, tol=tol, n_iter=2000, longest_step=longest
        )
        seconds = float("inf")
        for _ in range(3):
            began = time.perf_counter()
            fit = one_unit.train(passes, begin, settings)
            seconds = min(seconds, time.perf_counter() - began)
        by_name[name] = (
            fit.n_passes,
            seconds,
            fit.objective[-1] * passes.n_tasks / passes.n_answers,
        )
    return by_name


def _all(folder: Path | None) -> Iterator[tuple[str, Answers]]:
    for n_answers in (10**4, 10**5, 10**6):
        yield f"generated {n_answers:,}", Answers.from_frame(crowd_of(n_answers, 0).answers)
    for source in sources(folder) if folder is not None else ():
        frame = source.load(0).answers.drop_duplicates(["task", "worker"], keep="last")
        yield source.name, Answers.from_frame(frame)


def main(folder: Annotated[Path | None, typer.Argument()] = None) -> None:
    """Print the table."""
    table = Table("set", box=None)
    for name in ("em", "ds", "lbfgs"):
        for what in ("passes", "s", "nats/answer"):
            table.add_column(f"{name} {what}", justify="right")
    for name, answers in _all(folder):
        cells = []
        for passes, seconds, objective in measure(answers).values():
            cells += [str(passes), f"{seconds:.3f}", f"{objective:.6f}"]
        table.add_row(name, *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    typer.run(main)

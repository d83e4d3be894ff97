"""The PyPI package ``deem`` beside ours, on one label set with a dense matrix of answers, one thread each.

    pip install --no-deps deem==0.2.0
    OMP_NUM_THREADS=1 python -m deem_crowd_benchmarks.against_deem FOLDER --seeds 3

FOLDER has labels.csv(.gz) and truth.csv(.gz). Both packages get the same matrix; accuracy is that of their labels.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEM, Answers
from deem_crowd_benchmarks.sets.label_sets import read_folder


def main(
    folder: Path, seeds: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 1
) -> None:
    """Print seconds and accuracy of each run."""
    try:
        from deem import DEEM as Published
    except ImportError as error:
        raise typer.BadParameter(
            "the package deem is not installed: pip install --no-deps deem==0.2.0"
        ) from error
    torch.set_num_threads(1)
    source = read_folder(folder)
    answers = Answers.from_frame(source.answers)
    matrix = answers.dense().numpy()
    gold = answers.classes.get_indexer(pd.Index(source.gold.reindex(answers.tasks)))
    DEEM(progress=False).fit(matrix[:50])  # what is loaded on first use is no part of a fit
    ways: dict[str, Any] = {
        "ours, default": lambda seed: DEEM(random_state=seed, progress=False).fit(matrix),
        "ours, plain": lambda seed: DEEM(
            random_state=seed, auto_hyperparameters=False, progress=False
        ).fit(matrix),
        "deem": lambda seed: Published(random_state=seed, device="cpu").fit(matrix, verbose=False),
    }
    table = Table("method", "seed", "seconds", "accuracy", box=None)
    console = Console(width=100)
    for name, fit in ways.items():
        for seed in range(seeds):
            began = time.perf_counter()
            labels = np.asarray(fit(seed).predict(matrix))
            took = time.perf_counter() - began
            right = (labels == gold)[gold >= 0].mean()
            table.add_row(name, str(seed), f"{took:.3f}", f"{right:.4%}")
    console.print(f"{source.name}: {matrix.shape[0]:,} tasks, {matrix.shape[1]} sources")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

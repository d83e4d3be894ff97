"""What a new process takes to import a package and to fit 1,000 answers, in CPU time.

    OMP_NUM_THREADS=1 python -m deem_crowd_benchmarks.first_fit [--repeats 5]

deem-crowd's plain and default models and crowd-kit's DawidSkene in turn, each in processes of its own; numpy and pandas
are included.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

_PREPARED = """
import time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
rng = np.random.default_rng(0)
truth = rng.integers(3, size=200).repeat(5)
label = np.where(rng.random(1000) < 0.75, truth, rng.integers(3, size=1000))
worker = np.concatenate([rng.choice(20, 5, replace=False) for _ in range(200)])
frame = pd.DataFrame({"task": np.arange(200).repeat(5), "worker": worker, "label": label})
"""
_FITS = {
    "plain": "from deem_crowd import DEEMAggregator\n"
    "DEEMAggregator(auto_hyperparameters=False).fit_predict(frame)\n",
    "default": "from deem_crowd import DEEMAggregator\nDEEMAggregator().fit_predict(frame)\n",
    "DawidSkene": "from crowdkit.aggregation import DawidSkene\n"
    "DawidSkene(n_iter=100).fit_predict(frame)\n",
}


def measure(name: str) -> float:
    """Return the CPU seconds of a new process from its start to the labels."""
    code = _PREPARED + _FITS[name] + "print(time.process_time())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(repeats: Annotated[int, typer.Option(help="Processes of each.")] = 5) -> None:
    """Print the table."""
    for name in _FITS:
        measure(name)  # files are in memory from here on
    runs = [{name: measure(name) for name in _FITS} for _ in range(repeats)]
    table = Table("import and first fit of 1,000 answers", "CPU s", "from", "to", box=None)
    for name in _FITS:
        seconds = sorted(run[name] for run in runs)
        table.add_row(
            name, f"{statistics.median(seconds):.2f}", f"{seconds[0]:.2f}", f"{seconds[-1]:.2f}"
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)

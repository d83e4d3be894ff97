"""Seconds by the clock of fits with all threads and with those chosen, beside processes that keep cores busy.

    python -m deem_crowd_benchmarks.busy [--processes 0,2] [--answers 1e6] [--repeats 5]

A generated crowd, K = 4, five answers a task and 500 a worker. ``all`` are as many threads as torch has been told,
``chosen`` what :mod:`deem_crowd.runtime.threads` makes of them, ``one`` a single one; the load average is that before
the fits, the busy processes not included.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Annotated
from unittest import mock

import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd import DEEMAggregator
from deem_crowd.runtime import threads
from deem_crowd_benchmarks.sets.laws import crowd_of

_MOST = torch.get_num_threads()


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many cores busy."""
    spinning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


@contextlib.contextmanager
def setting(name: str) -> Iterator[None]:
    """Let fits use as many threads as torch has been told, those that are chosen, or one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if name == "one" else _MOST)
    try:
        with contextlib.ExitStack() as stack:
            if name == "all":
                all_of_them = mock.patch.object(threads, "suited", lambda work, most, *rest: most)
                stack.enter_context(all_of_them)
            yield
    finally:
        torch.set_num_threads(before)


def measure(frame: pd.DataFrame, automatic: bool, repeats: int) -> float:
    """Return the median seconds of a fit."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        DEEMAggregator(auto_hyperparameters=automatic).fit(frame)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def main(
    processes: Annotated[str, typer.Option(help="Busy processes, with commas.")] = "0,2",
    answers: Annotated[float, typer.Option(help="Answers of the crowd.")] = 1e6,
    repeats: Annotated[int, typer.Option(help="Fits of each kind.")] = 5,
) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    frame = crowd_of(int(answers), 0, 4).answers
    for automatic in (False, True):
        DEEMAggregator(auto_hyperparameters=automatic).fit(frame.iloc[:5000])
    table = Table("busy processes", "load", "threads", "plain s", "default s", box=None)
    for number in (int(each) for each in processes.split(",")):
        load = os.getloadavg()[0]
        with busy(number):
            for name in ("all", "chosen", "one"):
                with setting(name):
                    plain, default = (measure(frame, each, repeats) for each in (False, True))
                shown = name if name != "all" else f"all {_MOST}"
                table.add_row(str(number), f"{load:.1f}", shown, f"{plain:.2f}", f"{default:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)

"""Seconds and memory against the number of answers; every run in a process of its own.

    python -m deem_crowd_benchmarks.scale

Seconds are from DataFrame to labels after one tiny fit, memory is what the peak of the process rises above the
frame. Memory is read from /proc, so this runs on Linux.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd_benchmarks.generated import Law, beta, crowd

CLEAR_PEAK = Path("/proc/self/clear_refs")  # Linux: writing 5 sets the peak to what is used now
SIZES = {"10,000": 10**4, "100,000": 10**5, "1,000,000": 10**6}
MANY_WORKERS = "37,000 workers, 1,900 tasks, 215,000 answers"


def frame_of(size: str) -> pd.DataFrame:
    """Return the answers of a crowd: 5 answers a task, 500 a worker, skills Beta(4, 2), K = 4; or very many workers."""
    if size == MANY_WORKERS:
        rng = np.random.default_rng(0)
        n = 215_000
        rest = (37_000 * rng.random(n - 37_000) ** 3).astype(int)
        worker = np.concatenate([np.arange(37_000), rest])
        task = rng.integers(0, 1_900, n)
        frame = pd.DataFrame({"task": task, "worker": worker, "label": rng.integers(0, 4, n)})
        return frame.drop_duplicates(["task", "worker"])
    n = SIZES[size]
    return crowd(Law(n // 5, max(n // 500, 6), 4, 5, beta(4, 2)), 0)[0]


def run(size: str, method: str) -> dict[str, float]:
    """Fit ``method`` in this process; return seconds and bytes above the frame."""
    from deem_crowd import registry

    tiny = pd.DataFrame({"task": [0, 0, 1], "worker": [0, 1, 0], "label": [0, 1, 1]})
    registry.create(method).fit_predict(tiny)
    frame = frame_of(size)
    CLEAR_PEAK.write_text("5")
    before = _status("VmRSS")
    began = time.perf_counter()
    registry.create(method).fit_predict(frame)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "bytes": float(_status("VmHWM") - before)}


def _status(key: str) -> int:
    """Return a memory figure of this process in bytes, as Linux gives it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def main(
    methods: Annotated[str, typer.Option(help="names in the registry")] = "deem,ds,mv",
    only: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Print a table; ``--only 'SIZE|METHOD'`` is how the runs are started."""
    if only:
        typer.echo(json.dumps(run(*only.split("|"))))
        return
    names = methods.split(",")
    table = Table("answers", box=None)
    for name in names:
        table.add_column(f"{name} s", justify="right")
        table.add_column(f"{name} MB", justify="right")
    for size in (*SIZES, MANY_WORKERS):
        cells = []
        for name in names:
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                __spec__.name,
                "--only",
                f"{size}|{name}",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                cells += ["failed", "–"]
                continue
            found = json.loads(done.stdout)
            cells += [f"{found['seconds']:.3f}", f"{found['bytes'] / 1e6:.0f}"]
        table.add_row(size, *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    typer.run(main)

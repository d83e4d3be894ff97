"""Answers that never stand in memory as rows: generated to disk in parts, aggregated by the shell.

    python -m deem_crowd_benchmarks.out_of_core FOLDER [--answers 1e8] [--strings] [--processes 1]

FOLDER gets the parts, which are kept for the next call, and the labels. With several processes it is
``deem_crowd.distributed`` that runs. Prints seconds, those of processors, which other work on the machine disturbs
less, and the peak of resident memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import psutil
import typer

PART = 10**6
PER_TASK, PER_WORKER, N_CLASSES = 5, 500, 4


def generate(folder: Path, n_answers: int, strings: bool) -> None:
    """Write parts of a million answers: 5 a task, 500 a worker, K = 4, skills Beta(4, 2)."""
    folder.mkdir(parents=True, exist_ok=True)
    n_workers = max(n_answers // PER_WORKER, 6)
    skills = np.random.default_rng(0).beta(4, 2, n_workers)
    for number in range(-(-n_answers // PART)):
        path = folder / f"part-{number:05}.parquet"
        if path.exists():
            continue
        rng = np.random.default_rng([1, number])
        size = min(PART, n_answers - number * PART)
        task = number * (PART // PER_TASK) + np.arange(size) // PER_TASK
        truth = (task * 2654435761 >> 7) % N_CLASSES
        worker = rng.integers(0, n_workers, size)
        wrong = (truth + rng.integers(1, N_CLASSES, size)) % N_CLASSES
        label = np.where(rng.random(size) < skills[worker], truth, wrong)
        frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
        frame = frame.drop_duplicates(["task", "worker"])
        if strings:
            frame = pd.DataFrame({name: f"{name}-" + frame[name].astype(str) for name in frame})
        unfinished = path.with_suffix(".unfinished")
        frame.to_parquet(unfinished, index=False)
        unfinished.rename(path)


def watched(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return seconds, seconds of processors, and the peak of its processes' resident memory in bytes."""
    began, before, peak = time.perf_counter(), os.times(), 0.0
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    handle = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        try:
            for one in [handle, *handle.children(recursive=True)]:
                total += one.memory_info().rss
        except psutil.Error:
            pass
        peak = max(peak, total)
        time.sleep(0.1)
    if process.returncode:
        assert process.stderr is not None
        typer.echo(process.stderr.read(), err=True)
        raise typer.Exit(1)
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return time.perf_counter() - began, used, peak


def main(
    folder: Path,
    answers: Annotated[float, typer.Option(help="How many.")] = 1e8,
    strings: Annotated[bool, typer.Option("--strings", help="Ids and labels as text.")] = False,
    processes: Annotated[int, typer.Option(min=1)] = 1,
    device: Annotated[str, typer.Option(help="Of the passes of one process.")] = "auto",
) -> None:
    """Generate, aggregate, say what it took."""
    kind = "text" if strings else "integers"
    parts = folder / f"{int(answers)}-{kind}"
    generate(parts, int(answers), strings)
    out = folder / f"labels-{int(answers)}-{kind}-{processes}"
    pattern = str(parts / "part-*.parquet")
    if processes == 1:
        command = [
            sys.executable,
            "-m",
            "deem_crowd.cli",
            "aggregate",
            pattern,
            "-o",
            f"{out}.parquet",
        ]
        command += ["--set", "auto_hyperparameters=false", "--set", f"device={device}"]
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [
            f"--nproc-per-node={processes}",
            "-m",
            "deem_crowd.distributed",
            "--plain",
            pattern,
            "--output",
            str(out),
        ]
    seconds, used, peak = watched(command)
    labels = out if processes > 1 else out.with_suffix(".parquet")
    table = pd.concat(
        map(pd.read_parquet, sorted(labels.glob("labels-*")) if processes > 1 else [labels])
    )
    task = table["task"].astype(str).str.removeprefix("task-").astype(np.int64).to_numpy()
    label = table["label"].astype(str).str.removeprefix("label-").astype(np.int64).to_numpy()
    right = float((label == (task * 2654435761 >> 7) % N_CLASSES).mean())
    typer.echo(
        f"{int(answers):,} answers, ids as {kind}, {processes} process{'es' * (processes > 1)}: {seconds:.1f} s, "
        f"{used:.1f} s of processors, "
        f"{peak / 1e9:.2f} GB at most, {100 * right:.2f} % right"
    )


if __name__ == "__main__":
    typer.run(main)

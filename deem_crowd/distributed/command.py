"""Aggregate parquet parts with several processes, on one machine or many, without an engine.

    torchrun --nproc-per-node=2 -m deem_crowd.distributed 'answers-*.parquet' --output labels

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say which processes there are: torchrun sets them, or whatever starts
processes on several machines. One that dies ends the others within seconds; for one that never comes they wait as long
as ``--join`` says.

The output is a folder with ``labels-00000.parquet`` … (task, label, confidence, a probability a class), one file a
process, ``workers.parquet`` and ``model.safetensors``. It appears when all is written, or not at all.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch.distributed as dist
import typer
from torch._C._distributed_c10d import PrefixStore, TCPStore

from deem_crowd.data.answers import Duplicates, Missing
from deem_crowd.distributed import collectives, meeting, reading, shared
from deem_crowd.estimators.settings import declaration
from deem_crowd.exceptions import DeemCrowdError, ParameterError, ProcessLostError
from deem_crowd.training import likelihood


def run(
    paths: list[str],
    output: str,
    settings: dict[str, Any],
    missing: Missing,
    duplicates: Duplicates,
    names: Mapping[str, str] | None = None,
    gold: str | None = None,
) -> None:
    """Read, fit and write, as one of the processes of the default group.

    Parameters
    ----------
    paths : list of str
        Parquet files, folders, patterns, URIs.
    output : str
        Folder to make.
    settings : dict
        All parameters of DEEMAggregator.
    missing, duplicates
        As in :meth:`Answers.from_parquet`.
    names : mapping, optional
        What the columns ``task``, ``worker`` and ``label`` are called.
    gold : str, optional
        Parquet of known labels, with the columns of tasks and labels.

    Raises
    ------
    DeemCrowdError, OSError
        In every process, whichever of them it happened in.
    """
    rank = dist.get_rank()
    target = Path(output)
    unfinished = target.with_name(f".{target.name}.unfinished")
    error: Exception | None = None
    if target.exists():
        error = FileExistsError(f"{target} is there already: remove it, or name another folder")
    collectives.agree(error)
    answers = reading.read(paths, names, missing, duplicates)
    known = None if gold is None else collectives.told(lambda: reading.read_gold(gold, names))
    found = shared.fit_answers(answers, known, settings, partitioned=True)
    try:
        if rank == 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        collectives.barrier()
        found.labels.to_parquet(unfinished / f"labels-{rank:05}.parquet", index=False)
        if rank == 0:
            found.workers.reset_index().to_parquet(unfinished / "workers.parquet", index=False)
            found.model.save(unfinished / "model.safetensors")
    except OSError as failure:
        error = failure
    try:
        collectives.agree(error)
    except OSError:
        if rank == 0:
            shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if rank == 0:
        os.replace(unfinished, target)
    collectives.barrier()


def _join(backend: str, seconds: float, patience: float) -> None:
    """Make the default group.

    Raises
    ------
    ProcessLostError
        If one of the processes does not join in time, or joins and then dies.
    """
    host, port, rank, size = _place()
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun's own
    try:
        store = TCPStore(
            host, port, size, rank == 0 and not agent, datetime.timedelta(seconds=seconds),
            wait_for_workers=False, multi_tenant=True,
        )  # fmt: skip
        ours = PrefixStore("deem-crowd", store)
        meeting.meet(ours, rank, size, seconds)
        meeting.connect(backend, ours, rank, size, datetime.timedelta(seconds=patience))
    except (RuntimeError, dist.DistError) as error:
        said = str(error).strip().splitlines()[0][:300]
        raise ProcessLostError(
            f"process {rank} of {size} cannot reach the others by way of {host}:{port} within {seconds:g} s: {said}. "
            "Start process 0 there, or wait longer (--join)."
        ) from error


def _place() -> tuple[str, int, int, int]:
    """Return where processes meet, which one this is, and how many there are, as torchrun and others say it."""
    names = ("MASTER_PORT", "RANK", "WORLD_SIZE")
    for name in ("MASTER_ADDR", *names):
        if name not in os.environ:
            raise typer.BadParameter(
                f"{name} is not set: start this with torchrun --nproc-per-node=2 -m deem_crowd.distributed …"
            )
    for name in names:
        if not os.environ[name].isdecimal():
            raise typer.BadParameter(f"{name}={os.environ[name]!r} is not a whole number")
    port, rank, size = (int(os.environ[name]) for name in names)
    if rank >= size:
        raise typer.BadParameter(
            f"RANK={rank} is out of range for WORLD_SIZE={size}: ranks count from 0"
        )
    return os.environ["MASTER_ADDR"], port, rank, size


def main(
    answers: Annotated[
        list[str], typer.Argument(help="Parquet files, folders of such, or patterns.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder to make.")],
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="One table a worker, instead of the model that is chosen from the answers.",
        ),
    ] = False,
    subtypes: Annotated[
        int, typer.Option(min=1, help="Hidden states per class, with --plain.")
    ] = 1,
    n_iter: Annotated[int, typer.Option(min=0, help="Most passes.")] = likelihood.Settings.n_iter,
    tol: Annotated[float, typer.Option(min=0, help="With --plain.")] = likelihood.Settings.tol,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    missing: Annotated[str, typer.Option(help="error or drop.")] = "error",
    duplicates: Annotated[str, typer.Option(help="last, first or error.")] = "last",
    join: Annotated[
        float, typer.Option(min=0, help="Seconds in which all processes have to be there.")
    ] = 60.0,
    timeout: Annotated[
        float,
        typer.Option(min=1, help="Seconds that processes wait for one another in an exchange."),
    ] = meeting.SLOWEST.total_seconds(),
    task: Annotated[str, typer.Option(help="Column of tasks.")] = "task",
    worker: Annotated[str, typer.Option(help="Column of workers.")] = "worker",
    label: Annotated[str, typer.Option(help="Column of labels.")] = "label",
    gold: Annotated[
        str | None,
        typer.Option(help="Parquet of known labels, in columns of the same names; they are fixed."),
    ] = None,
) -> None:
    """Turn the answers in parquet parts into labels, with the processes that torchrun starts."""
    from deem_crowd import DEEMAggregator

    try:
        shared.check_timeout(timeout)
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error
    if not Path(output).name or Path(output).name == "..":
        raise typer.BadParameter(
            f"{output!r} is not a folder that can be created", param_hint="--output"
        )
    given: dict[str, Any] = {"n_iter": n_iter, "device": device}
    for name, value, unset in (
        ("--subtypes", subtypes, 1),
        ("--tol", tol, likelihood.Settings.tol),
    ):
        if value != unset and not plain:
            raise typer.BadParameter(f"{value} takes effect only with --plain", param_hint=name)
    if plain:
        given |= {"subtypes": subtypes, "tol": tol, "auto_hyperparameters": False}
    if device == "cuda":
        given["device"] = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    settings = DEEMAggregator(progress=False, **given).get_params()
    status = 0
    try:
        _join("nccl" if device.startswith("cuda") else "gloo", join, timeout)
        declaration.check(settings | {"missing": missing, "duplicates": duplicates}, DEEMAggregator)
        names = {"task": task, "worker": worker, "label": label}
        run(answers, output, settings, missing, duplicates, names, gold)  # type: ignore[arg-type]
    except ProcessLostError as error:
        typer.echo(f"error: {error}", err=True)
        sys.stderr.flush()
        os._exit(1)  # the group cannot be taken down in order any more
    except (DeemCrowdError, OSError) as error:
        if dist.get_rank() == 0:
            typer.echo(f"error: {error}", err=True)
        status = 1
    dist.destroy_process_group()
    if status:
        sys.exit(status)

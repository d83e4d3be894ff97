"""Aggregate parquet parts with several processes, on one machine or many.

    torchrun --nproc-per-node=2 -m deem_crowd.distributed 'answers-*.parquet' --output labels

Each process reads its share of the files and keeps their tasks; what all need, sums over tasks by worker and label, is
added up after every pass (``torch.distributed``: gloo between CPUs, nccl between GPUs). All answers to a task have to
stand in files that one process reads: in one file, to be safe. The model is the plain one, one table a worker; the
result is that of a single process up to rounding.

The output is a folder with ``labels-00000.parquet`` … (task, label, probability), one file a process, and
``workers.parquet`` (worker, skill). It appears when all is written, or not at all.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.distributed as dist
import typer

from deem_crowd.data import index as ids
from deem_crowd.data import parquet as streaming
from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.estimators import declaration, fitted, recipe
from deem_crowd.estimators import fit as inference
from deem_crowd.exceptions import DataError, DeemCrowdError, FormError, first_few
from deem_crowd.model.design import DesignMatrix, placement
from deem_crowd.training import likelihood

_MINUTES = 30


class SharedDesign(DesignMatrix):
    """Design matrix of the tasks of one process; sums over tasks are sums over the tasks of all.

    Every process of the default group has to make the same calls in the same order.
    """

    def __init__(self, answers: Answers, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(answers, device, dtype)
        sizes = torch.tensor([self.n_tasks, self.n_answers], dtype=torch.float64)
        self.n_tasks_in_all, self.n_answers_in_all = (int(x) for x in self.reduce(sizes))
        self.answered = self.reduce(self.answered.to(torch.float64)) > 0

    def reduce(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum of all processes' values."""
        place = "cpu" if dist.get_backend() == "gloo" else self.device
        shared = value.to(place, copy=True).contiguous()
        dist.all_reduce(shared)
        return shared.to(value.device)


def fit_shared(
    answers: Answers, settings: dict[str, Any]
) -> tuple[fitted.FittedModel, Answers, npt.NDArray[np.float64]]:
    """Fit the plain model to the answers of all processes.

    Parameters
    ----------
    answers : Answers
        What this process holds: its own tasks, with its own numbering of workers and classes.
    settings : dict
        Parameters of :class:`deem_crowd.DEEMAggregator` for a plain model.

    Returns
    -------
    FittedModel
        The same in every process.
    answers : Answers
        The same tasks, with workers and classes numbered as in all processes.
    posterior : float64, shape (N, K)
        Of the tasks of this process.

    Raises
    ------
    DataError
        If a task has answers in two processes, or ids of one could be mistaken for ids of another. In every process.
    """
    if answers.is_soft:
        raise FormError("soft answers cannot be shared among processes.")
    _refuse_torn_tasks(answers.tasks)
    workers = _united(answers.workers, "worker")
    classes = _united(answers.classes, "label")
    whole = answers.select(
        workers=(workers.get_indexer(answers.workers), workers),
        classes=(classes.get_indexer(answers.classes), classes),
    )
    plan = recipe.recipe(settings, settings["n_iter"], None)
    n_states = len(classes) * plan.settings.n_subtypes
    design = SharedDesign(whole, *placement(whole, plan.device, plan.dtype, n_states))
    model, posterior = inference.fit_answers(whole, plan, design=design)
    return model, whole, posterior


def _united(own: pd.Index, column: str) -> pd.Index:
    """Return the ids of all processes, each once, in canonical order: the same in every process."""
    united, *others = _gather_ids(own)
    for part in others:
        ids.refuse_collisions(united, part, column)
        united = united.append(part[~part.isin(united)])
    return united.take(ids.sorted_order(united)).rename(column)


def _refuse_torn_tasks(tasks: pd.Index) -> None:
    """Raise in every process if a task is in two of them; told by 64-bit hashes of the ids."""
    hashed = pd.util.hash_array(np.asarray(tasks.astype(str), dtype=object))
    parts = _gather_hashes(hashed)
    values, counts = np.unique(np.concatenate(parts), return_counts=True)
    torn = np.isin(hashed, values[counts > 1])
    named = _gather_ids(tasks[torn][:5])
    n_torn = int((counts > 1).sum())
    if n_torn:
        examples = dict.fromkeys(task for part in named for task in part)
        raise DataError(
            f"{n_torn} tasks have answers in files of different processes ({first_few(examples)}): write all answers "
            "to a task into one file."
        )


# What processes exchange besides sums: ids, hashes and words, never pickles.


def _gather_bytes(content: bytes) -> list[bytes]:
    """Return what each process of the default group gives, in the order of their ranks."""
    place = "cuda" if dist.get_backend() == "nccl" else "cpu"
    size = torch.tensor([len(content)], dtype=torch.int64, device=place)
    sizes = [torch.zeros_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    longest = max(int(s) for s in sizes)
    padded = torch.zeros(max(longest, 1), dtype=torch.uint8)
    padded[: len(content)] = torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())
    padded = padded.to(place)
    parts = [torch.zeros_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return [part[: int(s)].cpu().numpy().tobytes() for part, s in zip(parts, sizes, strict=True)]


def _gather_text(text: str) -> list[str]:
    """Return the text that each process gives."""
    return [part.decode() for part in _gather_bytes(text.encode())]


def _gather_hashes(values: npt.NDArray[np.uint64]) -> list[npt.NDArray[np.uint64]]:
    """Return the 64-bit numbers that each process gives, of any count."""
    return [np.frombuffer(part, dtype=np.uint64) for part in _gather_bytes(values.tobytes())]


def _gather_ids(index: pd.Index) -> list[pd.Index]:
    """Return the ids that each process gives, by way of Arrow.

    Raises
    ------
    pyarrow.ArrowInvalid
        For ids of kinds that a parquet file cannot hold.
    """
    import pyarrow as pa

    table = pa.table({"ids": pa.array(index)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    parts = []
    for part in _gather_bytes(sink.getvalue().to_pybytes()):
        values = pa.ipc.open_stream(part).read_all().column("ids").to_pandas()
        parts.append(pd.Index(values, name=index.name))
    return parts


def _agree(error: BaseException | None) -> None:
    """Raise an error of one process in all of them."""
    said = "" if error is None else f"process {dist.get_rank()}: {error}"
    wrong = [part for part in _gather_text(said) if part]
    if wrong:
        raise DataError("; ".join(wrong)) from error


def run(
    paths: list[str],
    output: str,
    settings: dict[str, Any],
    missing: Missing,
    duplicates: Duplicates,
) -> None:
    """Read, fit and write, as one of the processes of the default group.

    Raises
    ------
    DeemCrowdError, OSError
        In every process, whichever of them it happened in.
    """
    rank, n_ranks = dist.get_rank(), dist.get_world_size()
    target = Path(output)
    unfinished = target.with_name(f".{target.name}.unfinished")
    answers: Answers | None = None
    error: Exception | None = None
    try:
        if target.exists():
            raise FileExistsError(f"{target} is there already")
        mine = streaming.expand(paths)[rank::n_ranks]
        if not mine:
            raise DataError(f"there are fewer files than processes ({n_ranks})")
        answers = Answers.from_parquet(mine, missing=missing, duplicates=duplicates)
    except (DeemCrowdError, OSError) as failure:
        error = failure
    _agree(error)
    assert answers is not None
    model, whole, posterior = fit_shared(answers, settings)
    try:
        if rank == 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        dist.barrier()
        best = fitted.best_class(posterior, whole)
        table = pd.DataFrame(
            {
                "task": whole.tasks,
                "label": ids.take(whole.classes, best, "label").array,
                "probability": posterior.max(axis=1) if posterior.size else np.zeros(len(best)),
            }
        )
        table.to_parquet(unfinished / f"labels-{rank:05}.parquet", index=False)
        if rank == 0:
            skills = pd.DataFrame({"worker": whole.workers, "skill": model.skills})
            skills.to_parquet(unfinished / "workers.parquet", index=False)
    except OSError as failure:
        error = failure
    _agree(error)
    if rank == 0:
        os.replace(unfinished, target)
    dist.barrier()


def main(
    answers: Annotated[
        list[str], typer.Argument(help="Parquet files, folders of such, or patterns.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder to make.")],
    subtypes: Annotated[int, typer.Option(min=1, help="Hidden states per class.")] = 1,
    n_iter: Annotated[int, typer.Option(min=0, help="Most passes.")] = likelihood.Settings.n_iter,
    tol: Annotated[float, typer.Option(min=0)] = likelihood.Settings.tol,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
    missing: Annotated[str, typer.Option(help="error or drop.")] = "error",
    duplicates: Annotated[str, typer.Option(help="last, first or error.")] = "last",
) -> None:
    """Turn the answers in parquet parts into labels, with the processes that torchrun starts."""
    from deem_crowd import DEEMAggregator

    given: dict[str, Any] = {"subtypes": subtypes, "n_iter": n_iter, "tol": tol, "device": device}
    if device == "cuda":
        given["device"] = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    settings = DEEMAggregator(auto_hyperparameters=False, progress=False, **given).get_params()
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise typer.BadParameter(
                f"{name} is not set: start this with torchrun --nproc-per-node=2 -m deem_crowd.distributed …"
            )
    backend = "nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, timeout=datetime.timedelta(minutes=_MINUTES))
    status = 0
    try:
        declaration.check(settings | {"missing": missing, "duplicates": duplicates}, DEEMAggregator)
        run(answers, output, settings, missing, duplicates)  # type: ignore[arg-type]
    except (DeemCrowdError, OSError) as error:
        if dist.get_rank() == 0:
            typer.echo(f"error: {error}", err=True)
        status = 1
    except RuntimeError as error:  # what torch raises when another process is gone
        if not any(word in str(error) for word in ("gloo", "NCCL", "Connection", "Timed out")):
            traceback.print_exc()
        rank, said = os.environ["RANK"], str(error).splitlines()[0]
        typer.echo(f"error: process {rank} lost touch with the others: {said}", err=True)
        sys.stderr.flush()
        os._exit(1)  # the group cannot be taken down in order any more
    dist.destroy_process_group()
    if status:
        sys.exit(status)


if __name__ == "__main__":
    typer.run(main)

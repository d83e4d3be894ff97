"""The fit inside Dask: its workers are the processes, and labels are a Dask DataFrame.

pip install "deem-crowd[dask]"
"""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd
from torch._C._distributed_c10d import TCPStore

from deem_crowd.data.answers import Answers
from deem_crowd.data.gold import Gold
from deem_crowd.distributed import driver, store, tables
from deem_crowd.distributed.group import EVERY
from deem_crowd.distributed.job import EngineFit, Job, Outcome, labelled
from deem_crowd.exceptions import ParameterError, ProcessLostError
from deem_crowd.runtime import extras

ATTEMPTS = 4
"""How often the processes are started, where some of them die."""
_PATIENCE = 60
"""Seconds to wait for workers to come back."""


@driver.described(
    frame="dask.dataframe.DataFrame",
    read="It is read twice: now, and when the labels are; persist it if that is slow.",
    processes="as many as the cluster has workers at most; all of them",
    labels="a lazy Dask DataFrame, with columns named as ``task`` and ``label`` are, of the same types",
    lost="workers died again and again",
)
def fit(
    frame: Any,
    *,
    task: str = "task",
    worker: str = "worker",
    label: str = "label",
    gold: Gold = None,
    n_workers: int | None = None,
    every: float = EVERY,
    timeout: float = driver.TIMEOUT,
    **parameters: Any,
) -> EngineFit:
    """Fit the model to the answers of a Dask DataFrame, on the workers of the current client.

    Dask shuffles the answers by task into one partition a process; each process is a worker of the cluster. Answers and
    tasks never come to the client: the model and the table of workers do. If a worker dies the processes start again,
    on the workers that are there then, and the fit goes on from the tables that the client's store has.
    """
    extras.require("dask", "fits inside Dask")
    from distributed import get_client
    from distributed.utils import get_ip

    columns = driver.columns(frame.columns, task, worker, label)
    try:
        client = get_client()
    except ValueError as error:
        raise ParameterError(
            "there is no client of Dask: the fit needs workers that are processes of their own. Make one first: "
            "distributed.Client(cluster)."
        ) from error
    there = len(_workers(client))
    size = n_workers or there
    if not 0 < size <= there:
        raise ParameterError(
            f"n_workers={n_workers}: the cluster has {there} workers. Add workers, or ask for fewer."
        )
    scheduler = client.scheduler.address.rpartition("//")[2].rpartition(":")[0]
    host = scheduler if scheduler in ("127.0.0.1", "localhost") else get_ip(scheduler)
    server = store.serve(host)
    job = driver.job(server, host, columns, gold, parameters, every, timeout)
    answers = frame[list(columns.values())].shuffle(task, npartitions=size)
    outcome = _run(client, answers, job, size, server)
    skills, model = outcome.result()
    return EngineFit(_labels(answers, job, outcome.model, model), skills, model)


def _workers(client: Any) -> list[str]:
    """Return the addresses of the workers that are there."""
    return list(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.workers)))


def _run(client: Any, answers: Any, job: Job, size: int, server: TCPStore) -> Outcome:
    """Start the processes, again where some of them die; return what the first one has to say."""
    from distributed import KilledWorker, TimeoutError, wait

    parts = client.compute(answers.to_delayed())
    lost: Exception | None = None
    for _ in range(ATTEMPTS):
        futures: list[Any] = []
        attempt = uuid.uuid4().hex
        try:
            client.wait_for_workers(size, timeout=_PATIENCE)
            wait(parts)
            futures = [
                client.submit(_take_part, part, job, rank, size, attempt, workers=[place], pure=False, retries=0)
                for rank, (part, place) in enumerate(zip(parts, _workers(client), strict=False))
            ]  # fmt: skip
            outcomes: list[Outcome] = client.gather(futures)
            return outcomes[0]
        except (ProcessLostError, KilledWorker, TimeoutError) as error:
            lost = error
            store.give_up(server, attempt)
            client.cancel(futures, force=True)
    raise ProcessLostError(
        f"workers of Dask died in each of {ATTEMPTS} attempts at the fit: {lost}"
    ) from lost


def _take_part(frame: pd.DataFrame, job: Job, rank: int, size: int, attempt: str) -> Outcome:
    return job.take_part(lambda: _answers(frame, job), rank, size, attempt)


def _answers(frame: pd.DataFrame, job: Job) -> Answers:
    options: dict[str, Any] = {**job.columns, **job.how}
    return Answers.from_frame(frame, **options)


def _label(frame: pd.DataFrame, content: Any, job: Job, meta: pd.DataFrame) -> pd.DataFrame:
    found = labelled(_answers(frame, job), content, job.gold)
    found.columns = meta.columns
    return found.astype(meta.dtypes)


def _labels(answers: Any, job: Job, content: bytes, model: Any) -> Any:
    """Return the labels as a lazy DataFrame: each partition of the answers by the model."""
    from dask import delayed

    names = (job.columns["task"], job.columns["label"])
    meta = answers._meta[list(names)].iloc[:0].reset_index(drop=True)
    for name in ["confidence", *tables.probability_columns(model.priors_.index)]:
        meta[name] = np.zeros(0)
    return answers.map_partitions(_label, delayed(content), job, meta, meta=meta)

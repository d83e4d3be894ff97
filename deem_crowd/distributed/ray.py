"""The fit inside Ray: its tasks are the processes, and labels are a Ray Dataset.

pip install "deem-crowd[ray]"
"""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa
from torch._C._distributed_c10d import TCPStore

from deem_crowd.data.answers import Answers
from deem_crowd.data.gold import Gold
from deem_crowd.distributed import driver, store
from deem_crowd.distributed.group import EVERY
from deem_crowd.distributed.job import EngineFit, Job, Outcome, labelled
from deem_crowd.distributed.parts import answers_from_batches
from deem_crowd.exceptions import ParameterError, ProcessLostError
from deem_crowd.runtime import extras

ATTEMPTS = 4
"""How often the processes are started, where some of them die."""


@driver.described(
    frame="ray.data.Dataset",
    read="It is read once.",
    processes="each a CPU that is free at the same time as the others; all CPUs of the cluster",
    labels="a Dataset of Ray, with columns named as ``task`` and ``label`` are, whose blocks stay in the "
    "object store",
    lost="processes died again and again",
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
    """Fit the model to the answers of a Ray Dataset, in Ray.

    Ray shuffles the answers by task into one block a process, in its object store; each process is a task of Ray on a
    CPU of its own. Answers and tasks never come to the driver: the model and the table of workers do. If a process dies
    all start again, and the fit goes on from the tables that the driver's store has.
    """
    extras.require("ray", "fits inside Ray")
    import ray

    columns = driver.columns(frame.columns(), task, worker, label)
    there = int(ray.cluster_resources().get("CPU", 0))
    size = n_workers or there
    if not 0 < size <= there:
        raise ParameterError(
            f"n_workers={n_workers}: the cluster has {there} CPUs. Add nodes, or ask for fewer."
        )
    host = ray.util.get_node_ip_address()
    server = store.serve(host)
    job = driver.job(server, host, columns, gold, parameters, every, timeout)
    answers = frame.select_columns(list(columns.values())).repartition(size, keys=[task])
    blocks = _partitions(answers.to_arrow_refs(), size)
    outcome = _run(blocks, job, size, server)
    skills, model = outcome.result()
    content = ray.put(outcome.model)
    label_block = ray.remote(num_cpus=1)(_label)
    found = [label_block.remote(block, content, job) for block in blocks]
    return EngineFit(ray.data.from_arrow_refs(found), skills, model)


def _partitions(blocks: list[Any], size: int) -> list[Any]:
    """Return as many blocks as processes; a shuffle leaves out partitions that are empty."""
    import ray

    if len(blocks) > size:  # a partition must not be cut
        raise RuntimeError(f"Ray made {len(blocks)} blocks of {size} partitions")
    empty = ray.remote(_empty)
    return [*blocks, *(empty.remote(blocks[0]) for _ in range(size - len(blocks)))]


def _empty(block: pa.Table) -> pa.Table:
    return block.slice(0, 0)


def _run(blocks: list[Any], job: Job, size: int, server: TCPStore) -> Outcome:
    """Start the processes, again where some of them die; return what the first one has to say."""
    import ray
    from ray.exceptions import RayError

    take_part = ray.remote(num_cpus=1, max_retries=0)(_take_part)
    lost: Exception | None = None
    for _ in range(ATTEMPTS):
        attempt = uuid.uuid4().hex
        running = [
            take_part.remote(block, job, rank, size, attempt) for rank, block in enumerate(blocks)
        ]
        try:
            outcomes: list[Outcome] = ray.get(running)
            return outcomes[0]
        except (ProcessLostError, RayError) as error:
            lost = error
            store.give_up(server, attempt)
            for one in running:
                ray.cancel(one, force=True)
            ray.wait(running, num_returns=size, timeout=60)
    raise ProcessLostError(
        f"processes of Ray died in each of {ATTEMPTS} attempts at the fit: {lost}"
    ) from lost


def _answers(block: pa.Table, job: Job) -> Answers:
    return answers_from_batches(block.to_batches(), job.columns, schema=block.schema, **job.how)


def _take_part(block: pa.Table, job: Job, rank: int, size: int, attempt: str) -> Outcome:
    return job.take_part(lambda: _answers(block, job), rank, size, attempt)


def _label(block: pa.Table, content: bytes, job: Job) -> pa.Table:
    found = labelled(_answers(block, job), content, job.gold)
    found = found.rename(columns={part: job.columns[part] for part in ("task", "label")})
    table = pa.Table.from_pandas(found, preserve_index=False)
    fields = [
        pa.field(
            f.name, block.schema.field(f.name).type if f.name in block.schema.names else f.type
        )
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))

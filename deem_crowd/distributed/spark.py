"""The fit inside Spark: barrier tasks of a stage are its processes, and labels are a DataFrame.

pip install "deem-crowd[spark]"
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from deem_crowd.data.gold import Gold
from deem_crowd.distributed import driver, store, tables
from deem_crowd.distributed.group import EVERY
from deem_crowd.distributed.job import EngineFit, Job, Outcome, labelled
from deem_crowd.distributed.parts import answers_from_batches
from deem_crowd.exceptions import ProcessLostError, UnsupportedError
from deem_crowd.runtime import extras

_OUTCOME = "piece int, model binary, workers binary, error string, kind string"
_LOST = ("ProcessLostError", "Python worker exited", "barrier")
"""What Spark's errors say where tasks died."""
_LACKING = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_OTHER_PYTHON = (
    "Spark's workers run a Python in which the module {} is not installed. Install deem-crowd for it, or name "
    "another by the environment variable PYSPARK_PYTHON or the setting spark.pyspark.python, before the session starts."
)
_PIECE = 64 << 20
"""Bytes of a row in which the model comes to the driver."""


@driver.described(
    frame="pyspark.sql.DataFrame",
    read="It is read twice: now, and when the labels are; persist it if that is slow, or if it would "
    "not be the same again.",
    processes="each a slot that is free at the same time as the others; Spark's default parallelism",
    labels="a lazy DataFrame of Spark, with columns named as ``task`` and ``label`` are, of the same types",
    lost="tasks died more often than Spark starts a stage again",
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
    """Fit the model to the answers of a Spark DataFrame, in Spark.

    Spark shuffles the answers by task into one partition a process; a stage of barrier tasks then fits together, each
    task with its partition. Answers and tasks never come to the driver: the model and the table of workers do. If a
    task dies Spark starts the stage again, and the fit goes on from the tables that the driver's store has.
    """
    extras.require("spark", "fits inside Spark")
    columns = driver.columns(frame.columns, task, worker, label)
    session = frame.sparkSession
    size = n_workers or session.sparkContext.defaultParallelism
    host = session.conf.get("spark.driver.host")
    server = store.serve(host)
    job = driver.job(server, host, columns, gold, parameters, every, timeout)
    answers = frame.select(task, worker, label).repartition(size, task)
    rows = _run(answers, job, size)
    outcome = Outcome(
        b"".join(row.model or b"" for row in rows),
        b"".join(row.workers or b"" for row in rows),
        "".join(row.error or "" for row in rows),
        "".join(row.kind or "" for row in rows),
    )
    skills, model = outcome.result()
    return EngineFit(_labels(answers, job, outcome.model, model), skills, model)


def _run(answers: Any, job: Job, size: int) -> list[Any]:
    """Run the stage; return the rows of the first process."""
    from pyspark.sql.pandas.types import to_arrow_schema

    schema = to_arrow_schema(answers.schema)

    def take_part(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import BarrierTaskContext

        context = BarrierTaskContext.get()
        rank = context.partitionId()
        attempt = context.allGather(uuid.uuid4().hex)[0]
        outcome = job.take_part(
            lambda: answers_from_batches(batches, job.columns, schema=schema, **job.how),
            rank,
            size,
            attempt,
        )
        for _ in batches:  # what is left of a partition that was refused
            pass
        if rank == 0:
            yield from _in_pieces(outcome)

    try:
        stage = answers.mapInArrow(take_part, _OUTCOME, barrier=True)
        # Spark starts a barrier stage again where a shuffle follows it, and never the last stage of a job.
        return sorted(stage.repartition(1).collect(), key=lambda row: row.piece)
    except Exception as error:
        said = str(error)
        lacking = _LACKING.search(said)
        if lacking:
            raise UnsupportedError(_OTHER_PYTHON.format(lacking[1])) from error
        if any(sign in said for sign in _LOST):
            said = " ".join(said.split())[:500]
            raise ProcessLostError(f"tasks of the fit died again and again: {said}") from error
        raise


def _in_pieces(outcome: Outcome) -> Iterator[pa.RecordBatch]:
    pieces = max(-(-len(outcome.model) // _PIECE), -(-len(outcome.workers) // _PIECE), 1)
    for i in range(pieces):
        part = slice(i * _PIECE, (i + 1) * _PIECE)
        told = (outcome.error, outcome.kind) if i == 0 else ("", "")
        yield pa.RecordBatch.from_pydict(
            {
                "piece": pa.array([i], pa.int32()),
                "model": [outcome.model[part]],
                "workers": [outcome.workers[part]],
                "error": [told[0]],
                "kind": [told[1]],
            }
        )


def _labels(answers: Any, job: Job, content: bytes, model: Any) -> Any:
    """Return the labels as a lazy DataFrame: each partition of the answers by the model."""
    from pyspark.sql import types
    from pyspark.sql.pandas.types import to_arrow_schema

    shared_model = answers.sparkSession.sparkContext.broadcast(content)
    task, label = job.columns["task"], job.columns["label"]
    numbers = ["confidence", *tables.probability_columns(model.priors_.index)]
    fields = [types.StructField(str(task), answers.schema[task].dataType)]
    fields.append(types.StructField(str(label), answers.schema[label].dataType))
    fields += [types.StructField(name, types.DoubleType()) for name in numbers]
    schema = types.StructType(fields)
    coming, going = to_arrow_schema(answers.schema), to_arrow_schema(schema)

    def label_tasks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        mine = answers_from_batches(batches, job.columns, schema=coming, **job.how)
        frame = labelled(mine, shared_model.value, job.gold)
        frame = frame.rename(columns={"task": task, "label": label})
        yield from pa.Table.from_pandas(frame, going, preserve_index=False).to_batches()

    return answers.mapInArrow(label_tasks, schema)

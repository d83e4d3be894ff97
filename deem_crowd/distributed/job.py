"""What an engine has each process do: take part in the fit, and later label tasks with the model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from deem_crowd.data.answers import Answers
from deem_crowd.distributed import collectives, meeting, shared, tables
from deem_crowd.distributed.group import EVERY
from deem_crowd.distributed.store import joined
from deem_crowd.estimators.aggregator import DEEMAggregator
from deem_crowd.estimators.fitted import best_class
from deem_crowd.exceptions import DeemCrowdError, ProcessLostError


@dataclass(frozen=True, eq=False, repr=False)
class EngineFit:
    """A fit inside an engine.

    Attributes
    ----------
    labels : the engine's own frame
        A row a task: the task's own column; the label's; ``confidence``, the posterior of the label; ``p_`` with the
        name of a class for each class, its posterior.
    workers : DataFrame
        As :attr:`DEEMAggregator.workers_`.
    model : DEEMAggregator
        It predicts and saves; it holds no tasks.
    """

    labels: Any
    workers: pd.DataFrame
    model: DEEMAggregator

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}; labels: {type(self.labels).__name__})"


@dataclass(frozen=True)
class Outcome:
    """What the first process hands to the driver: the model's file and the workers' table, or an error."""

    model: bytes = b""
    workers: bytes = b""
    error: str = ""
    kind: str = ""

    def result(self) -> tuple[pd.DataFrame, DEEMAggregator]:
        """Return workers and model.

        Raises
        ------
        DeemCrowdError, OSError
            The one that every process had.
        """
        if self.kind:
            raise collectives.kind_of(self.kind)(self.error)
        table: pd.DataFrame = pa.ipc.open_stream(self.workers).read_all().to_pandas()
        return table, loaded(self.model)


@dataclass(frozen=True)
class Job:
    """What all processes need to know.

    Attributes
    ----------
    host, port
        Of the driver's store.
    columns : dict
        What ``task``, ``worker`` and ``label`` are called.
    parameters : dict
        All of DEEMAggregator's.
    gold : DataFrame of (task, label), optional
    every : float
        Seconds between two notes of how far the fit has come.
    timeout : float
        Seconds that processes wait for one another.
    """

    host: str
    port: int
    columns: dict[str, str]
    parameters: dict[str, Any]
    gold: pd.DataFrame | None = None
    every: float = EVERY
    timeout: float = meeting.SLOWEST.total_seconds()

    @property
    def how(self) -> dict[str, Any]:
        """What becomes of missing labels and of repeated answers, for readers."""
        return {name: self.parameters[name] for name in ("missing", "duplicates")}

    def take_part(self, read: Callable[[], Answers], rank: int, size: int, attempt: str) -> Outcome:
        """Fit as one of the processes; ``read`` returns the answers of this one.

        Raises
        ------
        ProcessLostError
            If another process is gone: the engine may start all of them again, under another name of the attempt.
        """
        answers: Answers | None = None
        error: Exception | None = None
        with joined(self.host, self.port, attempt, rank, size, self.timeout) as notes:
            try:
                answers = read()
            except (DeemCrowdError, OSError) as failure:
                error = failure
            try:
                collectives.agree(error)
                assert answers is not None
                found = shared.fit_answers(
                    answers, self.gold, self.parameters, notes, partitioned=True, every=self.every
                )
            except ProcessLostError:
                raise
            except (DeemCrowdError, OSError) as failure:
                return Outcome(error=str(failure), kind=type(failure).__name__)
        if rank:
            return Outcome()
        return Outcome(
            _saved(found.model), collectives.streamed(pa.Table.from_pandas(found.workers))
        )


def labelled(answers: Answers, model: bytes, gold: pd.DataFrame | None) -> pd.DataFrame:
    """Return the labels of tasks by the model of a fit, in a process that has not taken part in it."""
    fitted = loaded(model)
    posterior = np.zeros((0, len(fitted.priors_)))
    classes = fitted.priors_.index
    if answers.n_tasks:
        posterior = fitted.predict_proba(answers).to_numpy(copy=True)
    over_all = answers.select(classes=(classes.get_indexer(answers.classes), classes))
    known = shared.known(gold, over_all)
    if known is not None:
        posterior[known >= 0] = np.eye(len(classes))[known[known >= 0]]
    return tables.labels(over_all, posterior, best_class(posterior, over_all, known))


def loaded(model: bytes) -> DEEMAggregator:
    """Return the model of a file's content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(model)
        return DEEMAggregator.load(path)


def _saved(model: DEEMAggregator) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        model.save(path)
        return path.read_bytes()

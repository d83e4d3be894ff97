"""One fit by several processes, each with tasks of its own."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import gold as known_labels
from deem_crowd.data.answers import Answers
from deem_crowd.data.gold import Gold
from deem_crowd.distributed import collectives, parts, tables
from deem_crowd.distributed.collectives import told
from deem_crowd.distributed.group import EVERY, Notes, ProcessGroup
from deem_crowd.estimators import aggregation, inputs
from deem_crowd.estimators import fit as inference
from deem_crowd.estimators import fitted as fitted_models
from deem_crowd.estimators.aggregator import DEEMAggregator
from deem_crowd.estimators.settings import declaration, recipe
from deem_crowd.exceptions import ParameterError, UnsupportedError
from deem_crowd.model.named_classes import NamedPosterior


@dataclass(frozen=True, eq=False, repr=False)
class SharedFit:
    """What one process has of a fit by several.

    Attributes
    ----------
    labels : DataFrame
        A row for each task of this process: ``task``, ``label``, ``confidence`` (the posterior of the label), and
        ``p_`` with the name of a class for each class: its posterior.
    workers : DataFrame
        As :attr:`DEEMAggregator.workers_`, of the answers of all processes; the same in each.
    model : DEEMAggregator
        It predicts and saves, and holds no tasks; the same in each process.
    """

    labels: pd.DataFrame
    workers: pd.DataFrame
    model: DEEMAggregator


def fit(
    partition: Any,
    *,
    task: Hashable | None = None,
    worker: Hashable | None = None,
    label: Hashable | None = None,
    gold: Gold = None,
    notes: Notes | None = None,
    timeout: float | None = None,
    **parameters: Any,
) -> SharedFit:
    """Fit the model to the answers of all processes of the default group of torch.distributed.

    Every process calls it with a part of the answers, all answers to a task in one part; parts may be of any size, and
    empty. What the processes exchange in a pass are tables of the workers, not tasks. The result is that of one process
    with all answers, up to rounding.

    Parameters
    ----------
    partition : DataFrame, Answers, or whatever :meth:`DEEMAggregator.fit` takes
        The answers that this process holds.
    task, worker, label : hashable, optional
        What these columns are called.
    gold : Series, dict or DataFrame, optional
        Labels that are known: the same in every process, or each its own; None in all or in none.
    notes : Notes, optional
        Where the first process notes how far the fit has come, and looks for what an interrupted one has noted.
    timeout : float, optional
        Seconds that processes wait for one another in an exchange, the first of which comes when all have read their
        parts; as long as their group does if omitted. One that hangs is then an error in the others, after which the
        group is of no more use.
    **parameters
        Of :class:`deem_crowd.DEEMAggregator`; for models of one unit, the default among them.

    Returns
    -------
    SharedFit

    Raises
    ------
    DataError
        In every process, whichever has the fault in its part: a task in two parts, ids of another type in one.
    ProcessLostError
        If another process is gone, or hangs.
    FormError, MissingColumnError, ParameterError, UnsupportedError, MemoryNeedError

    Examples
    --------
    >>> import pandas as pd, torch.distributed as dist
    >>> from deem_crowd import distributed
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> mine = pd.DataFrame({"task": [1, 1, 2], "worker": ["a", "b", "a"], "label": ["x", "x", "y"]})
    >>> distributed.fit(mine).labels["label"].tolist()
    ['x', 'y']
    >>> dist.destroy_process_group()
    """
    columns = {"task": task, "worker": worker, "label": label}

    def read() -> tuple[dict[str, Any], Answers, pd.DataFrame | None]:
        check_timeout(timeout)
        how = checked(parameters)
        return how, _read(partition, how, columns), known_labels.pairs(gold, task, label)

    with collectives.waiting(timeout if _can_be_waited(timeout) else None):
        how, answers, known_here = told(read)
        return fit_answers(answers, known_here, how, notes)


def fit_answers(
    answers: Answers,
    gold: pd.DataFrame | None,
    parameters: dict[str, Any],
    notes: Notes | None = None,
    partitioned: bool = False,
    every: float = EVERY,
) -> SharedFit:
    """Fit to the answers of all processes; ``parameters`` are all of DEEMAggregator's, checked, else as :func:`fit`."""
    plan = recipe.recipe(parameters, parameters["n_iter"], None)
    whole = parts.united(answers, partitioned)
    labels = told(lambda: known(gold, whole))
    group = ProcessGroup(notes, _fingerprint(whole, parameters), every)
    model, posterior = inference.fit_any(whole, plan, labels, group=group)
    best = fitted_models.best_class(posterior, whole, labels)
    about = tables.workers(model, whole, best, group)
    if isinstance(model, fitted_models.FittedModel):
        model = replace(model, warm_starts={}, pairs=None)
    nothing = whole.select(tasks=slice(0, 0))
    if isinstance(posterior, NamedPosterior):
        said = aggregation.output(nothing, posterior.of_no_task(), None)
        shown = told(posterior.dense)
    else:
        said, shown = aggregation.output(nothing, posterior[:0], None), posterior
    fitted = DEEMAggregator(**parameters)
    fitted.__dict__.update(aggregation.attributes(model, *said, nothing.workers, nothing.classes))
    return SharedFit(labels=tables.labels(whole, shown, best), workers=about, model=fitted)


def check_timeout(seconds: float | None) -> None:
    """Raise :class:`ParameterError` for what is no time to wait, in seconds; None is."""
    if not _can_be_waited(seconds):
        raise ParameterError(
            f"timeout={seconds!r} is no number of seconds above 0; to wait for long, pass a large finite one."
        )


def _can_be_waited(seconds: float | None) -> bool:
    return seconds is None or 0 < seconds < math.inf


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """Return all parameters of DEEMAggregator, those given among them, checked."""
    parameters: dict[str, Any] = DEEMAggregator(**{"progress": False, **given}).get_params()
    declaration.check(parameters, DEEMAggregator)
    if not recipe.recipe(parameters, parameters["n_iter"], None).plain:
        raise UnsupportedError(
            "several processes share models of one hidden unit without layers or samplers: leave out hidden_dim, "
            "sampler and the parameters of layers, or fit in one process."
        )
    return parameters


def _read(given: Any, parameters: dict[str, Any], columns: dict[str, Hashable | None]) -> Answers:
    """Return the answers of a partition, which may be empty."""
    how = {"missing": parameters["missing"], "duplicates": parameters["duplicates"]}
    if isinstance(given, pd.DataFrame) and not len(given):
        named = {part: part if name is None else name for part, name in columns.items()}
        return Answers.from_frame(given, **named, **how)  # type: ignore[arg-type]
    return inputs.read(given, how["missing"], how["duplicates"], **columns)  # type: ignore[arg-type]


def known(gold: pd.DataFrame | None, answers: Answers) -> npt.NDArray[np.int64] | None:
    """Return the known class of each task here, shape (N,), −1 where unknown; gold may name tasks elsewhere."""
    if gold is None:
        return None
    here = gold["task"].isin(answers.tasks).to_numpy()
    return known_labels.positions(gold[here], answers)


def _fingerprint(answers: Answers, parameters: dict[str, Any]) -> str:
    """Return what tells one fit from another: sizes, ids of workers and classes, and parameters."""
    plain = {name: repr(value) for name, value in sorted(parameters.items()) if name != "progress"}
    told = hashlib.sha256(json.dumps(plain).encode())
    for index in (answers.workers, answers.classes):
        told.update(parts.hashed(index).tobytes())
    sizes = (answers.n_tasks, answers.n_answers)
    total = [sum(int(n) for n in collectives.gather_text(str(size))) for size in sizes]
    return f"{total} {told.hexdigest()}"

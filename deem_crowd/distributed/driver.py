"""What every engine's driver does before the processes start."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from torch._C._distributed_c10d import TCPStore

from deem_crowd.data import gold as known_labels
from deem_crowd.data.gold import Gold
from deem_crowd.distributed import meeting, shared
from deem_crowd.distributed.job import EngineFit, Job
from deem_crowd.exceptions import MissingColumnError, first_few

F = TypeVar("F", bound=Callable[..., EngineFit])

TIMEOUT = meeting.SLOWEST.total_seconds()
"""Seconds that processes wait for one another where nothing else is said."""
_ABOUT = """
Parameters
----------
frame : {frame}
    A row an answer.
    {read}
task, worker, label : str
    What the columns are called.
gold : Series, dict or DataFrame, optional
    Labels that are known; a DataFrame of pandas.
n_workers : int, optional
    Processes, {processes} if omitted.
every : float
    Seconds between two notes of how far the fit has come.
timeout : float
    Seconds that processes wait for one another: more than the slowest takes to get its partition, or to pass over its
    answers once. One that hangs is lost after that.
**parameters
    Of :class:`deem_crowd.DEEMAggregator`.

Returns
-------
EngineFit
    ``labels`` is {labels}.

Raises
------
DataError, FormError, MissingColumnError, ParameterError, UnsupportedError, MemoryNeedError, OSError
ProcessLostError
    If {lost}.
"""


def described(**words: str) -> Callable[[F], F]:
    """Complete the docstring of an engine's ``fit`` by what is the same in all engines, with some words of its own."""

    def completed(fit: F) -> F:
        fit.__doc__ = f"{inspect.cleandoc(fit.__doc__ or '')}\n{_ABOUT.format(**words)}"
        return fit

    return completed


def columns(there: Iterable[str], task: str, worker: str, label: str) -> dict[str, str]:
    """Return what ``task``, ``worker`` and ``label`` are called in a frame.

    Raises
    ------
    MissingColumnError
        If the frame has no such column.
    """
    found = list(there)
    named = {"task": task, "worker": worker, "label": label}
    lacking = [name for name in named.values() if name not in found]
    if lacking:
        raise MissingColumnError(
            f"the frame has no column {first_few(lacking)}; found {first_few(found, 20)}."
        )
    return named


def job(
    server: TCPStore,
    host: str,
    named: dict[str, str],
    gold: Gold,
    parameters: dict[str, Any],
    every: float,
    timeout: float,
) -> Job:
    """Return what all processes need to know.

    Raises
    ------
    ParameterError, FormError, MissingColumnError
    """
    shared.check_timeout(timeout)
    known = known_labels.pairs(gold, named["task"], named["label"])
    return Job(host, server.port, named, shared.checked(parameters), known, every, timeout)

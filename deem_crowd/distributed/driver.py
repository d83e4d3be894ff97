"""What every engine's driver does before the processes start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch._C._distributed_c10d import TCPStore

from deem_crowd.data import gold as known_labels
from deem_crowd.data.gold import Gold
from deem_crowd.distributed import shared
from deem_crowd.distributed.job import Job
from deem_crowd.exceptions import MissingColumnError, first_few


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
) -> Job:
    """Return what all processes need to know.

    Raises
    ------
    ParameterError, FormError, MissingColumnError
    """
    known = known_labels.pairs(gold, named["task"], named["label"])
    return Job(host, server.port, named, shared.checked(parameters), known, every)

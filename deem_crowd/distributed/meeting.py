"""How the processes of a fit find one another: each says that it is there, again and again, until all are."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterable

import torch.distributed as dist
from torch._C._distributed_c10d import Store

from deem_crowd.exceptions import ProcessLostError, first_few

SILENCE = 10.0
"""Seconds without a sign of life after which a process that had come is gone."""
CONNECTING = 30.0
"""Seconds in which processes that are all there have to be connected to one another."""
SLOWEST = datetime.timedelta(minutes=30)
"""What processes wait for one another at most, in one exchange, where nothing else is said."""
_LOOK = 0.1
"""Seconds between two signs of life."""
_SAID = "said"
"""What all are told: that they have met, or why they will not."""
_MET = "met"


def meet(store: Store, rank: int, size: int, seconds: float) -> None:
    """Wait until all processes of a fit are there and alive.

    The first process looks after the others and the others after the first, so that the cost follows their number.

    Parameters
    ----------
    store : Store
        Shared by these processes and no others.
    rank, size : int
        This process, and their number.
    seconds : float
        In which all have to come.

    Raises
    ------
    ProcessLostError
        In all that are there, with the same words: if one of them has come and is gone, or has not come in time.
    RuntimeError
        Of torch, if the store is gone.
    """
    signs = _Signs(store, range(1, size) if rank == 0 else [0])
    deadline = time.monotonic() + seconds
    while True:
        store.add(f"beat-{rank}", 1)
        if store.check([_SAID]):
            said = store.get(_SAID).decode()
            if said == _MET:
                return
            raise ProcessLostError(said)
        signs.look()
        if rank == 0 and signs.all_alive:
            wrong = dismiss(store, _MET)
            if wrong == _MET:
                return
            raise ProcessLostError(wrong)
        wrong = ""
        if gone := signs.silent:
            wrong = f"process {first_few(gone)} of {size} came and is gone."
        elif time.monotonic() > deadline and (absent := signs.absent):
            wrong = (
                f"process {rank} waited {seconds:g} s: process {first_few(absent)} of {size} has not come. "
                "Start each of them, or let the others wait longer (--join, in the shell)."
            )
        if wrong:
            wrong = dismiss(store, wrong)
            if wrong == _MET:
                return
            time.sleep(2 * _LOOK)  # the store may end with this process, and others have to hear it
            raise ProcessLostError(wrong)
        time.sleep(_LOOK)


def dismiss(store: Store, why: str) -> str:
    """Have all that wait in :func:`meet` give up, for the reason told, unless they were told something before.

    Returns
    -------
    str
        What they were told first.
    """
    told: bytes = store.compare_set(_SAID, "", why)
    return told.decode()


def connect(
    backend: str, store: Store, rank: int, size: int, patience: datetime.timedelta = SLOWEST
) -> None:
    """Make the default group of torch.distributed of processes that have met.

    ``patience`` is what they wait for one another at most, in one exchange.

    Raises
    ------
    ProcessLostError
        If one of them is gone by now.
    RuntimeError
        Of torch.
    """
    failed: list[BaseException] = []

    def make() -> None:
        try:
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=size, timeout=patience
            )
        except BaseException as error:
            failed.append(error)

    # torch waits for the others as long as for any exchange, where no exception reaches it.
    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join(CONNECTING)
    if failed:
        raise failed[0]
    if thread.is_alive():
        raise ProcessLostError(
            f"process {rank} of {size} has no connection to all others after {CONNECTING:g} s: one of them is gone, or "
            "cannot be reached. Let processes reach one another on any port."
        )


class _Signs:
    """Signs of life of some processes, as this one has seen them."""

    def __init__(self, store: Store, ranks: Iterable[int]) -> None:
        self._store = store
        self._counts = dict.fromkeys(ranks, 0)
        self._seen = dict.fromkeys(self._counts, time.monotonic())
        self._alive: set[int] = set()

    def look(self) -> None:
        for rank, before in self._counts.items():
            count = self._store.add(f"beat-{rank}", 0)
            if count != before:
                if before:  # the first count may be that of a process that has died since
                    self._alive.add(rank)
                self._counts[rank] = count
                self._seen[rank] = time.monotonic()

    @property
    def all_alive(self) -> bool:
        return len(self._alive) == len(self._counts)

    @property
    def absent(self) -> list[int]:
        return [rank for rank, count in self._counts.items() if not count]

    @property
    def silent(self) -> list[int]:
        now = time.monotonic()
        return [r for r, n in self._counts.items() if n and now - self._seen[r] > SILENCE]

"""A small store beside the driver of an engine: where processes find one another, and notes outlive them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from deem_crowd.distributed import meeting
from deem_crowd.exceptions import ProcessLostError

_PIECE = 4 << 20
"""Bytes of a value; torch's store takes 8 MiB at most."""
_PATIENCE = datetime.timedelta(seconds=60)
JOINED = "joined"
"""Where a store counts the processes that have come, those of attempts that failed among them."""


def serve(host: str) -> TCPStore:
    """Start a store on a free port of this machine, which others reach as ``host``; it ends with the object."""
    return TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=_PATIENCE)


class StoreNotes:
    """Notes of a fit in a store; see :class:`deem_crowd.distributed.Notes`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, name: str) -> bytes:
        """See :meth:`Notes.read`."""
        if not self._store.check([name]):
            return b""
        version, n_pieces = self._store.get(name).decode().split(":")
        return b"".join(self._store.get(f"{name}/{version}/{i}") for i in range(int(n_pieces)))

    def write(self, name: str, content: bytes) -> None:
        """See :meth:`Notes.write`; a write that is interrupted leaves the note before it."""
        before = self._store.get(name).decode().split(":") if self._store.check([name]) else None
        version = int(before[0]) + 1 if before else 0
        pieces = [content[at : at + _PIECE] for at in range(0, len(content), _PIECE)]
        for i, piece in enumerate(pieces):
            self._store.set(f"{name}/{version}/{i}", piece)  # type: ignore[arg-type]
        self._store.set(name, f"{version}:{len(pieces)}")
        if before:
            for i in range(int(before[1])):
                self._store.delete_key(f"{name}/{before[0]}/{i}")


def give_up(server: TCPStore, attempt: str) -> None:
    """Have processes of an attempt that failed not wait any longer for those that will not come."""
    meeting.dismiss(PrefixStore(attempt, server), "another process of this attempt has failed.")


@contextmanager
def joined(
    host: str, port: int, attempt: str, rank: int, size: int, patience: float
) -> Iterator[StoreNotes]:
    """Be process ``rank`` of ``size`` for a while: initialise the default group of torch.distributed over gloo.

    The processes wait for one another for ``patience`` seconds at most, to come and in each exchange.

    Raises
    ------
    ProcessLostError
        If the store or the other processes cannot be reached.
    """
    try:
        store = TCPStore(host, port, is_master=False, timeout=_PATIENCE)
        store.add(JOINED, 1)
        ours = PrefixStore(attempt, store)
        meeting.meet(ours, rank, size, patience)
        meeting.connect("gloo", ours, rank, size, datetime.timedelta(seconds=patience))
    except (RuntimeError, dist.DistError) as error:
        raise ProcessLostError(
            f"process {rank} of {size} cannot reach the others by way of {host}:{port}: "
            f"{str(error).splitlines()[0][:300]}. Open that port between the machines of the engine."
        ) from error
    try:
        yield StoreNotes(store)
    finally:
        dist.destroy_process_group()

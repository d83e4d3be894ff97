"""The processes of torch.distributed as the group of a fit, with what an interrupted fit goes on from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load, save

from deem_crowd.distributed import collectives
from deem_crowd.model.group import Group, Loop

T = TypeVar("T")
EVERY = 10.0
"""Seconds between two notes of where a loop stands."""


class Notes(Protocol):
    """Where the first process notes how far a fit has come: a few tables a loop, whatever the number of tasks."""

    def read(self, name: str) -> bytes:
        """Return what was noted under a name; nothing if nothing was."""

    def write(self, name: str, content: bytes) -> None:
        """Replace what was noted under a name."""


class ProcessGroup(Group):
    """The default group of torch.distributed.

    Parameters
    ----------
    notes : Notes, optional
        The first process's; where the others have some, they are not asked.
    fit : str
        What the notes have to be of: another fit's are no start.
    every : float
        Seconds between two notes.
    """

    def __init__(self, notes: Notes | None = None, fit: str = "", every: float = EVERY) -> None:
        self._notes, self._fit, self._every = notes, fit, every
        self._n_loops = 0

    def reduce(self, value: torch.Tensor) -> torch.Tensor:
        """See :meth:`Group.reduce`."""
        return collectives.summed(value)

    def gathered(self, rows: torch.Tensor) -> tuple[torch.Tensor, int]:
        """See :meth:`Group.gathered`."""
        own = rows.cpu().contiguous().numpy()
        parts = [
            np.frombuffer(part, dtype=own.dtype).reshape(-1, *own.shape[1:])
            for part in collectives.gather_bytes(own.tobytes())
        ]
        begin = sum(len(part) for part in parts[: dist.get_rank()])
        return torch.from_numpy(np.concatenate(parts)), begin

    def told(self, work: Callable[[], T]) -> T:
        """See :meth:`Group.told`."""
        return collectives.told(work)

    def loop(self, **values: Any) -> Loop:
        """See :meth:`Group.loop`."""
        name = f"loop-{self._n_loops}"
        self._n_loops += 1
        mine = self._notes if dist.get_rank() == 0 else None
        loop = _NotedLoop(mine, name, self._fit, self._every, values)
        noted = collectives.first_says(b"" if mine is None else mine.read(name))
        if noted:
            loop.restore(noted)
        return loop


class _NotedLoop(Loop):
    def __init__(
        self,
        notes: Notes | None,
        name: str,
        fit: str,
        every: float,
        values: Mapping[str, Any],
    ) -> None:
        super().__init__(**values)
        self.notes, self.name, self.fit, self.every = notes, name, fit, every
        self.noted_at = time.monotonic()

    def save(self) -> None:
        if self.notes is None:
            return
        now = time.monotonic()
        if self.done or now - self.noted_at >= self.every:
            self.notes.write(self.name, self.content())
            self.noted_at = now

    def content(self) -> bytes:
        """Return the loop's values as a safetensors file, numbers as JSON in its head."""
        plain: dict[str, Any] = {"number": self.number, "done": self.done}
        tensors = {}
        for name, value in self.values.items():
            if isinstance(value, torch.Tensor):
                tensors[name] = value.contiguous().clone()
            else:
                plain[name] = str(value) if value == -math.inf else value
        return save(tensors, {"loop": json.dumps(plain), "fit": self.fit})

    def restore(self, content: bytes) -> None:
        """Take the values that were noted, where they are of this fit."""
        length = int.from_bytes(content[:8], "little")
        head = json.loads(content[8 : 8 + length])["__metadata__"]
        if head["fit"] != self.fit:
            return
        plain = json.loads(head["loop"])
        self.number, self.done = plain.pop("number"), plain.pop("done")
        for name, value in plain.items():
            self.values[name] = float(value) if isinstance(value, str) else value
        self.values.update(load(content))

"""The processes that share a fit. Each holds tasks of its own; what all need are sums over tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

T = TypeVar("T")


class Loop:
    """Where a loop of passes stands: how many were made, whether it has ended, and the values it goes on from.

    Parameters
    ----------
    **values : Tensor, float, or list of float
        What they are before the first pass; each becomes an attribute. They follow from sums over tasks alone, so that
        they are the same in every process, and do not grow with tasks.
    """

    def __init__(self, **values: Any) -> None:
        self.number, self.done = 0, False
        self.values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("values", {}):
            self.values[name] = value
        else:
            super().__setattr__(name, value)

    def passes(self, most: int) -> Iterator[int]:
        """Number the passes, from the first that was not made to ``most``, until :attr:`done` is set."""
        while self.number < most and not self.done:
            self.number += 1
            yield self.number
            self.save()

    def save(self) -> None:
        """Keep the values, for a fit that goes on where this one was interrupted."""


class Group:
    """The processes that share a fit: this one alone."""

    def reduce(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum of all processes' values, the same in every process."""
        return value

    def gathered(self, rows: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Return the rows of all processes, one process after another, and where this one's begin.

        They differ in the first axis only, and are the same in every process; for rows that are few.
        """
        return rows, 0

    def told(self, work: Callable[[], T]) -> T:
        """Do something that may fail and exchanges nothing; what goes wrong in one process is raised in all."""
        return work()

    def loop(self, **values: Any) -> Loop:
        """Return the next loop of the fit, where an interrupted one left it; see :class:`Loop`.

        Every process asks for the same loops in the same order.
        """
        return Loop(**values)


ALONE = Group()

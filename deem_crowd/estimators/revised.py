"""Rows of a tensor of which some are replaced and some follow, put together when they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from deem_crowd.model.grown import extended
from deem_crowd.runtime.cached import cached_property


@dataclass(frozen=True, eq=False)
class Revised:
    """A tensor, and rows of it that were replaced later.

    Pickles and copies hold what it comes to.

    Attributes
    ----------
    first : shape (n, ...)
    later : tuple of (LongTensor, Tensor)
        Places, shape (m,), and the rows that stand there from then on, shape (m, ...).
    length : int
        Rows in all; those that follow the first are zero until they are replaced.
    """

    first: torch.Tensor
    later: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    length: int

    @classmethod
    def of(cls, rows: torch.Tensor) -> Revised:
        """Return rows as they are."""
        return cls(rows, (), len(rows))

    @cached_property
    def value(self) -> torch.Tensor:
        """The tensor, shape (length, ...)."""
        if not self.later:
            return self.first
        whole = extended(self.first, self.length)
        for places, rows in self.later:
            whole[places] = rows
        return whole

    def with_rows(self, places: torch.Tensor, rows: torch.Tensor, length: int) -> Revised:
        """Return the same with other rows in some places, and with so many in all."""
        if "value" in self.__dict__:  # somebody reads it: nothing is gone through twice
            return Revised(self.value, ((places, rows),), length)
        return Revised(self.first, (*self.later, (places, rows)), length)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Leave what was replaced out of pickles and copies."""
        return Revised, (self.value, (), self.length)

"""Models small enough to be enumerated: the engine's own, and one given as a table outright."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deem_crowd.model import layers
from deem_crowd.model.network import Batch, Network
from deem_crowd.model.units import Units
from deem_crowd.samplers.base import TaskEnergy, one_hot

_SEED = 20_240


class TableEnergy(TaskEnergy):
    r"""Tasks whose distributions are given as tables: no hidden units, no factors, nothing to take advantage of.

    .. math:: F_b(x) = - \sum_s \log p_b(s) \prod_{t \in O(b)} x_{t, s_t}

    It is linear in each answer, and minus the table's entry where all answers are one-hot.

    Parameters
    ----------
    log_p : Tensor, shape (B, K, …, K)
        T axes of length K, up to a constant per task. Where an answer is missing, entries at 0 of its axis count.
    mask : BoolTensor, shape (B, T)
    """

    def __init__(self, log_p: Tensor, mask: Tensor) -> None:
        self.n_classes, self.dtype = int(log_p.shape[-1]), log_p.dtype
        self.log_p, self.mask = log_p, mask

    def free_energy(self, answers: Tensor) -> Tensor:
        """Return F, shape (..., B), of answers of shape (..., B, T, K)."""
        first = torch.zeros(self.n_classes, dtype=self.dtype, device=answers.device)
        first[0] = 1
        weights = torch.where(self.mask[..., None], answers, first)
        left = self.log_p.flatten(1).expand(*answers.shape[:-2], -1)
        for t in range(answers.shape[-2]):
            left = left.unflatten(-1, (self.n_classes, -1))
            left = (weights[..., t, :, None] * left).sum(-2)
        return -left.squeeze(-1)


@dataclass(frozen=True)
class Model:
    """A model of tasks of several kinds, which take turns in a batch.

    Attributes
    ----------
    name : str
    n_classes : int
        K.
    kinds : tuple of str, G
        For each kind of task which of the T places hold an answer: 'x' or '.'.
    bind : callable
        Of the mask, shape (B, T), and the kinds, shape (B,), of tasks; returns their energy.
    """

    name: str
    n_classes: int
    kinds: tuple[str, ...]
    bind: Callable[[Tensor, Tensor], TaskEnergy]

    def kind(self, n_tasks: int, device: torch.device) -> Tensor:
        """Return the kind of each task of a batch, shape (B,)."""
        return torch.arange(n_tasks, device=device) % len(self.kinds)

    def mask(self, kind: Tensor) -> Tensor:
        """Return which answers exist in tasks of these kinds, shape (B, T)."""
        rows = torch.tensor([[place == "x" for place in row] for row in self.kinds])
        return rows.to(kind.device)[kind]

    def energy(self, kind: Tensor) -> TaskEnergy:
        """Return the energy of tasks of these kinds."""
        with torch.no_grad():
            return self.bind(self.mask(kind), kind)

    def states(self, kind: int) -> Tensor:
        """Return all states of a kind of task, shape (C, T), in the order in which :func:`number` counts them."""
        ranges = [range(self.n_classes) if place == "x" else (-1,) for place in self.kinds[kind]]
        return torch.tensor(list(itertools.product(*ranges)))

    def probabilities(self, kind: int) -> np.ndarray[Any, Any]:
        """Return the enumerated distribution of a kind of task, shape (C,)."""
        states = self.states(kind)
        energy = self.energy(torch.full((len(states),), kind))
        with torch.no_grad():
            free = energy.free_energy(one_hot(states, self.n_classes, energy.dtype))
        probabilities: np.ndarray[Any, Any] = torch.softmax(-free.double(), 0).numpy()
        return probabilities


def number(states: Tensor, n_classes: int) -> Tensor:
    """Return the number of each state, shape (B, T) to (B,): its answers that exist, read as digits."""
    numbers = torch.zeros(states.shape[0], dtype=torch.int64, device=states.device)
    for column in states.T:
        numbers = torch.where(column >= 0, numbers * n_classes + column, numbers)
    return numbers


def models() -> list[Model]:
    """Return models of every class of :mod:`deem_crowd.samplers.base`, with answers missing, of up to 81 states."""
    return [
        _network("one unit, K=2", 2, "xxxx"),
        _network("one unit, K=3, tasks with other answers missing", 3, "x.xx.", ".xxxx", "....."),
        _network("two units, K=4, one answer missing", 4, "xx.", n_units=2),
        _network("one answer", 2, ".x."),
        _network("layers, K=3, tasks with other answers missing", 3, "xx.x", "x.xx", layered=True),
        _table("no hidden units, K=3, tasks with other tables", 3, "xxx", "x.x"),
    ]


def _network(name: str, k: int, *kinds: str, n_units: int = 1, layered: bool = False) -> Model:
    """Return the engine's own model with random weights."""
    generator = torch.Generator().manual_seed(_SEED)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    n_places = len(kinds[0])
    stack = None
    if layered:
        stack = layers.build(k, n_places, [n_places], "sparsemax", "identity", 0.3, generator)
    columns = n_units * k + 1
    units = Units(normal(n_units, k), normal(k, columns) / 2, normal(n_places, k, columns))
    network = Network(units, stack)

    def bind(mask: Tensor, kind: Tensor) -> TaskEnergy:
        state = torch.where(mask, 0, -1)
        answers = one_hot(state, k, torch.float64)
        batch = Batch(
            torch.arange(len(mask), device=mask.device),
            None,
            answers,
            mask,
            torch.zeros_like(state),
        )
        return network.to(mask.device).bind(batch)

    return Model(name, k, kinds, bind)


def _table(name: str, k: int, *kinds: str) -> Model:
    """Return tasks with a random table for each kind."""
    generator = torch.Generator().manual_seed(_SEED)
    shape = (len(kinds), *[k] * len(kinds[0]))
    tables = 1.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return Model(name, k, kinds, lambda mask, kind: TableEnergy(tables.to(mask.device)[kind], mask))

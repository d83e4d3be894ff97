"""What a model to which a few answers were added says of all tasks, worked out when it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.incremental.growth import Growth
from deem_crowd.estimators.incremental.memory import Memory
from deem_crowd.model.grown import Addition, GrownDesign
from deem_crowd.model.votes import best_and_ties
from deem_crowd.runtime import threads
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.runtime.cached import cached_property
from deem_crowd.selection.selected import settle


@dataclass(frozen=True, eq=False)
class AllTasks:
    """Probabilities and labels of all tasks under the present tables, computed when they are first read.

    Pickles and copies hold the model and the answers, not what was computed.

    Attributes
    ----------
    model : FittedModel
        With its growth.
    memory : Memory
        All answers, those that were added included.
    """

    model: FittedModel
    memory: Memory

    @property
    def posterior(self) -> torch.Tensor:
        """p(label | x_n), shape (N, K), in the dtype of the matrix."""
        return self._said[0]

    @property
    def label(self) -> torch.Tensor:
        """The likeliest classes, integers, shape (N,), −1 without answers; ties as in ``best_class``."""
        return self._said[1]

    @cached_property
    def _said(self) -> tuple[torch.Tensor, torch.Tensor]:
        return _said(self.model, self.memory)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Leave what was computed out of pickles and copies."""
        return AllTasks, (self.model, self.memory)


@undisturbed
def _said(model: FittedModel, memory: Memory) -> tuple[torch.Tensor, torch.Tensor]:
    growth: Growth = model.growth
    with threads.chosen(growth.base.n_answers * growth.base.n_classes):
        addition = Addition.of(memory.later, growth.base)
        design = GrownDesign(growth.base, addition, memory.n_tasks, memory.n_workers)
        energies = [part.energy for part in growth.parts]
        found = [energy.fold(design.states(energy.weight, energy.bias)) for energy in energies]
        posterior = found[0] if model.pool is None else model.pool.pooled(found, design)
        if memory.known is None:
            return posterior, _labels(posterior, design)
        known = torch.from_numpy(memory.settled.at(np.arange(memory.n_tasks)))
        settle(posterior, known)
        return posterior, torch.where(known >= 0, known, _labels(posterior, design))


def _labels(p: torch.Tensor, design: GrownDesign) -> torch.Tensor:
    if not p.shape[1]:
        return torch.full((len(p),), -1, dtype=torch.int64, device=p.device)
    best, open_, tied = best_and_ties(p)
    if len(open_):
        best[open_] = torch.where(tied, design.votes[open_], -1.0).argmax(1)
    best[design.silent()] = -1
    return best

"""Samplers that draw hidden units: block Gibbs, and independent draws where the partition function is a short sum."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from deem_crowd.samplers.base import BlockEnergy, Sampler, TaskEnergy, TractableEnergy, one_hot


class Gibbs(Sampler):
    """Block Gibbs: one step draws all hidden units, then all answers; no draw is ever rejected."""

    needs: ClassVar[type] = BlockEnergy

    def sample(
        self,
        energy: TaskEnergy,
        state: Tensor,
        mask: Tensor,
        n_steps: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the state after ``n_steps`` sweeps. See :meth:`Sampler.sample`."""
        self.require(energy)
        assert isinstance(energy, BlockEnergy)
        for _ in range(n_steps):
            answers = one_hot(state, energy.n_classes, energy.dtype)
            hidden = energy.draw_hidden(answers, generator)
            state = torch.where(mask, energy.draw_answers(hidden, generator), state)
        return state


class Exact(Sampler):
    """Ancestral draws, h from its marginal and then each answer given h, whatever the state and the number of steps."""

    needs: ClassVar[type] = TractableEnergy

    def sample(
        self,
        energy: TaskEnergy,
        state: Tensor,
        mask: Tensor,
        n_steps: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Return a fresh draw; ``n_steps=0`` returns the state. See :meth:`Sampler.sample`."""
        self.require(energy)
        assert isinstance(energy, TractableEnergy)
        if n_steps == 0:
            return state
        hidden = energy.draw_hidden_prior(mask, generator)
        return torch.where(mask, energy.draw_answers(hidden, generator), state)

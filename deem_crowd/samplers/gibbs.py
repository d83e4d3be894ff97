"""Block Gibbs: the hidden units given the answers, then the answers given the hidden units."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from deem_crowd.samplers.base import BlockEnergy, Sampler, TaskEnergy, one_hot


class Gibbs(Sampler):
    """One step draws all hidden units and then all answers; nothing is ever rejected."""

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

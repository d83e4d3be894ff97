"""Independent draws where the partition function is a short sum: h from its marginal, then each answer given h."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from deem_crowd.samplers.base import Sampler, TaskEnergy, TractableEnergy


class Exact(Sampler):
    """Ancestral draws; what the state was, and the number of steps, does not matter."""

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

"""Persistent chains: one per task, over the answers that the task has, kept from one training step to the next."""

from __future__ import annotations

import torch
from torch import Tensor

from deem_crowd.samplers.base import Sampler, TaskEnergy


class Chains:
    """The states of all tasks' chains, stored as one label per answer (Tieleman, ICML 2008).

    Parameters
    ----------
    labels : LongTensor, shape (R,)
        Where the chains start, and restart: the data.
    sampler : Sampler
    restart : float
        Share of the tasks of a batch whose chains start from the data again, at each step.
    generator : torch.Generator
    """

    def __init__(
        self, labels: Tensor, sampler: Sampler, restart: float, generator: torch.Generator
    ) -> None:
        self._data = labels
        self._states = labels.expand(sampler.n_replicas, -1).clone()
        self._sampler, self._restart, self._generator = sampler, restart, generator

    def advance(self, energy: TaskEnergy, index: Tensor, mask: Tensor, n_steps: int) -> Tensor:
        """Move the chains of a batch and return the state of the first replica, shape (B, T).

        Parameters
        ----------
        energy : TaskEnergy
        index : LongTensor, shape (B, T)
            The number of each answer among all R.
        mask : BoolTensor, shape (B, T)
        n_steps : int
        """
        state = self._states[:, index]
        again = torch.rand(
            len(mask), generator=self._generator, device=mask.device, dtype=torch.float32
        )
        state = torch.where((again < self._restart)[:, None], self._data[index], state)
        state = torch.where(mask, state, -1)
        single = self._sampler.n_replicas == 1
        with torch.no_grad():
            moved = self._sampler.sample(
                energy, state[0] if single else state, mask, n_steps, self._generator
            )
        moved = moved[None] if single else moved
        exists = mask.expand(moved.shape)
        where = index.expand(moved.shape)[exists].view(len(moved), -1)
        self._states.scatter_(1, where, moved[exists].view(len(moved), -1))
        return moved[0]

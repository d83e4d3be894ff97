"""Persistent chains: one per task, over the answers that the task has, kept from one training step to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from deem_crowd.exceptions import DeemCrowdError, PluginError
from deem_crowd.samplers import BUILT_IN
from deem_crowd.samplers.base import Sampler, TaskEnergy


@contextmanager
def named(sampler: Sampler) -> Iterator[None]:
    """Name a sampler of somebody else in the error that it raises.

    Raises
    ------
    PluginError
    """
    try:
        yield
    except (DeemCrowdError, MemoryError):
        raise
    except Exception as error:
        if type(sampler) in BUILT_IN.values():
            raise
        name = type(sampler).__name__
        raise PluginError(
            f"sampler {name} raised {type(error).__name__}: {error}. deem_crowd.testing.check_sampler({name}) says "
            "what to correct."
        ) from error


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

        Raises
        ------
        PluginError
            If the sampler fails, or returns values that are no labels of these answers.
        """
        state = self._states[:, index]
        again = torch.rand(
            len(mask), generator=self._generator, device=mask.device, dtype=torch.float32
        )
        state = torch.where((again < self._restart)[:, None], self._data[index], state)
        state = torch.where(mask, state, -1)
        single = self._sampler.n_replicas == 1
        begun = state[0] if single else state
        with torch.no_grad(), named(self._sampler):
            moved = self._sampler.sample(energy, begun, mask, n_steps, self._generator)
        self._refuse_rubbish(moved, begun, mask, energy.n_classes)
        moved = moved[None] if single else moved
        exists = mask.expand(moved.shape)
        where = index.expand(moved.shape)[exists].view(len(moved), -1)
        self._states.scatter_(1, where, moved[exists].view(len(moved), -1))
        return moved[0]

    def _refuse_rubbish(self, moved: Any, begun: Tensor, mask: Tensor, n_classes: int) -> None:
        """Raise unless a state is labels where answers exist, and −1 where none does."""
        if not isinstance(moved, Tensor):
            what = f"a {type(moved).__name__}, not a tensor of labels"
        elif moved.shape != begun.shape or moved.dtype != begun.dtype:
            what = (
                f"shape {tuple(moved.shape)} and {moved.dtype} for a state of shape {tuple(begun.shape)} and "
                f"{begun.dtype}"
            )
        elif not bool(torch.where(mask, (moved >= 0) & (moved < n_classes), moved == -1).all()):
            what = f"other numbers than labels 0..{n_classes - 1}, and −1 where no answer exists"
        else:
            return
        name = type(self._sampler).__name__
        raise PluginError(
            f"sampler {name} returned {what}. deem_crowd.testing.check_sampler({name}) says what to correct."
        )

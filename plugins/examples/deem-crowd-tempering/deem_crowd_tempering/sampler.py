"""Parallel tempering over persistent chains, with locally informed moves at each temperature."""

from __future__ import annotations

import torch

from deem_crowd.exceptions import ParameterError
from deem_crowd.samplers.base import Sampler, TaskEnergy, bernoulli, one_hot
from deem_crowd.samplers.gwg import GibbsWithGradients


class Tempered(TaskEnergy):
    """Replicas of a model, each at an inverse temperature of its own.

    Parameters
    ----------
    energy : TaskEnergy
        Of B tasks.
    inverse_temperatures : Tensor, shape (C,)
    """

    def __init__(self, energy: TaskEnergy, inverse_temperatures: torch.Tensor) -> None:
        self.n_classes, self.dtype = energy.n_classes, energy.dtype
        self._energy, self._beta = energy, inverse_temperatures

    def free_energy(self, answers: torch.Tensor) -> torch.Tensor:
        """Return β_c F, shape (C, B), of answers of shape (C, B, T, K)."""
        return self._beta[:, None].to(self.dtype) * self._energy.free_energy(answers)


class ParallelTempering(Sampler):
    """C chains per task at rising temperatures, of which the first follows the model.

    A step moves every chain by Gibbs with gradients and then offers every second pair of neighbours to trade places.

    Parameters
    ----------
    n_replicas : int
        C, at least 2.
    hottest : float
        Inverse temperature of the last chain, in (0, 1); those between are spaced geometrically.
    """

    def __init__(self, n_replicas: int = 4, hottest: float = 0.2) -> None:
        super().__init__()
        if n_replicas < 2:
            raise ParameterError(
                f"n_replicas={n_replicas!r} is not allowed: it is an integer >= 2."
            )
        if not 0 < hottest < 1:
            raise ParameterError(f"hottest={hottest!r} is not allowed: it is between 0 and 1.")
        self.n_replicas, self.hottest = n_replicas, hottest
        self._moves = GibbsWithGradients()

    def sample(
        self,
        energy: TaskEnergy,
        state: torch.Tensor,
        mask: torch.Tensor,
        n_steps: int,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the states, shape (C, B, T), after ``n_steps`` moves and offers to trade."""
        self.require(energy)
        steps = torch.linspace(0, 1, self.n_replicas, dtype=torch.float64, device=state.device)
        beta = self.hottest**steps
        tempered = Tempered(energy, beta)
        everywhere = mask.expand(state.shape)
        for step in range(n_steps):
            state = self._moves.sample(tempered, state, everywhere, 1, generator)
            state = self._trade(energy, state, beta, step % 2, generator)
        return state

    @property
    def acceptance(self) -> float | None:
        """The share of moves accepted, at all temperatures together."""
        return self._moves.acceptance

    def reset(self) -> None:
        """Forget the counts of moves."""
        self._moves.reset()

    def _trade(
        self,
        energy: TaskEnergy,
        state: torch.Tensor,
        beta: torch.Tensor,
        first: int,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Let chains (first, first + 1), (first + 2, first + 3) … trade places, accepted by Metropolis-Hastings."""
        with torch.no_grad():
            free = energy.free_energy(one_hot(state, energy.n_classes, energy.dtype)).double()
        cold = torch.arange(first, self.n_replicas - 1, 2, device=state.device)
        if len(cold) == 0:
            return state
        hot = cold + 1
        log_ratio = (beta[cold] - beta[hot])[:, None] * (free[cold] - free[hot])
        taken = bernoulli(log_ratio, generator)[..., None]
        traded = state.clone()
        traded[cold] = torch.where(taken, state[hot], state[cold])
        traded[hot] = torch.where(taken, state[cold], state[hot])
        return traded

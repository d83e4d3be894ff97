r"""Tasks that are easier, or harder, than a model's tables say.

A member of the pool has one table a worker, whatever the task. Here the table of worker i on a task is t_i to a power
β, normalised anew: at β = 0 everybody guesses, below 1 the task is hard, above it easy. β is one of a few levels, and
their shares ω are those of highest likelihood:

    p(x_n) = Σ_β ω_β Σ_h π_h Π_i t_i[x_ni | h]^β / Σ_l t_i[l | h]^β

The posterior p(h | x_n) sums over β: answers that contradict one another say that the task is hard, and count less. It
is the model of Whitehill, Ruvolo, Wu, Bergsma and Movellan (NIPS 2009), with tables for one accuracy a worker and
levels for a continuum, so that nothing is approximated. The likelihood is concave in ω, so that EM finds the best.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.rows import softmax

LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""β; the level 1 is the member itself."""
_ROUNDS, _SETTLED = 50, 1e-4
_MOST_TASKS = 20_000
"""The shares are learned from so many tasks, evenly spaced; of more, they would be known better than they need be."""


@dataclass(frozen=True, eq=False)
class Difficulty:
    """What a member says of N tasks of several levels of difficulty.

    Attributes
    ----------
    energy : Energy
        The member.
    design : DesignMatrix
    likelihood : float64 Tensor, shape (number of levels, N)
        log p(x_n | β), up to what all levels have alike.
    shares : float64 Tensor, shape (number of levels,)
        ω; they sum to 1.
    """

    energy: Energy
    design: DesignMatrix
    likelihood: torch.Tensor
    shares: torch.Tensor

    @property
    def gain(self) -> float:
        """Log-likelihood of all answers, in nats, above that of the member itself."""
        mixed = torch.logsumexp(self.likelihood + self.shares.log()[:, None], 0)
        return float((mixed - self.likelihood[LEVELS.index(1.0)]).sum())

    def posterior(self) -> torch.Tensor:
        """Return p(label | x_n), summed over the levels, float64, shape (N, K)."""
        levels = torch.softmax(self.likelihood + self.shares.log()[:, None], 0)
        posterior = torch.zeros(())
        for level, logits in zip(levels, _state_logits(self.energy, self.design), strict=True):
            posterior = posterior.to(logits) + level[:, None] * softmax(logits)[0]
        return self.energy.fold(posterior)


def with_levels(energy: Energy, design: DesignMatrix) -> Difficulty:
    """Return a member with levels of difficulty; its tables stay."""
    likelihood = torch.stack([softmax(logits)[1] for logits in _state_logits(energy, design)])
    some = likelihood[:, :: max(1, -(-likelihood.shape[1] // _MOST_TASKS))]
    shares = torch.full((len(LEVELS), 1), 1 / len(LEVELS)).to(likelihood)
    for _ in range(_ROUNDS):
        before = shares
        levels = torch.softmax(some + shares.log(), 0)
        shares = levels.mean(1, keepdim=True).clamp_min(1e-12)
        if float((shares - before).abs().max()) < _SETTLED:
            break
    return Difficulty(energy, design, likelihood, shares[:, 0])


def pays(gain: float, design: DesignMatrix) -> bool:
    """Tell whether levels gain more, in nats, than their free shares cost (Schwarz, Annals of Statistics 6, 1978)."""
    return gain > (len(LEVELS) - 1) / 2 * math.log(max(design.n_tasks, 1))


def _state_logits(energy: Energy, design: DesignMatrix) -> Iterator[torch.Tensor]:
    """Yield the logits of the states at each level, float64, shape (N, S)."""
    weight = energy.weight
    partition = torch.logsumexp(weight, 1, keepdim=True)
    for level in LEVELS:
        powered = level * weight
        powered = powered - torch.logsumexp(powered, 1, keepdim=True) + partition
        yield replace(energy, weight=powered).state_logits(design).double()

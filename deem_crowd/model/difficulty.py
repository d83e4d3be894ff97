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

from deem_crowd.model.design import DesignMatrix, softmax
from deem_crowd.model.energy import Energy

LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""β; the level 1 is the member itself."""
_ROUNDS = 50


@dataclass(frozen=True)
class Difficulty:
    """What a member says of N tasks of several levels of difficulty.

    Attributes
    ----------
    posterior : Tensor, shape (N, K)
        p(label | x_n), summed over the levels.
    shares : Tensor, shape (number of levels,)
        ω; they sum to 1.
    gain : float
        Log-likelihood of all answers, in nats, above that of the member itself.
    """

    posterior: torch.Tensor
    shares: torch.Tensor
    gain: float


def with_levels(energy: Energy, design: DesignMatrix) -> Difficulty:
    """Return what a member says where tasks are of several levels of difficulty, float64; its tables stay."""
    likelihood = torch.stack([softmax(logits)[1] for logits in _state_logits(energy, design)])
    shares = torch.full((len(LEVELS), 1), 1 / len(LEVELS), dtype=torch.float64)
    shares = shares.to(likelihood.device)
    for _ in range(_ROUNDS):
        levels = torch.softmax(likelihood + shares.log(), 0)
        shares = levels.mean(1, keepdim=True).clamp_min(1e-12)
    levels = torch.softmax(likelihood + shares.log(), 0)
    posterior = torch.zeros(())
    for level, logits in zip(levels, _state_logits(energy, design), strict=True):
        posterior = posterior.to(logits) + level[:, None] * softmax(logits)[0]
    gained = torch.logsumexp(likelihood + shares.log(), 0) - likelihood[LEVELS.index(1.0)]
    return Difficulty(energy.fold(posterior), shares[:, 0], float(gained.sum()))


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

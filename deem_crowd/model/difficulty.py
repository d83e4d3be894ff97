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

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.rows import softmax

LEVELS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""β; the level 1 is the member itself."""
_ROUNDS, _SETTLED = 50, 1e-4
MOST_TASKS = 20_000
"""Most tasks that the shares are learned from, which is precise enough."""


@dataclass(frozen=True, eq=False)
class Difficulty:
    """A member with tasks of several levels of difficulty.

    Attributes
    ----------
    energy : Energy
        The member.
    shares : float64 Tensor, shape (number of levels,)
        ω; they sum to 1.
    gain : float
        Log-likelihood of the answers that they were learned from, in nats, above that of the member itself.
    """

    energy: Energy
    shares: torch.Tensor
    gain: float

    def posterior(self, design: DesignMatrix) -> torch.Tensor:
        """Return p(label | x_n), summed over the levels, shape (N, K)."""
        states = torch.zeros(())
        total = torch.full((design.n_tasks,), -torch.inf, dtype=design.dtype, device=design.device)
        for share, logits in zip(self.shares.tolist(), _logits(self.energy, design), strict=True):
            posterior, likelihood = softmax(logits)
            likelihood += math.log(share)
            before, total = total, torch.logaddexp(total, likelihood)
            states = posterior.mul_(likelihood.sub_(total).exp_()[:, None]).add_(
                states * (before - total).exp_()[:, None]
            )
        return self.energy.fold(states)


def with_levels(energy: Energy, design: DesignMatrix) -> Difficulty:
    """Return a member with levels of difficulty, learned from the tasks of ``design``; its tables stay."""
    likelihood = torch.stack([softmax(logits.double())[1] for logits in _logits(energy, design)])
    shares = likelihood.new_full((len(LEVELS), 1), 1 / len(LEVELS))
    for _ in range(_ROUNDS):
        before = shares
        levels = torch.softmax(likelihood + shares.log(), 0)
        shares = levels.mean(1, keepdim=True).clamp_min(1e-12)
        if float((shares - before).abs().max()) < _SETTLED:
            break
    mixed = torch.logsumexp(likelihood + shares.log(), 0)
    return Difficulty(energy, shares[:, 0], float((mixed - likelihood[LEVELS.index(1.0)]).sum()))


def some_tasks(answers: Answers) -> Answers:
    """Return the answers to :data:`MOST_TASKS` tasks at most, evenly spaced."""
    step = -(-answers.n_tasks // MOST_TASKS)
    return answers if step <= 1 else answers.select(tasks=slice(None, None, step))


def pays(gain: float, design: DesignMatrix) -> bool:
    """Tell whether levels gain more, in nats, than their free shares cost (Schwarz, Annals of Statistics 6, 1978)."""
    return gain > (len(LEVELS) - 1) / 2 * math.log(max(design.n_tasks, 1))


def _logits(energy: Energy, design: DesignMatrix) -> Iterator[torch.Tensor]:
    """Yield the logits of the states at each level, shape (N, S)."""
    partition = torch.logsumexp(energy.weight, 1, keepdim=True)
    for level in LEVELS:
        powered = level * energy.weight
        powered = powered - torch.logsumexp(powered, 1, keepdim=True) + partition
        yield replace(energy, weight=powered).state_logits(design)

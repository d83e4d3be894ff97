r"""What the Metropolis-Hastings samplers share: scores of single changes, and the accepting of a proposal.

The score of changing answer t to class l is ``d[t, l] − d[t, x_t]`` with ``d = −∂F/∂x``: the first-order estimate of
how log p changes. It guides the proposal only; acceptance uses F itself, so that the draws follow p exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deem_crowd.samplers.base import TaskEnergy, bernoulli, one_hot


def scores(energy: TaskEnergy, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p up to a constant, shape (..., B), and the scores of all changes, shape (..., B, T, K)."""
    answers = one_hot(state, energy.n_classes, energy.dtype).requires_grad_(True)
    with torch.enable_grad():
        log_p = -energy.free_energy(answers)
        (slope,) = torch.autograd.grad(log_p.sum(), answers)
    here = slope.gather(-1, state.clamp_min(0)[..., None])
    return log_p.detach().to(torch.float64), (slope - here).to(torch.float64)


def accept(log_ratio: Tensor, generator: torch.Generator) -> Tensor:
    """Return which proposals are accepted, shape (..., B): each with probability min(1, exp(log_ratio))."""
    return bernoulli(log_ratio, generator)

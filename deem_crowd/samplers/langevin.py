r"""The discrete Langevin proposal: Zhang, Liu, Liu, *A Langevin-like Sampler for Discrete Distributions*, ICML 2022.

All answers of a task may change at once, independently of each other: answer t becomes l with probability
∝ exp(score[t, l] / 2 − [l ≠ x_t] / α), where α is the step size (two one-hot vectors are √2 apart). The whole change
is accepted or not, by Metropolis-Hastings.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deem_crowd.exceptions import ParameterError
from deem_crowd.samplers.base import MetropolisHastings, draw


class DiscreteLangevin(MetropolisHastings):
    """Factorised proposals of all answers at once, corrected by Metropolis-Hastings.

    Parameters
    ----------
    step_size : float
        α; larger steps change more answers and are accepted less often.
    target_acceptance : float
        What :meth:`adapt` steers towards; 0.574 is the optimum of the Langevin algorithm (Roberts and Rosenthal,
        J. R. Stat. Soc. B 60, 1998).
    """

    def __init__(self, step_size: float = 1.0, target_acceptance: float = 0.574) -> None:
        super().__init__()
        if not step_size > 0:
            raise ParameterError(f"step_size={step_size!r} is not allowed: it is a number > 0.")
        if not 0 < target_acceptance < 1:
            raise ParameterError(
                f"target_acceptance={target_acceptance!r} is not allowed: it is a number between 0 and 1."
            )
        self.step_size = step_size
        self.target_acceptance = target_acceptance

    def adapt(self) -> None:
        """Move the step size towards the target acceptance, by at most a factor e^(1/2)."""
        if self.acceptance is not None:
            self.step_size *= math.exp(0.5 * (self.acceptance - self.target_acceptance))
            self.step_size = min(max(self.step_size, 1e-2), 1e2)
            self.reset()

    def log_proposal(self, score: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return log q of each label of each answer, shape (..., B, T, K)."""
        same = state.clamp_min(0)[..., None] == torch.arange(score.shape[-1], device=state.device)
        return torch.log_softmax(score / 2 - (~same).to(score.dtype) / self.step_size, -1)

    def propose(
        self, log_q: Tensor, state: Tensor, mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw all answers; the choice is the proposed state itself. See :meth:`MetropolisHastings.propose`."""
        proposed = torch.where(mask, draw(log_q, generator), state)
        return proposed, proposed, state

    def log_chosen(self, log_q: Tensor, choice: Tensor, mask: Tensor) -> Tensor:
        """Return log q of a state, shape (..., B): the sum over the answers that exist."""
        each = log_q.gather(-1, choice.clamp_min(0)[..., None]).squeeze(-1)
        return (each * mask).sum(-1)

r"""Gibbs with gradients: Grathwohl et al., *Oops I Took a Gradient*, ICML 2021, for answers of K classes.

One answer is changed at a time: (t, l) is proposed with probability ∝ exp(score[t, l] / 2) among all changes of
answers that exist, and staying is one candidate with score 0, so that no chain is periodic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deem_crowd.samplers.base import Sampler, TaskEnergy, draw
from deem_crowd.samplers.metropolis import accept, scores


class GibbsWithGradients(Sampler):
    """Locally informed proposals of one change a step, corrected by Metropolis-Hastings."""

    def sample(
        self,
        energy: TaskEnergy,
        state: Tensor,
        mask: Tensor,
        n_steps: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the state after ``n_steps`` proposals. See :meth:`Sampler.sample`."""
        self.require(energy)
        if n_steps == 0:
            return state
        log_p, score = scores(energy, state)
        forward = _proposal(score, state, mask)
        for _ in range(n_steps):
            choice = draw(forward, generator)
            proposed = _change(state, choice, energy.n_classes)
            log_p_there, score_there = scores(energy, proposed)
            backward = _proposal(score_there, proposed, mask)
            log_q = _chosen(forward, choice)
            log_q_back = _chosen(backward, _return(state, choice, energy.n_classes))
            taken = accept(log_p_there - log_p + log_q_back - log_q, generator)
            self._count(taken)
            state = torch.where(taken[..., None], proposed, state)
            log_p = torch.where(taken, log_p_there, log_p)
            forward = torch.where(taken[..., None], backward, forward)
        return state


def _proposal(score: Tensor, state: Tensor, mask: Tensor) -> Tensor:
    """Return log q of every change and, last, of staying, shape (..., B, T·K + 1)."""
    same = torch.nn.functional.one_hot(state.clamp_min(0), score.shape[-1]).bool()
    barred = same | ~mask[..., None]
    moves = (score / 2).masked_fill(barred, -torch.inf).flatten(-2)
    stay = moves.new_zeros((*moves.shape[:-1], 1))
    return torch.log_softmax(torch.cat([moves, stay], -1), -1)


def _change(state: Tensor, choice: Tensor, n_classes: int) -> Tensor:
    """Return the state after the chosen change, coded t·K + l; T·K is staying."""
    place = torch.div(choice, n_classes, rounding_mode="floor")[..., None]
    stays = place >= state.shape[-1]
    place = place.clamp_max(state.shape[-1] - 1)
    label = torch.where(stays, state.gather(-1, place), (choice % n_classes)[..., None])
    return state.scatter(-1, place, label)


def _return(state: Tensor, choice: Tensor, n_classes: int) -> Tensor:
    """Return the change that undoes ``choice``."""
    place = torch.div(choice, n_classes, rounding_mode="floor")[..., None]
    stays = place >= state.shape[-1]
    before = state.gather(-1, place.clamp_max(state.shape[-1] - 1))
    return torch.where(stays, choice[..., None], place * n_classes + before).squeeze(-1)


def _chosen(log_q: Tensor, choice: Tensor) -> Tensor:
    return log_q.gather(-1, choice[..., None]).squeeze(-1)

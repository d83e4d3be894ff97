r"""Gibbs with gradients: Grathwohl et al., *Oops I Took a Gradient*, ICML 2021, for answers of K classes.

One answer is changed at a time: (t, l) is proposed with probability ∝ exp(score[t, l] / 2) among all changes of
answers that exist, and staying is one candidate with score 0, so that no chain is periodic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deem_crowd.samplers.base import MetropolisHastings, draw


class GibbsWithGradients(MetropolisHastings):
    """Locally informed proposals of one change a step, corrected by Metropolis-Hastings.

    A choice is coded t·K + l, and T·K is staying.
    """

    def log_proposal(self, score: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return log q of every change and, last, of staying, shape (..., B, T·K + 1)."""
        same = state.clamp_min(0)[..., None] == torch.arange(score.shape[-1], device=state.device)
        barred = same | ~mask[..., None]
        moves = (score / 2).masked_fill(barred, -torch.inf).flatten(-2)
        stay = moves.new_zeros((*moves.shape[:-1], 1))
        return torch.log_softmax(torch.cat([moves, stay], -1), -1)

    def propose(
        self, log_q: Tensor, state: Tensor, mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one change of one answer. See :meth:`MetropolisHastings.propose`."""
        choice = draw(log_q, generator)
        n_places = state.shape[-1]
        n_classes = (log_q.shape[-1] - 1) // max(n_places, 1)
        place = torch.div(choice, n_classes, rounding_mode="floor")[..., None]
        stays = place >= n_places
        place = place.clamp_max(n_places - 1)
        before = state.gather(-1, place)
        label = torch.where(stays, before, (choice % n_classes)[..., None])
        undo = torch.where(stays, choice[..., None], place * n_classes + before).squeeze(-1)
        return state.scatter(-1, place, label), choice, undo

    def log_chosen(self, log_q: Tensor, choice: Tensor, mask: Tensor) -> Tensor:
        """Return log q of a choice, shape (..., B)."""
        return log_q.gather(-1, choice[..., None]).squeeze(-1)

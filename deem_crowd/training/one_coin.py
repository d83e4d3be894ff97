"""One accuracy a worker with a learned Beta prior, and one confusion of errors that all share.

One-coin Dawid-Skene with unequal errors; the member of a pool beside those of :mod:`deem_crowd.training.em`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.training.confusion import RIGHT, WRONG, LearnedPrior
from deem_crowd.training.dirichlet import learned_pseudo_answers
from deem_crowd.training.em import PASSES, Member, Tables, WarmStart, class_log_prior, climb

ERROR_CONCENTRATIONS = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
"""Of the prior on a confusion of errors: the larger, the more even they are."""


class OneCoin(LearnedPrior):
    """One accuracy a worker and one confusion of errors for all; see :class:`deem_crowd.training.em.MStep`.

    α, shape (2,), are right and wrong pseudo-answers.
    """

    n_subtypes, bounded = 1, False

    def __init__(self, warm_start: WarmStart | None = None) -> None:
        super().__init__(torch.tensor([RIGHT, WRONG], dtype=torch.float64), warm_start)

    def update(self, counts: torch.Tensor, tasks: torch.Tensor, number: int) -> Tables:
        """See :class:`deem_crowd.training.em.MStep`."""
        if self._learns(number):
            right = torch.diagonal(counts, dim1=1, dim2=2).sum(1)
            pairs = torch.stack([right, counts.sum((1, 2)) - right], 1)[:, :, None]
            alpha, base = self.pseudo_answers[:, None], self._base[:, None]
            self.pseudo_answers = learned_pseudo_answers(pairs, alpha, base).ravel()
        weight = one_coin_table(counts, self.pseudo_answers)
        return Tables(weight, class_log_prior(tasks, counts.shape[1], 1))

    def log_evidence(self, counts: torch.Tensor, tasks: torch.Tensor) -> float:
        """Return NaN: the bound of this member is not asked for."""
        return math.nan


def fit_one_coin(
    design: DesignMatrix,
    start: torch.Tensor,
    power: torch.Tensor | None = None,
    gold: torch.Tensor | None = None,
    n_passes: int = PASSES,
    warm_start: WarmStart | None = None,
    progress: Callable[[int, float], None] | None = None,
    first: torch.Tensor | None = None,
) -> Member:
    """Fit one accuracy a worker and one confusion of errors for all.

    Parameters are those of :func:`deem_crowd.training.em.climb`.
    """
    return climb(
        design, start, OneCoin(warm_start), power=power, gold=gold, n_passes=n_passes,
        progress=progress, warm_start=warm_start, first=first,
    )  # fmt: skip


def one_coin_table(counts: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return log-tables of one accuracy a worker from expected counts, shape (D, K, K); ``alpha`` has shape (2,)."""
    wrong = ~torch.eye(counts.shape[1], dtype=torch.bool)
    right = torch.diagonal(counts, dim1=1, dim2=2).sum(1)
    missed = counts.sum((1, 2)) - right
    accuracy = (right + alpha[0]) / (right + missed + alpha.sum())
    errors, _ = shared_errors(counts.sum(0))
    table = torch.where(wrong, (1 - accuracy)[:, None, None] * errors, accuracy[:, None, None])
    return torch.log(table.clamp_min(1e-12))


def shared_errors(counts: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return one confusion of errors for counts of (answer, label), and its evidence less its likelihood, in nats.

    ``counts`` has shape (K, K); so has the confusion: zeros on the diagonal, columns that sum to 1.

    The prior is a symmetric Dirichlet, with the concentration of :data:`ERROR_CONCENTRATIONS` of largest evidence.
    """
    k = len(counts)
    eye = torch.eye(k, dtype=torch.bool)
    if k <= 2:  # there is one way to be wrong
        return (~eye).to(torch.float64), 0.0
    wrong = counts.masked_fill(eye, 0.0)
    totals = wrong.sum(0)
    prior, log_gamma, of_totals = _of_concentrations(k)
    cells = torch.lgamma(wrong + prior[:, None, None]) - log_gamma
    columns = torch.lgamma(totals + prior[:, None] * (k - 1))
    gained = cells.masked_fill_(eye, 0.0).sum((1, 2))
    evidence = gained - columns.sum(1) + of_totals
    best, place = float(evidence.max()), int(evidence.argmax())
    concentration = ERROR_CONCENTRATIONS[place]
    errors = (wrong + concentration).masked_fill(eye, 0.0)
    errors = errors / errors.sum(0)
    return errors, best - float(torch.xlogy(wrong, errors).masked_fill(eye, 0.0).sum())


@functools.cache
def _of_concentrations(k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the concentrations, shape (C,), log Γ of each, (C, 1, 1), and K log Γ of their sums over K − 1 errors."""
    prior = torch.tensor(ERROR_CONCENTRATIONS, dtype=torch.float64)
    return prior, torch.lgamma(prior)[:, None, None], k * torch.lgamma(prior * (k - 1))

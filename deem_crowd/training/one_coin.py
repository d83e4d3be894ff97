"""One accuracy a worker with a learned Beta prior, and one confusion of errors that all share.

One-coin Dawid-Skene with unequal errors; the member of a pool beside those of :mod:`deem_crowd.training.em`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.expectation import counts_of
from deem_crowd.training.em import (
    PASSES,
    RIGHT,
    WRONG,
    Clamp,
    Member,
    WarmStart,
    begin,
    class_log_prior,
    expect,
    learned_pseudo_answers,
    log_average_table,
    reach,
    tell,
    weighted,
)
from deem_crowd.training.ending import rests

ERROR_CONCENTRATIONS = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
"""Of the prior on a confusion of errors: the larger, the more even they are."""


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

    Parameters are those of :func:`deem_crowd.training.em.fit_confusion`.
    """
    k = design.n_classes
    n_passes, least = reach(n_passes, warm_start)
    base, clamp = torch.tensor([RIGHT, WRONG], dtype=torch.float64), Clamp(design, gold)
    at = design.group.loop(weight=base, bias=base, alpha=base)
    if at.number:
        expected = expect(design, at.weight, at.bias, clamp)
        states = expected.states
    else:
        at.alpha, states = begin(design, base, start, clamp, warm_start)
    for number in at.passes(max(n_passes, 1)):
        known = first is not None and states is start
        counts = first if known and first is not None else counts_of(design, states)
        if number > 1 or warm_start is not None:
            right = torch.diagonal(counts, dim1=1, dim2=2).sum(1)
            missed = counts.sum((1, 2)) - right
            pairs = torch.stack([right, missed], 1)[:, :, None]
            at.alpha = learned_pseudo_answers(pairs, at.alpha[:, None], base[:, None]).ravel()
        at.weight = weighted(one_coin_table(counts, at.alpha), power)
        at.bias = class_log_prior(design.total(states), k, 1)
        expected = expect(design, at.weight, at.bias, clamp)
        tell(progress, number, expected, design)
        at.done = number >= least and rests(design, expected.states, states)
        states = expected.states
    energy = Energy(at.bias, at.weight, log_average_table(at.weight, design))
    ended = expected.task_log_likelihood
    return Member(energy, at.alpha, math.nan, at.number, states, ended, settled=True)


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
    best, concentration = -math.inf, 1.0
    for value in ERROR_CONCENTRATIONS:
        prior = torch.tensor(value, dtype=torch.float64)
        cells = (torch.lgamma(wrong + prior) - torch.lgamma(prior)).masked_fill(eye, 0.0)
        columns = torch.lgamma(totals + prior * (k - 1)) - torch.lgamma(prior * (k - 1))
        evidence = float(cells.sum() - columns.sum())
        if evidence > best:
            best, concentration = evidence, value
    errors = (wrong + concentration).masked_fill(eye, 0.0)
    errors = errors / errors.sum(0)
    return errors, best - float(torch.xlogy(wrong, errors).masked_fill(eye, 0.0).sum())

r"""One table a worker, drawn around a centre of few numbers: a hierarchical Dirichlet prior.

Given the class k, the answers of worker i are draws from a column of a table with a Dirichlet prior,

    T_i[:, k] ~ Dirichlet(s · m_i[:, k]),        E T_i[l, k] = (C[i, l, k] + s·m_i[l, k]) / (Σ_l C[i, l, k] + s),

with C the expected counts. The centre m_i says what a worker of this kind would answer, in few numbers of its own
(:class:`AccuracyCentre`, :class:`~deem_crowd.training.habit_centre.HabitCentre` and
:class:`~deem_crowd.training.ordered_centre.OrderedCentre`); the strength s, in pseudo-answers, is learned by the
evidence of all workers' tables (Dirichlet-multinomial; Minka, *Estimating a Dirichlet distribution*, 2000). Where s is
large workers follow the centre, and the model is a one-coin model (or an ordinal one); where it is small each has a
table of its own.

The energy is the mean over EM's path, as :mod:`deem_crowd.training.em` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.tables import log_tables
from deem_crowd.training.dirichlet import learned_pseudo_answers, log_marginal
from deem_crowd.training.em import PASSES, Member, Tables, class_log_prior, climb
from deem_crowd.training.one_coin import shared_errors

STRENGTHS = tuple(2.0**j for j in range(1, 11))
"""s is one of these."""
FIRST_STRENGTH = 8.0
_STRENGTH_LEARNED_AT = frozenset((2, 4, 7, 12, 20, 35))
"""Passes at which s is chosen anew."""
_SMALLEST = 1e-6

_CELLS = 2**17
"""Workers × classes × variances that are looked at together."""
_OFFSET_VARIANCES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
_VARIANCES = torch.tensor(_OFFSET_VARIANCES[1:], dtype=torch.float64)
_BETA_PRIOR = torch.tensor((2.0, 0.8), dtype=torch.float64)
"""Right and wrong pseudo-answers of a worker before anything is learned. Not to be changed."""


class Centre(Protocol):
    """What a worker's table is drawn around."""

    def update(self, counts: torch.Tensor, strength: float) -> torch.Tensor:
        """Fit the centre's numbers to expected counts, shape (D, K, K), and return m, the same shape."""

    def log_evidence(self) -> float:
        """Return the log marginal likelihood of the centre's numbers less their plug-in likelihood, in nats."""

    @property
    def carried(self) -> torch.Tensor:
        """What one update carries to the next."""

    def resume(self, carried: torch.Tensor) -> None:
        """Go on from there."""


@dataclass
class AccuracyCentre:
    r"""Each worker's own accuracy, an offset for each class, and one confusion of errors that all share.

        m_i[k, k] = σ(logit θ_i + o_k),        m_i[l, k] = (1 − m_i[k, k]) · e[l, k]   for l ≠ k

    θ_i has a Beta prior and e's columns a symmetric Dirichlet prior, both learned from all workers; o a normal one
    whose variance is chosen by Laplace's approximation of its evidence. A worker's n answers to tasks of a class count
    n (1 + s) / (n + s), the effective number of draws from a Dirichlet-multinomial.
    """

    beta: torch.Tensor = field(default_factory=_BETA_PRIOR.clone)
    _gain: float = 0.0
    _accuracies: tuple[torch.Tensor, torch.Tensor] | None = None
    """Right and wrong answers, shape (2, D), and θ at the last update; their evidence is asked for at the end alone."""
    _first: bool = True

    def update(self, counts: torch.Tensor, strength: float) -> torch.Tensor:
        """See :class:`Centre`."""
        eye = torch.eye(counts.shape[1], dtype=torch.bool)
        cells = counts.permute(1, 2, 0).contiguous()  # loops over workers are the long ones
        answers = cells.sum(0)
        share = (answers + strength).reciprocal_().mul_(1 + strength)
        right = share * torch.diagonal(cells).T
        answers = share * answers
        totals = torch.stack([right.sum(0), (answers - right).sum(0)])
        if not self._first:
            pairs = totals.T[:, :, None]
            self.beta = learned_pseudo_answers(
                pairs, self.beta[:, None], _BETA_PRIOR[:, None]
            ).ravel()
        self._first = False
        theta = (self.beta[0] + totals[0]) / (self.beta.sum() + totals.sum(0))
        theta = theta.clamp(1e-4, 1 - 1e-4)
        accuracy, offset_gain = _with_class_offsets(theta, right, answers)
        errors, error_gain = shared_errors((cells * share).sum(2))
        self._gain, self._accuracies = offset_gain + error_gain, (totals, theta)
        wrong = accuracy.neg().add_(1) * errors[:, :, None]
        tables = torch.where(eye[:, :, None], accuracy, wrong).clamp_min_(_SMALLEST)
        return tables.permute(2, 0, 1).contiguous()

    def log_evidence(self) -> float:
        """See :class:`Centre`."""
        if self._accuracies is None:
            return self._gain
        totals, theta = self._accuracies
        return self._gain + _beta_gain(totals, self.beta, theta)

    @property
    def carried(self) -> torch.Tensor:
        """See :class:`Centre`: the Beta prior of accuracies."""
        return self.beta

    def resume(self, carried: torch.Tensor) -> None:
        """See :class:`Centre`."""
        self.beta, self._first = carried, False


def _with_class_offsets(
    theta: torch.Tensor, right: torch.Tensor, answers: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Return σ(logit θ_i + o_k), shape (K, D), and the evidence of o less its likelihood.

    ``theta`` has shape (D,), ``right`` and ``answers`` (K, D).
    """
    logit = torch.logit(theta)
    total, missed = right.sum(1), answers - right
    p = torch.sigmoid(logit).expand_as(answers)
    # log (1 − p) is log p less the log-odds
    likelihood = float((answers * p.log() - missed * logit).sum())
    best_evidence = best_likelihood = likelihood
    best = p
    expected = answers * p
    seen, squared = expected.sum(1), (expected * p).sum(1)
    at_once = max(1, _CELLS // max(answers.numel(), 1))
    for variance in _VARIANCES.split(at_once):
        likelihoods, spread, p = _offsets(
            logit, answers, missed, total, seen, squared, variance[:, None]
        )
        for place, value in enumerate(likelihoods):
            evidence = value - 0.5 * spread[place]
            if evidence > best_evidence:
                best_evidence, best_likelihood, best = evidence, value, p[place]
    return best, best_evidence - best_likelihood


def _offsets(
    logit: torch.Tensor,
    answers: torch.Tensor,
    missed: torch.Tensor,
    total: torch.Tensor,
    seen: torch.Tensor,
    squared: torch.Tensor,
    variance: torch.Tensor,
) -> tuple[list[float], list[float], torch.Tensor]:
    """Return log-likelihoods and spreads, one a variance, and accuracies, shape (V, K, D), of the likeliest offsets.

    ``seen`` and ``squared``, shape (K,), are the sums of answers × p and × p² without offsets; ``variance`` has shape
    (V, 1). Three Newton steps.
    """
    offset = torch.zeros((len(variance), len(total)), dtype=torch.float64)
    precision = variance.reciprocal()
    for step in range(3):
        slope = (total - seen).sub(offset / variance)
        curvature = (seen - squared).add(precision)
        offset = slope.div_(curvature).clamp_(-1, 1).add_(offset)
        odds = logit + offset[:, :, None]
        p = torch.sigmoid(odds)
        if step < 2:
            expected = answers * p
            seen = expected.sum(2)
            squared = expected.mul_(p).sum(2)
    likelihood = (answers * p.log()).sub_(odds.mul_(missed)).sum((1, 2))
    spread = (offset.square() / variance + (curvature * variance).log()).sum(1)
    return likelihood.tolist(), spread.tolist(), p


def _beta_gain(totals: torch.Tensor, beta: torch.Tensor, theta: torch.Tensor) -> float:
    """Return log Π_i ∫ θ^right (1 − θ)^wrong Beta(θ) dθ less its value at θ_i; ``totals`` has shape (2, D)."""
    right, wrong = totals
    marginal = torch.lgamma(totals + beta[:, None]).sum(0)
    marginal -= torch.lgamma(totals.sum(0) + beta.sum())
    marginal += torch.lgamma(beta.sum()) - torch.lgamma(beta).sum()
    plug_in = torch.xlogy(right, theta) + torch.xlogy(wrong, 1 - theta)
    return float((marginal - plug_in)[totals.sum(0) > 0].sum())


@dataclass
class Hierarchical(Member):
    """A fit around a centre.

    Attributes
    ----------
    strength : float
        s, in pseudo-answers.
    centre : Centre
    by_worker : float64, shape (D,)
        What the answers of each worker add to the bound, given the centre, in nats.
    """

    strength: float = field(kw_only=True)
    centre: Centre = field(kw_only=True)
    by_worker: torch.Tensor = field(kw_only=True)


class CentredTables:
    """One table a worker around a centre; see :class:`deem_crowd.training.em.MStep`.

    Parameters
    ----------
    centre : Centre
        Changed in place.
    answered : bool, shape (D,)
        Which workers gave answers: α is s times the mean of their m_i, shape (K, K).

    Attributes
    ----------
    by_worker : float64, shape (D,)
        What the answers of each worker added to the last :meth:`log_evidence`, given the centre, in nats.
    """

    n_subtypes, bounded = 1, True

    def __init__(self, centre: Centre, answered: torch.Tensor) -> None:
        self.centre, self.strength = centre, FIRST_STRENGTH
        self._answered = answered
        self._middle = torch.zeros((), dtype=torch.float64)
        self.by_worker = torch.zeros(len(answered), dtype=torch.float64)

    def update(self, counts: torch.Tensor, tasks: torch.Tensor, number: int) -> Tables:
        """See :class:`deem_crowd.training.em.MStep`. In some passes s is learned."""
        k = counts.shape[1]
        self._middle = self.centre.update(counts, self.strength)
        if number in _STRENGTH_LEARNED_AT and k > 1:
            self.strength = learned_strength(counts, self._middle, self.strength)
        weight = log_tables(counts + self.strength * self._middle)
        return Tables(weight, class_log_prior(tasks, k, 1))

    def log_evidence(self, counts: torch.Tensor, tasks: torch.Tensor) -> float:
        """See :class:`deem_crowd.training.em.MStep`; the centre is that of these counts, and stays."""
        k = len(tasks)
        self._middle = self.centre.update(counts, self.strength)
        self.by_worker = log_marginal(counts, self.strength * self._middle).sum(1)
        value = float(self.by_worker.sum())
        value += math.lgamma(k) + float(torch.lgamma(tasks + 1).sum())
        value -= float(torch.lgamma(tasks.sum() + k))
        return value + self.centre.log_evidence()

    @property
    def pseudo_answers(self) -> torch.Tensor:
        """See :class:`deem_crowd.training.em.MStep`."""
        some = self._middle[self._answered] if bool(self._answered.any()) else self._middle
        return self.strength * some.mean(0)

    @property
    def carried(self) -> Mapping[str, Any]:
        """See :class:`deem_crowd.training.em.MStep`."""
        return {"centre": self.centre.carried, "strength": self.strength}

    def resume(self, carried: Mapping[str, Any]) -> None:
        """See :class:`deem_crowd.training.em.MStep`."""
        self.centre.resume(carried["centre"])
        self.strength = carried["strength"]


def fit_hierarchical(
    design: DesignMatrix,
    start: torch.Tensor,
    centre: Centre,
    weight: torch.Tensor | None = None,
    gold: torch.Tensor | None = None,
    n_passes: int = PASSES,
    progress: Callable[[int, float], None] | None = None,
    first: torch.Tensor | None = None,
    beat: float | None = None,
) -> Hierarchical:
    """Fit one table a worker around a centre by EM.

    Parameters
    ----------
    design : DesignMatrix
        N tasks, D workers, K classes.
    start : shape (N, K)
        Probabilities to begin with.
    centre : Centre
        Changed in place.
    weight : float64, shape (D,), optional
        What an answer of each worker counts.
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown.
    n_passes : int
        At most.
    progress : callable, optional
        Called with (passes so far, log-likelihood per task) after each pass.
    first : shape (D, K, K), optional
        Expected counts of ``start``.
    beat : float, optional
        As in :func:`deem_crowd.training.em.climb`.

    Returns
    -------
    Hierarchical
        Its bound is the variational one with tables, centre and class prior integrated out; ``pseudo_answers``,
        shape (K, K), is s times the mean centre.
    """
    m_step = CentredTables(centre, design.answered)
    member = climb(
        design, start, m_step, power=weight, gold=gold, n_passes=n_passes, progress=progress,
        average=True, first=first, beat=beat,
    )  # fmt: skip
    return Hierarchical(
        **vars(member), strength=m_step.strength, centre=centre, by_worker=m_step.by_worker
    )


def learned_strength(counts: torch.Tensor, middle: torch.Tensor, strength: float) -> float:
    """Climb from ``strength`` to the s of :data:`STRENGTHS` at a maximum of the evidence."""
    place = STRENGTHS.index(strength)
    evidence = {place: float(log_marginal(counts, strength * middle).sum())}
    while True:
        for neighbour in (place + 1, place - 1):
            if 0 <= neighbour < len(STRENGTHS) and neighbour not in evidence:
                prior = STRENGTHS[neighbour] * middle
                evidence[neighbour] = float(log_marginal(counts, prior).sum())
        best = max(evidence, key=lambda j: (evidence[j], -j))
        if best == place:
            return STRENGTHS[place]
        place = best

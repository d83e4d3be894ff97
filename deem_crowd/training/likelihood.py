r"""Exact maximum-likelihood training of the one-unit model, penalised by pseudo-answers.

Maximised over the weights W and the bias b is::

    Σ_n log p(x_n) + Σ_{i,l,h} α[l, h] · log p(x_i = l | h) + κ · Σ_h log softmax(b)[h]  − ½ Σ_{i,h} Ā[i, h]²

with log p(x_n) = − F_O(n)(x_n) − log Z_O(n) from :mod:`deem_crowd.model.energy`; a task with gold has its hidden
unit clamped to the states of that label in the first of the two terms. α are pseudo-answers that every
worker starts with (a Dirichlet prior on the columns of their table), κ pseudo-tasks per state. Ā, the worker's
log-partition centred over h, is zero in the normalised gauge; in the free gauge it is learned under a
standard normal prior.

The gradient is closed: with posterior counts C[i, l, h], model counts M[i, h] and tables p[i, l, h]::

    ∂/∂W = C − M·p + (α − α₀·p) − p·(Ā centred),      ∂/∂b = Σ_n p(h|x_n) − Σ_n p(h|O(n)) + κ(1 − S·softmax(b))

In the normalised gauge (M = Σ_l C) setting it to zero gives EM's closed step, Dawid and Skene 1979; it is
extrapolated by the squared iterative scheme of Varadhan and Roland (Scand. J. Statist. 35, 2008), and a step
that lowers the objective is taken back. The free gauge has no closed step and uses L-BFGS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.design import DesignMatrix, softmax
from deem_crowd.model.energy import Energy
from deem_crowd.model.votes import diagonal
from deem_crowd.training.em import Clamp, own_label_first
from deem_crowd.training.lbfgs import Monitor, lbfgs
from deem_crowd.warning import warn

Gauge = Literal["normalised", "free"]
Optimizer = Literal["auto", "em", "lbfgs"]
Penalty = float | Literal["learned"] | None

# Passes in which pseudo-answers are learned along with the tables, before they are held fixed.
LEARNING_PASSES = 60
# Extrapolated steps in a row that must gain less than the tolerance where there is no penalty.
PLATEAU_STEPS = 12
_FEW_CLASSES = 10
SMALLEST = 1e-10  # what an empty cell of an unpenalised table counts


@dataclass(frozen=True)
class Settings:
    """What to maximise and when to stop.

    Attributes
    ----------
    n_subtypes : int
        M hidden states per class.
    gauge : 'normalised' or 'free'
    penalty : 'learned', float or None
        α: learned from the answers (empirical Bayes), the same number in every cell, or none at all.
    prior_penalty : float
        κ; without effect where ``penalty`` is None.
    optimizer : 'auto', 'em' or 'lbfgs'
        'auto' is EM in the normalised gauge and L-BFGS in the free one.
    n_iter : int
        Most passes over the answers.
    tol : float
        Stop when a pass gains less than this, in nats per answer.
    longest_step : float
        Of the extrapolation, in EM steps; 1 is EM without it.
    """

    n_subtypes: int = 1
    gauge: Gauge = "normalised"
    penalty: Penalty = "learned"
    prior_penalty: float = 1.0
    optimizer: Optimizer = "auto"
    n_iter: int = 500
    tol: float = 1e-6
    longest_step: float = 64.0


@dataclass
class Fit:
    """The outcome of training.

    Attributes
    ----------
    energy : Energy
    pseudo_answers : Tensor, shape (K, S)
        α in use at the end.
    log_likelihood : list of float
        Log-likelihood per task at each pass, in nats.
    objective : list of float
        Penalised log-likelihood per task at each accepted pass since α was held fixed: it never falls.
    n_passes : int
    converged : bool
    """

    energy: Energy
    pseudo_answers: torch.Tensor
    log_likelihood: list[float] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)
    n_passes: int = 0
    converged: bool = False


class Weights(NamedTuple):
    """Parameters of one unit, or a gradient with respect to them."""

    bias: torch.Tensor  # (S,)
    weight: torch.Tensor  # (D, K, S)


class _Evaluation(NamedTuple):
    objective: float
    log_likelihood: float
    counts: torch.Tensor  # (D, K, S)
    states: torch.Tensor  # (S,) Σ_n p(h | x_n)


class Likelihood:
    """Penalised log-likelihood of one set of answers, and its exact gradient.

    Parameters
    ----------
    design : DesignMatrix
    settings : Settings
    gold : LongTensor, shape (N,), optional
        Known class of each task, −1 where unknown.
    """

    def __init__(
        self, design: DesignMatrix, settings: Settings, gold: torch.Tensor | None = None
    ) -> None:
        k, m = design.n_classes, settings.n_subtypes
        self.design, self.settings = design, settings
        self.n_states = k * m
        value = 0.0 if settings.penalty in (None, "learned") else float(settings.penalty)
        self.pseudo_answers = torch.full((k, self.n_states), value, dtype=torch.float64)
        own = diagonal(k, m)
        self._rate = own + (1 - own) * max(1.0, (k - 1) / (_FEW_CLASSES - 1))
        if settings.penalty == "learned":
            self.pseudo_answers = own + 0.5 / self._rate
        self.prior_penalty = 0.0 if settings.penalty is None else settings.prior_penalty
        self.activity_penalty = float(settings.gauge == "free" and settings.penalty is not None)
        self.clamp = Clamp(design, gold, m)

    def posterior(self, at: Weights) -> tuple[torch.Tensor, torch.Tensor]:
        """Return p(h | x_n, gold), shape (N, S), and −F, shape (N,)."""
        bias = at.bias.to(self.design.device, self.design.dtype)
        logits = self.design.logits(at.weight.to(self.design.device)) + bias
        return softmax(self.clamp(logits))

    def posterior_of(self, energy: Energy) -> torch.Tensor:
        """Return p(h | x_n, gold) under ``energy``, shape (N, S)."""
        return self.posterior(Weights(energy.bias, energy.weight))[0]

    def penalty(self, at: Weights, normalised: bool = False) -> float:
        """Return what is added to the log-likelihood; ``normalised`` says that the weights are log-tables."""
        log_tables = at.weight.sum(0)
        if not normalised:
            log_tables = log_tables - torch.logsumexp(at.weight, 1).sum(0)
        value = float((self.pseudo_answers * log_tables).sum())
        value += self.prior_penalty * float(torch.log_softmax(at.bias, 0).sum())
        if self.activity_penalty:
            value -= 0.5 * self.activity_penalty * float(self._activity(at.weight).square().sum())
        return value

    @staticmethod
    def _activity(weight: torch.Tensor) -> torch.Tensor:
        activity = torch.logsumexp(weight, 1)
        return activity - activity.mean(1, keepdim=True)

    def evaluate_tables(self, at: Weights) -> _Evaluation:
        """Evaluate at normalised log-tables: one pass forward, one back."""
        posterior, negative_free_energy = self.posterior(at)
        log_partition = self.design.n_tasks_in_all * float(torch.logsumexp(at.bias, 0))
        log_likelihood = float(self.design.total(negative_free_energy)) - log_partition
        return _Evaluation(
            log_likelihood + self.penalty(at, normalised=True),
            log_likelihood,
            self.design.expected_counts(posterior).cpu(),
            self.design.total(posterior),
        )

    def gradient(self, at: Weights) -> tuple[float, float, Weights]:
        """Return objective, log-likelihood and exact gradient with respect to bias and weights, either gauge.

        In the normalised gauge the weights are logits of the tables: W enters as log softmax over l.
        """
        log_z = torch.logsumexp(at.weight, 1, keepdim=True)
        log_tables = at.weight - log_z
        tables = log_tables.exp()
        alpha, kappa = self.pseudo_answers, self.prior_penalty
        if self.settings.gauge == "normalised":
            found = self.evaluate_tables(Weights(at.bias, log_tables))
            model_counts = found.counts.sum(1)
            model_states = self.design.n_tasks_in_all * torch.softmax(at.bias, 0)
            objective, log_likelihood = found.objective, found.log_likelihood
            counts, states = found.counts, found.states
        else:
            posterior, negative_free_energy = self.posterior(at)
            counts = self.design.expected_counts(posterior).cpu()
            states = self.design.total(posterior)
            bias = at.bias.to(self.design.device, self.design.dtype)
            spread = log_z.expand_as(at.weight).to(self.design.device)
            prior, log_partition = softmax(self.design.logits(spread) + bias)
            model_counts = self.design.expected_counts(prior).sum(1).cpu()
            model_states = self.design.total(prior)
            gap = negative_free_energy.double() - log_partition.double()
            log_likelihood = float(self.design.total(gap))
            objective = log_likelihood + self.penalty(at)
        by_weight = counts - model_counts[:, None] * tables + alpha - alpha.sum(0) * tables
        if self.activity_penalty:
            pull = self.activity_penalty * self._activity(at.weight)
            by_weight = by_weight - pull[:, None] * tables
        prior_states = torch.softmax(at.bias, 0)
        by_bias = states - model_states + kappa * (1 - self.n_states * prior_states)
        return objective, log_likelihood, Weights(by_bias, by_weight)

    def learn_pseudo_answers(self, counts: torch.Tensor, steps: int = 1) -> None:
        """Move α towards the maximum of the Dirichlet-multinomial evidence of the workers' tables.

        Newton steps with the Hessian's diagonal-plus-rank-one inverse, column by column, or where one would leave the
        positive numbers the fixed point (both in Minka, *Estimating a Dirichlet distribution*, 2000), on the expected
        counts, shape (D, K, S). A Gamma(2, 1) prior on each α keeps it finite where workers do not differ; beyond ten
        classes its rate grows with them for errors, whose sum would else outweigh any answer.
        """
        seen = counts.sum((1, 2)) > 0
        counts = counts[seen]
        totals = counts.sum(1)
        own = diagonal(self.design.n_classes, self.settings.n_subtypes).bool()
        for _ in range(steps):
            moved = _newton(self.pseudo_answers, counts, totals, self._rate)
            self.pseudo_answers = own_label_first(moved.clamp(1e-3, 1e6), own)


def _newton(
    alpha: torch.Tensor, counts: torch.Tensor, totals: torch.Tensor, rate: torch.Tensor
) -> torch.Tensor:
    """Return α, shape (K, S), a Newton step further, under Gamma(2, rate) priors.

    Counts and totals have shapes (D, K, S) and (D, S).
    """
    total = alpha.sum(0)
    gain = (torch.digamma(counts + alpha) - torch.digamma(alpha)).sum(0)
    loss = (torch.digamma(totals + total) - torch.digamma(total)).sum(0)
    slope = gain - loss + 1 / alpha - rate
    diagonal_ = torch.polygamma(1, counts + alpha) - torch.polygamma(1, alpha)
    curve = diagonal_.sum(0) - alpha.square().reciprocal()  # negative
    joint = (torch.polygamma(1, total) - torch.polygamma(1, totals + total)).sum(0)
    shift = (slope / curve).sum(0) / (1 / joint.clamp_min(1e-300) + (1 / curve).sum(0))
    moved = alpha - (slope - shift) / curve
    fixed = (alpha * gain + 1) / (loss + rate)
    sound = (torch.isfinite(moved) & (moved > 0.2 * alpha) & (moved < 5 * alpha)).all(0)
    return torch.where(sound, moved, fixed)


def train(
    design: DesignMatrix,
    start: Energy,
    settings: Settings,
    gold: torch.Tensor | None = None,
    progress: Callable[[int, float], None] | None = None,
    pseudo_answers: torch.Tensor | None = None,
) -> Fit:
    """Fit the one-unit model by exact maximum (penalised) likelihood.

    Parameters
    ----------
    design : DesignMatrix
        Answers of D workers on N tasks.
    start : Energy
        Where to begin; ``n_iter=0`` returns it.
    settings : Settings
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown.
    progress : callable, optional
        Called with (passes so far, log-likelihood per task) after each pass.
    pseudo_answers : shape (K, S), optional
        α to begin with where it is learned.

    Returns
    -------
    Fit
    """
    likelihood = Likelihood(design, settings, gold)
    if pseudo_answers is not None and settings.penalty == "learned":
        likelihood.pseudo_answers = pseudo_answers.clone()
    log = Monitor(
        design.n_tasks_in_all, design.n_answers_in_all, settings.n_iter, settings.tol, progress
    )
    at = Weights(start.bias.clone(), start.weight.clone())
    closed_step = settings.gauge == "normalised" and settings.optimizer != "lbfgs"
    if settings.n_iter > 0 and design.n_answers_in_all > 0:
        if closed_step or settings.penalty == "learned":
            at = _normalised(at)
        if settings.penalty == "learned":
            at = _learn(likelihood, at, log)
        if log.left > 0:
            at = (_expectation_maximisation if closed_step else _lbfgs)(likelihood, at, log)
        if settings.gauge == "normalised":
            at = _normalised(at)
    population = _mean_table(at.weight[design.answered])
    # a worker without answers is taken for an average one
    weight = torch.where(design.answered[:, None, None], at.weight, population)
    energy = Energy(at.bias, weight, population, settings.n_subtypes)
    return Fit(
        energy,
        likelihood.pseudo_answers,
        log.log_likelihood,
        log.objective,
        log.n_passes,
        log.converged,
    )


def _normalised(at: Weights) -> Weights:
    return Weights(torch.log_softmax(at.bias, 0), torch.log_softmax(at.weight, 1))


def _mean_table(weight: torch.Tensor) -> torch.Tensor:
    if len(weight) == 0:
        return weight.new_zeros(weight.shape[1:])
    return torch.log_softmax(weight, 1).exp().mean(0).clamp_min(SMALLEST).log()


def _closed_step(likelihood: Likelihood, found: _Evaluation) -> Weights:
    """Return the maximum of the expected penalised log-likelihood given posterior counts."""
    cells = found.counts + likelihood.pseudo_answers + SMALLEST
    weight = torch.log(cells / cells.sum(1, keepdim=True))
    states = found.states + likelihood.prior_penalty + SMALLEST
    return Weights(torch.log(states / states.sum()), weight)


def _learn(likelihood: Likelihood, at: Weights, log: Monitor) -> Weights:
    """EM steps between which α is learned, until it rests or LEARNING_PASSES are over."""
    alpha = likelihood.pseudo_answers
    loop = likelihood.design.group.loop(bias=at.bias, weight=at.weight, alpha=alpha, noted=[])
    likelihood.pseudo_answers = loop.alpha
    log.resume(loop.noted, [])
    for _ in loop.passes(min(LEARNING_PASSES, log.n_iter)):
        found = likelihood.evaluate_tables(Weights(loop.bias, loop.weight))
        log.passed(found.log_likelihood)
        before = likelihood.pseudo_answers
        likelihood.learn_pseudo_answers(found.counts, steps=2)
        loop.bias, loop.weight = _closed_step(likelihood, found)
        loop.alpha, loop.noted = likelihood.pseudo_answers, list(log.log_likelihood)
        change = (likelihood.pseudo_answers / before).log().abs().max()
        loop.done = bool(change < 1e-3)
    return Weights(loop.bias, loop.weight)


def _expectation_maximisation(likelihood: Likelihood, at: Weights, log: Monitor) -> Weights:
    """EM with squared extrapolation; the objective never falls from one accepted point to the next."""

    def step(point: Weights) -> tuple[_Evaluation, Weights]:
        found = likelihood.evaluate_tables(point)
        log.passed(found.log_likelihood)
        return found, _closed_step(likelihood, found)

    # Without a penalty the likelihood has plateaus on which single steps gain next to nothing.
    patience = 1 if likelihood.settings.penalty is not None else PLATEAU_STEPS
    loop = likelihood.design.group.loop(
        bias=at.bias,
        weight=at.weight,
        longest=1.0,
        small=0.0,
        noted=list(log.log_likelihood),
        climbed=[],
    )
    log.resume(loop.noted, loop.climbed)
    for _ in loop.passes(log.n_iter):
        at = Weights(loop.bias, loop.weight)
        found, first = step(at)
        log.accept(found.objective)
        after = first
        if log.left > 0:
            second_found, after = step(first)
            log.accept(second_found.objective)
            gained = second_found.objective - found.objective
            loop.small = loop.small + 1 if gained < log.threshold else 0.0
            loop.done = loop.small == patience
            length = min(
                _extrapolation(at, first, after),
                loop.longest * 4.0,
                likelihood.settings.longest_step,
            )
            if not loop.done and length > 1.0 and log.left > 0:
                far_found, reached = step(_extrapolate(at, first, after, length))
                if far_found.objective >= second_found.objective:
                    log.accept(far_found.objective)
                    loop.longest, after = max(loop.longest, length), reached
                else:
                    loop.longest = max(1.0, loop.longest / 2.0)
        loop.bias, loop.weight = after
        loop.noted, loop.climbed = list(log.log_likelihood), list(log.objective)
        loop.done = loop.done or log.left <= 0
    log.converged = loop.small == patience
    return Weights(loop.bias, loop.weight)


def _extrapolation(start: Weights, first: Weights, second: Weights) -> float:
    """Return the step length of Varadhan and Roland's third scheme, in EM steps."""
    probability = first.weight.exp()
    moved = curved = 0.0
    for a, b, c, w in (
        (start.weight, first.weight, second.weight, probability),
        (start.bias, first.bias, second.bias, first.bias.exp()),
    ):
        r, v = b - a, c - 2 * b + a
        moved += float((w * r * r).sum())
        curved += float((w * v * v).sum())
    return float(np.sqrt(moved / curved)) if curved > 0 else 1.0


def _extrapolate(start: Weights, first: Weights, second: Weights, length: float) -> Weights:
    def reach(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return a + 2 * length * (b - a) + length**2 * (c - 2 * b + a)

    # Log-probabilities far below anything that matters are kept there, or they run away.
    floor = float(np.log(SMALLEST)) * 2
    return _normalised(
        Weights(
            reach(start.bias, first.bias, second.bias).clamp(floor, -floor),
            reach(start.weight, first.weight, second.weight).clamp(floor, -floor),
        )
    )


def _lbfgs(likelihood: Likelihood, at: Weights, log: Monitor) -> Weights:
    """scipy's L-BFGS on (b, W), each scaled by the curvature at the start."""
    shape = at.weight.shape
    n_states = len(at.bias)

    def unpack(vector: npt.NDArray[np.float64]) -> Weights:
        flat = torch.from_numpy(np.ascontiguousarray(vector))
        return Weights(flat[:n_states], flat[n_states:].view(shape))

    found = likelihood.evaluate_tables(_normalised(at))
    tables = torch.softmax(at.weight, 1)
    spread = tables * (1 - tables)
    totals = found.counts.sum(1, keepdim=True) + likelihood.pseudo_answers.sum(0)
    share = torch.softmax(at.bias, 0)
    curvature = torch.cat(
        [
            (likelihood.design.n_tasks_in_all * share * (1 - share) + likelihood.prior_penalty),
            (totals * spread).reshape(-1),
        ]
    )

    def objective(vector: npt.NDArray[np.float64]) -> tuple[float, float, npt.NDArray[np.float64]]:
        value, log_likelihood, gradient = likelihood.gradient(unpack(vector))
        return (
            value,
            log_likelihood,
            torch.cat([gradient.bias, gradient.weight.reshape(-1)]).numpy(),
        )

    begin = torch.cat([at.bias, at.weight.reshape(-1)]).numpy()
    return unpack(lbfgs(objective, begin, curvature.numpy(), log))


def warn_not_converged(fit: Fit, settings: Settings) -> None:
    """Warn, and say what to do, where passes ran out before training had converged."""
    if not fit.converged and fit.n_passes >= settings.n_iter > 0:
        warn_passes(fit.n_passes, settings)


def warn_passes(n_passes: int, settings: Settings) -> None:
    """Warn that so many passes did not suffice."""
    from sklearn.exceptions import ConvergenceWarning

    warn(
        f"training stopped after {n_passes} passes before a pass gained less than "
        f"tol={settings.tol:g} nats an answer. Raise n_iter (epochs), or tol.",
        ConvergenceWarning,
    )

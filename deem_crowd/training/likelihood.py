r"""The exact likelihood of the one-unit model, penalised by pseudo-answers, and its gradient.

Maximised over the weights W and the bias b is::

    Σ_n log p(x_n) + Σ_{i,l,h} α[l, h] · log p(x_i = l | h) + κ · Σ_h log softmax(b)[h]  − ½ Σ_{i,h} Ā[i, h]²

with log p(x_n) = − F_O(n)(x_n) − log Z_O(n) from :mod:`deem_crowd.model.energy`; a task with gold has its hidden
unit clamped to the states of that label in the first of the two terms. α are pseudo-answers that every
worker starts with (a Dirichlet prior on the columns of their table), κ pseudo-tasks per state. Ā, the worker's
log-partition centred over h, is zero in the normalised gauge; in the free gauge it is learned under a
standard normal prior.

The gradient is closed: with posterior counts C[i, l, h], model counts M[i, h] and tables p[i, l, h]::

    ∂/∂W = C − M·p + (α − α₀·p) − p·(Ā centred),      ∂/∂b = Σ_n p(h|x_n) − Σ_n p(h|O(n)) + κ(1 − S·softmax(b))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.expectation import Expected, counts_of
from deem_crowd.model.rows import softmax
from deem_crowd.model.tables import label_total
from deem_crowd.model.votes import diagonal
from deem_crowd.training.confusion import own_label_first
from deem_crowd.training.digamma import DigammaSum
from deem_crowd.training.dirichlet import newton
from deem_crowd.training.em import Clamp, expect

Gauge = Literal["normalised", "free"]
Optimizer = Literal["auto", "em", "lbfgs"]
Penalty = float | Literal["learned"] | None

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


class Weights(NamedTuple):
    """Parameters of one unit, or a gradient with respect to them."""

    bias: torch.Tensor  # (S,)
    weight: torch.Tensor  # (D, K, S)


class Evaluation(NamedTuple):
    """The objective at some weights, and what a closed step needs."""

    at: Weights
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
        #: The last evaluation.
        self.latest: Evaluation | None = None

    def expected(self, at: Weights) -> Expected:
        """Return p(h | x_n, gold) and −F."""
        return expect(self.design, at.weight, at.bias, self.clamp)

    def posterior_of(self, energy: Energy) -> torch.Tensor:
        """Return p(h | x_n, gold) under ``energy``, shape (N, S)."""
        return self.expected(Weights(energy.bias, energy.weight)).states

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

    def evaluate_tables(self, at: Weights) -> Evaluation:
        """Evaluate at normalised log-tables: one pass forward, one back."""
        self.latest = self.evaluation(at, self.expected(at))
        return self.latest

    def evaluation(self, at: Weights, expected: Expected) -> Evaluation:
        """Return what :meth:`evaluate_tables` does where the pass forward has been made."""
        log_partition = self.design.n_tasks_in_all * float(torch.logsumexp(at.bias, 0))
        log_likelihood = expected.summed(self.design) - log_partition
        return Evaluation(
            at,
            log_likelihood + self.penalty(at, normalised=True),
            log_likelihood,
            counts_of(self.design, expected.states),
            self.design.total(expected.states),
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
            evaluation = self.evaluate_tables(Weights(at.bias, log_tables))
            model_counts = label_total(evaluation.counts)
            model_states = self.design.n_tasks_in_all * torch.softmax(at.bias, 0)
            objective, log_likelihood = evaluation.objective, evaluation.log_likelihood
            counts, states = evaluation.counts, evaluation.states
        else:
            expected = self.expected(at)
            posterior, negative_free_energy = expected.states, expected.task_log_likelihood
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
        counts = counts if bool(seen.all()) else counts[seen]
        totals = label_total(counts)
        own = diagonal(self.design.n_classes, self.settings.n_subtypes).bool()
        gained, lost = DigammaSum(counts), DigammaSum(totals)
        for _ in range(steps):
            moved = newton(self.pseudo_answers, gained, lost, self._rate)
            self.pseudo_answers = own_label_first(moved.clamp(1e-3, 1e6), own)

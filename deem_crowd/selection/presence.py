r"""Who answered is evidence: a model for sources that speak for one class and abstain otherwise.

A labelling function that only ever says "spam" says nothing by its word, given that it spoke; that it spoke is what it
says. Source i names class l on a task of class k with probability p_i[l, k], and is silent otherwise, independently of
the others given the class:

    log p(x_n | k) = Σ_{i∈O(n)} log p_i[x_ni, k] + Σ_{i∉O(n)} log(1 − e_i[k]),        e_i[k] = Σ_l p_i[l, k],

(the class-conditional propensities of Ratner et al., *Data Programming*, NeurIPS 2016). As an energy that is
W[i, l, k] = log p_i[l, k] − log(1 − e_i[k]) and b[k] = log π_k + Σ_i log(1 − e_i[k]). Each p_i[l, k] is shrunk towards
the rate at which the source names l at all, times a lift for l = k that all sources share; that counts as many tasks as
make two answers.

The model is used only where three questions are answered with yes (:func:`find`): most sources speak for one class; the
likelihood gains more over sources that speak at a constant rate than Schwarz's penalty (*Annals of Statistics* 6, 1978)
for its numbers; and no pair of sources speaks together more or less often than the model says (a Bonferroni test at 5 %
over at least 40 pairs). On real sets labelling functions share keywords, and the last question says no.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.rows import softmax
from deem_crowd.selection import one_sided, pairs
from deem_crowd.training.em import LEAST_PASSES, PASSES
from deem_crowd.training.ending import TOLERANCE

_PRIOR_ANSWERS = 2.0
_FIRST_LIFT = 3.0
_SMALLEST = 1e-6
_LEAST_EXPECTED, _LEAST_PAIRS, _LEVEL = 5.0, 40, 0.05
"""Of the test of pairs: common tasks that a pair must be expected to have, pairs, and the chance of a false alarm."""


@dataclass(frozen=True)
class Presence:
    """A fit.

    Attributes
    ----------
    energy : Energy
        Its prior given no answer is that of a task on which all were asked and were silent.
    shares : float64, shape (K,)
        π, the class shares.
    posterior : shape (N, K)
    gain : float
        Log-likelihood above that of sources that speak at a constant rate, in nats.
    speaks : float64, shape (D, K)
        e: how often each source speaks, by class.
    history : list of float
        Log-likelihood a task at each pass, in nats.
    """

    energy: Energy
    shares: torch.Tensor
    posterior: torch.Tensor
    gain: float
    speaks: torch.Tensor
    history: list[float]


def find(answers: Answers, design: DesignMatrix) -> Presence | None:
    """Return the fit of a presence model where the answers speak for it, else None.

    Parameters
    ----------
    answers, design : the same data
        N tasks, D workers, K classes.
    """
    named = design.answers_named()
    given = named.sum(1)
    if (
        answers.is_soft
        or bool((given >= design.n_tasks_in_all).any())
        or not one_sided.are_most(named)
    ):
        return None
    presence = fit(design, named)
    n_numbers = int((given > 0).sum()) * (design.n_classes - 1)
    if presence.gain <= 0.5 * n_numbers * math.log(design.n_tasks_in_all):
        return None
    return presence if fits_pairs(answers, design, presence) else None


def fit(design: DesignMatrix, named: torch.Tensor) -> Presence:
    """Fit by EM; ``named``, shape (D, K), is how often each source named each class."""
    k, n = design.n_classes, design.n_tasks_in_all
    eye = torch.eye(k, dtype=torch.float64)
    rate = named / n
    lift = _FIRST_LIFT
    votes = design.votes
    posterior = (votes + 0.5 / k) / (votes.sum(1, keepdim=True) + 0.5)
    history: list[float] = []
    for number in range(1, PASSES + 1):
        expected = design.total(posterior)
        shares = expected / expected.sum()
        counts = design.expected_counts(posterior).cpu()
        if number > 1:
            own = float(torch.diagonal(counts, dim1=1, dim2=2).sum())
            lift = _lift(named, shares, own)
        base = rate[:, :, None] * (1 + (lift - 1) * eye) / (1 + (lift - 1) * shares)[:, None]
        base = base.clamp(_SMALLEST, 1 - _SMALLEST)
        # as many tasks as make the prior's answers
        table = (counts + _PRIOR_ANSWERS) / (expected + _PRIOR_ANSWERS / base)
        table = torch.where(named[:, :, None] > 0, table, torch.full_like(table, _SMALLEST))
        speaks = table.sum(1)
        table = table * (speaks.clamp_max(1 - _SMALLEST) / speaks)[:, None, :]
        speaks = table.sum(1)
        silent = torch.log1p(-speaks)
        log_shares = torch.log((expected + 1) / (expected.sum() + k))
        bias = log_shares + silent.sum(0)
        weight = table.log() - silent[:, None, :]
        moved, log_likelihood = softmax(
            design.logits(weight.to(design.device)) + bias.to(design.device, design.dtype)
        )
        history.append(float(design.total(log_likelihood)) / max(n, 1))
        change = design.mean((moved - posterior).abs().amax(1))
        posterior = moved
        if number >= LEAST_PASSES and change < TOLERANCE:
            break
    gain = history[-1] * n - _constant_rate(named, n)
    population = (table.mean(0) / (1 - speaks.mean(0))).log()
    energy = Energy(bias, weight, population)
    return Presence(energy, log_shares.exp(), posterior, gain, speaks, history)


def _lift(named: torch.Tensor, shares: torch.Tensor, own: float) -> float:
    """Return the lift under which sources name a task's own class as often as they were seen to, by bisection."""
    given = named.sum(0)
    low, high = 1.0, 1e4
    for _ in range(50):
        middle = math.sqrt(low * high)
        if float((given * shares * middle / (1 + (middle - 1) * shares)).sum()) < own:
            low = middle
        else:
            high = middle
    return low


def _constant_rate(named: torch.Tensor, n_tasks: int) -> float:
    """Return the log-likelihood of sources that name each class at a rate of their own, whatever the task, in nats."""
    given = named.sum(1)
    silent = torch.xlogy(n_tasks - given, 1 - given / n_tasks)
    return float(torch.xlogy(named, named / n_tasks).sum() + silent.sum())


def fits_pairs(answers: Answers, design: DesignMatrix, presence: Presence) -> bool:
    """Tell whether pairs of sources speak together as often as the model says; no, if too few can tell."""
    n_answers = design.reduce_array(np.bincount(answers.worker, minlength=answers.n_workers))
    n_tasks = design.n_tasks_in_all
    chosen = np.argsort(-n_answers, kind="stable")[: pairs.MAX_SOURCES]
    chosen = np.sort(chosen[n_answers[chosen] > 0])
    together = pairs.count(answers, chosen, design.reduce_array).common
    speaks: npt.NDArray[np.float64] = presence.speaks.numpy()[chosen]
    expected = (speaks * (presence.shares.numpy() * n_tasks)) @ speaks.T
    asked = np.triu(expected > _LEAST_EXPECTED, 1)
    if asked.sum() < _LEAST_PAIRS:
        return False
    spread = np.sqrt(expected[asked] * (1 - expected[asked] / n_tasks))
    deviation = np.abs(together[asked] - expected[asked]) / spread
    from scipy.special import ndtri

    return bool(deviation.max() < -ndtri(_LEVEL / 2 / asked.sum()))

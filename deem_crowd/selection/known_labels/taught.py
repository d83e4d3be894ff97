r"""What a few known labels are worth: they choose between readings of the answers, and correct one of them.

Known labels are clamped in EM; besides that they train two conditional models of the label given a task's answers, both
multinomial logistic regressions on indicators of (worker, answer), which is the posterior of an energy of one unit:

    p(k | x_n) ∝ exp( b_k + Σ_{i∈O(n)} W[i, x_ni, k] ),        W[i, l, k] = s_i [l = k] + Δ[i, l, k],

one with skills s and Δ shrunk towards zero, and one with a · W⁰ added to them, where W⁰ are the log-tables of the
fit without gold and a ~ N(a⁰, ½²) rescales them (a⁰ = 1 / the design effect of a mean task): with few labels it is the
fit without gold. Where tasks with known labels were chosen by their labels, all readings allow for it
(:mod:`deem_crowd.selection.known_labels.chosen_by_label`). The penalties are chosen, and the four readings (the fit
without gold is one) weighted, by the log-likelihood of held-out gold in three folds: the weights v maximise Σ_n log
Σ_j v_j p_j(y_n) under a Dirichlet prior that counts as :data:`_PRIOR` (stacking of predictive distributions; Yao et
al., *Bayesian Analysis* 13, 2018), so that one label moves them little. Folds are dealt in the order of what the fit
without gold says of the known labels, and where it says the same of several (it does where it sees no label at all) by
the clamped fit and by the answers that they share with others, so that they depend on no order of rows and on no names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import nan

import numpy as np
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.calibration import design_effect
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.selection import candidates as rows
from deem_crowd.selection import null_model
from deem_crowd.selection.candidates import Candidate
from deem_crowd.selection.known_labels.chosen_by_label import answered_otherwise, by_label
from deem_crowd.selection.known_labels.known_tasks import LEAST_CHANCE, Known, in_order, logs
from deem_crowd.selection.known_labels.regression import FloatArray, IntArray, Regression
from deem_crowd.selection.opinion_pool import OpinionPool, without_label
from deem_crowd.selection.selected import Selected, settle
from deem_crowd.selection.without_tables import read_off

MOST_WORK = 3e7
"""Answers × classes up to which the fits of the folds are paid for."""
_MOST_CELLS = 10**6
_FOLDS = 3
_PENALTIES = (10.0, 3.0, 1.0, 0.3)
_CORRECTION_PENALTIES = (
    (100.0, 100.0),
    (30.0, 10.0),
    (10.0, 3.0),
    (10.0, 1.0),
    (3.0, 1.0),
    (1.0, 1.0),
)
"""Of Δ, and of skills and class offsets: under the first only the scale of the fit without gold is learned."""
_PRIOR = (0.8, 1.0, 0.1, 1.1)
"""Pseudo-labels for the clamped fit, the fit without gold, the regression, and the corrected fit.

The regression has nothing but the known labels to go by, and counts for little until held-out ones speak for it.
"""
_PRIOR_UNINFORMED = (0.0, 1.8, 0.1, 1.1)
"""The same where the answers show no label: a pool of models that were refused is left out, however gold clamps it."""
_ROUNDS = 200


@dataclass(frozen=True)
class Taught:
    """What gold says of four readings: the clamped fit, the fit without gold, the regression and the corrected fit.

    Attributes
    ----------
    weights : tuple of four floats
        They sum to 1.
    energies : tuple of two Energy
        The regression and the corrected fit.
    held_out : tuple of four floats
        Log-likelihood of a held-out label under each, in nats.
    """

    weights: tuple[float, ...]
    energies: tuple[Energy, ...]
    held_out: tuple[float, ...]


def asked(design: DesignMatrix, gold: torch.Tensor | None) -> bool:
    """Tell whether there is gold to ask, and not too much work; gold and answers are those of all processes."""
    if gold is None or design.n_classes < 2:
        return False
    cells = design.n_workers * design.n_classes**2
    work = design.n_answers_in_all * design.n_classes
    return cells <= _MOST_CELLS and work <= MOST_WORK and design.anywhere(bool((gold >= 0).any()))


def select(
    answers: Answers,
    design: DesignMatrix,
    gold: torch.Tensor,
    fit: Callable[[torch.Tensor | None], Selected],
) -> Selected:
    """Fit with gold and without, and let gold choose between these and a regression.

    Parameters
    ----------
    answers, design : the same data
        N tasks, D workers, K classes.
    gold : LongTensor, shape (N,)
        Known classes, −1 where unknown.
    fit : callable
        From gold, or None, to what is chosen from the answers with it.
    """
    known = fit(gold)
    if not asked(design, gold) or known.pool is None:
        return known
    free = fit(None)
    apart = free.pool
    if apart is None:
        apart = without_label(answers, design, free.power)
    without = apart.posterior(design)
    prior = (design.total(without) / max(design.n_tasks_in_all, 1)).clamp_min(1e-9)
    tables, bias = _log_odds(design, free, without, prior)

    def clamped(part: IntArray) -> FloatArray:
        posterior = fit(torch.from_numpy(part)).posterior
        assert posterior is not None  # with gold there is always a pool
        return posterior.double().cpu().numpy()

    told = learn(
        Known.of(answers, gold.numpy(), design.group),
        without.double().cpu().numpy(),
        known.pool.posterior(design).double().cpu().numpy(),
        tables.numpy(),
        bias.numpy(),
        prior.numpy(),
        apart.correlation,
        clamped,
        _PRIOR_UNINFORMED if free.pool is None else _PRIOR,
        answered_otherwise(design, gold),
    )
    return _combined(design, gold, known, known.pool, free, apart, told)


def _log_odds(
    design: DesignMatrix, free: Selected, without: torch.Tensor, prior: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-odds by the fit without gold: of each answer, (D, K, K), and of the classes besides, (K,)."""
    if free.pool is None:
        # the answers do not say how much a vote is worth; gold will, by scaling these tables
        tables = null_model.common_skill(design, 1, null_model.USUAL_SKILL).weight
    elif len(free.pool.energies) == 1 and free.pool.energies[0].n_subtypes == 1:
        return free.pool.energies[0].weight, free.pool.energies[0].bias
    else:
        tables = read_off(design, without, free.tables) if free.weight is None else free.weight
    if free.power is not None:
        tables = tables * torch.from_numpy(free.power)[:, None, None]
    return tables, prior.log()


def _combined(
    design: DesignMatrix,
    gold: torch.Tensor,
    known: Selected,
    pool: OpinionPool,
    free: Selected,
    apart: OpinionPool,
    told: Taught,
) -> Selected:
    """Return the mixture of the pools with gold and without, with their shares of votes, and what gold trained."""
    of_pool, of_apart, regression, corrected = told.weights
    floor = of_pool * pool.floor + of_apart * apart.floor
    shares = [of_pool * (1 - pool.floor) * weight for weight in pool.weights]
    shares += [of_apart * (1 - apart.floor) * weight for weight in apart.weights]
    mixed = OpinionPool(
        (*pool.energies, *apart.energies, *told.energies),
        tuple(share / (1 - floor) for share in (*shares, regression, corrected)),
        floor,
        of_pool * pool.correlation + of_apart * apart.correlation,
        apart.unanswered,
        of_pool * pool.caution + of_apart * apart.caution,
        _smoothed((of_pool * pool.floor, pool.smoothed), (of_apart * apart.floor, apart.smoothed)),
    )
    posterior = mixed.posterior(design)
    settle(posterior, gold)
    chosen = [replace(one, weight=of_pool * one.weight) for one in known.candidates]
    names = (rows.WITHOUT_GOLD, rows.REGRESSION, rows.CORRECTED)
    for name, score, weight in zip(names, told.held_out[1:], told.weights[1:], strict=True):
        why = f"weighed by held-out gold: {score:.3f} nats a label, the clamped fit {told.held_out[0]:.3f}"
        chosen.append(Candidate(name, nan, nan, nan, nan, weight, why))
    both = bool(known.members and free.members)
    return replace(
        known,
        candidates=chosen,
        pool=mixed,
        posterior=posterior,
        mean=posterior,
        weight=read_off(design, posterior, known.tables),
        members=known.members if both else (),
        apart=free.members if both else (),
    )


def _smoothed(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return how many answers smooth the votes of two pools: the mean, weighted by what the votes count in each."""
    (first, of_first), (second, of_second) = one, other
    total = first + second
    if total <= 0:
        return max(of_first, of_second)
    return of_first + (of_second - of_first) * second / total  # exact where both are the same


def learn(
    gold: Known,
    free: FloatArray,
    told: FloatArray,
    tables: FloatArray,
    bias: FloatArray,
    prior: FloatArray,
    correlation: float,
    clamped: Callable[[IntArray], FloatArray],
    prior_labels: tuple[float, ...] = _PRIOR,
    otherwise: bool = False,
) -> Taught:
    """Train the conditional models on gold, and weigh them and the clamped fit by held-out gold.

    Parameters
    ----------
    gold : Known
        Of N tasks in this process and those of the others, of D workers and K classes.
    free : shape (N, K)
        Posterior of the fit without gold.
    told : shape (N, K)
        Of the clamped fit, were the tasks' own labels unknown.
    tables : shape (D, K, K)
        Log-tables of the fit without gold, [worker, answer, label].
    bias : shape (K,)
        Log-odds of the classes in that fit, beside the tables.
    prior : shape (K,)
        Its class shares.
    correlation : float
        ρ of the answers to a task given its label.
    clamped : callable
        From other gold, shape (N,), to the posterior of the clamped fit, shape (N, K).
    prior_labels : four floats
        Pseudo-labels for the readings.
    otherwise : bool
        Whether tasks with known labels are answered otherwise than random ones.
    """
    known, features, k = gold.label, gold.features, free.shape[1]
    n = len(known)
    fold = np.empty(n, dtype=np.int64)
    order = in_order(features, known, gold.sizes, gold.chances(told), gold.chances(free), k)
    fold[order] = np.arange(n) % _FOLDS
    rate = by_label(gold, told, prior, otherwise)
    of_free, of_told = gold.chances(free, rate), gold.chances(told, rate)
    usual = float(1 / design_effect(np.array(max(gold.sizes.mean(), 1.0)), correlation))
    base = features @ tables.reshape(-1, k) + bias

    alone = None if rate is None else (rate + np.log(prior), np.log(prior))
    beside = None if rate is None else (rate, np.zeros(k))
    kinds = (
        [Regression(features, None, 0.0, penalty, offset=alone) for penalty in _PENALTIES],
        [Regression(features, base, usual, *both, beside) for both in _CORRECTION_PENALTIES],
    )
    of_clamped = np.empty(n)
    of_models = [np.empty((n, len(models))) for models in kinds]
    for number in range(_FOLDS):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not len(test):
            continue
        of_clamped[test] = of_free[test]
        if len(train):
            part = clamped(gold.of_some(len(free), train))
            of_clamped[test] = gold.chances(part, rate)[test]
        for models, chances in zip(kinds, of_models, strict=True):
            for j, model in enumerate(models):
                predicted = model.fit(train, known[train], k).predict(test)
                chances[test, j] = predicted[np.arange(len(test)), known[test]]
    if logs(of_told).sum() < logs(of_clamped).sum():
        of_clamped = of_told  # worse, though it saw these labels: EM went elsewhere
    columns, energies = [of_clamped, of_free], []
    for models, chances in zip(kinds, of_models, strict=True):
        best = int(logs(chances).mean(0).argmax())
        columns.append(chances[:, best])
        energies.append(models[best].fit(np.arange(n), known, k).energy(tables, bias))
    held_out = np.stack(columns, 1)
    weights = _stacked(np.maximum(held_out, LEAST_CHANCE), np.array(prior_labels))
    return Taught(weights, tuple(energies), tuple(logs(held_out).mean(0).tolist()))


def _stacked(chances: FloatArray, prior: FloatArray) -> tuple[float, ...]:
    """Return the weights of the mixture that makes held-out labels likeliest; ``chances`` has shape (n, 4)."""
    weights = prior / prior.sum()
    for _ in range(_ROUNDS):
        share = chances * weights
        share /= share.sum(1, keepdims=True)
        weights = (share.sum(0) + prior) / (len(chances) + prior.sum())
    return tuple(weights.tolist())

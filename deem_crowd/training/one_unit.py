r"""Exact training of the one-unit model: the maximum of :mod:`deem_crowd.training.likelihood`.

In the normalised gauge (M = Σ_l C) setting the gradient to zero gives EM's closed step, Dawid and Skene 1979; it is
extrapolated by the squared iterative scheme of Varadhan and Roland (Scand. J. Statist. 35, 2008), and a step
that lowers the objective is taken back. The free gauge has no closed step and uses L-BFGS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.tables import log_tables
from deem_crowd.runtime.warning import warn
from deem_crowd.training.lbfgs import Monitor, lbfgs
from deem_crowd.training.likelihood import SMALLEST, Evaluation, Likelihood, Settings, Weights

# Passes in which pseudo-answers are learned along with the tables, before they are held fixed.
LEARNING_PASSES = 60
# Answers × states from which a fit is large: fewer passes are made, and matrices are float32.
LARGE = 2**19 + 1
# In the first pass of a large fit: about how many workers α is learned from, and by how many Newton steps.
_SAMPLE, _FIRST_STEPS = 256, 6
# The largest step of log α that is extrapolated, and the longest extrapolation, in steps.
_NEAR, _LONGEST_JUMP = 0.5, 4.0
# The step of log α below which it has converged.
_AT_REST = 1e-3
# Extrapolated steps in a row that must gain less than the tolerance where there is no penalty.
PLATEAU_STEPS = 12


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
    last : Evaluation, optional
        At the last pass of a fit that has converged.
    """

    energy: Energy
    pseudo_answers: torch.Tensor
    log_likelihood: list[float] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)
    n_passes: int = 0
    converged: bool = False
    last: Evaluation | None = None


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
            at = _learn(likelihood, at, log, closed_step)
        if log.left > 0 and not log.converged:
            climb = _expectation_maximisation if closed_step else _lbfgs
            at = climb(likelihood, at, log)
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
        likelihood.latest if log.converged else None,
    )


def _normalised(at: Weights) -> Weights:
    return Weights(torch.log_softmax(at.bias, 0), torch.log_softmax(at.weight, 1))


def _mean_table(weight: torch.Tensor) -> torch.Tensor:
    if len(weight) == 0:
        return weight.new_zeros(weight.shape[1:])
    return torch.log_softmax(weight, 1).exp().mean(0).clamp_min(SMALLEST).log()


def _closed_step(likelihood: Likelihood, evaluation: Evaluation) -> Weights:
    """Return the maximum of the expected penalised log-likelihood given posterior counts."""
    cells = evaluation.counts + likelihood.pseudo_answers + SMALLEST
    weight = log_tables(cells)
    states = evaluation.states + likelihood.prior_penalty + SMALLEST
    return Weights(torch.log(states / states.sum()), weight)


def _is_large(likelihood: Likelihood) -> bool:
    """Whether a pass takes time worth saving."""
    return likelihood.design.n_answers_in_all * likelihood.n_states >= LARGE


def _learn(likelihood: Likelihood, at: Weights, log: Monitor, closed_step: bool) -> Weights:
    """EM steps between which α is learned, until it has converged or LEARNING_PASSES are over.

    In large fits α is brought near its final value in the first pass, and α and the weights are extrapolated together
    once their steps become smaller. If all steps are EM, such a fit ends where α has converged and a step has gained
    less than the tolerance, with an extrapolation of that step and the next.
    """
    nothing = torch.zeros((), dtype=torch.float64)
    loop = likelihood.design.group.loop(
        bias=at.bias,
        weight=at.weight,
        alpha=likelihood.pseudo_answers,
        noted=[],
        old_bias=nothing,
        old_weight=nothing,
        objective=nan,
        change=0.0,
        small=0.0,
    )
    likelihood.pseudo_answers = loop.alpha
    log.resume(loop.noted, [])
    large = _is_large(likelihood)
    ends = large and closed_step
    path: list[tuple[Weights, torch.Tensor]] = []
    for number in loop.passes(min(LEARNING_PASSES, log.n_iter)):
        at, last = Weights(loop.bias, loop.weight), loop.change
        evaluation = likelihood.evaluate_tables(at)
        log.passed(evaluation.log_likelihood)
        before = likelihood.pseudo_answers
        if large and number == 1:
            likelihood.learn_pseudo_answers(_some_workers(evaluation.counts), steps=_FIRST_STEPS)
        else:
            near = large and 0 < last < _NEAR
            likelihood.learn_pseudo_answers(evaluation.counts, steps=1 if near else 2)
        reached = _closed_step(likelihood, evaluation)
        loop.change = float((likelihood.pseudo_answers / before).log().abs().max())
        rests = loop.change < _AT_REST
        # NaN where the way here was no plain step
        gained = evaluation.objective - loop.objective
        loop.done = rests and (not ends or gained == gained)
        if rests and gained < log.threshold:
            loop.small = 1.0
            log.accept(evaluation.objective)
            reached = _reached(Weights(loop.old_bias, loop.old_weight), at, reached)
        approaches = large and loop.change < min(_NEAR, last)
        path = [*path[-2:], (reached, likelihood.pseudo_answers.log())] if approaches else []
        jumps = len(path) == 3 and not loop.done
        if jumps:
            reached, log_alpha = _jump(path)
            likelihood.pseudo_answers = log_alpha.exp()
            path = []
        if ends:
            loop.old_bias, loop.old_weight = at
            penalty = nan if jumps else likelihood.penalty(at, normalised=True)
            loop.objective = evaluation.log_likelihood + penalty
        loop.bias, loop.weight = reached
        loop.alpha, loop.noted = likelihood.pseudo_answers, list(log.log_likelihood)
    log.converged = loop.small > 0
    return Weights(loop.bias, loop.weight)


def _some_workers(counts: torch.Tensor) -> torch.Tensor:
    """Return the counts, shape (D, K, S), of about as many workers as suffice, the same ones in whichever order."""
    answers, squares = counts.sum((1, 2)).round(decimals=2), counts.square().sum((1, 2))
    order = np.lexsort((squares.numpy(), answers.numpy()))[int((answers == 0).sum()) :]
    some = order[:: max(1, len(order) // _SAMPLE)]
    return counts[torch.from_numpy(np.ascontiguousarray(some))]


def _jump(path: list[tuple[Weights, torch.Tensor]]) -> tuple[Weights, torch.Tensor]:
    """Return weights and log α extrapolated from three points of a path."""
    (a, low), (b, middle), (c, high) = path
    length = _jump_length(a, b, c)
    log_alpha = low + 2 * length * (middle - low) + length**2 * (high - 2 * middle + low)
    return _extrapolate(a, b, c, length), log_alpha.clamp(np.log(1e-3), np.log(1e6))


def _reached(start: Weights, first: Weights, second: Weights) -> Weights:
    """Return the end that two steps with the same α are on their way to."""
    return _extrapolate(start, first, second, _jump_length(start, first, second))


def _jump_length(start: Weights, first: Weights, second: Weights) -> float:
    return min(max(_extrapolation(start, first, second), 1.0), _LONGEST_JUMP)


def _expectation_maximisation(likelihood: Likelihood, at: Weights, log: Monitor) -> Weights:
    """EM with squared extrapolation; the objective never falls from one accepted point to the next.

    Where a pass takes time worth saving, the last two steps are extrapolated, too.
    """

    def step(point: Weights) -> tuple[Evaluation, Weights]:
        evaluation = likelihood.evaluate_tables(point)
        log.passed(evaluation.log_likelihood)
        return evaluation, _closed_step(likelihood, evaluation)

    # Without a penalty the likelihood has plateaus on which single steps gain next to nothing.
    patience = 1 if likelihood.settings.penalty is not None else PLATEAU_STEPS
    large = patience == 1 and _is_large(likelihood)
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
        evaluation, first = step(at)
        log.accept(evaluation.objective)
        after = first
        if log.left > 0:
            second_found, after = step(first)
            log.accept(second_found.objective)
            gained = second_found.objective - evaluation.objective
            loop.small = loop.small + 1 if gained < log.threshold else 0.0
            loop.done = loop.small == patience
            length = min(
                _extrapolation(at, first, after),
                loop.longest * 4.0,
                likelihood.settings.longest_step,
            )
            if loop.done and large:
                after = _reached(at, first, after)
            elif not loop.done and length > 1.0 and log.left > 0:
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

    evaluation = likelihood.evaluate_tables(_normalised(at))
    tables = torch.softmax(at.weight, 1)
    spread = tables * (1 - tables)
    totals = evaluation.counts.sum(1, keepdim=True) + likelihood.pseudo_answers.sum(0)
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

r"""The posterior of the answers, kept fixed, times a classifier.

This is for answers from which another model learns what tables of workers cannot hold: who answered, what sources have
in common, which sources repeat others. The classifier is trained on the product, again and again until the product
settles. This is EM in which p(answers | label) stays fixed.

Where tables show no label, the odds of the answers have no scale of their own. Odds from one usual skill, or from the
shares of votes, order the labels but are far too small beside a classifier; odds from one factor of scores are too
large where sources share more than the label. How much the answers count is then estimated together with the weight
of the classifier. Answers e and features x are independent given the label, so that

    p(e, x) / (p(e) p(x)) = Σ_h p(h | e) p(h | x) / p(h),

and among all p(h | e) and p(h | x) the true ones maximise the mean logarithm of this (Kong and Schoenebeck, *Water
from two rocks*, EC 2018; Cao et al., *Max-MIG*, ICLR 2019). It is maximised over the powers β of the odds that the
answers give, and w of the classifier's, with normal priors on log β and log w. β is found once, with the first
classifier, which has learned from the answers alone. Later ones have learned from the product, and would repeat to the
answers what these say.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deem_crowd.features import guard, learners
from deem_crowd.features.joint import Problem, sample
from deem_crowd.features.learners import Learner
from deem_crowd.features.logistic import log_softmax
from deem_crowd.model.calibration import design_effect

FloatArray = npt.NDArray[np.float64]

TURNS, _SETTLED_IN, _RESTED = 16, 2, 2e-3
"""How often the classifier is trained at most; in how many of the first trainings its settings are chosen; and the mean
change of a task's posterior below which training ends."""
_STRENGTHS = tuple(2 ** (j / 2) for j in range(-6, 9))
_WEIGHTS = tuple(2 ** (j / 2) for j in range(-4, 7))
_SWEEPS = 6
AS_IS = (1.0, 1.0)
"""Limits of β where the odds of the answers have a scale: β is 1."""


@dataclass(frozen=True)
class Kept:
    """Whether the posterior of the answers is kept fixed, and how it counts where it is.

    Attributes
    ----------
    why : str, optional
        Why it is kept; None where tables of workers may be learned anew.
    correlation : float
        ρ by which the posterior shrinks odds.
    powers : two floats
        Limits of the power β of the answers' odds; if both are 1, β is not estimated.
    unless_regional : bool
        Whether the posterior is kept only where tables of workers in regions leave the answers dependent.
    """

    why: str | None = None
    correlation: float = 0.0
    powers: tuple[float, float] = AS_IS
    unless_regional: bool = False


@dataclass(frozen=True)
class Product:
    """The product of answers and classifier.

    Attributes
    ----------
    posterior : shape (N, K)
    likelihood : shape (N,)
        Log-likelihood of tasks, up to a constant.
    strength : float
        β.
    """

    posterior: FloatArray
    likelihood: FloatArray
    strength: float = 1.0


def several(problem: Problem) -> bool:
    """Tell whether most tasks with answers have several; with one answer the posterior is flat."""
    answers = problem.design.votes.sum(1)
    return float((answers > 1).sum()) >= 0.5 * float((answers > 0).sum())


def once(problem: Problem, learner: Learner, alone: FloatArray, prior: FloatArray) -> FloatArray:
    """Multiply the posterior of the answers by a classifier that was trained on it, divided by its class shares.

    Votes would be worse targets: in them a source counts as much as any other, even if many speak for its class. Only
    where most tasks have one answer are votes better, since the posterior is flat there.

    Returns
    -------
    shape (N, K)
    """
    base = np.log(np.maximum(prior, 1e-12))
    evidence = np.log(np.maximum(alone, 1e-12)) - base
    targets = alone if several(problem) else problem.votes()
    posterior = _times(problem, learner, evidence, base, targets, 1).posterior
    if problem.gold is not None:
        known = problem.gold.numpy() >= 0
        posterior[known] = alone[known]
    return posterior


def best(
    problem: Problem,
    candidates: Sequence[Learner],
    alone: FloatArray,
    prior: FloatArray,
    kept: Kept,
    turns: int = TURNS,
) -> tuple[Learner, Product]:
    """Retrain a classifier on the product until the product settles.

    The last kind of classifier is taken instead of the first where it makes the answers clearly likelier, out of fold.

    Parameters
    ----------
    problem : Problem
    candidates : list of Learner
    alone, prior : shapes (N, K) and (K,)
        Posterior and class prior by the answers alone.
    kept : Kept
    turns : int
        How often it is trained at most.
    """
    number = problem.design.votes.sum(1).cpu().double().clamp_min(1)[:, None].numpy()
    base = np.log(np.maximum(prior, 1e-12))
    evidence = np.log(np.maximum(alone, 1e-12)) - base / design_effect(number, kept.correlation)
    fits = [_times(problem, one, evidence, base, alone, turns, kept.powers) for one in candidates]
    clearly = len(fits) > 1 and guard.clear(fits[-1].likelihood - fits[0].likelihood)
    at = -1 if clearly else 0
    return candidates[at], fits[at]


def _times(
    problem: Problem,
    learner: Learner,
    evidence: FloatArray,
    base: FloatArray,
    targets: FloatArray,
    turns: int,
    limits: tuple[float, float] = AS_IS,
) -> Product:
    """Return the product of answers and classifier.

    Parameters
    ----------
    evidence : shape (N, K)
        log p(answers | label), up to a constant of the task.
    base : shape (K,)
        Logarithms of the class shares.
    targets : shape (N, K)
        What the classifier is first trained on.
    turns : int
        How often it is trained at most.
    limits : two floats
        See :attr:`Kept.powers`.
    """
    rows, weights = problem.rows, problem.taught()
    strength, some = 1.0, sample(problem)
    for turn in range(turns):
        log_q = learners.levelled(
            learner, rows.x, targets[rows.place], weights, problem.fold, turn < _SETTLED_IN
        )
        word = log_q - np.log(np.exp(log_q).mean(axis=0))
        if turn == 0 and limits[0] < limits[1]:  # later classifiers have learned from products
            taught = weights[some] > 0
            told = evidence[rows.place[some]][taught]
            strength = powers(told, word[some][taught], base, limits)[0]
        logits = strength * evidence + log_softmax(rows.spread(word + base, base))
        log_posterior = log_softmax(logits)
        posterior = np.exp(log_posterior)
        change = float(np.abs(posterior - targets).max(axis=1).mean())
        targets = posterior
        if change < _RESTED:
            break
    return Product(posterior, (logits - log_posterior)[:, 0], strength)


def powers(
    evidence: FloatArray,
    word: FloatArray,
    base: FloatArray,
    limits: tuple[float, float],
) -> tuple[float, float]:
    """Return the β and w with which features and answers tell most about one another.

    Parameters
    ----------
    evidence, word : shape (N, K)
        Log-probabilities of the classes by answers and by features, less the logarithms of the class shares.
    base : shape (K,)
        Logarithms of the class shares.
    limits : two floats
        Of β.
    """
    strength, weight = 1.0, 1.0

    def gain(beta: float, w: float) -> float:
        by_answers = np.exp(log_softmax(beta * evidence + base))
        shares = by_answers.mean(axis=0) + 1e-12
        by_features = np.exp(log_softmax(w * word + np.log(shares)))
        told = (by_answers * by_features / shares).sum(axis=1)
        known = float(np.log(np.maximum(told, 1e-12)).sum())
        return known - 0.5 * float(np.log(beta) ** 2 + np.log(w) ** 2)

    asked = [beta for beta in _STRENGTHS if limits[0] <= beta <= limits[1]]
    for _ in range(_SWEEPS):
        before = strength, weight
        strength = max(asked, key=functools.partial(gain, w=before[1]))
        weight = max(_WEIGHTS, key=functools.partial(gain, strength))
        if (strength, weight) == before:
            break
    return strength, weight

"""Joint fits over several divisions of few tasks into folds, and their mean.

What a classifier says out of fold depends on which tasks were left out with a task, the more so the fewer tasks there
are, and EM goes on from there: of a hundred or a few hundred tasks, fits that differ in their folds alone differ by
several labels in a hundred. Their posteriors are averaged, as predictors are that small changes of the data upset
(Breiman, *Bagging predictors*, Machine Learning 24, 1996); nothing is chosen among them, and no gold is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.features import guard, joint, learners
from deem_crowd.features.joint import Joint, Problem
from deem_crowd.features.learners import Learner
from deem_crowd.features.scaling import Scaling
from deem_crowd.runtime.progress import Progress

FloatArray = npt.NDArray[np.float64]

FOLDS = 5
MOST_FITS = 5
_ROWS = 2_500
"""Fits are repeated until they have seen so many rows together."""


def folds(n_rows: int, seed: int | Sequence[int]) -> npt.NDArray[np.int64]:
    """Divide rows into even folds at random; return the fold of each, shape (n_rows,)."""
    fold = np.arange(n_rows) % FOLDS
    np.random.default_rng(seed).shuffle(fold)
    return fold


def number_of_fits(n_rows: int) -> int:
    """Return how many fits are averaged: one where rows are many."""
    return int(np.clip(_ROWS // max(n_rows, 1), 1, MOST_FITS))


@dataclass
class Division:
    """One division of the rows into folds.

    Attributes
    ----------
    number : int
    problem : Problem
    log_q : shape (M, K)
        What classifiers trained on votes say out of fold; later, what EM begins with.
    """

    number: int
    problem: Problem
    log_q: FloatArray


def divided(
    problem: Problem, learner: Learner, log_q: FloatArray, seed: int, n_fits: int
) -> list[Division]:
    """Divide the rows anew, and train on votes again.

    Parameters
    ----------
    problem : Problem
        With the first division.
    learner : Learner
        Settled on the votes with it; its settings hold for the others.
    log_q : shape (M, K)
        What that said out of fold.
    seed : int
        Draws the other divisions.
    n_fits : int
        Divisions in all.
    """
    rows, weights, votes = problem.rows, problem.taught(), problem.votes()[problem.rows.place]
    divisions = [Division(0, problem, log_q)]
    for number in range(1, n_fits):
        other = replace(problem, fold=folds(len(rows.place), [seed, number]))
        told = learners.settled(learner.again(), rows.x, votes, weights, other.fold)
        divisions.append(Division(number, other, told))
    return divisions


def begun(
    answers: Answers, divisions: Sequence[Division], learner: Learner, seed: int, progress: Progress
) -> FloatArray:
    """Learn labels and classifier in each division but the first without a part of the tasks, and ask about that part.

    What is then said of the rows is what EM begins with in place of what classifiers trained on votes say. ``learner``
    has chosen settings in the first division.

    Returns
    -------
    shape (divisions − 1, tasks asked)
        By how much features make the answers likelier; see :mod:`deem_crowd.features.guard`.
    """
    gains = []
    for one in divisions[1:]:
        draw = [seed, guard.PARTS, one.number]
        held = guard.held_out(answers, one.problem, learner, draw, progress, settled=True)
        gains.append(held.gain)
        assert held.log_q is not None
        one.log_q = held.log_q
    return np.array(gains)


def fit(divisions: Sequence[Division], learner: Learner, progress: Progress) -> Joint:
    """Fit tables and classifier once for each division, and average.

    ``learner`` is settled on votes; what it chooses in the first division holds for the others.
    """
    fits = []
    for one in divisions:
        own = learner.again(passed=1) if one.number else learner
        fits.append(joint.fit(one.problem, own, one.log_q))
        progress.update(progress.done + 1)
    problem = divisions[0].problem
    return fits[0] if len(fits) == 1 else _mean(fits, problem.taught(), problem.rows.place)


def _mean(fits: Sequence[Joint], weights: FloatArray, place: npt.NDArray[np.int64]) -> Joint:
    """Return the mean of posteriors, tables and what classifiers say, all of them probabilities."""
    posterior = np.mean([one.posterior for one in fits], axis=0)
    said = [one.scaling(one.log_q) for one in fits if one.log_q is not None]
    log_q = np.log(np.maximum(np.mean(np.exp(said), axis=0), 1e-300))
    scaling = Scaling.none(posterior.shape[1]).fitted(log_q, posterior[place], weights)
    regional = [one.regional for one in fits if one.regional is not None]
    return Joint(
        posterior=posterior,
        tables=_mean_table([one.tables for one in fits]),
        prior=np.mean([one.prior for one in fits], axis=0),
        correlation=float(np.mean([one.correlation for one in fits])),
        history=fits[0].history,
        log_q=log_q,
        scaling=scaling,
        regional=_mean_table(regional) if regional else None,
    )


def _mean_table(tables: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the logarithm of the mean of tables, each given as logarithms."""
    return torch.stack(list(tables)).logsumexp(0) - float(np.log(len(tables)))

"""Workers sorted by what can be said of them: no better than chance, below the others, too few answers to say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

from deem_crowd.insight.pairs import Panel
from deem_crowd.insight.results import Results
from deem_crowd.selection.candidates import COMMON

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

ENOUGH = 20
"""Answers that a worker needs before anything is said against them."""
_LEVEL = 0.05
_MOST_WORK = 2e8
"""Of more answers × classes, intervals of skills decide alone."""


@dataclass(frozen=True)
class Reliability:
    """Workers sorted by what their answers allow to say, as positions.

    Attributes
    ----------
    worse : integers
        Their answers go against what the others say of the same tasks, beyond chance.
    at_chance : integers
        Nothing shows that their answers have to do with the tasks.
    constant : integers
        They give one and the same label, so that there is nothing to tell.
    below : integers
        Better than chance, but the interval of the skill lies below the panel's median.
    few : integers
        Too few answers to say: fewer than 20, or none to tasks that others answered.
    median : float
        Of the skills of workers with enough answers; NaN if nobody has.
    """

    worse: IntArray
    at_chance: IntArray
    constant: IntArray
    below: IntArray
    few: IntArray
    median: float


def reliability(results: Results, panel: Panel) -> Reliability:
    """Sort the workers by reliability, the worst first; see :func:`dependence_on_tasks` for what counts as chance."""
    _, high = results.intervals.T
    z, constant = dependence_on_tasks(results, panel)
    enough = (results.n_answers_of_worker >= ENOUGH) & (np.isfinite(z) | constant)
    beyond = float(stats.norm.isf(0.01 / max(int(enough.sum()), 1)))
    worse = enough & (z < -beyond)
    chance = enough & (z <= float(stats.norm.isf(_LEVEL))) & ~worse & ~constant
    median = float(np.median(results.skills[enough])) if enough.any() else float("nan")
    order = np.argsort(results.skills, kind="stable")
    below = enough & ~chance & ~worse & ~constant & (high < median)
    return Reliability(
        order[worse[order]],
        order[chance[order]],
        order[(enough & constant)[order]],
        order[below[order]],
        order[~enough[order]],
        median,
    )


def dependence_on_tasks(results: Results, panel: Panel) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Test of each worker whether their answers have to do with the tasks.

    The statistic is how far the answers are what others say of the same tasks, Σ_n S[n, a_n], where S[n, c] sums the
    chance-corrected skills of the others who said c. Workers who repeat this one are no others. Were the answers given
    to the tasks at random, all orders of them would be equally likely; mean and variance over these orders are exact
    (Hoeffding, Annals of Mathematical Statistics 22, 1951). Chance then needs no model, and classes may be as uneven as
    they like.

    Returns
    -------
    z : shape (D,)
        Standard scores, positive where the answers follow the others'; NaN where there is nothing to compare.
    constant : booleans, shape (D,)
        Whether all answers of the worker are one label, where there is more than one.
    """
    answers = results.answers
    d, k, r = answers.n_workers, answers.n_classes, answers.n_answers
    number = results.n_answers_of_worker
    said = results.hard_answer
    share = np.zeros((d, k))
    np.add.at(share, (answers.worker, said), 1.0)
    share /= np.maximum(number, 1)[:, None]
    constant = (number > 0) & (share.max(axis=1, initial=0) == 1) & (k > 1)
    if not r or k < 2:
        return np.full(d, np.nan), constant
    if r * k > _MOST_WORK:
        error = (results.intervals[:, 1] - results.intervals[:, 0]) / (2 * 1.96)
        return (results.skills - results.chance) / np.maximum(error, 1e-9), constant
    room = np.maximum(1 - results.chance, 1e-3)
    weight = np.clip((results.skills - results.chance) / room, -1, 1)[answers.worker]
    circle = np.arange(d)  # a worker and those who repeat them
    for group in panel.groups:
        circle[group] = group[0]
    _, place = np.unique(
        circle[answers.worker] * answers.n_tasks + answers.task, return_inverse=True
    )
    votes = sparse.csc_array((weight, (answers.task, said)), shape=(answers.n_tasks, k))
    own = sparse.csc_array((weight, (place, said)), shape=(int(place.max()) + 1, k))
    score, spread, expected = np.zeros(d), np.zeros(r), np.zeros(r)
    columns = np.zeros((d, k))
    for label in range(k):
        others = (
            votes[:, [label]].toarray().ravel()[answers.task]
            - own[:, [label]].toarray().ravel()[place]
        )
        mine = said == label
        score += np.bincount(answers.worker[mine], weights=others[mine], minlength=d)
        columns[:, label] = np.bincount(answers.worker, weights=others, minlength=d)
        part = share[answers.worker, label]
        expected += part * others
        spread += part * others**2
    n = np.maximum(number, 1)
    columns /= n[:, None]
    mean = (share * columns).sum(axis=1)
    within = np.bincount(answers.worker, weights=spread - expected**2, minlength=d)
    between = n * (share * (columns - mean[:, None]) ** 2).sum(axis=1)
    variance = n / np.maximum(n - 1, 1) * np.maximum(within - between, 0)
    told = variance > 1e-9 * np.maximum(n, 1)
    return np.where(
        told, (score - n * mean) / np.sqrt(np.where(told, variance, 1)), np.nan
    ), constant


def shows_no_label(results: Results) -> bool:
    """Tell whether the model was chosen that explains the answers without a label, and has one skill for all."""
    chosen = results.model.selection_
    return chosen is not None and bool((chosen["candidate"] == COMMON).any())

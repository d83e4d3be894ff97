"""Workers sorted by what can be said of them: no better than chance, below the others, too few answers to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from deem_crowd.insight.pairs import Panel
from deem_crowd.insight.results import Results
from deem_crowd.selection.candidates import COMMON

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer[Any]]

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
    n_judged, n_by_gold : int
        How many have enough answers, and how many of these were judged by known labels.
    """

    worse: IntArray
    at_chance: IntArray
    constant: IntArray
    below: IntArray
    few: IntArray
    median: float
    n_judged: int
    n_by_gold: int


def reliability(results: Results, panel: Panel, truth: IntArray | None = None) -> Reliability:
    """Sort the workers by reliability, the worst first.

    :func:`dependence_on_tasks` says what counts as chance. Workers with 20 answers or more to tasks of known label
    (``truth``, shape (N,), −1 where unknown) are judged by these alone.
    """
    skills, high = results.skills.copy(), results.intervals[:, 1].copy()
    number = results.n_answers_of_worker
    z, constant = dependence_on_tasks(results, panel)
    by_gold = np.zeros(len(skills), dtype=bool)
    if truth is not None:
        known, right, on_gold = _on_gold(results, truth)
        by_gold = known >= ENOUGH
        skills[by_gold] = (right / np.maximum(known, 1))[by_gold]
        high[by_gold] = wilson(right, known)[1][by_gold]
        z[by_gold] = on_gold[by_gold]
    enough = (number >= ENOUGH) & (np.isfinite(z) | constant)
    beyond = float(-special.ndtri(0.01 / max(int(enough.sum()), 1)))
    worse = enough & (z < -beyond)
    chance = enough & (z <= float(-special.ndtri(_LEVEL))) & ~worse & ~constant
    median = float(np.median(skills[enough])) if enough.any() else float("nan")
    order = np.argsort(skills, kind="stable")
    below = enough & ~chance & ~worse & ~constant & (high < median)
    return Reliability(
        order[worse[order]],
        order[chance[order]],
        order[(enough & constant)[order]],
        order[below[order]],
        order[~enough[order]],
        median,
        int(enough.sum()),
        int((by_gold & enough).sum()),
    )


def wilson(
    right: npt.ArrayLike, total: npt.ArrayLike, z: float = 1.96
) -> tuple[FloatArray, FloatArray]:
    """Return Wilson's interval of a rate, elementwise; (0, 1) without observations."""
    total = np.asarray(total, dtype=np.float64)
    n = np.maximum(total, 1.0)
    rate = np.asarray(right, dtype=np.float64) / n
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    none = total == 0
    return np.where(none, 0.0, middle - reach), np.where(none, 1.0, middle + reach)


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
    said = results.hard_answer
    share = _shares(answers.worker, said, d, k)
    constant = (share.max(axis=1, initial=0) == 1) & (k > 1)
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
    code = circle[answers.worker] * answers.n_tasks + answers.task
    _, place = np.unique(code, return_inverse=True)
    votes = sparse.csc_array((weight, (answers.task, said)), shape=(answers.n_tasks, k))
    own = sparse.csc_array((weight, (place, said)), shape=(int(place.max()) + 1, k))

    def others(label: int) -> FloatArray:
        all_of_them = votes[:, [label]].toarray().ravel()[answers.task]
        return np.asarray(all_of_them - own[:, [label]].toarray().ravel()[place])

    return _scores_over_orders(answers.worker, said, share, others), constant


def _on_gold(results: Results, truth: IntArray) -> tuple[Codes, FloatArray, FloatArray]:
    """Return each worker's answers to tasks of known label, how many are right, and the score over orders."""
    answers = results.answers
    rated = truth[answers.task] >= 0
    worker, said, label = (
        answers.worker[rated], results.hard_answer[rated], truth[answers.task[rated]],
    )  # fmt: skip
    d = answers.n_workers
    known = np.bincount(worker, minlength=d)
    right: FloatArray = np.bincount(worker[said == label], minlength=d).astype(np.float64)
    share = _shares(worker, said, d, answers.n_classes)
    score = _scores_over_orders(worker, said, share, lambda c: (label == c).astype(np.float64))
    return known, right, score


def _shares(worker: Codes, said: Codes, n_workers: int, n_classes: int) -> FloatArray:
    """Return how often each worker gives each label, shape (D, K), as shares of their answers."""
    counts = np.zeros((n_workers, n_classes))
    np.add.at(counts, (worker, said), 1.0)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _scores_over_orders(
    worker: Codes, said: Codes, share: FloatArray, others: Callable[[int], FloatArray]
) -> FloatArray:
    """Return (T − mean) / deviation of T = Σ S[n, a_n] over all orders of each worker's answers, shape (D,).

    Parameters
    ----------
    worker, said : integers, shape (R,)
    share : shape (D, K)
        How often each worker gives each label.
    others : callable
        S[:, label] for the R answers.
    """
    d, k = share.shape
    score, mean_square, expected = np.zeros(d), np.zeros(len(said)), np.zeros(len(said))
    columns = np.zeros((d, k))
    for label in range(k):
        column = others(label)
        mine = said == label
        score += np.bincount(worker[mine], weights=column[mine], minlength=d)
        columns[:, label] = np.bincount(worker, weights=column, minlength=d)
        part = share[worker, label]
        expected += part * column
        mean_square += part * column**2
    n = np.maximum(np.bincount(worker, minlength=d), 1)
    columns /= n[:, None]
    mean = (share * columns).sum(axis=1)
    within = np.bincount(worker, weights=mean_square - expected**2, minlength=d)
    between = n * (share * (columns - mean[:, None]) ** 2).sum(axis=1)
    variance = n / np.maximum(n - 1, 1) * np.maximum(within - between, 0)
    told = variance > 1e-9 * n
    return np.where(told, (score - n * mean) / np.sqrt(np.where(told, variance, 1)), np.nan)


def shows_no_label(results: Results) -> bool:
    """Tell whether the model was chosen that explains the answers without a label."""
    return any(candidate.name == COMMON for candidate in results.candidates)

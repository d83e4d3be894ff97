"""Whether workers have habits: whether some answer with a class of their own, whatever the task.

Somebody who names one class all the time, to be done soon, agrees with whoever does the same. Where workers gave few
answers each, tables may take such a class for the truth. A model of habits (:mod:`deem_crowd.training.habit_centre`)
has few numbers a worker, and sees it.
"""

from __future__ import annotations

import torch

from deem_crowd.selection import candidates as rows
from deem_crowd.selection import class_order
from deem_crowd.selection.fitting import Training
from deem_crowd.training.dirichlet import log_marginal
from deem_crowd.training.habit_centre import HabitCentre
from deem_crowd.training.hierarchical import (
    FIRST_STRENGTH,
    AccuracyCentre,
    Centre,
    Hierarchical,
    learned_strength,
)

MOST_ANSWERS = 300
"""A worker, on average, up to which habits are asked for: with more, tables show them."""
MOST_POINTS = 5e6
"""Workers × points of the grid: what is computed in each pass."""
_MORE, _MORE_AN_ANSWER = 25.0, 0.01
"""By how much its bound has to be larger: nats in all, and nats an answer, which are added up.

Where nobody has a habit its prior, which has many numbers, says up to ten nats more. For the fit to be worth its time,
so much has to show with the votes for labels, of many workers in a part of them.
"""
_ROUNDS = 3
"""Of fitting the centre and its strength to the votes."""


def find(training: Training, around_accuracies: Hierarchical | None) -> Hierarchical | None:
    """Return tables drawn around knowledge and habits; None if they do not explain much more.

    Parameters
    ----------
    training : Training
        N tasks, D workers, K classes.
    around_accuracies : Hierarchical, optional
        The fit to compare with, where there is one.
    """
    if around_accuracies is None or not training.parts.habits:
        return None
    design = training.design
    n_answers, n_workers = design.n_answers_in_all, int(design.answered.sum())
    centre = HabitCentre(design.n_classes)
    if design.n_classes < 2 or n_answers > MOST_ANSWERS * n_workers:
        return None
    if design.n_workers * centre.n_points > MOST_POINTS:
        return None
    more = _MORE + _MORE_AN_ANSWER * n_answers
    counts = training.counts[class_order.some_workers(design, around_accuracies)]
    asked = float(counts.sum()) / max(n_answers, 1)
    if _evidence(centre, counts) < _evidence(AccuracyCentre(), counts) + asked * more:
        return None
    found = training.by_habit(around_accuracies.bound + more)
    return found if found.bound > around_accuracies.bound + more else None


def _evidence(centre: Centre, counts: torch.Tensor) -> float:
    """Return the log evidence of expected counts, shape (D, K, K), under tables drawn around a centre, in nats."""
    strength = FIRST_STRENGTH
    for _ in range(_ROUNDS):
        middle = centre.update(counts, strength)
        strength = learned_strength(counts, middle, strength)
    middle = centre.update(counts, strength)
    return float(log_marginal(counts, strength * middle).sum()) + centre.log_evidence()


def title(member: Hierarchical) -> str:
    """Return the name of a member among the candidates."""
    return rows.HABITS if isinstance(member.centre, HabitCentre) else rows.HIERARCHY

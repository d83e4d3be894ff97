"""What is chosen where tables of workers show no label, or lose what soft answers say: who answered, or one factor."""

from __future__ import annotations

from math import nan

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.calibration import share_of_votes
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import counts_of
from deem_crowd.model.tables import log_tables
from deem_crowd.selection import candidates as rows
from deem_crowd.selection import null_model, one_factor, one_sided, presence, rank_one
from deem_crowd.selection.candidates import Candidate, Rater
from deem_crowd.selection.fitting import Training
from deem_crowd.selection.one_factor import Factor
from deem_crowd.selection.opinion_pool import FLOOR, LITTLE, OpinionPool
from deem_crowd.selection.presence import Presence
from deem_crowd.selection.selected import Selected, settle
from deem_crowd.training.em import Member
from deem_crowd.training.habit_centre import HabitCentre
from deem_crowd.training.hierarchical import Hierarchical

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CORRELATION = 0.2
"""Between soft answers to one task given its label."""
_OF_TWO = 0.5
"""The weight of the mean of the probabilities if there are only two sources."""
_BETWEEN, _BELOW, _TOTAL = 1.51, 2.01, 2.0
"""Thresholds of the test for a label: of the eigenvalue where the bound lies between the two kinds of noise (2.3 % of
noise exceed it), of the eigenvalue where the bound is below both (1 %), and of the total in the first case (2.3 %)."""


def instead(
    training: Training,
    answers: Answers,
    tables: Member,
    structured: tuple[str, Member],
    hierarchy: Hierarchical | None,
    told: FloatArray | None,
    group: IntArray | None,
) -> Selected | None:
    """Return what is chosen where tables do not say how answers depend on a label; None where they do.

    Soft answers that lie between the classes are read by one factor even where tables show a label, since tables lose
    most of what they say.

    Parameters
    ----------
    training, answers, tables, structured, hierarchy
        What was fitted, to which answers; ``structured`` comes with its name.
    told : shape (D,), optional
        What answers count by the user's groups.
    group : shape (D,), optional
        These groups.
    """
    design = training.design
    factor = None
    if one_factor.between_classes(answers, design) and not training.ordered:
        factor = one_factor.find(answers, design, group)
    if factor is None and (
        training.gold is not None  # known labels tell tables what the label is
        or _show_label(tables, structured[1], hierarchy, answers, design)
    ):
        return None
    rater = Rater(design, tables)
    considered = [
        rater.candidate(name, member, "overruled")
        for name, member in (structured, (rows.TABLES, tables))
    ]
    if factor is None and training.parts.presence:
        spoken = presence.find(answers, design, group)
        if spoken is not None:
            return by_presence(design, tables, considered, spoken)
    if factor is None:
        factor = one_factor.find(answers, design, group)
    if factor is not None:
        named = told is not None
        return by_factor(design, answers, tables, considered, factor, named, training.gold)
    return Selected(considered, tables, power=told)


def _show_label(
    tables: Member,
    structured: Member,
    hierarchy: Hierarchical | None,
    answers: Answers,
    design: DesignMatrix,
) -> bool:
    """Whether the answers show a label to tables, by the larger bound of models whose accuracies are drawn."""
    drawn = [one for one in (hierarchy, structured) if isinstance(one, Hierarchical)]
    if drawn:
        return _shows_label(max(drawn, key=lambda one: one.bound), answers, design)
    return not null_model.prefers_no_label(design, tables.states, tables.pseudo_answers)


def _shows_label(member: Hierarchical, answers: Answers, design: DesignMatrix) -> bool:
    """Whether a model's bound of the evidence says that the answers show a label to tables.

    Where most sources speak for one class they do not: tables of such sources say nothing, so a few others, or copies,
    would decide alone.
    """
    if one_sided.are_most(design.answers_named()):
        return False
    free, alike = null_model.evidence_without_label(design)
    # tables around habits explain these, whether or not there is a label
    if isinstance(member.centre, HabitCentre):
        alike = max(alike, null_model.evidence_of_habits(design))
    bound = member.bound
    if bound <= free:  # workers who guess may outweigh those who do not
        bound += max(null_model.gain_of_guessers(design, member.by_worker), 0.0)
    if bound > alike:
        return True
    departure = rank_one.departure(answers, design.reduce_array)
    if bound > free:
        return departure.eigenvalue > _BETWEEN or departure.total > _TOTAL
    return departure.eigenvalue > _BELOW


def by_presence(
    design: DesignMatrix, tables: Member, considered: list[Candidate], spoken: Presence
) -> Selected:
    """Return what follows from who answered: the words of sources that speak for one class tell nothing more."""
    shares = tuple(spoken.shares.tolist())
    pool = OpinionPool((spoken.energy,), (1.0,), FLOOR, unanswered=shares)
    posterior = pool.posterior(design)
    why = "chosen: most sources speak for one class, and when they do is explained by a label"
    n_answers = max(design.n_answers_in_all, 1)
    candidates = [
        *considered,
        Candidate(rows.PRESENCE, spoken.gain / n_answers, nan, nan, nan, 1 - FLOOR, why),
        rows.without_likelihood(
            rows.VOTES, FLOOR, f"always a voice, and counts {FLOOR:g} at least"
        ),
    ]
    shown = read_off(design, posterior, tables)
    skills = one_sided.precision(design, posterior)
    return Selected(candidates, tables, pool, posterior, posterior, shown, skills=skills)


def by_factor(
    design: DesignMatrix,
    answers: Answers,
    tables: Member,
    considered: list[Candidate],
    factor: Factor,
    grouped: bool,
    gold: torch.Tensor | None,
) -> Selected:
    """Return what follows from soft answers whose pairs are correlated as one label would make them."""
    # with probability φ an answer follows what its task suggests to all
    caution = share_of_votes(factor.shared**2, design.n_tasks_in_all)
    # one correlation tells neither the better of two sources nor a label from shared errors
    floor = 0.0 if (factor.loading > 0).sum() > 2 else _OF_TWO
    pool = OpinionPool((factor.energy,), (1.0,), floor, CORRELATION, None, caution, LITTLE)
    why = "chosen: answers of pairs of sources are correlated as one label makes them"
    sizes = sorted(np.bincount(factor.family[factor.family >= 0]).tolist(), reverse=True)
    if sizes:
        sized = ", ".join(map(str, sizes))
        why += f"; families of sources that share errors count less (sizes: {sized})"
    if grouped:
        why += f"; sources count less, {rows.GROUPED}"
    posterior = pool.posterior(design)
    settle(posterior, gold)
    candidates = [*considered, rows.without_likelihood(rows.FACTOR, 1 - floor, why)]
    if floor > 0:
        beside = (
            "one correlation tells neither the better of two sources nor a label from shared errors"
        )
        candidates.append(rows.without_likelihood(rows.VOTES, floor, beside))
    shown = read_off(design, posterior, tables)
    skills = one_factor.skills(answers, design, posterior)
    return Selected(candidates, tables, pool, posterior, posterior, shown, skills=skills)


def read_off(design: DesignMatrix, posterior: torch.Tensor, tables: Member) -> torch.Tensor:
    """Return the log-tables that follow from a posterior, shape (N, K): float64, shape (D, K, K)."""
    cells = counts_of(design, posterior) + tables.pseudo_answers
    return log_tables(cells)

"""The default model, chosen from the answers alone: members that are fitted quickly, and what each counts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import nan

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.calibration import share_of_votes, within_task_correlation
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.runtime.progress import Progress
from deem_crowd.selection import averaged_skills, class_order, habits, pairs, without_tables
from deem_crowd.selection import candidates as rows
from deem_crowd.selection.candidates import Rater
from deem_crowd.selection.fitting import Structured, Training
from deem_crowd.selection.opinion_pool import FLOOR, OpinionPool, agreement_weights, smoothed_votes
from deem_crowd.selection.parts import Parts
from deem_crowd.selection.selected import Selected, settle
from deem_crowd.selection.shared_errors import fields, groups, repeating
from deem_crowd.selection.without_tables import read_off
from deem_crowd.training import em
from deem_crowd.training.em import Clamp, Member, WarmStart
from deem_crowd.training.hierarchical import STRENGTHS, Hierarchical

WORK = 6e7
"""Answers × classes that a member may go through, pass by pass."""
LEAST_PASSES = 15
_ANSWERS_A_CLASS = 10
_BESIDE = "chosen beside the tables whose bound is larger, since no third reading has a larger one"


CountedPairs = Callable[[], tuple[pairs.Pairs, pairs.FloatArray]]


def counting_pairs(answers: Answers, design: DesignMatrix) -> CountedPairs:
    """Return a function that counts how often sources agree in pairs (:func:`pairs.of_most_active`), once."""
    return functools.cache(functools.partial(pairs.of_most_active, answers, design.reduce_array))


def select(
    answers: Answers,
    design: DesignMatrix,
    gold: torch.Tensor | None = None,
    start: torch.Tensor | None = None,
    n_iter: int = em.PASSES,
    progress: Progress | None = None,
    warm_starts: Mapping[str, WarmStart] | None = None,
    ordered: bool = False,
    group: npt.NDArray[np.int64] | None = None,
    parts: Parts | None = None,
    counted_pairs: CountedPairs | None = None,
) -> Selected:
    """Fit the candidates and pool them.

    The voices are a structured member (one accuracy a worker, or bias and noise where classes are ordered), tables
    (those drawn around a worker's own accuracy, or what it knows and its habit (:mod:`deem_crowd.selection.habits`),
    or where the answers put the classes in order around bias and noise (:mod:`deem_crowd.selection.class_order`), or
    plain ones, whichever have the larger bound of the evidence), the member with the largest bound of all (tables for
    easy and hard tasks are asked here, too; where none is larger than that of the tables, the other tables), and the
    votes. Where workers gave few answers each to tasks of two classes, averaged skills take the place of all but the
    votes, if their evidence is larger (:mod:`deem_crowd.selection.averaged_skills`). Where sources repeat one another
    and the model has taken that for skill (:mod:`deem_crowd.selection.shared_errors.dependence`), they count less, and
    plain tables are taken. With many answers members get fewer passes: EM then needs fewer.

    Parameters
    ----------
    answers, design : the same data
        N tasks, D workers, K classes.
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown.
    start : shape (N, K), optional
        Probabilities to begin with instead of the votes.
    n_iter : int
        Most passes of a member.
    progress : Progress, optional
        Each member is a stage of it.
    warm_starts : mapping of str to WarmStart, optional
        Where the members stopped whose end does not depend on their start, in a fit of some of these answers.
    ordered : bool
        Whether the classes are ordered, 0 < 1 < … < K − 1.
    group : shape (D,), optional
        Number of each worker's group of sources that share errors, −1 for none
        (:mod:`deem_crowd.selection.shared_errors.groups`).
    parts : Parts, optional
        All of them if omitted.
    counted_pairs : callable, optional
        What :func:`counting_pairs` returns, where several fits of the same answers share it.
    """
    parts = Parts() if parts is None else parts
    affordable = int(WORK / max(design.n_answers_in_all * design.n_classes, 1))
    training = Training(
        design,
        em.vote_start(design) if start is None else start,
        gold,
        min(em.PASSES, max(LEAST_PASSES, affordable), n_iter),
        progress,
        {} if warm_starts is None else warm_starts,
        parts,
        ordered,
    )
    # With fewer answers a class there is nothing to learn a shared confusion of errors, K² numbers, from.
    asked = design.n_answers_in_all >= _ANSWERS_A_CLASS * design.n_classes
    if progress is not None:
        progress.expect((2 + asked + parts.subtypes) * training.n_passes)
    if counted_pairs is None:
        counted_pairs = counting_pairs(answers, design)
    meanwhile = counted_pairs if parts.dependence else None
    hierarchy, (name, structured) = training.first_two(asked, meanwhile)
    hierarchy = habits.find(training, hierarchy) or hierarchy
    rival = None if hierarchy is None or not parts.hierarchy else hierarchy.bound
    tables = training.tables(beat=rival)
    told = groups.told(answers, group, design.reduce_array)
    instead = without_tables.instead(
        training, answers, tables, (name, structured), hierarchy, told, group
    )
    if instead is not None:
        return instead
    model = tables if hierarchy is None else hierarchy
    counted: pairs.Pairs | None = None
    power, why = told, "" if told is None else rows.GROUPED
    if parts.dependence:
        counted, number = counted_pairs()
        if told is None:
            by_field = _by_field(training, counted, tables, hierarchy, answers.is_soft)
            if by_field is not None:  # without the pairs: why they agree more is explained
                return by_field
        if told is None:
            power, why, group = repeating.found(training, answers, counted, number, model)
        else:
            assert group is not None
            power, why, group = repeating.beside(training, answers, counted, number, told, group)
    if power is not None:
        return replace(_copies(training, tables, power, why, group), pairs=counted, power=power)
    steps = None
    if parts.in_order and hierarchy is not None and not answers.is_soft:
        steps = class_order.along_scale(training, hierarchy)
    averaged = None
    if parts.averaged and gold is None and start is None and not ordered:
        averaged = averaged_skills.find(answers, design)
    if averaged is not None:
        instead = _averaged(training, tables, hierarchy, (name, structured), averaged)
        if instead is not None:
            return replace(instead, pairs=counted)
    selected = replace(
        _pooled(training, tables, hierarchy, (name, structured), steps), pairs=counted
    )
    if steps is None:
        return selected
    order = class_order.named(steps, answers.classes)
    described = [
        replace(one, why=f"{one.why}{rows.SAYS_ORDER}{order}") if one.name == rows.IN_ORDER else one
        for one in selected.candidates
    ]
    return replace(selected, candidates=described)


def _by_field(
    training: Training,
    counted: pairs.Pairs,
    tables: Member,
    hierarchy: Hierarchical | None,
    soft: bool,
) -> Selected | None:
    """Return what follows from sources that know different fields, where pairs of them say so; else None."""
    design, gold, parts = training.design, training.gold, training.parts
    if not parts.fields or training.ordered or soft:
        return None
    rival = max(tables.bound, tables.bound if hierarchy is None else hierarchy.bound)
    member = fields.find(design, counted, tables, rival, training.fields)
    if member is None:
        return None
    easy = training.subtypes(member.bound)
    if easy.bound > member.bound + fields.TIE:
        return None
    pool = OpinionPool((member.energy,), (1.0,), FLOOR if parts.floor else 0.0)
    mean = member.energy.fold(member.states)
    posterior = pool.pooled([mean], design)
    if gold is not None:
        settle(posterior, gold)
    left_out = "left out: pairs of sources agree otherwise than it says"
    rater = Rater(design, tables)
    rater.in_pool(member, nan, 1 - pool.floor)
    chosen = "chosen: it says how often pairs of sources agree, and its bound is far above that of tables"
    candidates = [
        rater.candidate(rows.TABLES, tables, left_out),
        rater.candidate(rows.SUBTYPES, easy, "left out: its bound is not clearly larger"),
        rater.candidate(rows.FIELDS, member, chosen),
        rows.without_likelihood(
            rows.VOTES, pool.floor, f"always a voice, and counts {FLOOR:g} at least"
        ),
    ]
    return Selected(candidates, tables, pool, posterior, mean, read_off(design, mean, tables))


def _copies(
    training: Training,
    plain: Member,
    power: npt.NDArray[np.float64],
    why: str,
    group: npt.NDArray[np.int64] | None,
) -> Selected:
    """Pool members in which sources that repeat others count less.

    Where groups are known, ``group``, shape (D,), has their numbers, and errors that answers of different groups share
    make probabilities more cautious.
    """
    weight = torch.from_numpy(power)
    if training.progress is not None:  # two members more, and no subtypes
        training.progress.expect(training.progress.total + training.n_passes)
    tables = training.tables(weight)
    name, structured = training.structured(weight)
    ones = torch.ones_like(training.start[:, :1])
    n_answers = training.design.expected_counts(ones).sum((1, 2)).cpu()
    mean_power = float((n_answers * weight).sum() / n_answers.sum())
    left_out = (
        f"left out: sources repeat others (an answer counts {mean_power:.2f} on average), {why}"
    )
    chosen = "chosen: sources count less as far as they repeat others"
    described = [
        (name, structured, "always a member"),
        (rows.TABLES, plain, left_out),
        (rows.COPIES, tables, chosen),
    ]
    # as without copies, the model of steps on a scale may say more than tables
    best = structured if training.ordered and structured.bound > tables.bound else tables
    return _assembled(training, [structured, tables, best], described, tables, False, group)


def _averaged(
    training: Training,
    tables: Member,
    hierarchy: Hierarchical | None,
    first: Structured,
    found: tuple[str, Member],
) -> Selected | None:
    """Pool averaged skills, ``found``, and the votes; None where tables have a larger evidence."""
    name, averaged = found
    fitted = [(rows.TABLES, tables)]
    if hierarchy is not None:
        fitted.append((habits.title(hierarchy), hierarchy))
    if any(member.bound >= averaged.bound for _, member in fitted):
        return None
    if training.parts.subtypes:
        fitted.append((rows.SUBTYPES, training.subtypes(averaged.bound)))
        if fitted[-1][1].bound >= averaged.bound:
            return None
    structured, member = first
    described = [
        (structured, member, "left out: its accuracies are averaged over a prior instead"),
        *((title, one, "left out: the smaller evidence") for title, one in fitted),
        (name, averaged, "chosen: the larger evidence, as workers gave few answers each"),
    ]
    return _assembled(training, [averaged, averaged], described, tables, calibrate=True)


def _pooled(
    training: Training,
    tables: Member,
    hierarchy: Hierarchical | None,
    first: Structured,
    steps: Hierarchical | None,
) -> Selected:
    """Pool the structured member, the better tables, and the member with the largest bound.

    ``steps``, where the answers put the classes in order, take the place of tables drawn around accuracies.
    """
    name, structured = first
    around, hierarchy = hierarchy, hierarchy if steps is None else steps
    drawn = training.parts.hierarchy and hierarchy is not None and hierarchy.bound > tables.bound
    better, other = (hierarchy, tables) if drawn and hierarchy is not None else (tables, hierarchy)
    best, beside = better, list[Member]()
    if training.ordered and structured.bound > best.bound:
        best = structured
    largest = max(better.bound, best.bound) if training.ordered else better.bound
    subtypes = training.subtypes(largest) if training.parts.subtypes else None
    if subtypes is not None and subtypes.bound > largest:
        best = subtypes
    if best is better and other is not None and training.parts.hierarchy:
        # Where the evidence says that workers follow their accuracies, these tables say what one coin a worker says,
        # on the way to its maximum, and count twice. Else the same reading twice would say nothing more.
        follows = isinstance(better, Hierarchical) and better.strength == STRENGTHS[-1]
        if training.ordered or not follows:
            best = other
        elif steps is not None:
            # a reading along a scale may lose a class, and must not outvote the others by itself
            beside = [other]
    described = [(name, structured, "always a member")]
    if hierarchy is None:
        described.append((rows.TABLES, tables, "always a member"))
    else:
        drawn_around = habits.title(hierarchy) if steps is None else rows.IN_ORDER
        for title, member in ((rows.TABLES, tables), (drawn_around, hierarchy)):
            verdict = _verdict(member is better)
            second = member is other and (best is other or bool(beside))
            described.append((title, member, _BESIDE if second else verdict))
        if steps is not None and around is not None:
            described.append((habits.title(around), around, _verdict(False)))
    if subtypes is not None:
        described.append((rows.SUBTYPES, subtypes, _verdict(subtypes.bound > largest)))
    voices = [structured, better, best, *beside]
    return _assembled(training, voices, described, tables, calibrate=True)


def _verdict(chosen: bool) -> str:
    return f"{'chosen: the larger' if chosen else 'left out: the smaller'} bound of the evidence"


def _assembled(
    training: Training,
    voices: list[Member],
    described: Sequence[tuple[str, Member, str]],
    tables: Member,
    calibrate: bool,
    group: npt.NDArray[np.int64] | None = None,
) -> Selected:
    """Weigh the voices, and read labels and tables off their pool."""
    design, gold, parts = training.design, training.gold, training.parts
    if not parts.structured:
        voices = voices[1:]
    members = list({id(voice): voice for voice in voices}.values())
    posteriors = [
        member.energy.fold(member.states)
        if member.settled
        else _posterior(design, member.energy, gold)
        for member in members
    ]
    place = [next(i for i, m in enumerate(members) if m is voice) for voice in voices]
    heard = [posteriors[i] for i in place]
    if parts.votes:
        heard.append(smoothed_votes(design.votes)[0])
    weights, agreed = agreement_weights(heard, design, training.ordered)
    if not parts.weights:
        weights = [1 / len(heard)] * len(heard)
    by_votes = weights[len(place)] if parts.votes else 0.0
    shares, agreements = [0.0] * len(members), [0.0] * len(members)
    for i, weight, agreement in zip(place, weights, agreed, strict=False):
        shares[i] = min(shares[i] + weight / (1 - by_votes), 1.0)  # sums may round to more
        agreements[i] = agreement
    asked = (calibrate or group is not None) and parts.correlated
    least = FLOOR if parts.floor and not asked else 0.0
    floor = least + (1 - least) * by_votes
    pool = OpinionPool(tuple(m.energy for m in members), tuple(shares), floor)
    mean = pool.mean(posteriors)
    shown: torch.Tensor | None = None
    if asked:
        shown = read_off(design, mean, tables)
        correlation = within_task_correlation(design, mean, shown.exp(), group)
        least = share_of_votes(correlation, design.n_tasks_in_all) if parts.floor else 0.0
        pool = replace(pool, correlation=correlation, caution=least)
    posterior = pool.pooled(posteriors, design)
    if gold is not None:
        settle(posterior, gold)
        settle(mean, gold)
        shown = None
    rater = Rater(design, tables)
    for member, agreement, share in zip(members, agreements, shares, strict=True):
        rater.in_pool(member, agreement, (1 - least) * (1 - by_votes) * share)
    candidates = [rater.candidate(name, member, why) for name, member, why in described]
    why = f"always a voice, and counts {least:.2g} at least"
    agreement = agreed[-1] if parts.votes else float("nan")
    candidates.append(
        rows.without_likelihood(rows.VOTES, 1 - (1 - least) * (1 - by_votes), why, agreement)
    )
    continued = (rows.ONE_COIN, rows.SUBTYPES)
    warm_starts = {n: m.warm_start() for n, m, _ in described if n in continued}
    shown = read_off(design, mean, tables) if shown is None else shown
    each = tuple(members) if calibrate else ()
    return Selected(candidates, tables, pool, posterior, mean, shown, warm_starts, each)


def _posterior(design: DesignMatrix, energy: Energy, gold: torch.Tensor | None) -> torch.Tensor:
    """Return p(label | x_n, gold), shape (N, K)."""
    clamp = Clamp(design, gold, energy.n_subtypes)
    return energy.fold(em.expect(design, energy.weight, energy.bias, clamp).states)

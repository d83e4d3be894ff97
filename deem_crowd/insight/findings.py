"""What a person should be told about the answers, in sentences with names."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from deem_crowd.data.doubts import ONE_CLASS, names_one_class
from deem_crowd.exceptions import counted
from deem_crowd.insight import ordered
from deem_crowd.insight.camps import Camp, camp_of
from deem_crowd.insight.contested import contested_table
from deem_crowd.insight.pairs import MOST_CELLS, Panel
from deem_crowd.insight.reliability import ENOUGH, reliability, shows_no_label, wilson
from deem_crowd.insight.results import AnswersLike, Model, Results, results_of
from deem_crowd.insight.swapped import swapped_labels
from deem_crowd.insight.tables import classes_table, compare, workers_table
from deem_crowd.selection.pairs import LEAST_COMMON, Pairs

__all__ = ["findings", "summary"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

NO_LABEL = (
    "The answers show no label: a model in which tasks have no true label explains them just as well. The labels "
    "given stay close to the votes, and the answers say little about how good the workers are."
)
ONE_WORKER = (
    "All answers come from one worker, and there is nobody to compare them with: the labels are what this worker says, "
    "and the skill is a guess."
)
_SAID_ELSEWHERE = (NO_LABEL, ONE_WORKER, ONE_CLASS)
_SAME = 0.15
"""Mean distance in variation of answers to two classes under which nobody tells them apart."""
_FIRST_ASKED = 50
"""Workers who are asked about all pairs of classes at once, so that few are left to ask everybody about."""
_MOST_CLASSES = 100
_CLASSES_SHOWN = 10


def shown(value: Any, length: int = 40) -> str:
    """Return an id or label as text that is safe to show: invisible characters escaped, long texts shortened.

    What is cut out is in the middle: long names often differ at their end.
    """
    text = str(value)
    end = (length - 1) // 3
    cut = text if len(text) <= length else f"{text[: length - 1 - end]}…{text[len(text) - end :]}"
    return "".join(
        c if unicodedata.category(c)[0] != "C" and c not in "\u2028\u2029" else f"\\u{ord(c):04x}"
        for c in cut
    )


def listed(values: Iterable[Any], limit: int = 8) -> str:
    """Return some ids in words: 'a, b and c', or the first ones and how many more."""
    texts = [shown(value) for value in values]
    if len(texts) > limit:
        return f"{', '.join(texts[:limit])} and {len(texts) - limit:,} more"
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def merged_classes(results: Results) -> list[tuple[int, int]]:
    """Return the pairs of classes that nobody tells apart.

    The distance of a worker's answers to tasks of the two classes (total variation), averaged over answers, is under
    0.15, and no worker with enough answers has a distance above twice that. Classes that hardly occur say nothing, nor
    do workers who only ever name one class, as labelling functions do: they tell classes apart by when they answer.
    """
    n, k = results.posterior.shape
    number = results.n_answers_of_worker
    if k < 2 or k > _MOST_CLASSES or not number.sum():
        return []
    occurring = np.flatnonzero(results.priors * n >= ENOUGH / 2)
    busiest = np.argsort(-number, kind="stable")[:_FIRST_ASKED]
    alike = np.triu(np.ones((len(occurring), len(occurring)), dtype=bool), 1)
    for table in map(results.tables.of, busiest[number[busiest] >= ENOUGH][:, None]):
        columns = table[0][:, occurring].T
        alike &= np.abs(columns[:, None] - columns).sum(axis=2) / 2 <= 2 * _SAME
        if not alike.any():
            return []
    named = np.zeros((len(number), k), dtype=bool)
    named[results.answers.worker, results.hard_answer] = True
    active = np.flatnonzero(named.sum(axis=1) > 1)
    weight = number[active] / max(number[active].sum(), 1)
    judged = number[active] >= ENOUGH
    pairs = []
    for first, second in occurring[np.argwhere(alike)]:
        one, other = (
            results.tables.cells(active[:, None], np.arange(k), label) for label in (first, second)
        )
        distances = np.abs(one - other).sum(axis=1) / 2
        if len(active) and weight @ distances < _SAME and not (distances[judged] > 2 * _SAME).any():
            pairs.append((int(first), int(second)))
    return pairs


def confused_classes(results: Results) -> list[tuple[int, int, float]]:
    """Return (label, answer, share): answers to tasks of a class that name another one, the most frequent first.

    The share is that of all answers to tasks with that consensus label; only shares of a tenth and more.
    """
    answers = results.answers
    label = results.label[answers.task]
    rated = label >= 0
    k = answers.n_classes
    code = label[rated] * k + results.hard_answer[rated]
    kinds, times = np.unique(code, return_counts=True)
    totals = np.bincount(label[rated], minlength=k)
    share = times / totals[kinds // max(k, 1)] if k else times
    wrong = (kinds // max(k, 1) != kinds % max(k, 1)) & (share >= 0.1) & (times >= 5)
    order = np.flatnonzero(wrong)[np.argsort(-times[wrong], kind="stable")]
    return [(int(kinds[i] // k), int(kinds[i] % k), float(share[i])) for i in order]


def against_gold(results: Results, gold: IntArray) -> pd.DataFrame:
    """Return each worker's skill beside their accuracy on gold.

    Returns
    -------
    DataFrame, D rows
        Index ``worker``. ``skill``, ``low``, ``high``; ``gold_answers``, the answers to tasks with gold; ``right``, the
        share of them that is right (NaN without any); ``contradicts``, whether the Wilson interval of that share lies
        wholly outside [low, high], at a level that one worker in a hundred panels misses by chance.
    """
    answers = results.answers
    truth = gold[answers.task]
    rated = truth >= 0
    total = np.bincount(answers.worker[rated], minlength=answers.n_workers)
    correct = results.hard_answer[rated] == truth[rated]
    right = np.bincount(answers.worker[rated], weights=correct, minlength=answers.n_workers)
    z = float(-special.ndtri(0.005 / max(int((total > 0).sum()), 1)))
    least, most = wilson(right, total, z)
    low, high = results.intervals.T
    return pd.DataFrame(
        {
            "skill": results.skills,
            "low": low,
            "high": high,
            "gold_answers": total,
            "right": np.where(total > 0, right / np.maximum(total, 1), np.nan),
            "contradicts": (total >= 10) & ((most < low) | (least > high)),
        },
        index=answers.workers,
    )


def findings(model: Model, answers: AnswersLike = None, gold: Any = None) -> list[str]:
    """Return warnings about the answers, as sentences with names; an empty list where nothing stands out.

    Answers that show no label, or come from one worker; workers that repeat one another; workers whose labels are
    swapped; gold that contradicts a learned skill; classes that nobody tells apart; an order of the classes that the
    default has found.

    Parameters
    ----------
    model : DEEMAggregator or DEEM, fitted
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; only a model that comes from a file needs it.
    gold : Series, dict, DataFrame or array, optional
        Known labels, as fit takes them.

    Raises
    ------
    NotFittedError, MissingAnswersError, DataError, FormError
    """
    results = results_of(model, answers)
    warnings = warnings_of(results, compare(results), results.gold(gold))
    in_order = ordered.found(results)
    return warnings if in_order is None else [*warnings, in_order]


def of_fit(model: Model, counts: Pairs | None) -> list[str]:
    """Return what stands out after a fit, as :func:`findings` does, without another pass over the answers.

    That the answers show no label, or come from one worker, is left out: few say little, and many that agree by chance
    have their own warning. An order of the classes is no reason to warn.

    Parameters
    ----------
    model : DEEMAggregator or DEEM, just fitted
    counts : Pairs, optional
        How often workers agree in pairs, where the fit has counted that; workers that repeat one another are not looked
        for without it.
    """
    results = results_of(model)
    if math.prod(results.tables.shape) > MOST_CELLS:
        return []
    # pairs that share too few tasks have not been counted further, and nothing can be said of them
    told = counts is not None and bool(np.triu(counts.common >= LEAST_COMMON, 1).any())
    panel = compare(results, counts) if told else Panel.without_pairs()
    sentences = warnings_of(results, panel, results.known)
    return [sentence for sentence in sentences if not sentence.startswith(_SAID_ELSEWHERE)]


def without_label(results: Results) -> str:
    """Return what to say where the answers show no label (:func:`shows_no_label`), in a sentence or two."""
    alone = len(np.unique(results.answers.worker)) == 1
    return ONE_WORKER if alone else ONE_CLASS if names_one_class(results.answers) else NO_LABEL


def warnings_of(results: Results, panel: Panel, gold: IntArray | None = None) -> list[str]:
    """Return the sentences of :func:`findings` for results at hand."""
    workers, classes = results.answers.workers, results.answers.classes
    advice = ordered.hint(results) if (no_label := shows_no_label(results)) else None
    sentences = [without_label(results)] if no_label else []
    if advice is not None:
        sentences = [f"{sentences[0]} {advice}."]
    camp, groups = repetition(panel)
    groups = [group for group in groups if not panel.is_named(group)]
    remedy = (
        "Their answers count less. If they are merely good, and others share a weakness, known labels of some tasks "
        "say so (gold=)."
        if results.counts_copies_less
        else "If they share a model or a prompt, pass them as a group (groups=); if they are merely good, leave them."
    )
    for group in groups[:5]:
        sentences.append(
            f"Workers {listed(workers[group])} repeat one another: they agree more than their skills explain, and are "
            f"worth {_worth(panel, group):.1f} sources rather than {len(group)}. {remedy}"
        )
    if len(groups) > 5:
        sentences.append(
            f"Workers of {counted(len(groups) - 5, 'more group', 'more groups')} repeat one another."
        )
    sentences += [] if camp is None else [of_camp(results, camp)]
    sentences += [] if no_label else _swaps(results)
    for first, second in [] if no_label else merged_classes(results)[:5]:
        sentences.append(
            f"Nobody tells {shown(classes[first])} and {shown(classes[second])} apart: answers to tasks of the two "
            "classes are alike. Merge them, or explain the difference to the workers."
        )
    if gold is not None:
        table = against_gold(results, gold)
        wrong = table[table["contradicts"]]
        for worker, row in wrong.sort_values("right").head(5).iterrows():
            sentences.append(
                f"Gold contradicts the skill of {shown(worker)}: {row['skill']:.2f} by the model, {row['right']:.2f} "
                f"on {counted(int(row['gold_answers']), 'task')} with gold."
            )
        if len(wrong) > 5:
            sentences.append(
                f"Gold contradicts the skills of {counted(len(wrong) - 5, 'more worker')}."
            )
    return sentences


def repetition(panel: Panel) -> tuple[Camp | None, list[IntArray]]:
    """Return two readings that the answers do not tell apart, or None, and groups of workers who repeat one another.

    Two readings are left out where the user named the first, or where members of it repeat one another beyond their
    skills, which is a group. Groups that are such by one of the two readings only are left out as well.
    """
    camp, groups = camp_of(panel), panel.groups
    if camp is None or panel.is_named(camp.members):
        return None, groups
    if any(np.isin(group, camp.members).any() for group in groups):
        return None, groups
    return camp, [group for group in groups if not np.isin(group, camp.others).all()]


def of_camp(results: Results, camp: Camp) -> str:
    """Return what there is to say of two readings, as a sentence with names."""
    workers = results.answers.workers
    match, number = (
        np.bincount(results.answers.worker, weights, results.answers.n_workers)
        for weights in (results.match, None)
    )
    follows_members, follows_others = (
        match[those].sum() / max(number[those].sum(), 1) for those in (camp.members, camp.others)
    )
    followed = "them" if follows_members > follows_others else "the others"
    return (
        f"Workers {listed(workers[camp.members])} answer alike (κ {camp.within:.2f}), and the others, "
        f"{listed(workers[camp.others])}, agree more with one another (κ {camp.among:.2f}) than with them "
        f"(κ {camp.across:.2f}): either these repeat one another, or the others share errors, and the answers cannot "
        f"tell which. The labels follow {followed}. If you know which, pass them as a group (groups=). Otherwise check "
        "some tasks on which the two differ, and pass their labels as gold."
    )


def _swaps(results: Results) -> list[str]:
    workers, classes = results.answers.workers, results.answers.classes
    swaps = swapped_labels(results)
    sentences = []
    for swap in swaps[:5]:
        pairs = [
            f"{shown(classes[given])} for {shown(classes[meant])}"
            for given, meant in zip(swap.given, swap.meant, strict=True)
        ]
        sentences.append(
            f"{shown(workers[swap.worker])} seems to have labels swapped: {listed(pairs)}, in {swap.n_moved:,} of "
            f"{counted(swap.n_answers, 'answer')}. Ask them what they meant; "
            "align_sources() finds which of a worker's names stands for which class."
        )
    if len(swaps) > 5:
        sentences.append(
            f"{counted(len(swaps) - 5, 'more worker seems', 'more workers seem')} to have labels swapped."
        )
    return sentences


def _worth(panel: Panel, group: IntArray) -> float:
    """Return how many independent sources a group of workers is worth, by Kish's formula."""
    place = np.searchsorted(panel.counts.sources, group)
    shared = float(panel.excess.shared[np.ix_(place, place)].sum())
    return len(group) ** 2 / (len(group) + shared)


def summary(model: Model, answers: AnswersLike = None) -> str:
    """Return one screen of plain text about a fitted object: labels, workers, what stands out.

    See :func:`findings` for the parameters and errors.
    """
    results = results_of(model, answers)
    panel = compare(results)
    data = results.answers
    lines = [
        f"{counted(data.n_tasks, 'task')}, {counted(data.n_workers, 'worker')}, {counted(data.n_answers, 'answer')}, "
        f"{counted(data.n_classes, 'class', 'classes')}"
    ]
    if not data.n_answers:
        return "\n".join([*lines, "There are no answers."])
    labelled = results.label >= 0
    confidence = results.confidence[labelled]
    open_ = contested_table(results, panel)["contested"]
    lines += [
        f"Confidence: {confidence.mean():.3f} on average; {percent((confidence >= 0.95).mean())} of the labels have "
        "0.95 or more",
        f"Contested: {counted(int(open_.sum()), 'task')} ({percent(open_.mean())}); see contested_",
    ]
    lines += _by_class(results)
    table = workers_table(results).sort_values("skill", ascending=False, kind="stable")
    rated = reliability(results, panel)
    skills = f"Skills: {table['skill'].min():.3f} to {table['skill'].max():.3f}, median {table['skill'].median():.3f}"
    if not shows_no_label(results):
        skills += (
            f"; {len(rated.worse) + len(rated.at_chance)} not seen to be better than chance, {len(rated.few)} with too "
            "few answers to say"
        )
    lines.append(skills)
    shown_rows = table if len(table) <= 7 else pd.concat([table.head(3), table.tail(3)])
    for worker, row in shown_rows.iterrows():
        lines.append(
            f"  {shown(worker, 30):<30} {row['skill']:.3f} [{row['low']:.3f}, {row['high']:.3f}] "
            f"{counted(int(row['answers']), 'answer')}"
        )
    if len(panel.counts.sources) > 1 and panel.effective_sources < panel.n_workers - 0.05:
        lines.append(
            f"Worth at most {panel.effective_sources:.1f} independent sources, of {panel.n_workers}"
        )
    lines += [f"! {sentence}" for sentence in warnings_of(results, panel)[:4]]
    # where there is no label, a finding gives the hint
    advice = ordered.found(results) or (None if shows_no_label(results) else ordered.hint(results))
    return "\n".join(lines if advice is None else [*lines, advice])


def _by_class(results: Results) -> list[str]:
    """Return how often a class is the label, and how often its probabilities expect it, for the first ten classes."""
    table = classes_table(results)
    lines = ["Labels of each class, and their number as the probabilities expect it:"]
    for name, row in table.head(_CLASSES_SHOWN).iterrows():
        number = f"{int(row['labels']):,} ({percent(row['share'])})"
        lines.append(f"  {shown(name, 30):<30} {number}, expected {row['expected']:,.1f}")
    rest = table.iloc[_CLASSES_SHOWN:]
    if len(rest):
        lines.append(
            f"  {counted(len(rest), 'more class', 'more classes')}: {int(rest['labels'].sum()):,}, expected "
            f"{rest['expected'].sum():,.1f}"
        )
    return lines


def percent(share: float) -> str:
    """Return '62 %', and '3.4 %' or '96.6 %' near the ends."""
    return f"{100 * share:.1f} %" if 0 < share < 0.1 or 0.9 < share < 1 else f"{100 * share:.0f} %"

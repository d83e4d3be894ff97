"""What a person asks of the answers, and what they say to it, section by section of the report."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deem_crowd import __version__, plots
from deem_crowd.exceptions import counted
from deem_crowd.insight import ordered
from deem_crowd.insight.agreement import by_value, has_order
from deem_crowd.insight.coefficients import panel_coefficients, vote_patterns
from deem_crowd.insight.contested import contested_table
from deem_crowd.insight.findings import (
    confused_classes,
    listed,
    merged_classes,
    of_camp,
    percent,
    repetition,
    shown,
    without_label,
)
from deem_crowd.insight.judges import independent_errors
from deem_crowd.insight.pairs import Panel
from deem_crowd.insight.reliability import shows_no_label, wilson
from deem_crowd.insight.results import Results
from deem_crowd.insight.tables import classes_table
from deem_crowd.report.details import Table, contested_rows, table_of
from deem_crowd.report.ratings import rated_workers, retrain, unreliable
from deem_crowd.report.sections import Section, drawn

_CLASSES_SHOWN = 10
IntArray = npt.NDArray[np.int64]


def facts(results: Results, truth: IntArray | None) -> str:
    """Return what the report is about, in a line."""
    data = results.answers
    text = (
        f"{counted(data.n_tasks, 'task')}, {counted(data.n_workers, 'worker')}, {counted(data.n_answers, 'answer')}, "
        f"{counted(data.n_classes, 'class', 'classes')}"
    )
    if truth is not None:
        text += f", {counted(int((truth >= 0).sum()), 'task')} with gold"
    return f"{text}. {type(results.model).__name__}, deem-crowd {__version__}."


def sections(results: Results, panel: Panel, truth: IntArray | None) -> list[Section]:
    """Return the sections in the order in which a person asks."""
    rated = rated_workers(results, panel, truth)
    return [
        trust(results, panel, truth),
        unreliable(results, rated),
        copies(results, panel, truth),
        classes(results),
        look_again(results, panel, truth),
        retrain(results, rated, truth),
    ]


def trust(results: Results, panel: Panel, truth: IntArray | None) -> Section:
    """How many labels can I trust?"""
    labelled = results.label >= 0
    sure = results.confidence[labelled]
    sentences = []
    if not len(sure):
        return Section("How many labels can I trust?", ["No task has a label."])
    many = int((sure >= 0.95).sum())
    sentences.append(
        f"{counted(many, 'label')} of {len(sure):,} ({percent(many / len(sure))}) {'has' if many == 1 else 'have'} a "
        f"confidence of 0.95 or more. By these confidences {percent(sure.mean())} of all labels should be right."
    )
    unseen = None if truth is None else results.unseen(truth)
    if unseen is not None and not ((unseen >= 0) & labelled).any():
        sentences.append(
            "Labels are not compared with gold: all of it was given to the fit, or belongs to tasks without a label."
        )
        unseen = None
    if unseen is not None:
        sentences.append(_on_gold(results, unseen))
    elif panel.groups:
        sentences.append(
            "Some workers repeat one another (see below). Errors that they share look like agreement, so fewer labels "
            "may be right: check a few against gold."
        )
    else:
        sentences.append(
            "If many workers share errors, fewer are right, which cannot be seen without gold: check a few."
        )
    missing = int((~labelled).sum())
    if missing:
        sentences.append(
            f"{counted(missing, 'task')} {'has' if missing == 1 else 'have'} no label."
        )
    coefficient = _panel_agreement(results)
    if coefficient:
        sentences.append(coefficient)
    tables = [_kept(results, unseen), _by_class(results)]
    section = Section("How many labels can I trust?", sentences, tables)
    section.figures += drawn(
        "Confidence of the labels",
        "How many labels have which confidence.",
        plots.confidence,
        results,
    )
    section.figures += drawn(
        "Accuracy against coverage",
        "What accuracy to expect if only the most certain labels are kept.",
        plots.coverage,
        results,
        gold=unseen,
    )
    return section


def _on_gold(results: Results, truth: IntArray) -> str:
    """Say how many labels are right on gold that the fit has not seen, and whether the confidences fit that.

    ``truth``, shape (N,), is −1 elsewhere, and known for a labelled task at least.
    """
    rated = (truth >= 0) & (results.label >= 0)
    number, right = int(rated.sum()), int((results.label == truth)[rated].sum())
    low, high = wilson(right, number)
    expected = float(results.confidence[rated].mean())
    told = "the confidence can be taken at its word"
    if expected > high:
        told = "the model is too sure of itself"
    elif expected < low:
        told = "the model is more careful than it needs to be"
    seen = " that the fit has not seen" if results.known is not None else ""
    return (
        f"On {counted(number, 'task')} with gold{seen} {percent(right / number)} are right (95 % interval "
        f"{percent(float(low))} to {percent(float(high))}), where the model expects {percent(expected)}: {told}."
    )


def _by_class(results: Results) -> Table:
    """Return how many labels each class has, and how many its probabilities expect."""
    table = classes_table(results)
    rows = [
        [shown(name), f"{int(row['labels']):,}", percent(row["share"]), f"{row['expected']:,.1f}"]
        for name, row in table.head(_CLASSES_SHOWN).iterrows()
    ]
    left = len(table) - _CLASSES_SHOWN
    note = f"{counted(left, 'class', 'classes')} with fewer labels left out." if left > 0 else ""
    header = ["class", "labels", "share of labels", "expected number"]
    return Table(
        "Labels of each class, and their number as the probabilities expect it",
        header,
        rows,
        note=note,
    )


def _kept(results: Results, truth: IntArray | None) -> Table:
    """Return what remains, and how much of it is right, if labels under a confidence are left out."""
    header = ["confidence at least", "labels kept", "share of tasks", "expected to be right"]
    if truth is not None:
        header += ["right on gold", "tasks with gold"]
    rows = []
    for least in (0.0, 0.8, 0.9, 0.95, 0.99):
        kept = (results.label >= 0) & (results.confidence >= least)
        number = int(kept.sum())
        expected = percent(results.confidence[kept].mean()) if number else "–"
        row = [f"{least:.2f}", f"{number:,}", percent(number / len(kept)), expected]
        if truth is not None:
            rated = kept & (truth >= 0)
            hits = percent((results.label == truth)[rated].mean()) if rated.any() else "–"
            row += [hits, f"{int(rated.sum()):,}"]
        rows.append(row)
    return Table("Labels kept, by confidence", header, rows)


def _panel_agreement(results: Results) -> str:
    if results.answers.is_soft:
        return ""
    answers, numbers = by_value(results.answers)
    patterns = vote_patterns(answers)
    if not patterns.n_tasks:
        return "No task has two answers, so that nothing is known of how far workers agree."
    ordered = numbers is not None or has_order(answers.classes)
    coefficients = panel_coefficients(patterns, ordered, 200, 0.95, np.random.default_rng(0))
    alpha = coefficients["alpha_nominal"]
    if not np.isfinite(alpha.value):
        return "All answers are the same."
    text = f"Krippendorff's alpha is {alpha.value:.2f}"
    if np.isfinite(alpha.low):  # one task has no interval
        text += f" ({alpha.low:.2f} to {alpha.high:.2f})"
    ordinal = coefficients["alpha_ordinal"]
    if np.isfinite(ordinal.value) and results.answers.n_classes > 2:
        text += f", and {ordinal.value:.2f} if the classes are taken as ordered"
    return text + "."


def copies(results: Results, panel: Panel, truth: IntArray | None) -> Section:
    """Who repeats whom?"""
    workers, n = results.answers.workers, panel.n_workers
    camp, groups = repetition(panel)
    sentences = [
        f"{listed(workers[group])} repeat one another: {_group_agreement(panel, group)}"
        for group in groups[:10]
    ]
    if len(groups) > 10:
        sentences.append(
            f"Members of {counted(len(groups) - 10, 'more group')} repeat one another."
        )
    if camp is not None:
        sentences.append(of_camp(results, camp))
    compared = int(np.isfinite(panel.excess.explained).sum()) // 2
    if not compared:
        sentences.append("No two workers share enough tasks to tell.")
    else:
        if camp is None and not groups:
            sentences.append(
                f"Nobody: none of {counted(compared, 'pair')} with ten common tasks or more agrees much beyond what "
                "the skills of the two explain."
            )
        if panel.effective_sources < n - 0.05:
            sentences.append(
                f"The {counted(n, 'worker')} are worth at most {panel.effective_sources:.1f} independent sources."
            )
    if truth is not None:
        sentences.append(_by_errors(results, truth))
    elif compared:
        sentences.append(
            "Errors that all of them share look like skill: a few gold labels would tell how much fewer they are."
        )
    if panel.left_out:
        sentences.append(f"{counted(panel.left_out, 'worker')} with few answers were not compared.")
    figures = []
    if compared:
        figures = drawn(
            "Agreement in pairs",
            "Chance-corrected agreement of each pair; workers that repeat one another stand side by side, framed.",
            plots.agreement,
            results,
            most=16,
            size=(4.8, 4.4),
        )
    return Section("Who repeats whom?", sentences, [], figures)


def _by_errors(results: Results, truth: IntArray) -> str:
    """Say how many independent sources the workers who answered tasks with gold are worth."""
    number = len(np.unique(results.answers.worker[truth[results.answers.task] >= 0]))
    worth = independent_errors(results, truth)
    if np.isnan(worth):
        return (
            "Gold does not tell how far errors are shared: no two workers who err there have ten tasks with gold in "
            "common."
        )
    verb = "is" if number == 1 else "are"
    return (
        f"By their errors on gold the {counted(number, 'worker')} with answers there {verb} worth {worth:.1f} "
        f"independent {'source' if number == 1 else 'sources'}."
    )


def _group_agreement(panel: Panel, group: IntArray) -> str:
    place = np.searchsorted(panel.counts.sources, group)
    inner = np.ix_(place, place)
    pairs = panel.repeats[inner]
    common = panel.counts.common[inner][pairs]
    observed = float((panel.counts.agreed[inner][pairs] * common).sum() / common.sum())
    room = 1 - panel.counts.chance[inner][pairs]
    explained = panel.excess.explained[inner][pairs] * room + 1 - room
    return (
        f"where they do, {percent(observed)} of their answers to common tasks agree, and their skills explain "
        f"{percent(float((explained * common).sum() / common.sum()))}."
    )


def classes(results: Results) -> Section:
    """Which classes are confused?"""
    names = results.answers.classes
    if shows_no_label(results):
        return Section("Which classes are confused?", [without_label(results)])
    confused, merged = confused_classes(results), merged_classes(results)
    sentences = [
        f"Nobody tells {shown(names[first])} and {shown(names[second])} apart."
        for first, second in merged[:10]
    ]
    for label, said, share in confused[:5]:
        sentences.append(
            f"{percent(share)} of the answers to tasks labelled {shown(names[label])} are {shown(names[said])}."
        )
    if not sentences:
        sentences.append(
            "None: no class gets a tenth or more of the answers to tasks with another label."
        )
    if advice := ordered.found(results) or ordered.hint(results):
        sentences.append(advice if advice.endswith(".") else f"{advice}.")
    figures = drawn(
        "Confusion of all workers",
        "Rows are answers, columns true labels; each column sums to 1. These are the workers' tables, which allow for "
        "labels that are wrong; the sentences above count by the labels as they are.",
        plots.confusion,
        results,
        most=12,
        size=(4.8, 3.6),
    )
    return Section("Which classes are confused?", sentences, [], figures)


def look_again(results: Results, panel: Panel, truth: IntArray | None) -> Section:
    """Which tasks need another look?"""
    frame, number = contested_rows(results, panel, 50)
    total = results.answers.n_tasks
    if not number:
        return Section("Which tasks need another look?", ["None: every label is certain enough."])
    sentence = (
        f"{counted(number, 'task')} of {total:,} ({percent(number / total)}): the label is unsure, tied, missing, or "
        "rests on workers that repeat one another."
    )
    note = "The least certain first."
    if number > len(frame):
        note = f"The {len(frame)} least certain of {number:,}; contested_ has all of them."
    table = table_of("Contested tasks", frame, note)
    sentences = [sentence]
    if truth is not None:
        marks, truth = (
            contested_table(results, panel)["contested"].to_numpy(),
            results.unseen(truth),
        )
        rated, right = (truth >= 0) & (results.label >= 0), results.label == truth
        if (rated & marks).any() and (rated & ~marks).any():
            sentences.append(
                f"On gold {percent(right[rated & marks].mean())} of these labels are right, and "
                f"{percent(right[rated & ~marks].mean())} of the others."
            )
    return Section("Which tasks need another look?", sentences, [table])

"""What to do with the answers, section by section of the report: keep labels, doubt answers, ask for more."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from deem_crowd.data.lookup import by_column
from deem_crowd.decide import Consensus, next_tasks, reliable, suspect_answers
from deem_crowd.decide.source import Source
from deem_crowd.decide.suspects import answer_scores
from deem_crowd.exceptions import DataWarning, counted
from deem_crowd.insight.findings import percent, without_label
from deem_crowd.insight.reliability import shows_no_label
from deem_crowd.insight.results import Results
from deem_crowd.report.details import Table, table_of
from deem_crowd.report.sections import Section

IntArray = npt.NDArray[np.int64]

SUSPECT = "Which answers are suspect?"
_PRECISIONS = (0.9, 0.95, 0.99)
_ROWS = 20


def next_steps(results: Results, truth: IntArray | None) -> list[Section]:
    """Return the three sections, in the order: labels to keep, answers to doubt, tasks to ask about."""
    data = results.answers
    if truth is not None:  # labels that were given to the fit are right in any case
        unseen = results.unseen(truth)
        truth = unseen if (unseen >= 0).any() else None
    consensus = Consensus(
        results.posterior,
        results.label,
        data.tasks,
        data.classes,
        results.priors,
        data.workers,
        results.tables,
        source=Source.of(results.model, data),
    ).with_answers(data)
    told = not shows_no_label(results)
    doubtful = suspects(consensus, truth) if told else Section(SUSPECT, [without_label(results)])
    return [keep(consensus, truth), doubtful, ask_next(consensus)]


def keep(consensus: Consensus, truth: IntArray | None) -> Section:
    """Which labels can be kept?"""
    header = ["precision wanted", "labels kept", "share of tasks", "expected", "at least"]
    if truth is not None:
        header += ["right on gold", "tasks with gold"]
    rows = []
    for precision in _PRECISIONS:
        kept = reliable(consensus, precision)
        number = len(kept.labels)
        row = [f"{precision:.2f}", f"{number:,}", percent(kept.coverage)]
        row += (
            [percent(kept.expected_precision), percent(kept.lower_bound)] if number else ["–"] * 2
        )
        if truth is not None:
            place = consensus.tasks.get_indexer(kept.labels.index)
            rated = truth[place] >= 0
            right = (truth[place] == consensus.labels[place])[rated]
            row += [percent(float(right.mean())) if rated.any() else "–", f"{int(rated.sum()):,}"]
        rows.append(row)
    sentence = (
        'The surest labels are kept as long as their confidences average to the precision wanted. "At least" is a '
        "95 % lower bound by the confidences or by the answers, whichever is lower. It cannot see mistakes that most "
        "workers share; a bound from true labels of a random sample can: deem-crowd keep --gold."
    )
    return Section(
        "Which labels can be kept?", [sentence], [Table("Labels kept, by precision", header, rows)]
    )


def suspects(consensus: Consensus, truth: IntArray | None) -> Section:
    """Which answers are suspect?"""
    scores, _ = answer_scores(consensus)
    total, likely = len(scores), int((scores > 0.5).sum())
    if not likely:
        sentence = "None: every answer is more likely right than wrong."
        return Section(SUSPECT, [sentence])
    frame = by_column(suspect_answers(consensus, min(_ROWS, likely)), "task")
    sentence = (
        f"{counted(likely, 'answer')} of {total:,} ({percent(likely / total)}) "
        f"{'is' if likely == 1 else 'are'} more likely wrong than right, as far as the labels are right themselves. "
        f"Of the {len(frame)} below {percent(float(frame['expected_precision'].iloc[-1]))} are expected to be wrong."
    )
    sentences = [sentence]
    if truth is not None:
        given = consensus.required_answers("suspect_answers")
        known = truth[given.task]
        rated = (scores > 0.5) & (known >= 0)
        if rated.any():
            wrong = percent(float((given.label != known)[rated].mean()))
            sentences.append(
                f"On gold {wrong} of the {counted(int(rated.sum()), 'answer')} with gold among them are wrong."
            )
    columns = {
        "label": "answer",
        "suggested": "label",
        "reason": "why",
    }
    shown = frame[["worker", "label", "suggested", "score", "reason"]].rename(columns=columns)
    note = (
        "The highest score first. The score only ranks answers; the share above is expected by the probabilities of "
        "the labels. deem-crowd suspects and suspect_answers() have all of them."
    )
    return Section(SUSPECT, sentences, [table_of("Suspect answers", shown, note)])


def ask_next(consensus: Consensus) -> Section:
    """Which tasks should be answered next?"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # that there are fewer is no news here
        frame = next_tasks(consensus, _ROWS)
    heading = "Which tasks should be answered next?"
    if frame.empty:
        return Section(heading, ["None: every label is known."])
    gain = float(frame["expected_gain"].sum())
    sentence = (
        f"One more answer to each of the {counted(len(frame), 'task')} below is expected to set "
        f"{gain:.1f} labels right."
    )
    if gain < 0.05:
        sentence = "No single answer is expected to change a label; several to one task may."
    shown = by_column(frame, "task")[["label", "confidence", "expected_gain"]]
    assert consensus.n_answers is not None
    place = consensus.tasks.get_indexer(shown.index)
    shown.insert(2, "answers", consensus.n_answers[place])
    note = "The least certain first; deem-crowd next and next_tasks() have as many as are wanted."
    return Section(heading, [sentence], [table_of("Tasks to have answered next", shown, note)])

"""Who is unreliable, and whom to retrain or drop: the sections of the report about workers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from deem_crowd import plots
from deem_crowd.exceptions import counted
from deem_crowd.insight.findings import listed, percent, shown, without_label
from deem_crowd.insight.pairs import Panel
from deem_crowd.insight.reliability import ENOUGH, Reliability, reliability, shows_no_label
from deem_crowd.insight.results import Results
from deem_crowd.insight.tables import confusion_counts
from deem_crowd.report.sections import Section, drawn

IntArray = npt.NDArray[np.int64]


def rated_workers(results: Results, panel: Panel, truth: IntArray | None) -> Reliability | None:
    """Return the workers by reliability, for both sections; None where the answers show no label to rate them by."""
    return None if shows_no_label(results) else reliability(results, panel, truth)


def unreliable(results: Results, rated: Reliability | None) -> Section:
    """Who is unreliable?"""
    heading, workers = "Who is unreliable?", results.answers.workers
    if rated is None:
        return Section(heading, [without_label(results)])
    sentences = [
        _about(workers[rated.worse], "contradicts", "contradict", "what is right more often than chance would")
        if rated.n_by_gold
        else _about(workers[rated.worse], "contradicts", "contradict", "the others more often than chance would"),
        _about(workers[rated.at_chance], "is", "are", "not seen to be better than chance"),
        _about(
            workers[rated.constant], "always gives", "always give",
            "one and the same label, so that agreement says nothing of them",
        ),
        _about(
            workers[rated.below], "is", "are",
            f"better than chance, but with the whole interval of the skill below the median of {rated.median:.2f}",
        ),
    ]  # fmt: skip
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        sentences.append("Nobody with enough answers stands out as unreliable.")
    sentences.append(_by_what(rated))
    if len(rated.few):
        n = len(rated.few)
        sentences.append(
            f"{counted(n, 'worker')} {'has' if n == 1 else 'have'} too few answers to say: fewer than {ENOUGH}, or "
            "none to tasks that others answered."
        )
    figures = drawn(
        "Skills of the workers",
        "How probably a worker's answer is right, with a 95 % interval; the grey mark is what guessing gives.",
        plots.skills,
        results,
        most=30,
        size=(4.8, max(2.2, 0.21 * min(len(workers), 30) + 1.2)),
    )
    return Section(heading, sentences, [], figures)


def _about(names: npt.ArrayLike, one: str, several: str, what: str) -> str:
    """Return a sentence about some workers; an empty one about none."""
    ids = np.asarray(names, dtype=object)
    if not len(ids):
        return ""
    return (
        f"{counted(len(ids), 'worker')} {one if len(ids) == 1 else several} {what}: {listed(ids)}."
    )


def _by_what(rated: Reliability) -> str:
    """Return by what workers were judged."""
    agreement = (
        "agreement with the others, so that who is right against a wrong majority looks unreliable."
    )
    if not rated.n_by_gold:
        return f"This goes by {agreement}"
    n, verb = rated.n_by_gold, "was" if rated.n_by_gold == 1 else "were"
    text = f"{counted(n, 'worker')} with {ENOUGH} answers or more to tasks with gold {verb} judged by gold"
    return f"{text}." if n == rated.n_judged else f"{text}; others by {agreement}"


def retrain(results: Results, rated: Reliability | None, truth: IntArray | None) -> Section:
    """Whom should I retrain or drop?"""
    heading, data = "Whom should I retrain or drop?", results.answers
    if rated is None:
        return Section(heading, [without_label(results)])
    sentences = []
    if len(rated.worse):
        sentences.append(
            f"Ask {listed(data.workers[rated.worse])} how they understand the labels: their answers are wrong more "
            "often than chance would have it, as if classes were mixed up."
        )
    if len(rated.at_chance):
        sentences.append(
            f"Consider dropping {listed(data.workers[rated.at_chance])}: nothing shows that they do better than chance."
        )
    if len(rated.constant):
        sentences.append(
            f"Ask {listed(data.workers[rated.constant])} why they always give one label: someone who answers all tasks "
            "that way tells nothing, someone who answers only tasks of that label tells a lot."
        )
    sentences += _to_retrain(results, rated, truth)
    return Section(heading, sentences or ["Nobody, by these answers."])


def _to_retrain(results: Results, rated: Reliability, truth: IntArray | None) -> list[str]:
    """Return sentences about those below the median, with their most frequent error."""
    data, what = results.answers, "consensus"
    if truth is not None:
        results = replace(results, label=np.where(truth >= 0, truth, results.label))
        what = "label (gold, where there is some)"
    worker, label, said, times = confusion_counts(results)
    total = np.bincount(worker, weights=times, minlength=data.n_workers)
    sentences = []
    for place in rated.below[:10]:
        mine = np.flatnonzero(worker == place)
        if not len(mine):
            continue
        top = mine[np.argmax(times[mine])]
        share = times[top] / total[place]
        error = "all errors are"
        if share < 1:
            error = f"the most frequent error, {percent(share)} of all, is"
        sentences.append(
            f"Consider retraining {shown(data.workers[place])}: {error} "
            f"{shown(data.classes[said[top]])} where the {what} is {shown(data.classes[label[top]])}."
        )
    if len(rated.below) > 10:
        sentences.append(
            f"{counted(len(rated.below) - 10, 'more worker is', 'more workers are')} below the median by more than "
            "the interval."
        )
    return sentences

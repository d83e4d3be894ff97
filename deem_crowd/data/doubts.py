"""Answers that can be read but look like something else: said in a warning, with the remedy."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deem_crowd.data.no_answers import SUMS_UP, code, minus_one, named, no_answer, texts_of
from deem_crowd.exceptions import DataWarning, counted, first_few
from deem_crowd.runtime.warning import warn

if TYPE_CHECKING:
    from deem_crowd.data.answers import Answers

FREE_TEXT_CLASSES = 50
"""Text with fewer distinct labels is never taken for free text."""
RATINGS = 10
"""Real numbers with fewer distinct values are never taken for ratings, ..."""
SCORES = 3
"""... unless all lie between 0 and 1, and so many of them inside."""

ONE_CLASS = (
    "All answers name one class, so that nothing tells tasks or workers apart: labels, skills and probabilities only "
    "repeat it. If others were given, they are not among these answers."
)


def warn_of_doubts(answers: Answers, *, classes_given: bool) -> None:
    """Warn of labels and ids that look alike, and of labels that look like no classes.

    Costs a look at the distinct tasks, workers and classes, none at the R answers.

    Parameters
    ----------
    answers : Answers
        Hard ones, as read.
    classes_given : bool
        Whether the caller named the label space; then only lookalikes are doubtful.
    """
    messages = [
        _lookalikes("label", answers.classes, _same_word),
        _truth_values(answers.classes),
        _lookalikes("worker", answers.workers, _same_id),
        _lookalikes("task", answers.tasks, _same_id),
    ]
    messages += [
        _one_source(answers),
        _nobody(answers),
        known_by_name(answers.workers),
        _totals(answers),
    ]
    if not classes_given:
        classes = answers.classes
        if left_out := _ABSTAINING.get():
            classes = classes[~named(classes, left_out)]
        ratings = _ratings(classes)
        settled = ratings and _ORDERED.get()
        messages += ["" if settled else ratings or _joined(classes) or _free_text(answers)]
        messages += [minus_one(classes), no_answer(classes), code(classes)]
    for message in messages:
        if message:
            warn(message, DataWarning)


def _same_id(text: str) -> str:
    return " ".join(_seen(text).split())


def _same_word(text: str) -> str:
    return " ".join(_seen(_seen(text).casefold()).split())


def _seen(text: str) -> str:
    """Return what is seen of a text, in one Unicode form."""
    return _UNSEEN.sub("", unicodedata.normalize("NFKC", text))


_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
"""Control characters, and marks without a width of their own."""


_UNUSUAL = re.compile(r"^ |  | $|[^ -~]")


def _plain(index: pd.Index) -> bool:
    """Tell whether ids are visible ASCII without blanks that are easily missed, so that those that differ do so in
    earnest."""
    if isinstance(
        index.dtype, pd.StringDtype
    ):  # Arrow looks at them without making objects of them
        import pyarrow as pa
        import pyarrow.compute as pc

        unusual = pc.match_substring_regex(pa.array(index.array), _UNUSUAL.pattern)
        return not pc.any(unusual).as_py()
    return not any(map(_UNUSUAL.search, texts_of(index)))


def _lookalikes(part: str, index: pd.Index, same: Callable[[str], str]) -> str:
    if part != "label" and _plain(index):
        return ""
    texts = texts_of(index)
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(same(text), []).append(text)
    alike = [group for group in groups.values() if len(group) > 1]
    if not alike:
        return ""
    how = "case, spaces or Unicode form" if part == "label" else "spaces or Unicode form"
    remedy = "normalize('NFKC').str.strip()" + (".str.casefold()" if part == "label" else "")
    if any(map(_UNSEEN.search, (text for group in alike for text in group))):
        remedy += r".str.replace('[\x00-\x1f\xad\u200b-\u200f\u2060-\u206f\ufe00-\ufe0f\ufeff]', '', regex=True)"
    groups_differ = (
        "1 group of {}s differs" if len(alike) == 1 else f"{len(alike)} groups of {{}}s differ"
    )
    return (
        f"{groups_differ.format(part)} only by {how}; each counts as a {part} of its own: {_shown(alike)}. "
        f"If they are meant as one: df['{part}'].str.{remedy}."
    )


_TRUTH_VALUES = {"false": False, "f": False, "no": False, "n": False, "0": False} | {
    "true": True, "t": True, "yes": True, "y": True, "1": True
}  # fmt: skip


def _truth_values(classes: pd.Index) -> str:
    """Return what to say of labels that are several words for true or for false, and nothing else."""
    words: dict[bool, dict[str, str]] = {False: {}, True: {}}
    for text in texts_of(classes):
        word = _same_word(text)
        if word not in _TRUTH_VALUES:
            return ""
        words[_TRUTH_VALUES[word]].setdefault(word, text)
    alike = [group for group in words.values() if len(group) > 1]
    if not alike:
        return ""
    one = {word: max(group) for group in alike for word in group if word != max(group)}
    return (
        f"labels may stand for the same truth value, and each counts as a label of its own: "
        f"{_shown([sorted(group.values()) for group in alike])}. If they are meant as one: "
        f"df['label'].str.strip().str.casefold().replace({one})."
    )


def _shown(groups: list[list[str]]) -> str:
    """Show three groups; what is not ASCII by its code, since Unicode forms look the same."""
    shown = [" and ".join(ascii(text) for text in group[:3]) for group in groups[:3]]
    return "; ".join(shown) + ("; …" if len(groups) > 3 else "")


_ABSTAINING = ContextVar[tuple[str, ...]]("deem_crowd_abstaining", default=())


@contextlib.contextmanager
def abstaining(labels: Sequence[str]) -> Iterator[None]:
    """Read answers of which those with these labels will be left out: such labels are no doubtful classes."""
    token = _ABSTAINING.set(tuple(labels))
    try:
        yield
    finally:
        _ABSTAINING.reset(token)


_ORDERED = ContextVar("deem_crowd_ordered", default=False)


@contextlib.contextmanager
def ordered_classes(stated: bool) -> Iterator[None]:
    """Read answers whose classes are said to have an order, if they are: real numbers among them are no doubt."""
    token = _ORDERED.set(stated)
    try:
        yield
    finally:
        _ORDERED.reset(token)


_BESIDE_MODEL = ContextVar("deem_crowd_beside_model", default=False)


@contextlib.contextmanager
def beside_model(there: bool) -> Iterator[None]:
    """Read answers for a model that is there, if it is: what it knows of a source need not come from these answers."""
    token = _BESIDE_MODEL.set(there)
    try:
        yield
    finally:
        _BESIDE_MODEL.reset(token)


def _one_source(answers: Answers) -> str:
    if answers.n_workers == 1 and answers.n_tasks > 1 and not _BESIDE_MODEL.get():
        return (
            f"all {answers.n_answers} answers come from one source ({first_few(answers.workers)}): nothing can tell "
            "how good it is, and the labels are its answers. If this is a wide table, name its columns of workers."
        )
    return ""


def _free_text(answers: Answers) -> str:
    k, n = answers.n_classes, answers.n_answers
    if k < FREE_TEXT_CLASSES or k < 0.5 * n or not texts_of(answers.classes):
        return ""
    k = len(np.unique(answers.hard_label))  # without those of answers that were given twice
    return (
        f"{k} of {n} labels are distinct ({first_few(answers.classes[:3])}): they look like free text, and labels that "
        "nobody repeats cannot be aggregated. Use a column with a few classes, or classify the texts first."
    )


def _ratings(classes: pd.Index) -> str:
    if len(classes) < SCORES:
        return ""
    if classes.dtype.kind == "f":
        values = classes.to_numpy(dtype=np.float64, na_value=np.nan)
    else:  # as they stand in CSV
        texts = texts_of(classes)
        if len(texts) < len(classes) or not all(map(_NUMBER.fullmatch, texts)):
            return ""
        values = np.array([float(text.replace(",", ".")) for text in texts])
    between = (values > 0) & (values < 1)
    if between.sum() >= SCORES and bool((between | (values == 0) | (values == 1)).all()):
        pass  # 0.1 and 0.8 name nothing
    elif len(classes) < RATINGS or (values == np.floor(values)).mean() > 0.5:
        return ""
    return (
        f"the labels are {len(values)} real numbers ({first_few(classes[:3])}): they look like ratings, and each "
        "number counts as a class of its own. If they are steps of a scale, fit with ordered=True; if not, round them "
        "to a few classes, average them instead, or read scores of judges by rank (from_scores, adapter 'scores')."
    )


def of_scores(classes: pd.Index) -> str:
    """Return what to say of labels that are many numbers where answers hardly agree; empty if they are few, or none."""
    if len(classes) < RATINGS or classes.dtype.kind not in "iuf":
        return ""
    return (
        " If these numbers are scores, those that are close count as different answers: average them, or read them by "
        "rank (from_scores, adapter 'scores')."
    )


_NUMBER = re.compile(r"[-+]?\d*[.,]?\d+")


def _joined(classes: pd.Index) -> str:
    """Labels that are made of a few others, as where several boxes were ticked."""
    texts = texts_of(classes)
    for mark in ";|,":
        if not any(mark in text for text in texts):
            continue
        parts = {text: [part.strip(" []'\"") for part in text.split(mark)] for text in texts}
        joined = [text for text in texts if sum(map(bool, parts[text])) > 1]
        distinct = {part for several in parts.values() for part in several if part}
        if len(joined) < 2 or len(distinct) >= len(texts) or all(map(_NUMBER.fullmatch, joined)):
            continue
        return (
            f"{len(joined)} of {len(texts)} labels join others by {mark!r} ({first_few(joined[:3])}), and each "
            "combination counts as a class. If a task may have several labels, ask about each by itself: crowd-kit's "
            f"BinaryRelevance takes df['label'].str.split({mark!r}) (docs/your-data.md); if not, name the classes: "
            "classes=[...]."
        )
    return ""


def _nobody(answers: Answers) -> str:
    found = [name for name in texts_of(answers.workers) if name.strip().casefold() in _NOBODY]
    if not found or answers.n_workers == 1:
        return ""
    codes = answers.workers.get_indexer(pd.Index(found, tupleize_cols=False))
    number = int(np.isin(answers.worker, codes).sum())
    return (
        f"{counted(len(found), 'worker')} ({first_few(found)}) may stand for people who are not known, and "
        f"{counted(number, 'answer')} count as if each such name were one source. If so, give each of these rows a "
        f"name of its own, or leave them out: df[~df['worker'].isin({found})]."
    )


def _totals(answers: Answers) -> str:
    """Return what to say of a last task that is called like a row of sums and whose labels no other task has."""
    last = texts_of(answers.tasks[-1:])
    if answers.n_tasks < 2 or not last or not SUMS_UP.search(last[0]):
        return ""
    there = answers.task == answers.n_tasks - 1
    labels = answers.classes[np.setdiff1d(answers.hard_label[there], answers.hard_label[~there])]
    if not len(labels):
        return ""
    return (
        f"task {last[0]!r}, the last, may be a row of sums or means below a table: {first_few(labels)} "
        f"{'stands' if len(labels) == 1 else 'stand'} among the labels only because of it. If so, leave it out: "
        f"df[df['task'] != {last[0]!r}]."
    )


def known_by_name(workers: pd.Index) -> str:
    """Return a warning about sources whose names suggest known labels or a consensus; empty where there are none."""
    found = [name for name in texts_of(workers) if _KNOWN.fullmatch(name.strip())]
    if not found or len(found) == len(workers):
        return ""
    return (
        f"By name, {counted(len(found), 'worker')} ({first_few(found)}) may hold known labels or a consensus; each "
        "counts as a source like the others. If that is so, leave it out, and pass known labels as gold=."
    )


_KNOWN = re.compile(
    r"(ground[ _-]?truth|(gold|golden|truth|true|y_true|target|majority|consensus|adjudicat\w*)"
    r"([ _-]?(labels?|standard|votes?|grades?|class|answers?))?)",
    re.IGNORECASE,
)
_NOBODY = frozenset(
    [
        "",
        "n/a",
        "#n/a",
        "nan",
        "nat",
        "none",
        "null",
        "\\n",
        "<na>",
        "deleted",
        "[deleted]",
        "anonymous",
    ]
)
"""Names, in lower case, that may stand for an unknown worker."""


def warn_if_zero_abstains(answers: Answers) -> None:
    """Warn of a matrix without gaps in which most sources name 0 and one other class alone, as 0 for no answer looks.

    Parameters
    ----------
    answers : Answers
        N tasks, D workers, K classes, as read from an array.
    """
    n, d, k = answers.n_tasks, answers.n_workers, answers.n_classes
    if answers.is_soft or k < 3 or n < 20 or answers.n_answers < n * d:
        return
    given = np.bincount(answers.worker.astype(np.int64) * k + answers.hard_label, minlength=d * k)
    named = given.reshape(d, k) > 0
    one_other = int((named.sum(axis=1) == 2).sum())
    if named[:, 0].all() and 2 * one_other > d:
        warn(
            f"no answer is missing, and {one_other} of {d} columns hold 0 and one other class alone: if "
            "0 stands for no answer, as in some label matrices, it counts as a class here. Pass −1 for no answer, e.g. "
            "L - 1, which makes the classes 0, 1, ….",
            DataWarning,
        )


def warn_of_counts(answers: Answers) -> None:
    """Warn of a table without gaps whose whole numbers have one sum in all rows, as counts of votes for classes do.

    Parameters
    ----------
    answers : Answers
        N tasks, D workers, as read from a wide table or an array.
    """
    n, d, classes = answers.n_tasks, answers.n_workers, answers.classes
    if answers.is_soft or n < 20 or d < 2 or answers.n_answers < n * d:
        return
    if classes.dtype.kind not in "iuf" or classes.min() < 0 or classes.max() < 1:
        return
    if d == 2 and classes.max() < 2:  # two that always contradict each other
        return
    number = classes.to_numpy(dtype=np.float64)[answers.hard_label]
    sums = np.bincount(answers.task, number)
    if (sums != sums[0]).any() or sums[0] % 1 or (number % 1).any():
        return
    if (np.bincount(answers.worker, number) == n * number[:d]).all():  # all tasks are alike
        return
    warn(
        f"the numbers of each task sum to {int(sums[0])}: if they count votes, and the {d} columns "
        f"({first_few(answers.workers, 3)}) are classes, they do not say who answered, and nothing can be learned "
        "beyond the shares. The label with most votes is df.idxmax(axis=1).",
        DataWarning,
    )


def names_one_class(answers: Answers) -> bool:
    """Tell whether there are several answers, and all name the same class."""
    if answers.is_soft or answers.n_answers < 2:
        return False
    return bool((answers.hard_label == answers.hard_label[0]).all())

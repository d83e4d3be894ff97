"""Answers that can be read but look like something else: said in a warning, with the remedy."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
        _lookalikes("worker", answers.workers, _same_id),
        _lookalikes("task", answers.tasks, _same_id),
    ]
    messages += [_one_source(answers), _nobody(answers), known_by_name(answers.workers)]
    if not classes_given:
        classes = answers.classes
        ratings = _ratings(classes)
        messages += [ratings or _joined(classes) or _free_text(answers)]
        messages += [_minus_one(classes), _no_answer(classes), _code(classes)]
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


def _texts(index: pd.Index) -> list[str]:
    if index.dtype.kind in "iufbMmc":
        return []
    return [value for value in index.tolist() if isinstance(value, str)]


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
    return not any(map(_UNUSUAL.search, _texts(index)))


def _lookalikes(part: str, index: pd.Index, same: Callable[[str], str]) -> str:
    if part != "label" and _plain(index):
        return ""
    texts = _texts(index)
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


def _shown(groups: list[list[str]]) -> str:
    """Show three groups; what is not ASCII by its code, since Unicode forms look the same."""
    shown = [" and ".join(ascii(text) for text in group[:3]) for group in groups[:3]]
    return "; ".join(shown) + ("; …" if len(groups) > 3 else "")


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
    if k < FREE_TEXT_CLASSES or k < 0.5 * n or not _texts(answers.classes):
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
        texts = _texts(classes)
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
        "number counts as a class of its own. Round them to a few classes, average them instead, or read scores of "
        "judges by rank (from_scores, adapter 'scores')."
    )


def of_scores(classes: pd.Index) -> str:
    """Return what to say of labels that are many numbers where answers hardly agree; empty if they are few, or none."""
    if len(classes) < RATINGS or classes.dtype.kind not in "iuf":
        return ""
    return (
        " If these numbers are scores, those that are close count as different answers: average them, or read them by "
        "rank (from_scores, adapter 'scores')."
    )


def _minus_one(classes: pd.Index) -> str:
    shown: list[Any]
    if classes.dtype.kind in "if":
        values = classes.to_numpy(dtype=np.float64, na_value=np.nan)
        shown = [int(v) if float(v).is_integer() else float(v) for v in values[:5]]
        value, doubtful = "-1", len(values) and values.min() == -1 and 0 in values
    else:
        texts = _texts(classes)
        shown = texts[:5]
        value, doubtful = "'-1'", {"-1", "0"} <= set(texts) and all(map(_WHOLE.fullmatch, texts))
    if not doubtful:
        return ""
    return (
        f"label −1 counts as a class. If it stands for a missing answer, leave it out: df[df['label'] != {value}], or "
        f"in a wide frame df.where(df != {value}); if it is a class, name the classes: "
        f"classes={shown}{'' if len(classes) <= 5 else ' and so on'}."
    )


_WHOLE = re.compile("-1|[0-9]+")
_SIGNED = re.compile("-?[0-9]{1,9}")
_NUMBER = re.compile(r"[-+]?\d*[.,]?\d+")


def _no_answer(classes: pd.Index) -> str:
    found = [text for text in _texts(classes) if text.strip().casefold() in _NO_ANSWER]
    if not found:
        return ""
    return _maybe_missing(found, "stand for")


def _code(classes: pd.Index) -> str:
    """A code such as 99 that lies as far from the other classes, whole numbers, as these do from one another."""
    texts = _texts(classes)
    if classes.dtype.kind in "if":
        values = classes.to_numpy(dtype=np.float64, na_value=np.nan)
    elif len(texts) == len(classes) and all(map(_SIGNED.fullmatch, texts)):
        values = np.array([float(text) for text in texts])
    else:
        return ""
    coded = np.isin(np.abs(values), _CODES)
    others = values[~coded]
    if len(others) < 2 or not np.isfinite(others).all() or (others % 1).any() or others.min() < 0:
        return ""
    low, high = others.min(), others.max()
    coded &= (values - high >= high - low) | (values < 0)
    if not coded.any():
        return ""
    found: list[Any] = [texts[i] if texts else int(values[i]) for i in np.flatnonzero(coded)]
    return _maybe_missing(found, "be a code for")


def _maybe_missing(labels: list[Any], may: str) -> str:
    return (
        f"{counted(len(labels), 'label')} ({first_few(labels)}) may {may} a missing answer, and each counts as a "
        f"class. If so, leave such rows out: df[~df['label'].isin({labels})], or in a wide frame "
        f"df.mask(df.isin({labels})); if not, name the classes: classes=[...]."
    )


_CODES = (9, 77, 88, 99, 777, 888, 999, 9999)
"""Of answers that are missing, as forms and statistics programs write them; also with a minus."""


def _joined(classes: pd.Index) -> str:
    """Labels that are made of a few others, as where several boxes were ticked."""
    texts = _texts(classes)
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
    found = [name for name in _texts(answers.workers) if name.strip().casefold() in _NOBODY]
    if not found or answers.n_workers == 1:
        return ""
    codes = answers.workers.get_indexer(pd.Index(found, tupleize_cols=False))
    number = int(np.isin(answers.worker, codes).sum())
    return (
        f"{counted(len(found), 'worker')} ({first_few(found)}) may stand for people who are not known, and "
        f"{counted(number, 'answer')} count as if each such name were one source. If so, give each of these rows a "
        f"name of its own, or leave them out: df[~df['worker'].isin({found})]."
    )


def known_by_name(workers: pd.Index) -> str:
    """Return a warning about sources whose names suggest known labels or a consensus; empty where there are none."""
    found = [name for name in _texts(workers) if _KNOWN.fullmatch(name.strip())]
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
_NO_ANSWER = frozenset(["", "n/a", "na", "#n/a", "nan", "null", "<na>", "\\n"])
"""How spreadsheets and programs write that there is no answer, in lower case; "none" and "?" are often classes."""


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

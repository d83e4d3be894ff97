"""Labels that may stand for no answer: what to say of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import counted, first_few

SUMS_UP = re.compile(
    r"^\W*((grand |sub-?)?totals?|sums?|means?|averages?|avg|medians?|std|sd|accuracy|gesamt|summe|somme|suma|moyenne"
    r"|mittelwert|durchschnitt)\W*$|\b(totals?|counts?|mean|average|agreement|kappa|alpha)\W*$",
    re.IGNORECASE,
)
"""What rows below a table are called that add it up."""


def texts_of(index: pd.Index) -> list[str]:
    """Return the ids that are text."""
    if index.dtype.kind in "iufbMmc":
        return []
    return [value for value in index.tolist() if isinstance(value, str)]


def named(classes: pd.Index, labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which classes are written as one of some texts, shape (K,): -1 also names −1.0."""
    found = np.asarray(classes.map(str).isin(list(labels)))
    if classes.dtype.kind in "iuf":
        numbers = [float(text) for text in labels if _NUMBER.fullmatch(text.strip())]
        found = found | np.isin(classes.to_numpy(dtype=np.float64, na_value=np.nan), numbers)
    return found


def minus_one(classes: pd.Index) -> str:
    """Return what to say of a class −1 beside 0, empty if there is none."""
    shown: list[Any]
    if classes.dtype.kind in "if":
        values = classes.to_numpy(dtype=np.float64, na_value=np.nan)
        shown = [int(v) if float(v).is_integer() else float(v) for v in values[:5]]
        value, doubtful = "-1", len(values) and values.min() == -1 and 0 in values
    else:
        texts = texts_of(classes)
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
_NUMBER = re.compile(r"[-+]?[0-9]*[.]?[0-9]+")
_SIGNED = re.compile("-?[0-9]{1,9}")


def no_answer(classes: pd.Index) -> str:
    """Return what to say of words that are no answer, or leave it to others; empty if there are none."""
    said = {text: text.strip().casefold().replace("’", "'") for text in texts_of(classes)}
    beside = _beside_numbers(classes)
    words = _NO_ANSWER | _UNDECIDED | _FAILED
    if _VERDICTS & set(said.values()):
        words |= {"error"}
    found = [text for text, word in said.items() if word in words or text in beside]
    if not found:
        return ""
    return (
        f"{counted(len(found), 'label')} ({first_few(found)}) may stand for a missing answer, and each counts as a "
        f"class. If so, leave such rows out: df[~df['label'].isin({found})], or in a wide frame "
        f"df.mask(df.isin({found})); if not, name the classes: classes=[...]."
    )


def _beside_numbers(classes: pd.Index) -> list[str]:
    """Return the classes, one or two, that are words where three others or more, and all of them, are numbers.

    A word has two letters or more: K comes before the first grade, and + is a sign. Where the
    numbers are 0 to 9, they are more likely digits that somebody read than steps of a scale.
    """
    texts = texts_of(classes)
    words = [text for text in texts if not any(letter.isdigit() for letter in text)]
    if not 1 <= len(words) <= 2 or len(classes) - len(words) < 3:
        return []
    if any(sum(map(str.isalpha, text)) < 2 for text in words):
        return []
    others = [value for value in classes if value not in words]
    scale = all(
        _NUMBER.fullmatch(one.strip()) if isinstance(one, str) else isinstance(one, Real)
        for one in others
    )
    if not scale or {float(one) for one in others} == set(range(10)):
        return []
    return words


def code(classes: pd.Index) -> str:
    """Return what to say of a code such as 99 that lies as far from the other classes as these from one another."""
    texts = texts_of(classes)
    if classes.dtype.kind in "if":
        values = classes.to_numpy(dtype=np.float64, na_value=np.nan)
    elif len(texts) == len(classes) and all(map(_SIGNED.fullmatch, texts)):
        values = np.array([float(text) for text in texts])
    else:
        return ""
    size = np.abs(values)
    if not size.max(initial=0) >= _CODES[0]:
        return ""
    coded = np.isin(size, _CODES)
    others = values[~coded]
    if len(others) < 2 or not np.isfinite(others).all() or (others % 1).any() or others.min() < 0:
        return ""
    low, high = others.min(), others.max()
    coded &= (values - high >= high - low) | (values < 0)
    if not coded.any():
        return ""
    found: list[Any] = [texts[i] if texts else int(values[i]) for i in np.flatnonzero(coded)]
    return (
        f"{counted(len(found), 'label')} ({first_few(found)}) may be a code for a missing answer, and each counts as a "
        f"class. If so, leave such rows out: df[~df['label'].isin({found})], or in a wide frame "
        f"df.mask(df.isin({found})); if not, name the classes: classes=[...]."
    )


_CODES = (9, 77, 88, 99, 777, 888, 999, 9999)
"""Of answers that are missing, as forms and statistics programs write them; also with a minus."""


_NO_ANSWER = frozenset(["", "n/a", "na", "#n/a", "nan", "null", "<na>", "\\n"])
"""How spreadsheets and programs write that there is no answer, in lower case; "none" and "?" are often classes."""
_UNDECIDED = frozenset(
    {
        *("escalate", "escalated", "abstain", "skip", "skipped", "no answer", "unsure", "not sure"),
        *("not applicable", "n.a.", "no opinion", "no response", "prefer not to say"),
        *("do not know", "cannot judge", "cannot say", "can't say"),
        *("don't know", "i don't know", "idk", "can't tell", "cannot tell", "can't decide"),
    }
)
"""How people are let say that they leave it to others, in lower case."""
_FAILED = frozenset(
    {
        "$error$",
        "parse error",
        "parse_error",
        "parsing error",
        "api error",
        "api_error",
        "timed out",
    }
)
"""How logs of judges write that a call failed, in lower case."""
_VERDICTS = frozenset({"a", "b", "tie", "model_a", "model_b", "win", "lose", "yes", "no"})
"""Beside one of these "error" is no class, as it may be beside "warning"."""

"""Answers that were built by hand, and ids and labels that look alike."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cases import Case
from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import DataWarning

# ------------------------------------------------------------------ built by hand

SOUND: dict[str, Any] = {
    "task_ptr": np.array([0, 2, 4]),
    "worker": np.array([0, 1, 0, 1], np.int32),
    "label": np.array([0, 1, 0, 0], np.int32),
    "soft": None,
    "tasks": pd.Index(["a", "b"]),
    "workers": pd.Index(["x", "y"]),
    "classes": pd.Index(["p", "q"]),
}
POINTERS = "task_ptr does not have N + 1 = 3 entries"
CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    **{f"pointers {given}": ({"task_ptr": np.array(given, np.int64)}, POINTERS)
       for given in ([0, 3, 2, 4], [0, 4], [0, 2, 3], [0, 2, 9], [1, 2, 4], [0, -1, 4], [], [0, 5, 4])},
    "pointers that are no integers": ({"task_ptr": np.array([0, 2.5, 4])}, "task_ptr is no array of integers"),
    "no pointers": ({"task_ptr": None}, "task_ptr is no array of integers"),
    "pointers in a list": ({"task_ptr": [0, 2, 4]}, "task_ptr is no array of integers"),
    **{f"labels {given}": ({"label": np.array(given, np.int64)}, "label holds numbers outside 0..1")
       for given in ([0, 2, 0, 0], [0, -1, 0, 0], [0, -2, 0, 0], [0, 1 + 2**32, 0, 0], [2**62, 0, 0, 0])},
    "labels that are no integers": ({"label": np.array([0, 0.5, 0, 0])}, "label is no array of integers"),
    "labels that are true or not": ({"label": np.array([True] * 4)}, "label is no array of integers"),
    "labels of text": ({"label": np.array(["p", "q", "p", "p"])}, "label is no array of integers"),
    "labels of objects": ({"label": np.array([0, "1", 0, 0], object)}, "label is no array of integers"),
    "labels in a table": ({"label": np.zeros((1, 4), int)}, "label has 2 axes instead of 1"),
    "labels cut short": ({"label": np.array([0, 1, 0])}, "do not hold R answers"),
    "neither": ({"label": None}, "do not hold R answers"),
    "both": ({"soft": np.full((4, 2), 0.5)}, "do not hold R answers"),
    **{f"workers {given}": ({"worker": np.array(given, np.int64)}, "worker holds numbers outside 0..1")
       for given in ([0, 2, 0, 1], [0, -1, 0, 1], [0, 1 + 2**31, 0, 1])},
    **{f"workers {given}": ({"worker": np.array(given)}, "a worker stands twice in a task")
       for given in ([0, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1])},
    "workers that are no integers": ({"worker": np.array([0, 0.5, 0, 1])}, "worker is no array of integers"),
    "workers cut short": ({"worker": np.array([0, 1, 0])}, "rise from 0 to R = 3"),
    **{f"{name} twice": ({name: pd.Index(["i", "i"])}, "an id stands twice")
       for name in ("tasks", "workers", "classes")},
    **{f"{name} {given!r}": ({name: pd.Index(["i", given], dtype=object)}, "an id is missing")
       for name in ("tasks", "workers", "classes") for given in (None, np.nan, pd.NaT, pd.NA)},
    "a task too few": ({"tasks": pd.Index(["a"])}, "task_ptr does not have N + 1 = 2 entries"),
    **{f"a row {row}": ({"label": None, "soft": np.array([[0.5, 0.5]] * 3 + [row])}, "no distribution")
       for row in ([2, 0], [2, -1], [0, 0], [np.nan, 1], [np.inf, 0], [0.5, 0.6], [1e300, 1e300])},
    "rows too wide": ({"label": None, "soft": np.full((4, 3), 1 / 3)}, "no distribution"),
    "rows too few": ({"label": None, "soft": np.full((3, 2), 0.5)}, "do not hold R answers"),
    "rows without an axis": ({"label": None, "soft": np.full(4, 0.5)}, "soft has 1 axes instead of 2"),
    "rows of integers": ({"label": None, "soft": np.eye(2, dtype=int)[[0, 1, 0, 0]]}, "soft is no array of numbers"),
}  # fmt: skip
FITS: dict[str, Callable[[Answers], Any]] = {
    "DEEM": lambda answers: DEEM().fit(answers),
    "DEEMAggregator": lambda answers: DEEMAggregator().fit(answers),
}


def fitted(change: dict[str, Any], model: str, folder: Path) -> None:
    FITS[model](Answers(**{**SOUND, **change}))


# ------------------------------------------------------------------ that look alike

ALIKE: dict[str, tuple[str, str]] = {
    "blank behind": ("cat", "cat "), "blank before": ("cat", " cat"), "line end": ("cat", "cat\n"),
    "no-break space": ("cat", "cat\xa0"), "two blanks": ("a b", "a  b"), "tab": ("a b", "a\tb"),
    "ideographic space": ("a b", "a\u3000b"), "forms": ("caf\xe9", "cafe\u0301"), "kelvin": ("K", "\u212a"),
    "micro": ("\xb5", "\u03bc"), "ligature": ("fix", "\ufb01x"), "full width": ("cat", "\uff43at"),
    "superscript": ("m2", "m\xb2"), "no width": ("cat", "c\u200bat"), "joiner": ("cat", "cat\u200d"),
    "byte order mark": ("cat", "\ufeffcat"), "soft hyphen": ("cat", "c\xadat"), "direction": ("cat", "cat\u200e"),
    "override": ("cat", "\u202ecat"), "variant": ("\u2764", "\u2764\ufe0f"), "NUL": ("cat", "cat\0"),
    "tags": ("cat", "cat\U000e0041"), "hangul": ("\uac00", "\u1100\u1161"),
}  # fmt: skip
CASED = {
    "case": ("cat", "Cat"), "sharp s": ("ss", "\xdf"), "sigma": ("\u03c3", "\u03c2"),
    "case and form": ("caf\xe9 ", "CAFE\u0301"),
}  # fmt: skip
APART = {
    "digits": ("1", "01"), "alphabets": ("cat", "c\u0430t"), "signs": ("a-b", "a_b"), "accents": ("cafe", "caf\xe9"),
    "an inner blank": ("ab", "a b"),
}  # fmt: skip


def said(part: str, first: str, second: str, folder: Path) -> str:
    """Return what is said of a frame and, the same, of a parquet file that hold two texts in a column."""
    frame = pd.DataFrame(
        {"task": list("ttuuvv"), "worker": list("xyxyxy"), "label": list("ppqqpq")}
    )
    columns = {"task": "tuuvvt", "worker": "xyxyxy", "label": "ppqqpq"}
    frame[part] = [{"t": first, "u": second, "x": first, "y": second, "p": first, "q": second}.get(c, c)
                   for c in columns[part]]  # fmt: skip
    frame.to_parquet("a.parquet")
    texts = []
    for read in (lambda: Answers.from_frame(frame), lambda: Answers.from_parquet("a.parquet")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            read()
        texts.append(" ".join(str(w.message) for w in caught))
    assert texts[0] == texts[1]
    return texts[0]


def alike(part: str, first: str, second: str, folder: Path) -> None:
    text = said(part, first, second, folder)
    assert f"1 group of {part}s differs only by" in text
    assert ascii(first) in text
    assert ascii(second) in text


def apart(part: str, first: str, second: str, folder: Path) -> None:
    assert "differs only by" not in said(part, first, second, folder)


HAND, LIKE = "answers built by hand", "ids that look alike"
CASES = [
    *(
        Case(HAND, f"{model}, {name}", functools.partial(fitted, change, model), f"refused: {words}")
        for name, (change, words) in CHANGES.items() for model in FITS
    ),
    *(Case(HAND, f"{model}, sound", functools.partial(fitted, {}, model)) for model in FITS),
    *(
        Case(LIKE, f"{part}, {name}", functools.partial(alike, part, *texts))
        for name, texts in ALIKE.items() for part in ("task", "worker", "label")
    ),
    *(Case(LIKE, f"label, {name}", functools.partial(alike, "label", *texts)) for name, texts in CASED.items()),
    *(
        Case(LIKE, f"{part}, {name} are apart", functools.partial(apart, part, *texts))
        for name, texts in APART.items() for part in ("task", "worker", "label")
    ),
    *(
        Case(LIKE, f"{part}, {name} are apart", functools.partial(apart, part, *CASED[name]))
        for name in ("case", "sharp s", "sigma") for part in ("task", "worker")
    ),
]  # fmt: skip

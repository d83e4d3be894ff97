"""Ordered categories that come in several calls: one scale, or an error."""

from __future__ import annotations

import pandas as pd
import pytest

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import DataError

STEPS = ["bad", "fair", "good", "best"]


def rated(first: int, last: int, steps: list[str], used: str) -> pd.DataFrame:
    """Every task has the labels of ``used`` in turn; without ``steps`` they are plain text."""
    named = used.split()
    rows = [(n, worker, named[n % len(named)]) for n in range(first, last) for worker in "abc"]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    if steps:
        frame["label"] = pd.Categorical(frame["label"], steps, ordered=True)
    return frame


@pytest.mark.parametrize(
    ("before", "used", "later", "new"),
    [
        (STEPS[1:], "good fair", STEPS, "bad best"),  # a longer scale
        (STEPS, "good fair", STEPS[:3], "bad fair"),  # a shorter one
        (STEPS, "good fair", STEPS[1:3], "fair good"),
        (STEPS, "good fair", [], "best bad"),  # texts that are on the scale
        (STEPS, "good fair best bad", STEPS, "bad"),
    ],
)
def test_the_scale_holds_all_steps_in_their_order(before, used, later, new) -> None:
    model = DEEMAggregator().partial_fit(rated(0, 40, before, used))
    model.partial_fit(rated(40, 44, later, new))
    classes = model.priors_.index
    assert isinstance(classes, pd.CategoricalIndex)
    assert classes.ordered
    assert classes.tolist() == [step for step in STEPS if step in f"{used} {new}".split()]
    assert model.median_ is not None
    whole = pd.concat([rated(0, 40, STEPS, used), rated(40, 44, STEPS, new)])
    assert (
        model.labels_.astype(str).to_dict()
        == DEEMAggregator().fit_predict(whole).astype(str).to_dict()
    )


@pytest.mark.parametrize(
    ("later", "new", "words"),
    [
        (
            STEPS[::-1],
            "good",
            "or has them in another order: 'best', 'good', 'fair', 'bad'",
        ),
        (
            ["bad", "awful"],
            "bad",
            "has other steps.*: 'bad', 'awful'; before: 'bad', 'fair', 'good', 'best'",
        ),
        ([], "awful bad", "1 label outside the scale: 'awful'. .*'bad', 'fair', 'good', 'best'"),
    ],
)
def test_what_has_no_place_on_the_scale_is_refused(later, new, words) -> None:
    model = DEEMAggregator().partial_fit(rated(0, 40, STEPS, "good fair bad"))
    before = model.probas_.copy()
    with pytest.raises(DataError, match=words):
        model.partial_fit(rated(40, 44, later, new))
    pd.testing.assert_frame_equal(model.probas_, before)

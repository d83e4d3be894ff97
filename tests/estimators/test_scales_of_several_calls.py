"""Ordered categories that come in several calls: one scale, or an error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, Answers, DEEMAggregator
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
        ([], "good fair", STEPS, "bad best"),  # an order that comes in later
        ([], "good fair best bad", STEPS, "bad"),
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


def test_an_order_that_comes_in_later_has_to_cover_what_was_said() -> None:
    model = DEEMAggregator().partial_fit(rated(0, 40, [], "good fair awful"))
    before = model.probas_.copy()
    words = (
        "the answers before hold 1 label outside the scale: 'awful'. "
        "Column 'label' has 'bad', 'fair', 'good', 'best'. Pass an ordered categorical with all"
    )
    with pytest.raises(DataError, match=words):
        model.partial_fit(rated(40, 44, STEPS, "good"))
    pd.testing.assert_frame_equal(model.probas_, before)


@pytest.mark.parametrize("last", [41, 80])
def test_training_does_not_start_where_classes_stood_otherwise(last) -> None:
    """The tables of 'good' are not those of 'bad', however many answers come with the order."""
    rng = np.random.default_rng(0)
    frames = []
    for first, end, steps in ((0, 40, []), (40, last, STEPS)):
        frame = rated(first, end, [], "good fair best bad")
        noise = rng.choice(STEPS, len(frame))
        frame["label"] = frame["label"].where(rng.random(len(frame)) < 0.8, noise)
        if steps:
            frame["label"] = pd.Categorical(frame["label"], steps, ordered=True)
        frames.append(frame)
    model = DEEMAggregator().partial_fit(frames[0]).partial_fit(frames[1])
    whole = pd.concat([one.astype({"label": str}) for one in frames])
    whole["label"] = pd.Categorical(whole["label"], STEPS, ordered=True)
    fitted = DEEMAggregator().fit(whole)
    assert model.probas_.to_numpy() == pytest.approx(fitted.probas_.to_numpy())


@pytest.mark.parametrize("soft", [False, True])
def test_an_order_renumbers_classes_and_what_is_known_of_them(soft) -> None:
    """Of soft answers, whose classes stand as they were given, columns move."""
    first, second = (
        Answers.from_frame(rated(*span, steps, "good fair best bad"))
        for span, steps in (((0, 40), []), ((40, 80), STEPS))
    )
    if soft:
        first, second = (
            replace(one, label=None, soft=np.eye(4)[one.hard_label]) for one in (first, second)
        )
    both = first.extended(second)
    assert both.classes.tolist() == STEPS
    said = both.hard_label if both.soft is None else both.soft.argmax(axis=1)
    expected = [STEPS.index(["good", "fair", "best", "bad"][task % 4]) for task in both.task]
    assert said.tolist() == expected
    known = np.full(40, -1)
    known[2] = first.classes.get_loc("best")
    model = DEEM().partial_fit(first, gold=known)
    model.partial_fit(second, gold=np.where(np.arange(40) == 3, 0, -1))
    assert model.probas_[2, STEPS.index("best")] == 1
    assert model.probas_[43, STEPS.index("bad")] == 1

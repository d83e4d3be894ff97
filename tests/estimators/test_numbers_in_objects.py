"""Ordered classes of numbers in a column of objects, or written as text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DataError, DEEMAggregator

RNG = np.random.default_rng(0)
TRUE = RNG.integers(7, 12, 60)
STEPS = np.clip(TRUE[:, None] + RNG.choice([-1, 0, 0, 0, 1], (60, 6)), 7, 11)
FRAME = pd.DataFrame(
    [(task, worker, int(STEPS[task, worker])) for task in range(60) for worker in range(6)],
    columns=["task", "worker", "label"],
)


def same(found: DEEMAggregator, expected: DEEMAggregator) -> None:
    """The same model under other names of its classes."""
    assert found.probas_.to_numpy() == pytest.approx(expected.probas_.to_numpy(), abs=1e-12)
    assert found.median_.astype(float).tolist() == expected.median_.astype(float).tolist()
    assert found.mean_.to_numpy() == pytest.approx(expected.mean_.to_numpy())


def test_they_have_the_order_of_their_values() -> None:
    numbers = DEEMAggregator(ordered=True).fit(FRAME)
    assert numbers.priors_.index.tolist() == [7, 8, 9, 10, 11]
    objects = DEEMAggregator(ordered=True).fit(FRAME.astype({"label": object}))
    assert objects.labels_.dtype == object
    same(objects, numbers)


def test_whole_numbers_and_others_may_be_mixed() -> None:
    halved = FRAME.assign(label=FRAME["label"] / 2)
    mixed = [int(value) if value % 1 == 0 else value for value in halved["label"]]
    found = DEEMAggregator(ordered=True).fit(FRAME.assign(label=pd.Series(mixed, dtype=object)))
    same(found, DEEMAggregator(ordered=True).fit(halved))


def test_a_wide_frame_of_objects_has_that_order_too() -> None:
    wide = FRAME.pivot(index="task", columns="worker", values="label")
    found = DEEM(ordered=True).fit(wide.astype(object))
    expected = DEEM(ordered=True).fit(wide - 7)
    assert found.probas_ == pytest.approx(expected.probas_)


@pytest.mark.parametrize("dtype", [str, object])
def test_numbers_written_as_text_are_pointed_out(dtype) -> None:
    """Sorted as text '10' comes before '7'."""
    df = FRAME.assign(label=FRAME["label"].astype(str).astype(dtype))
    words = r"numbers written as text .*Pass numbers, (df\['label'\] = pd\.to_numeric\(.*?\]\))"
    with pytest.raises(DataError, match=words) as said:
        DEEMAggregator(ordered=True).fit(df)
    remedy = str(said.value).partition("Pass numbers, ")[2].partition(", or")[0]
    exec(remedy, {"df": df, "pd": pd})
    same(DEEMAggregator(ordered=True).fit(df), DEEMAggregator(ordered=True).fit(FRAME))

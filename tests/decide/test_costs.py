"""Costs of answers, in the forms in which they come."""

from __future__ import annotations

import pandas as pd
import polars
import pytest
from crowds import crowd

from deem_crowd import DEEMAggregator
from deem_crowd.decide import next_pairs, next_tasks
from deem_crowd.exceptions import DataError, FormError, MissingColumnError

FRAME, TRUTH = crowd(n=60, seed=1)
TASKS = pd.Series({task: 1.0 + i % 7 for i, task in enumerate(TRUTH.index)})
WORKERS = pd.Series({f"w{i}": 1.0 + i % 5 for i in range(12)})
CALLS = {"task": (next_tasks, TASKS), "worker": (next_pairs, WORKERS)}


@pytest.fixture(scope="module")
def agg():
    return DEEMAggregator().fit(FRAME)


def table(what: str, **more: object) -> pd.DataFrame:
    costs = CALLS[what][1]
    return pd.DataFrame({what: costs.index, "price": costs.to_numpy()}).assign(**more)


@pytest.mark.parametrize("what", CALLS)
def test_a_frame_of_ids_and_one_other_column_is_read(agg, what) -> None:
    call, costs = CALLS[what]
    expected = call(agg, 9, costs=costs)
    assert not expected.equals(call(agg, 9))
    frame = table(what)
    forms = {
        "frame": frame,
        "columns turned": frame[["price", what]],
        "index": frame.set_index(what),
        "polars": polars.DataFrame(frame.to_dict("list")),
        "called cost": frame.rename(columns={"price": "cost"}).assign(note="x"),
    }
    for name, form in forms.items():
        pd.testing.assert_frame_equal(call(agg, 9, costs=form), expected, obj=name)


@pytest.mark.parametrize("what", CALLS)
def test_other_frames_are_refused_with_their_columns_and_a_remedy_that_works(agg, what) -> None:
    call, costs = CALLS[what]
    expected = call(agg, 9, costs=costs)
    two = table(what, hours=1.0)
    remedy = f"costs=frame.set_index('{what}')['price']"
    with pytest.raises(FormError, match="2 columns beside .*'price', 'hours'") as caught:
        call(agg, 9, costs=two)
    assert remedy in str(caught.value)
    pd.testing.assert_frame_equal(
        call(agg, 9, costs=two.set_index(what)["price"]), expected, check_names=False
    )
    with pytest.raises(FormError, match=f"no column of numbers beside '{what}'"):
        call(agg, 9, costs=two[[what]])
    other = two.rename(columns={what: "item"})
    with pytest.raises(MissingColumnError, match=f"column '{what}'.*'item', 'price', 'hours'"):
        call(agg, 9, costs=other)


def test_ids_of_another_kind_are_named() -> None:
    numbered = FRAME.assign(task=FRAME["task"].str[1:].astype(int))
    agg = DEEMAggregator().fit(numbered)
    text = pd.Series(1.0, index=numbered["task"].astype(str).unique())
    with pytest.raises(DataError, match="costs holds 60 ids of another kind than the tasks"):
        next_tasks(agg, 3, costs=text)


def test_what_is_no_number_is_shown(agg) -> None:
    words = {**TASKS.to_dict(), "t0": "much", "t1": "1,5"}
    with pytest.raises(
        DataError, match="costs of 2 tasks are no numbers: 't0', 't1' .'much', '1,5'"
    ):
        next_tasks(agg, 3, costs=words)

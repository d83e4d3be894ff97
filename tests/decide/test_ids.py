"""Ids of tasks that are passed to decisions: repeated, missing, of several types or parts, or no ids at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deem_crowd.decide import next_tasks, reliable, suspect_labels
from deem_crowd.exceptions import DataError, FormError


def posterior(tasks: Any) -> pd.DataFrame:
    """Return probabilities of two classes, the first task the least certain."""
    sure = np.linspace(0.55, 0.9, len(tasks))
    return pd.DataFrame({"no": sure, "yes": 1 - sure}, index=tasks)


ABC = posterior(["a", "b", "c"])
PAIRS = pd.MultiIndex.from_tuples([("d", 1), ("d", 2), ("e", 1)])


@pytest.mark.parametrize(
    "decide",
    [
        lambda table: next_tasks(table, 4),
        lambda table: next_tasks(table, 4, exclude=["b"]),
        lambda table: next_tasks(table, 4, costs={"a": 1, "b": 2, "c": 1}, budget=2),
        lambda table: next_tasks(table, 5, unanswered=["z"]),
        suspect_labels,
        lambda table: suspect_labels(table, labels={"a": "yes"}),
        lambda table: reliable(table, 0.6),
    ],
)
def test_repeated_tasks_and_labels_are_refused(decide: Callable[[pd.DataFrame], Any]) -> None:
    with pytest.raises(DataError, match="probas_ gives 1 task more than one row: 'a'. Keep one"):
        decide(posterior(["a", "b", "a", "c"]))
    with pytest.raises(DataError, match="probas_ gives 1 label more than one column: 'no'"):
        decide(ABC.set_axis(["no", "no"], axis=1))


@pytest.mark.parametrize("mixed", [["a", 7], ["a", ("a", 1)], [None, "a"], ["a", frozenset("b")]])
def test_ids_of_several_types_leave_out_what_they_name(mixed: list[Any]) -> None:
    assert list(next_tasks(ABC, 2, exclude=mixed)["task"]) == ["b", "c"]
    fresh = ["z" if value == "a" else value for value in mixed if value is not None]
    assert set(next_tasks(ABC, 3 + len(fresh), unanswered=fresh)["task"]) == {"a", "b", "c", *fresh}


@pytest.mark.parametrize(
    "decide",
    [
        lambda table, known: reliable(table, 0.6, gold=known),
        lambda table, known: suspect_labels(table, labels=known),
    ],
)
def test_labels_by_ids_of_another_kind_are_told_so(decide: Callable[..., Any]) -> None:
    table = posterior([1, 2, 3])
    said = r"ids are of another kind, '1' \(str\) where .* 1 \(int\), and 2 ids would match"
    with pytest.raises(DataError, match=said):
        decide(table, {"1": "no", "2": "yes"})
    with pytest.raises(DataError, match="1 task that the model does not know: '7'"):
        decide(table, {"7": "no"})


@pytest.mark.parametrize("name", ["exclude", "unanswered"])
@pytest.mark.parametrize("strange", [["b"], {"b": 1}, ("b", [1])])
def test_what_has_no_hash_is_no_id(name: str, strange: Any) -> None:
    ids: dict[str, Any] = {name: ["x", strange]}
    with pytest.raises(
        FormError, match=f"{name} holds 1 value that cannot be a task id: .*a tuple"
    ):
        next_tasks(ABC, 3, **ids)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NaT, pd.NA])
def test_a_task_that_nobody_answered_has_an_id(missing: Any) -> None:
    with pytest.raises(DataError, match="unanswered holds 1 missing id: .* Leave missing ids out"):
        next_tasks(ABC, 3, unanswered=["z", missing])


@pytest.mark.parametrize("same", [True, 1.0, np.int8(1)])
@pytest.mark.parametrize("dtype", ["int64", "Int64", "float64", "object"])
def test_numbers_are_told_apart_by_their_value(dtype: str, same: Any) -> None:
    table = posterior(pd.Index([1, 2, 3], dtype=dtype))
    with pytest.raises(DataError, match="unanswered names 1 task that has a posterior already"):
        next_tasks(table, 3, unanswered=[same])


def test_tasks_that_are_intervals_are_named_by_them_alone() -> None:
    table = posterior(pd.interval_range(0, 3))
    first, rest = table.index[0], list(table.index[1:])
    named = [first, pd.Interval(0, 2)]  # which overlap
    assert list(next_tasks(table, 2, exclude=named)["task"]) == rest
    costs = pd.Series([1.0, 1.0], index=table.index[1:])
    assert list(next_tasks(table, 2, exclude=named, costs=costs)["task"]) == rest


def test_tasks_of_two_levels_are_tuples() -> None:
    table = posterior(PAIRS)
    assert list(next_tasks(table, 3)["task"]) == list(PAIRS)
    assert list(next_tasks(table, 2, exclude=PAIRS[:1])["task"]) == list(PAIRS[1:])
    more = next_tasks(table, 3, exclude=[("d", 1)], unanswered=[("z", 1)])["task"]
    assert set(more) == {("d", 2), ("e", 1), ("z", 1)}
    given = suspect_labels(table, labels=pd.Series(["yes", "no"], index=PAIRS[[2, 0]]))
    assert list(given["task"]) == [("e", 1), ("d", 1)]

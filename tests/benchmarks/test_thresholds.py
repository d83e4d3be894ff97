"""Thresholds with one label set left out: the choice by hand, and that constants come back."""

from __future__ import annotations

import numpy as np
import pytest
from deem_crowd_benchmarks.sets import laws
from deem_crowd_benchmarks.thresholds import THRESHOLDS, Threshold, leave_one_out, scores

from deem_crowd import Answers
from deem_crowd.selection import one_sided, opinion_pool, presence, select
from deem_crowd.selection.shared_errors import dependence, families, fields


def test_each_set_is_scored_with_the_value_that_the_others_choose() -> None:
    accuracy = np.array([[0.9, 0.5], [0.6, 0.7], [0.6, 0.8]])
    found = leave_one_out(accuracy, [1.0, 2.0], used=1.0)
    # without the first set 2 is better (0.75 to 0.6), without the second or third 1 is
    assert found.chosen.tolist() == [2.0, 1.0, 1.0]
    assert found.scored == pytest.approx((0.5 + 0.6 + 0.6) / 3)


def test_the_value_in_use_stays_where_values_tie() -> None:
    found = leave_one_out(np.full((4, 3), 0.8), [1.0, 2.0, 3.0], used=2.0)
    assert found.chosen.tolist() == [2.0] * 4


def test_one_set_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="two are needed"):
        leave_one_out(np.ones((1, 2)), [1.0, 2.0], used=1.0)


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=lambda t: t.name)
def test_constants_are_there_and_come_back(threshold: Threshold) -> None:
    used = threshold.used
    assert used in threshold.values
    assert len(threshold.values) > 1
    for value in threshold.values:
        with threshold.at(value):
            assert threshold.used == value
        assert threshold.used == used
    with pytest.raises(KeyError), threshold.at(threshold.values[0]):
        raise KeyError
    assert threshold.used == used


def test_a_constant_changes_wherever_it_is_used() -> None:
    (floor,) = (t for t in THRESHOLDS if t.name == "FLOOR")
    with floor.at(0.3):
        assert opinion_pool.FLOOR == select.FLOOR == 0.3


def test_a_constant_of_the_same_name_elsewhere_stays() -> None:
    (level,) = (t for t in THRESHOLDS if (t.module, t.name) == ("shared_errors.fields", "_LEVEL"))
    used = level.used
    assert one_sided._LEVEL == presence._LEVEL == used
    with level.at(0.2):
        assert fields._LEVEL == 0.2
        assert one_sided._LEVEL == presence._LEVEL == used


def test_the_value_makes_a_difference_where_sources_repeat_one_another(monkeypatch) -> None:
    monkeypatch.setattr(
        families, "find", lambda *_: None
    )  # it finds the copies before pairs are asked
    (power,) = (t for t in THRESHOLDS if t.name == "_LEAST_POWER")
    data = laws.tree(0)
    found = scores(power, [(Answers.from_frame(data.answers), data.gold)])
    assert found.shape == (1, len(power.values))
    never = Threshold("never", "shared_errors.dependence", "_LEAST_POWER", (0.0,))
    off, used = scores(never, [(Answers.from_frame(data.answers), data.gold)])[0]
    assert used > off + 0.01
    assert power.used == dependence._LEAST_POWER

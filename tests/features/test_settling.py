"""How settings of a classifier are chosen."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd.features import learners, settling
from deem_crowd.features.learners import LogisticLearner

ONE = np.ones((1, 1))


@given(best=st.integers(0, 4), first=st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_a_climb_finds_the_top_from_anywhere(best, first) -> None:
    asked = []

    def told(value):
        asked.append(value)
        return np.full((1, 1), -abs(value - best), dtype=float)

    found = settling.settled(
        lambda each: settling.climbed(told, range(5), first, ONE, np.ones(1)), True, ONE, np.ones(1)
    )
    assert found[:2] == (True, best)
    assert len(asked) == len(set(asked)) <= abs(best - first) + 3


def test_a_climb_turns_round_where_one_side_is_level() -> None:
    found = settling.settled(
        lambda each: settling.climbed(
            lambda value: np.full((1, 1), [0.0, -1.0, -1.0, -2.0][value]),
            range(4),
            1,
            ONE,
            np.ones(1),
        ),
        True,
        ONE,
        np.ones(1),
    )
    assert found[:2] == (True, 0)


def test_a_fold_chooses_for_many_rows_as_all_folds_do(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5)).astype(np.float32) * np.array([1, 1, 1, 1, 30], np.float32)
    right = (x[:, 0] + 0.5 * rng.normal(size=600) > 0).astype(int)
    targets, weights, fold = np.eye(2)[right], np.ones(600), np.arange(600) % 5
    whole = learners.settled(LogisticLearner(), x, targets, weights, fold)
    monkeypatch.setattr(learners, "_MOST_ASKED", 500)
    learner = LogisticLearner()
    part = learners.settled(learner, x, targets, weights, fold)
    assert np.abs(np.exp(part) - np.exp(whole)).max() < 0.1
    # settings that stay: no other than a new fit with them
    again = learners.settled(learner, x, targets, weights, fold, choose=False)
    assert np.abs(np.exp(part) - np.exp(again)).max() < 0.01
    out = learners.out_of_fold(learner.anew(), x, targets, weights, fold)
    assert np.abs(np.exp(out) - np.exp(again)).max() < 0.02

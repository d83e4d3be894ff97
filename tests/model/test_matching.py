"""Matchings of few rows, which are all tried, are as good as scipy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

from deem_crowd.model.matching import best_matching, best_matchings


@given(
    st.integers(1, 7).flatmap(
        lambda n: arrays.arrays(np.int64, (n, n), elements=st.integers(-50, 50))
    )
)
@settings(max_examples=60, deadline=None)
def test_no_matching_is_better(table: np.ndarray) -> None:
    rows, columns = linear_sum_assignment(table, maximize=True)
    found = best_matching(table)
    assert sorted(found) == list(range(len(table)))
    assert table[np.arange(len(table)), found].sum() == table[rows, columns].sum()


def test_of_equal_matchings_the_first_stands() -> None:
    assert best_matching(np.zeros((4, 4))).tolist() == [0, 1, 2, 3]


def test_of_nothing_there_is_one_matching() -> None:
    assert best_matching(np.zeros((0, 0))).tolist() == []
    assert best_matchings(np.zeros((3, 0, 0))).shape == (3, 0)

"""Tasks that pairs of sources share, counted by distances or by a product; codes of columns in order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import Answers
from deem_crowd.data import index
from deem_crowd.selection import pairs
from deem_crowd.selection.shared_errors import dependence


@pytest.mark.parametrize("few", [0, 12])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), d=st.integers(2, 9))
def test_common_tasks_are_those_that_both_answered(few, seed, d) -> None:
    rng = np.random.default_rng(seed)
    data = rng.integers(3, size=(40, d))
    data[:, 1:][rng.random((40, d - 1)) < 0.6] = -1
    data[0] = 1
    chosen = np.flatnonzero(rng.random(d) < 0.7)
    answered = (data[:, chosen] >= 0).astype(float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_FEW_ANSWERS", few)
        found = pairs.count(Answers.from_dense(data, 3), chosen, least=10**6).common
    np.testing.assert_array_equal(found, answered.T @ answered)


@pytest.mark.parametrize("limit", ["_MOST_CELLS", "_MOST_MEETINGS"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), d=st.integers(2, 9), k=st.integers(1, 4))
def test_agreement_is_the_same_by_pairs_of_answers_and_by_products(limit, seed, d, k) -> None:
    rng = np.random.default_rng(seed)
    data = np.where(rng.random((60, d)) < 0.6, rng.integers(k, size=(60, d)), -1)
    data[:, 0] = 0
    answers = Answers.from_dense(data, k + 1)
    chosen = np.flatnonzero(rng.random(d) < 0.7)
    by_pairs = pairs.count(answers, chosen, least=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, limit, 0)
        by_products = pairs.count(answers, chosen, least=1)
    for name in ("common", "agreed", "chance"):
        np.testing.assert_array_equal(getattr(by_pairs, name), getattr(by_products, name))


def test_pairs_of_answers_are_held_up_to_a_number_of_them(monkeypatch) -> None:
    data = np.full((10, 4), -1)
    data[:, :3] = 0
    given = pairs._given(Answers.from_dense(data[:, :3], 1), np.arange(3))
    monkeypatch.setattr(pairs, "_MOST_MEETINGS", 30)  # three a task
    met = given.met()
    assert met is not None
    assert len(met[0]) == 30
    monkeypatch.setattr(pairs, "_MOST_MEETINGS", 29)
    assert given.met() is None


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 200), max_size=40),
    st.sampled_from(["int64", "int8", "uint16"]),
    st.booleans(),
)
def test_codes_of_ascending_numbers_are_those_of_pandas(numbers, dtype, ascending) -> None:
    if dtype == "int8":
        numbers = [n - 100 for n in numbers]
    values = pd.Series(sorted(numbers) if ascending else numbers, dtype=dtype)
    codes, uniques = index.factorize(values, "task")
    expected, distinct = pd.factorize(values)
    np.testing.assert_array_equal(codes, expected)
    pd.testing.assert_index_equal(uniques, pd.Index(distinct, name="task"))


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(1, 9),
    m=st.integers(1, 12),
    reach=st.sampled_from([1e-3, 0.3, 5.0]),
)
def test_weighted_medians_near_a_guess_are_those_of_all_values(seed, n, m, reach) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, m)).round(rng.integers(4))  # ties among them
    weight = rng.integers(4, size=(n, m)).astype(float)
    expected = []
    for row, mass in zip(values, weight, strict=True):
        least = [v for v in row if mass[row <= v].sum() >= mass.sum() / 2]
        expected.append(min(least))
    guess = np.array(expected) + rng.normal(size=n) * 0.2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dependence, "_MANY_PAIRS", 0)
        patch.setattr(dependence, "_FEW_OF", 1)
        found = dependence.weighted_medians(values, weight, guess, np.full(n, reach))
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(1, 6), m=st.integers(1, 9))
def test_medians_of_known_numbers_are_numpys(seed, n, m) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((n, m)) < 0.5, np.nan, rng.normal(size=(n, m)))
    values[:, 0] = rng.normal(size=n)
    np.testing.assert_allclose(
        dependence._known_medians(values), np.nanmedian(values, axis=1), rtol=1e-12
    )

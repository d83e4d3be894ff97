"""Where ids stand: as pandas says, whichever way they are found."""

import copy
import pickle

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from deem_crowd.data.places import Places

LIMITS = np.iinfo(np.int64)
NUMBERS = st.one_of(
    st.integers(-60, 60), st.integers(LIMITS.min, LIMITS.min + 40), st.integers(0, LIMITS.max)
)


def numbers(least: int = 0) -> st.SearchStrategy[np.ndarray]:
    return arrays.arrays(np.int64, st.integers(least, 60), elements=NUMBERS, unique=True)


@given(known=numbers(), wanted=numbers())
def test_ids_are_found_where_pandas_finds_them(known, wanted):
    places = Places(pd.Index(known))
    for sought in (wanted, np.concatenate([known[::-1], wanted])):
        expected = pd.Index(known).get_indexer(pd.Index(sought))
        np.testing.assert_array_equal(places.of(pd.Index(sought)), expected)


@pytest.mark.parametrize("step", [1, 3, 10**12])
@pytest.mark.parametrize("order", ["rising", "mixed"])
@pytest.mark.parametrize("n_wanted", [5, 5_000])
def test_a_few_and_many_ids_among_many(step, order, n_wanted):
    rng = np.random.default_rng(step)
    known = step * np.arange(20_000) - 7
    if order == "mixed":
        rng.shuffle(known)
    wanted = rng.choice(known, n_wanted, replace=False) + rng.integers(2, size=n_wanted)
    expected = pd.Index(known).get_indexer(pd.Index(wanted))
    assert (expected < 0).any() or step == 1
    np.testing.assert_array_equal(Places(pd.Index(known)).of(pd.Index(wanted)), expected)


@pytest.mark.parametrize("known", [["b", "a"], [2.5, 1.0], [True, False]])
def test_other_ids_are_left_to_pandas(known):
    index = pd.Index(known)
    assert Places(index).of(index[::-1]).tolist() == [1, 0]


def test_numbers_among_texts_are_not_there():
    assert Places(pd.Index([0, 1])).of(pd.Index(["0", "1"])).tolist() == [-1, -1]


def test_pickles_and_copies_hold_no_table():
    places = Places(pd.Index(np.random.default_rng(0).permutation(20_000)))
    before = len(pickle.dumps(places))
    places.of(places.ids)
    assert len(pickle.dumps(places)) == before
    for other in (pickle.loads(pickle.dumps(places)), copy.deepcopy(places)):
        np.testing.assert_array_equal(other.of(places.ids), np.arange(20_000))

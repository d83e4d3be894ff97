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
        found = pairs._in_common(Answers.from_dense(data, 3), chosen)
    np.testing.assert_array_equal(found, answered.T @ answered)


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

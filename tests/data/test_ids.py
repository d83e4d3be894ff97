"""Ids and labels: what collides, what is missing, in which order classes stand."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd.data import index, numbering
from deem_crowd.exceptions import DataError, FormError


@given(st.lists(st.integers(0, 6), max_size=50))
def test_counting_sort_equals_numpys_stable_sort(codes: list[int]) -> None:
    array = np.array(codes, dtype=np.int64)
    pointers, order = index.counting_sort(array, 7)
    assert order.tolist() == np.argsort(array, kind="stable").tolist()
    assert np.diff(pointers).tolist() == np.bincount(array, minlength=7).tolist()


@pytest.mark.parametrize("n_codes", [7, 60_000, 2**16, 2**16 + 1, 100_000])
@pytest.mark.parametrize("n_rows", [50, 2**16, 2**16 + 1])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_counting_sort_of_few_and_of_many(n_codes: int, n_rows: int, dtype: type) -> None:
    array = np.random.default_rng(0).integers(n_codes, size=n_rows).astype(dtype)
    array[:2] = n_codes - 1
    pointers, order = index.counting_sort(array, n_codes)
    np.testing.assert_array_equal(order, np.argsort(array, kind="stable"))
    np.testing.assert_array_equal(np.diff(pointers), np.bincount(array, minlength=n_codes))
    assert pointers[0] == 0
    assert order.dtype == pointers.dtype == np.int32


@pytest.mark.parametrize(
    ("values", "pair"),
    [
        ([1, "1"], "1 (int) and '1' (str)"),
        ([True, 1], "True (bool) and 1 (int)"),
        ([1.0, 1], "1.0 (float) and 1 (int)"),
        ([True, "True"], "True (bool) and 'True' (str)"),
    ],
)
def test_row_one_and_text_one_true_and_one_are_refused(values, pair) -> None:
    with pytest.raises(DataError, match="column 'label' mixes kinds") as caught:
        index.factorize(pd.Series(values, dtype=object), "label")
    assert pair in str(caught.value)
    assert ".astype(" in str(caught.value)


def test_values_of_two_kinds_that_differ_are_taken() -> None:
    codes, uniques = index.factorize(pd.Series([3, "a", 3, 2.5], dtype=object), "label")
    assert codes.tolist() == [0, 1, 0, 2]
    assert list(uniques) == [3, "a", 2.5]


def test_python_and_numpy_integers_are_one_kind() -> None:
    codes, uniques = index.factorize(pd.Series([1, np.int64(1), "a"], dtype=object), "label")
    assert codes.tolist() == [0, 0, 1]
    assert len(uniques) == 2


def test_lists_as_ids_are_refused_with_the_remedy() -> None:
    with pytest.raises(FormError, match="column 'task' holds 2 values .* not hashable .*tuples"):
        index.factorize(pd.Series([[1], [2], "a"], dtype=object), "task")


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([3, 1, 3, 2]),
        pd.Series([2**63 + 5, 1, 2], dtype="uint64"),
        pd.Series([10**30, 1], dtype=object),
        pd.Series([True, False, True]),
        pd.Series(["b", "", "a\tb", "a\nb", "ü", "ß\u0301"]),
        pd.Series(["b", "a"], dtype="string[pyarrow]"),
        pd.Series([5, 4], dtype="int64[pyarrow]"),
        pd.Series(["b", "a"], dtype=pd.CategoricalDtype(["a", "c", "b"])),
        pd.Series(pd.to_datetime(["2024-02-01", "2024-01-01"], utc=True)),
        pd.Series([datetime.date(2024, 2, 1), datetime.date(2024, 1, 1)], dtype=object),
        pd.Series([("a", 1), ("b", 2), ("a", 1)], dtype=object),
        pd.Series([2.5, 0.5]),
    ],
    ids=lambda s: str(s.dtype),
)
def test_codes_and_uniques_give_the_column_back(values: pd.Series) -> None:
    codes, uniques = index.factorize(values, "label")
    back = index.take(uniques, codes, "label")
    assert back.tolist() == values.tolist()
    assert back.dtype == values.dtype


def test_a_missing_label_loses_no_digit_of_the_others() -> None:
    taken = index.take(pd.Index([2**60 + 1, 5]), np.array([0, -1, 1]), "label")
    assert taken.dtype == "Int64"
    assert taken[0] == 2**60 + 1
    assert taken.isna().tolist() == [False, True, False]


def test_classes_are_sorted_and_categories_keep_their_declared_order() -> None:
    assert index.sorted_order(pd.Index(["b", "a", "c"])).tolist() == [1, 0, 2]
    declared = pd.CategoricalIndex(["lo", "hi"], categories=["lo", "mid", "hi"])
    assert index.sorted_order(declared[::-1]).tolist() == [1, 0]


def test_the_order_of_unsortable_classes_does_not_depend_on_appearance() -> None:
    values = ["a", 3, 2.5, "b"]
    forward, backward = (pd.Index(v, dtype=object) for v in (values, values[::-1]))
    one = forward.take(index.sorted_order(forward)).tolist()
    other = backward.take(index.sorted_order(backward)).tolist()
    assert one == other


def test_missing_values_are_no_text() -> None:
    codes, uniques = index.factorize(pd.Series([1, "None", None], dtype=object), "label")
    assert codes.tolist() == [0, 1, -1]
    assert list(uniques) == [1, "None"]


def test_categories_that_read_alike_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 \(int\) and '1' \(str\)"):
        index.factorize(pd.Series(pd.Categorical([1, "1"])), "label")


def test_a_list_within_a_tuple_is_named() -> None:
    with pytest.raises(FormError, match=r"holds 1 value that is .*\(\[1\],\)"):
        index.factorize(pd.Series([([1],), 2], dtype=object), "task")


def test_taking_keeps_the_name_where_something_is_missing() -> None:
    assert index.take(pd.Index([5]), np.array([0, -1]), "agg_label").name == "agg_label"


@given(
    st.lists(st.frozensets(st.sampled_from("abc1")), min_size=1, max_size=6, unique=True),
    st.randoms(),
)
def test_sets_have_an_order_that_does_not_depend_on_that_of_the_rows(sets, random) -> None:
    """Of two sets neither need be part of the other: sorting them as they compare follows the rows."""
    shuffled = random.sample(sets, len(sets))
    one, other = (pd.Index(found, dtype=object, tupleize_cols=False) for found in (sets, shuffled))
    assert list(one.take(index.sorted_order(one))) == list(other.take(index.sorted_order(other)))
    pairs = [(a, 1) for a in sets]
    one, other = (
        pd.Index(found, dtype=object, tupleize_cols=False) for found in (pairs, pairs[::-1])
    )
    assert list(one.take(index.sorted_order(one))) == list(other.take(index.sorted_order(other)))


@pytest.mark.parametrize("form", ["str", "string[python]", object, "category"])
def test_places_are_those_of_pandas(form) -> None:
    known, some = (pd.Index(texts, dtype=form) for texts in (["a", "ä", "b"], ["b", "x", "a", "b"]))
    assert index.places(some, known).tolist() == known.get_indexer(some).tolist() == [2, -1, 0, 2]
    assert index.among(some, known).tolist() == [True, False, True, True]
    assert not len(index.places(some[:0], known))


@given(
    values=st.lists(st.integers(0, 40), max_size=30),
    times=st.integers(1, 30),
    dtype=st.sampled_from(["int64", "uint8", "uint64", "int16"]),
)
@settings(deadline=None)
def test_whole_numbers_are_coded_by_first_appearance_however_many(values, times, dtype) -> None:
    values = np.tile(np.array(values, dtype=dtype), times)
    codes, distinct = numbering.numbered(values)
    expected, there = pd.factorize(values)
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(distinct, there)
    assert distinct.dtype == dtype

"""One dictionary of many: the codes and values of pandas, whatever the pieces have in common."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd.data import dictionaries
from deem_crowd.data.dictionaries import Dictionaries

PIECES = st.lists(
    st.lists(st.one_of(st.none(), st.text("abä", max_size=3))), min_size=1, max_size=5
)


def check(pieces: list[list[str | None]]) -> pa.Array:
    """Compare with one coding of all; return the values."""
    united = Dictionaries()
    for piece in pieces:
        united.add(pa.array(piece, pa.string()).dictionary_encode())
    codes, values = united.coded()
    expected, names = pd.factorize(
        np.array([text for piece in pieces for text in piece], dtype=object)
    )
    np.testing.assert_array_equal(codes, expected)
    assert values.to_pylist() == list(names)
    return values


@settings(max_examples=30)
@given(PIECES, st.sampled_from([0, 2, 2**16]), st.booleans(), st.booleans())
def test_codes_and_values_are_those_of_the_whole_column(pieces, waiting, apart, equal) -> None:
    if apart:  # no piece has a text of another
        pieces = [
            [None if text is None else f"{number}{text}" for text in piece]
            for number, piece in enumerate(pieces)
        ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dictionaries, "_WAITING", waiting)
        if equal:  # then texts have to be compared
            patch.setattr(dictionaries, "hashed_text", lambda v: np.zeros(len(v), dtype=np.uint64))
        check(pieces)


def test_a_dictionary_may_hold_a_value_twice_or_one_that_no_row_has() -> None:
    def indices(places: list[int]) -> pa.Array:
        return pa.array(places, pa.int32())

    united = Dictionaries()
    united.add(pa.DictionaryArray.from_arrays(indices([2, 0, 1]), pa.array(["a", "b", "a", "z"])))
    united.add(pa.DictionaryArray.from_arrays(indices([1, 0]), pa.array(["c", "b"])))
    codes, values = united.coded()
    assert codes.tolist() == [0, 0, 1, 1, 2]
    assert values.to_pylist() == ["a", "b", "c"]


def test_much_text_has_wide_offsets(monkeypatch) -> None:
    monkeypatch.setattr(dictionaries, "_MOST_BYTES", 200)
    monkeypatch.setattr(dictionaries, "_WAITING", 0)
    few, many = [["a", "b"]], [[f"{i}-{n:020}" for n in range(5)] for i in range(9)]
    assert check(few).type == pa.string()
    assert check(many).type == pa.large_string()


def test_text_with_narrow_offsets_after_wide_ones(monkeypatch) -> None:
    """Text that comes again is put away, and there would be room for narrow offsets again."""
    monkeypatch.setattr(dictionaries, "_MOST_BYTES", 200)
    monkeypatch.setattr(dictionaries, "_WAITING", -100)  # each piece is united at once
    long = [f"{n:022}" for n in range(5)]
    assert check([long, long, ["a", "b"], ["a", "c"]]).type == pa.large_string()

"""Hashes of text: those of another implementation, whatever the form in which Arrow holds the text."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd.data import hashing
from deem_crowd.data.hashing import hashed_text
from deem_crowd.distributed import parts

M, MASK = 0xC6A4A7935BD1E995, 2**64 - 1


def murmur(content: bytes) -> int:
    """MurmurHash64A with the seed 0, a value at a time."""
    found = len(content) * M & MASK
    whole = len(content) // 8 * 8
    for begin in range(0, whole, 8):
        word = int.from_bytes(content[begin : begin + 8], "little") * M & MASK
        word = (word ^ word >> 47) * M & MASK
        found = (found ^ word) * M & MASK
    if content[whole:]:
        found = (found ^ int.from_bytes(content[whole:], "little")) * M & MASK
    found = (found ^ found >> 47) * M & MASK
    return found ^ found >> 47


def test_a_published_value() -> None:
    assert murmur(b"hello") == 0x1E68D17C457BF117


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=40), max_size=40), st.integers(0, 5), st.integers(1, 9))
def test_they_are_those_of_the_definition(values, skipped, at_once) -> None:
    expected = np.array([murmur(value) for value in values[skipped:]], dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "_AT_ONCE", at_once)
        for kind in (pa.binary(), pa.large_binary()):
            np.testing.assert_array_equal(hashed_text(pa.array(values, kind)[skipped:]), expected)


def test_a_long_value_is_hashed_by_itself() -> None:
    long, limit = "ä" * 513, "a" * 1024
    found = hashed_text(pa.array(["a", long, limit, ""]))
    assert found[1] == int.from_bytes(
        hashlib.blake2b(long.encode(), digest_size=8).digest(), "little"
    )
    assert found[2] == murmur(limit.encode())
    assert [found[0], found[3]] == [murmur(b"a"), murmur(b"")]


def test_ids_have_one_hash_in_whatever_form_they_stand() -> None:
    text = ["a", "worker-1234567", "größer", "", "half \ud800"]
    plain = parts.hashed(pd.Index(text[:4], dtype=object))
    for form in ("str", "string[python]", "string[pyarrow]", "category"):
        np.testing.assert_array_equal(parts.hashed(pd.Index(text[:4], dtype=form)), plain)
    np.testing.assert_array_equal(parts.hashed(pd.Index(text, dtype=object))[:4], plain)
    numbers = parts.hashed(pd.Index([1, 2**40]))
    np.testing.assert_array_equal(parts.hashed(pd.Index([1, 2**40], dtype="uint64")), numbers)
    days = pd.date_range("2026-01-01", periods=2)
    assert len(set(parts.hashed(days)) | set(numbers) | set(plain)) == 8

"""Text → 64-bit hashes, over Arrow's buffers: no id becomes an object of Python.

MurmurHash64A: A. Appleby, SMHasher, 2010 (public domain). The same in every process and run.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Words = npt.NDArray[np.uint64]

_MULTIPLIER = np.uint64(0xC6A4A7935BD1E995)
_SHIFT = np.uint64(47)
_AT_ONCE = 2**15
"""Values that are hashed together, so that what is made of them stays in the processor's cache."""
_LONG = 1024
"""Bytes above which a value is hashed by itself, by BLAKE2b."""
_TAILS = np.array([(1 << 8 * n) - 1 for n in range(8)], dtype=np.uint64)


def hashed_text(values: pa.Array) -> Words:
    """Return hashes of text or bytes, shape (n,); equal values have one hash, and nulls are not told from values.

    Parameters
    ----------
    values : Array of string, large_string, binary or large_binary, shape (n,)
    """
    _, positions, content = values.buffers()
    hashes = np.zeros(len(values), dtype=np.uint64)
    if not len(values):
        return hashes
    wide = str(values.type).startswith("large_")
    ends = np.frombuffer(positions, np.int64 if wide else np.int32)
    ends = ends[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(content or b"", np.uint8)
    for begin in range(0, len(values), _AT_ONCE):
        some = ends[begin : begin + _AT_ONCE + 1].astype(np.int64)
        hashes[begin : begin + _AT_ONCE] = _of_some(data[some[0] : some[-1]], some - some[0])
    return hashes


def _of_some(content: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> Words:
    """Return hashes of the pieces of some bytes, shape (n,), which end at ``ends[1:]``."""
    words = np.zeros(len(content) // 8 + 2, dtype="<u8")
    words.view(np.uint8)[: len(content)] = content
    start, length = ends[:-1], np.diff(ends)
    long = np.flatnonzero(length > _LONG)
    length[long] = 0
    n_words = length >> 3
    found = length.astype(np.uint64) * _MULTIPLIER
    least, most = int(n_words.min()), int(n_words.max())
    for i in range(least):
        found ^= _scrambled(_word(words, start + 8 * i))
        found *= _MULTIPLIER
    for i in range(least, most):
        rows = np.flatnonzero(n_words > i)
        found[rows] = (found[rows] ^ _scrambled(_word(words, start[rows] + 8 * i))) * _MULTIPLIER
    left = length & 7
    tail = _word(words, start + 8 * n_words) & _TAILS[left]
    found = np.where(left > 0, (found ^ tail) * _MULTIPLIER, found)
    found ^= found >> _SHIFT
    found *= _MULTIPLIER
    found ^= found >> _SHIFT
    for i in long.tolist():
        digest = hashlib.blake2b(content[ends[i] : ends[i + 1]].data, digest_size=8).digest()
        found[i] = int.from_bytes(digest, "little")
    return found


def _word(words: Words, at: npt.NDArray[Any]) -> Words:
    """Return the 8 bytes that begin at each place, as numbers."""
    place = at >> 3
    bits = ((at & 7) << 3).astype(np.uint64)
    low, high = words[place], words[place + 1]
    found: Words = (low >> bits) | (high << (np.uint64(63) - bits)) << np.uint64(1)
    return found


def _scrambled(word: Words) -> Words:
    word *= _MULTIPLIER
    word ^= word >> _SHIFT
    word *= _MULTIPLIER
    return word

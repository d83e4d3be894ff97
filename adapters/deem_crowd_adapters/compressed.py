"""Compressed content, read to the last byte of its last stream, within bounds of what it may grow to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from typing import Any, BinaryIO, Protocol, cast

from deem_crowd.exceptions import DataError, ParameterError

LIMIT = "DEEM_CROWD_MAX_DECOMPRESSED_GIB"
"""The environment variable that sets how much one file may hold when decompressed, in GiB (2³⁰ bytes)."""
_GIB = 16.0
_RATIO = 1000
_FREE = 2**20
"""Bytes that a smaller file counts as, so that any file may grow to a thousand times that."""
_CHUNK = 2**16


class _Decompressor(Protocol):
    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def within_bounds(name: str, packed: int, size: int) -> None:
    """Check that ``packed`` bytes may become ``size``.

    Raises
    ------
    DataError
        If that is a thousand times as much, or more than 16 GiB. Where the limit is set, it alone counts.
    ParameterError
        If the limit that is set is not a number.
    """
    text = os.environ.get(LIMIT, "").strip()
    try:
        most = (float(text) if text else _GIB) * 2**30
    except ValueError:
        raise ParameterError(f"{LIMIT}={text!r} is not a number of GiB.") from None
    if size > most or (not text and size > _RATIO * max(packed, _FREE)):
        raise DataError(
            f"{name} is compressed: {packed:,} bytes of it become {size:,} and more. If that is meant, set {LIMIT} to "
            "the GiB that it may take."
        )


class _Streams(io.RawIOBase):
    """The content of streams of one kind that follow one another; anything else behind them is an error."""

    def __init__(self, raw: BinaryIO, kind: Any) -> None:
        self._raw, self._kind = raw, kind
        self._one: _Decompressor = kind()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            given = b""
            if self._one.eof:
                given = self._one.unused_data.lstrip(b"\0")  # padding, which xz and gzip allow
                while not given:
                    if not (given := self._raw.read(_CHUNK)):
                        return 0
                    given = given.lstrip(b"\0")
                self._one = self._kind()
            elif self._one.needs_input and not (given := self._raw.read(_CHUNK)):
                raise EOFError("its end is missing")
            data = self._one.decompress(given, len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Bounded(io.RawIOBase):
    """Content that is read through, and refused where it grows beyond bounds."""

    def __init__(self, name: str, raw: BinaryIO, content: Any) -> None:
        self._name, self._raw, self._content, self._size = name, raw, content, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n: int = self._content.readinto(buffer)
        self._size += n
        within_bounds(self._name, self._raw.tell(), self._size)
        return n


def _zstandard(raw: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")


_KINDS: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": ("gzip", lambda raw: gzip.GzipFile(fileobj=raw)),
    b"BZh": ("bzip2", lambda raw: _Streams(raw, bz2.BZ2Decompressor)),
    b"\xfd7zXZ\x00": ("xz", lambda raw: _Streams(raw, lzma.LZMADecompressor)),
    b"\x28\xb5\x2f\xfd": ("Zstandard", _zstandard),
    # and frames to be skipped, of which parallel compressors write the first one
    **{bytes([0x50 + n]) + b"\x2a\x4d\x18": ("Zstandard", _zstandard) for n in range(16)},
}


def kind_of(head: bytes) -> str | None:
    """Return how content is compressed that begins so; None if it is not."""
    return next((kind for mark, (kind, _) in _KINDS.items() if head.startswith(mark)), None)


def opened(name: str, raw: BinaryIO) -> BinaryIO:
    """Return the decompressed content of a file of a kind that :func:`kind_of` knows.

    Reading raises EOFError, zlib.error, LZMAError or OSError where it is damaged, and DataError where it grows beyond
    bounds (:func:`within_bounds`).
    """
    head = raw.read(8)
    raw.seek(0)
    make = next(make for mark, (_, make) in _KINDS.items() if head.startswith(mark))
    return cast("BinaryIO", io.BufferedReader(_Bounded(name, raw, make(raw)), _CHUNK))

"""Where bytes come from: a path, standard input or an open file, compressed or not, readable twice."""

from __future__ import annotations

import codecs
import io
import lzma
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, TypeAlias

from deem_crowd.exceptions import DataError, FormError
from deem_crowd_adapters import compressed

Place: TypeAlias = "str | os.PathLike[str] | IO[bytes] | IO[str] | Source"
"""A path, ``-`` for standard input, an open file, or a source that was opened before."""

_CHUNK = 2**20
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "utf-32le",
    (True, True, True, False): "utf-32be",
    (False, True, False, True): "utf-16le",
    (True, False, True, False): "utf-16be",
}
"""At which of four bytes most are zero where letters of two or four bytes are mostly Latin."""


def _wide_text(head: bytes) -> str:
    """Return the encoding of text with two or four bytes a letter and no mark that says so; empty of anything else."""
    if len(head) < 8 or head.startswith(tuple(_MARKS)):
        return ""
    shares = [part.count(0) / len(part) for part in (head[i::4] for i in range(4))]
    if any(0.1 < share < 0.5 for share in shares):
        return ""
    return _ZEROS.get(tuple(share >= 0.5 for share in shares), "")


class Source:
    """A place to read from as often as needed. Only regular files are read again; the rest is kept.

    Raises
    ------
    OSError
        As the system reports it.
    FormError
        If this is neither a path nor an open file.
    """

    name: str
    """How messages call it."""

    def __init__(self, place: Place) -> None:
        self._path: str | None = None
        self._content = b""
        if isinstance(place, Source):
            self.name, self._path, self._content = place.name, place._path, place._content
        elif isinstance(place, (str, os.PathLike)):
            self.name = os.fspath(place)
            if self.name == "-":
                self.name, self._content = "standard input", sys.stdin.buffer.read()
            elif os.path.isfile(self.name):
                self._path = self.name
            else:  # a pipe; or nothing that can be opened, which the system says in its own words
                with open(self.name, "rb") as file:
                    self._content = file.read()
        elif hasattr(place, "read"):
            name = getattr(place, "name", None)
            self.name = name if isinstance(name, str) else f"the {type(place).__name__}"
            content = place.read()
            self._content = content.encode() if isinstance(content, str) else bytes(content)
        else:
            raise FormError(f"expected a path or an open file, got {type(place).__name__}.")

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the decompressed content at its beginning.

        Raises
        ------
        OSError
        DataError
            If compressed content is damaged, or grows beyond bounds.
        """
        with open(self._path, "rb") if self._path else io.BytesIO(self._content) as raw:
            head = raw.read(8)
            raw.seek(0)
            kind = compressed.kind_of(head)
            if kind is None:
                yield raw
                return
            try:
                with compressed.opened(self.name, raw) as file:
                    yield file
            except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
                if getattr(error, "errno", None) is not None:
                    raise  # the system's own: the disk, not the content
                raise DataError(
                    f"{self.name} is not a complete {kind} file: {error}. Fetch or write it again."
                ) from error

    def seekable(self) -> BinaryIO:
        """Return the decompressed content as a file that can be searched; only what is compressed is held."""
        with self.open() as file:
            if self._path is not None and file.seekable():
                return open(self._path, "rb")
            return io.BytesIO(file.read())

    def head(self, size: int = 65536) -> bytes:
        """Return the first bytes of the decompressed content."""
        with self.open() as file:
            return file.read(size)

    def refuse_wide_text(self) -> None:
        """Raise :class:`DataError` if this is UTF-16 or UTF-32 without a mark: it reads like text full of zeros."""
        if code := _wide_text(self.head(4096)):
            family, end = code[:6].upper(), "little" if code.endswith("le") else "big"
            raise DataError(
                f"{self.name} is {family} ({end}-endian, without a byte order mark), not UTF-8. Convert it first, e.g. "
                f"iconv -f {code} -t utf-8."
            )

    def undecodable(self) -> DataError | None:
        """Return the error that names the first byte that is not UTF-8, None if all are."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        offset, line, pending = 0, 1, b""
        with self.open() as file:
            while True:
                chunk = file.read(_CHUNK)
                marked = next((mark for mark in _MARKS if chunk.startswith(mark)), None)
                if offset == 0 and marked is not None:
                    code = _MARKS[marked]
                    return DataError(
                        f"{self.name} is not UTF-8: byte {chunk[0]:#04x} at position 0; it looks like {code.upper()}. "
                        f"Convert it first, e.g. iconv -f {code} -t utf-8."
                    )
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    block = pending + chunk
                    at = offset - len(pending) + error.start
                    line += block.count(b"\n", 0, error.start)
                    return DataError(
                        f"{self.name} is not UTF-8: byte {block[error.start]:#04x} at position {at} (line {line}). "
                        "Convert it first, e.g. iconv -f windows-1252 -t utf-8."
                    )
                if not chunk:
                    return None
                kept = decoder.getstate()[0]
                line += chunk.count(b"\n")
                offset += len(chunk)
                pending = kept

"""Model files that save() did not write: refused, from the header where that can be told from it."""

from __future__ import annotations

import functools
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from cases import Case
from deem_crowd import DEEMAggregator

ROWS = [(f"t{t}", f"w{w}", "ab"[(t + (w == t % 4)) % 2]) for t in range(12) for w in range(4)]


@functools.cache
def original() -> tuple[dict[str, Any], bytes]:
    """Return the header and the rest of a sound file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = pd.DataFrame(ROWS, columns=["task", "worker", "label"])
        DEEMAggregator().fit(frame).save(Path(folder, "m.safetensors"))
        data = Path(folder, "m.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header, data[8 + length :]


def load(header: bytes, rest: bytes, length: int | None = None) -> None:
    size = len(header) if length is None else length
    Path("x.safetensors").write_bytes(size.to_bytes(8, "little") + header + rest)
    DEEMAggregator.load("x.safetensors")


def text(content: str | None, name: str, folder: Path) -> None:
    """Replace a text of the header, or take it away."""
    header, rest = original()
    texts = {key: value for key, value in header["__metadata__"].items() if key != name}
    if content is not None:
        texts[name] = content
    load(json.dumps({**header, "__metadata__": texts}).encode(), rest)


def entry(field: str, value: Any, folder: Path) -> None:
    """Replace a field of each tensor in turn."""
    header, rest = original()
    for name in header:
        if name == "__metadata__" or (field == "dtype" and header[name][field] == value):
            continue
        changed = {**header, name: {**header[name], field: value}}
        try:
            load(json.dumps(changed).encode(), rest)
        except ValueError as error:
            last = error
        else:
            raise AssertionError(name)
    raise last


def whole(change: Callable[[bytes, bytes], tuple[bytes, bytes]], folder: Path) -> None:
    header, rest = original()
    load(*change(json.dumps(header).encode(), rest))


def said(length: int, folder: Path) -> None:
    header, rest = original()
    load(json.dumps(header).encode(), rest, length)


def again(header: bytes, name: str) -> bytes:
    """Return the header with one of its keys a second time."""
    found = json.loads(header)
    key = name or next(key for key in found if key != "__metadata__")
    return header[:-1] + b", " + json.dumps({key: found[key]}).encode()[1:]


TEXTS = {
    "empty": "", "null": "null", "a list": "[]", "an object": "{}", "a number": "5", "text": '"x"', "NaN": "NaN",
    "a key twice": '{"a": 1, "a": 2}', "many digits": "9" * 5000, "deep": "[" * 100_000, "no JSON": "\x00",
    "gone": None,
}  # fmt: skip
NAMES = ("format", "version", "kind", "content")
FIELDS: dict[str, tuple[Any, ...]] = {
    "dtype": ("F16", "BF16", "I8", "U64", "F8_E4M3", "X", "", None, 5, [], {}),
    "shape": ([], [0], [-1], [2**62], [2**63], [1] * 40, None, "x", [1.5], ["1"], {}),
    "data_offsets": (
        [0, 0],
        [0, 2**63],
        [0, 2**64],
        [-1, 4],
        [5, 1],
        [0],
        [],
        [0, 1, 2],
        None,
        ["a", "b"],
        5,
    ),
}
WHOLE: dict[str, Callable[[bytes, bytes], tuple[bytes, bytes]]] = {
    "a tensor twice": lambda header, rest: (again(header, ""), rest),
    "the texts twice": lambda header, rest: (again(header, "__metadata__"), rest),
    "longer": lambda header, rest: (header, rest + b"x"),
    "shorter": lambda header, rest: (header, rest[:-1]),
    "without tensors": lambda header, rest: (header, b""),
    "without anything": lambda header, rest: (b"", b""),
    "other bytes": lambda header, rest: (b"\xff" * len(header), rest),
    "UTF-16": lambda header, rest: (header.decode().encode("utf-16"), rest),
    "a byte order mark": lambda header, rest: (b"\xef\xbb\xbf" + header, rest),
    "blanks before": lambda header, rest: (b"  " + header, rest),
    "a list": lambda header, rest: (b"[" + header + b"]", rest),
    "two headers": lambda header, rest: (header + header, rest),
    "a comment": lambda header, rest: (header[:-1] + b"/* */}", rest),
    "cut": lambda header, rest: (header[:-1], rest),
}
FAMILY, REFUSED = "model files", "refused: x.safetensors"
CASES = [
    *(
        Case(FAMILY, f"{name}: {what}", functools.partial(text, content, name), REFUSED)
        for name in NAMES for what, content in TEXTS.items()
    ),
    *(
        Case(FAMILY, f"{field} {value!r}"[:60], functools.partial(entry, field, value), REFUSED)
        for field, values in FIELDS.items() for value in values
    ),
    *(Case(FAMILY, f"{name}, the header", functools.partial(whole, change), REFUSED) for name, change in WHOLE.items()),
    *(
        Case(FAMILY, f"a header of {length} bytes", functools.partial(said, length), REFUSED)
        for length in (0, 1, 7, 10**6, 2**31, 2**63, 2**64 - 1)
    ),
]  # fmt: skip

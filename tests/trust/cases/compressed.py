"""Compressed files: whole to the last byte of the last stream, and within bounds."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from deem_crowd_adapters import read_long, to_answers
from deem_crowd_adapters.compressed import within_bounds

from cases import Case

FRAME = pd.DataFrame(
    {
        "task": range(300),
        "worker": [i % 7 for i in range(300)],
        "label": [i % 3 for i in range(300)],
    }
)
TEXT = FRAME.to_csv(index=False).encode()
KINDS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
DAMAGED = "refused: is not a complete "
BOUND = "refused: set DEEM_CROWD_MAX_DECOMPRESSED_GIB"
CHANGES: dict[str, tuple[Callable[[Callable[[bytes], bytes]], bytes], str]] = {
    "whole": (lambda pack: pack(TEXT), "works"),
    "two streams": (lambda pack: pack(TEXT[:1000]) + pack(TEXT[1000:]), "works"),
    "many streams": (
        lambda pack: b"".join(pack(TEXT[i : i + 50]) for i in range(0, len(TEXT), 50)),
        "works",
    ),
    "an empty stream between": (lambda pack: pack(TEXT[:99]) + pack(b"") + pack(TEXT[99:]), "works"),
    "zeros behind": (lambda pack: pack(TEXT) + bytes(512), "works"),
    "garbage behind": (lambda pack: pack(TEXT) + b"garbage", DAMAGED),
    "much garbage behind": (lambda pack: pack(TEXT) + b"\xff" * 100_000, DAMAGED),
    "a byte behind": (lambda pack: pack(TEXT) + b"x", DAMAGED),
    "cut": (lambda pack: pack(TEXT)[:-20], DAMAGED),
    "second stream cut": (lambda pack: pack(TEXT[:1000]) + pack(TEXT[1000:])[:-20], DAMAGED),
    "second stream flipped": (lambda pack: pack(TEXT[:1000]) + flipped(pack(TEXT[1000:])), DAMAGED),
    "second stream without its mark": (
        lambda pack: pack(TEXT[:1000]) + b"\x00\x01" + pack(TEXT[1000:])[2:],
        DAMAGED,
    ),
    "flipped": (lambda pack: flipped(pack(TEXT)), DAMAGED),
}  # fmt: skip


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


def read(kind: str, change: str, whole: bool, folder: Path) -> None:
    make, _ = CHANGES[change]
    path = Path(f"a.csv.{kind}")
    path.write_bytes(make(KINDS[kind]))
    if whole:
        pd.testing.assert_frame_equal(read_long(path), FRAME)
    else:
        assert to_answers(path).n_answers == len(FRAME)


def limited(kind: str, limit: str, size: int, folder: Path) -> None:
    Path(f"a.csv.{kind}").write_bytes(KINDS[kind](TEXT + b"0,0,0\n" * (size // 6)))
    before = os.environ.get("DEEM_CROWD_MAX_DECOMPRESSED_GIB")
    os.environ["DEEM_CROWD_MAX_DECOMPRESSED_GIB"] = limit
    try:
        read_long(f"a.csv.{kind}")
    finally:
        del os.environ["DEEM_CROWD_MAX_DECOMPRESSED_GIB"]
        if before is not None:
            os.environ["DEEM_CROWD_MAX_DECOMPRESSED_GIB"] = before


CASES = [
    *(
        Case("compressed files", f"{kind}, {change}, {'frame' if whole else 'answers'}",
             functools.partial(read, kind, change, whole), expected)
        for kind in KINDS for change, (_, expected) in CHANGES.items() for whole in (True, False)
    ),
    *(
        Case("compressed files", f"{kind}, {size} bytes within {limit} GiB",
             functools.partial(limited, kind, limit, size), expected)
        for kind in KINDS
        for limit, size, expected in (
            ("0.001", 10**6, "works"), ("0.001", 1_100_000, BOUND), ("1e-6", 0, BOUND), ("99", 10**6, "works"),
            ("much", 0, "refused: is not a number of GiB"),
        )
    ),
    *(
        Case("compressed files", f"{packed} bytes that become {size}",
             lambda _, packed=packed, size=size: within_bounds("a.csv.xz", packed, size), expected)
        for packed, size, expected in (
            (1, 1000 * 2**20, "works"), (1, 1000 * 2**20 + 1, BOUND), (2**20, 1000 * 2**20, "works"),
            (2**21, 2000 * 2**20 + 1, BOUND), (2**30, 16 * 2**30, "works"), (2**30, 16 * 2**30 + 1, BOUND),
        )
    ),
]  # fmt: skip

"""A text file of answers: its header, its path, and how tests pack and read it."""

from __future__ import annotations

from pathlib import Path

import deem_crowd_adapters as adapters
import pyarrow as pa
import pytest

HEADER = b"task,worker,label\n"


def read(path: Path, content: bytes, **options) -> list[list]:
    path.write_bytes(content)
    return adapters.read_long(path, **options).to_numpy().tolist()


def zstandard(content: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return packed


@pytest.fixture
def csv(tmp_path) -> Path:
    return tmp_path / "a.csv"

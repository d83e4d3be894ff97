"""Files that several processes read together: what goes wrong in one is one error, of its kind, in all of them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from parquet_places import ask_who_it_is, store
from process_groups import crowd, together
from pyarrow import fs

from deem_crowd.data.batches import LongTable
from deem_crowd.distributed import reading
from deem_crowd.exceptions import DataError, MissingColumnError

__all__ = ["store"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo on POSIX")


def refused(tmp_path: Path, paths: Any, names: Any = None) -> tuple[type, str]:
    """Return the kind and the words of the error that two processes have alike when they read files."""

    def work(rank: int) -> Any:
        try:
            return reading.read(paths, names)
        except (DataError, OSError) as error:
            return type(error), str(error)

    first, second = together(tmp_path, work)
    assert first == second
    return first


def parts(folder: Path) -> list[str]:
    """Write a crowd in two files."""
    rows = crowd(60)
    for i, piece in enumerate(np.array_split(np.arange(len(rows)), 2)):
        rows.iloc[piece].to_parquet(folder / f"{i}.parquet", index=False, row_group_size=50)
    return [str(folder / f"{i}.parquet") for i in range(2)]


@pytest.mark.filterwarnings("ignore")
def test_no_permission_on_the_bucket(tmp_path, store) -> None:
    place, _ = fs.FileSystem.from_uri(f"s3://shared/?{store}")
    place.create_dir("shared")
    with place.open_output_stream("shared/by/0.parquet") as out:
        out.write(Path(parts(tmp_path)[0]).read_bytes())
    endpoint = store.partition("=")[2].partition("&")[0]
    ask_who_it_is(endpoint, b"0")
    try:
        kind, words = refused(tmp_path, f"s3://shared/by?{store}")
    finally:
        ask_who_it_is(endpoint, b"inf")
    assert kind is PermissionError
    assert "process 0: s3://shared/by: no permission to list or read it" in words
    assert "process 1: s3://shared/by: no permission" in words


def test_a_file_that_changes_while_one_process_reads_it(tmp_path, monkeypatch) -> None:
    paths = parts(tmp_path)
    other = tmp_path / "other"
    pd.read_parquet(paths[1]).iloc[:40].to_parquet(other, index=False)
    before = LongTable.add

    def add(self: LongTable, batch: Any, where: str = "the table") -> None:
        before(self, batch, where)
        moved = tmp_path / f"of {os.getpid()}"
        shutil.copy(other, moved)
        os.utime(moved, ns=(1, 1))
        os.replace(moved, paths[1])

    monkeypatch.setattr(LongTable, "add", add)
    kind, words = refused(tmp_path, paths)
    assert kind is DataError
    assert "process 1: " in words
    assert "1.parquet" in words
    assert "changed while it was read: read a copy, or wait until it is written" in words


def test_a_column_that_one_file_lacks_or_has_of_another_type(tmp_path) -> None:
    paths = parts(tmp_path)
    rows = pd.read_parquet(paths[1])
    rows.assign(worker=np.arange(len(rows))).to_parquet(paths[1], index=False)
    kind, words = refused(tmp_path, paths)
    assert kind is DataError
    assert "1.parquet: column 'worker' is int64, and was" in words
    rows.drop(columns="label").assign(note="").to_parquet(paths[1], index=False)
    kind, words = refused(tmp_path, paths)
    assert kind is MissingColumnError
    assert "1.parquet: column 'label' is missing; found 'task', 'worker', 'note'." in words

"""Parquet where data teams have it: object stores, folders partitioned by key, columns by name, filters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from parquet_places import NAMES, ask_who_it_is, crowd, hive, same, store
from pyarrow import fs

from deem_crowd import Answers
from deem_crowd.data import datasets
from deem_crowd.data.arrow import ColumnCoder
from deem_crowd.data.batches import LongTable
from deem_crowd.exceptions import DataError, MissingColumnError

__all__ = ["store"]


def test_columns_by_name_and_keys_of_folders(tmp_path) -> None:
    rows = crowd()
    hive(rows, fs.LocalFileSystem(), str(tmp_path / "by"), "year", "source")
    (tmp_path / "by" / "_temporary").mkdir()
    (tmp_path / "by" / "_temporary" / "half.parquet").write_bytes(b"no parquet")
    same(Answers.from_parquet(tmp_path / "by", **NAMES), rows)


def test_a_filter_reads_no_file_that_it_rules_out(tmp_path) -> None:
    rows = crowd()
    hive(rows, fs.LocalFileSystem(), str(tmp_path), "year")
    for path in (tmp_path / "year=2025").iterdir():
        path.write_bytes(path.read_bytes()[:-9] + b"destroyed")
    with pytest.raises(DataError, match="is no parquet file|cannot be read"):
        Answers.from_parquet(tmp_path, **NAMES)
    where = (ds.field("year") == 2026) & (ds.field("said") == "cat")
    few = rows[(rows["year"] == 2026) & (rows["said"] == "cat")]
    same(
        Answers.from_parquet(tmp_path / "year=2026", **NAMES, where=ds.field("said") == "cat"), few
    )
    (tmp_path / "year=2024").mkdir()  # the first file of all has the schema
    rows.iloc[:1].drop(columns="year").to_parquet(tmp_path / "year=2024" / "a.parquet")
    same(Answers.from_parquet(tmp_path, **NAMES, where=where), few)


@pytest.mark.parametrize("column", ["task", "worker", "label"])
def test_text_that_is_no_utf8_is_named_with_file_and_column(tmp_path, column) -> None:
    good = pa.array(["a", "b", "c"])
    bad = pa.array([b"a", b"\xff\xfe", b"c"]).view(pa.string())
    columns = {name: bad if name == column else good for name in ("task", "worker", "label")}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=f"a.parquet: column '{column}' cannot be read .* UTF-8"):
        Answers.from_parquet(tmp_path / "a.parquet")


def test_a_column_that_is_nowhere_is_named_with_the_file(tmp_path) -> None:
    hive(crowd(), fs.LocalFileSystem(), str(tmp_path), "year")
    with pytest.raises(
        MissingColumnError, match=r"year=2025.*column 'worker' is missing; found .*'year'"
    ):
        Answers.from_parquet(tmp_path, task="item", label="said")


def test_what_fsspec_knows() -> None:
    import fsspec

    rows = crowd()
    memory = fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("memory")))
    hive(rows, memory, "/answers", "year")
    same(Answers.from_parquet("memory://answers", **NAMES), rows)
    with pytest.raises(DataError, match="nowhere://x: .*nowhere"):
        Answers.from_parquet("nowhere://x")


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch) -> None:
    rows = crowd()
    path = tmp_path / "a.parquet"
    rows.to_parquet(path)
    before = LongTable.add

    def add(self: LongTable, batch: Any, where: str) -> None:
        before(self, batch, where)
        pq.write_table(pa.Table.from_pandas(rows.iloc[:40]), path)
        os.utime(path, ns=(1, 1))

    monkeypatch.setattr(LongTable, "add", add)
    with pytest.raises(DataError, match="a.parquet.* changed while it was read"):
        Answers.from_parquet(path, **NAMES)


@pytest.mark.parametrize("kind", ["int8", "uint32", "uint64", "int64", "Int64", "string"])
def test_codes_are_those_of_a_frame(tmp_path, kind) -> None:
    rng = np.random.default_rng(1)
    values = pd.Series(rng.integers(0, 100, 500)).astype("int64" if kind == "string" else kind)
    if kind == "uint64":
        values += 2**63
    if kind == "int64":
        values -= 2**40
    values = values.astype(str) if kind == "string" else values
    rows = pd.DataFrame({"task": np.arange(500), "worker": values, "label": values})
    if kind in ("Int64", "string"):
        rows.loc[7, "label"] = None
    for part, chosen in (("0", rows[:200]), ("1", rows[200:])):
        chosen.to_parquet(tmp_path / f"{part}.parquet", index=False)
    found = Answers.from_parquet(tmp_path, missing="drop")
    whole = Answers.from_frame(rows, missing="drop")
    pd.testing.assert_index_equal(found.classes, whole.classes)
    assert list(found.workers) == list(whole.workers)
    np.testing.assert_array_equal(found.label, whole.label)
    np.testing.assert_array_equal(found.worker, whole.worker)


def test_dictionaries_that_hold_a_value_twice_or_in_vain() -> None:
    """In whichever batch, and whether batches have one dictionary or several."""
    twice = pa.DictionaryArray.from_arrays([2, 0, 1, None], pa.array(["x", "y", "x", "z"]))
    once = pa.DictionaryArray.from_arrays([1, 0, 2, 1], pa.array(["y", "x", "q"]))
    for chunks in ([twice], [twice, twice], [once, twice], [twice, once], [once, twice, twice]):
        coder = ColumnCoder("label")
        coder.expect(pa.string(), "here")
        for chunk in chunks:
            coder.add(chunk, "here")
        codes, values = coder.coded()
        written = [value for chunk in chunks for value in chunk.to_pylist()]
        assert [None if code < 0 else values[code] for code in codes] == written
        assert list(values) == list(dict.fromkeys(value for value in written if value))


@pytest.mark.filterwarnings("ignore")
def test_an_object_store(store) -> None:
    rows = crowd()
    place, _ = fs.FileSystem.from_uri(f"s3://answers/?{store}")
    place.create_dir("answers")
    hive(rows, place, "answers/by", "year")
    same(Answers.from_parquet(f"s3://answers/by?{store}", **NAMES), rows)
    some = rows[rows["year"] == 2026]
    same(
        Answers.from_parquet(f"s3://answers/by?{store}", **NAMES, where=ds.field("year") == 2026),
        some,
    )
    same(Answers.from_parquet(f"s3://answers/by/year=2026/*.parquet?{store}", **NAMES), some)
    with pytest.raises(FileNotFoundError, match="s3://answers/elsewhere: there is no such file"):
        Answers.from_parquet(f"s3://answers/elsewhere?{store}")
    endpoint = store.partition("=")[2].partition("&")[0]
    listed = datasets.files_of(f"s3://answers/by?{store}")
    ask_who_it_is(endpoint, b"0")
    try:
        with pytest.raises(
            PermissionError, match="s3://answers/by: no permission to list or read it"
        ):
            Answers.from_parquet(f"s3://answers/by?{store}", **NAMES)
        with pytest.raises(PermissionError, match="year=2025.*no permission"):
            listed[0].schema(listed[0].fragment())
    finally:
        ask_who_it_is(endpoint, b"inf")


def test_folders_of_folders_stand_in_their_order(tmp_path: Path) -> None:
    for name in ("b/1.parquet", "a/2.parquet", "a/.hidden.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        crowd(8).to_parquet(tmp_path / name)
    found = [os.path.relpath(file.path, tmp_path) for file in datasets.files_of(tmp_path)]
    assert found == ["a/2.parquet", "b/1.parquet"]

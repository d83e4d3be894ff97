"""Formats of files: parquet, archives, compressed files and streams are known, and all formats say the same."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import struct
import sys
import threading
import zipfile
from pathlib import Path

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from text_files import HEADER, zstandard

from deem_crowd.exceptions import DataError, MissingColumnError, ParameterError


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "tsv", "parquet"])
def test_row_empty_frame(tmp_path, suffix: str) -> None:
    frame = pd.DataFrame({"task": ["t"], "worker": ["w"], "label": ["x"]})
    adapters.write_table(frame.iloc[:0], tmp_path / f"a.{suffix}")
    assert adapters.to_answers(tmp_path / f"a.{suffix}").n_answers == 0


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, zstandard])
def test_damaged_archives_are_refused(tmp_path, compress) -> None:
    whole = compress(HEADER + b"t,w,x\n" * 1000)
    for content in (whole[:-8], whole[:14] + b"\xff" * 9 + whole[23:]):
        path = tmp_path / "a.csv.gz"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.csv\.gz is not"):
            adapters.read_long(path)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], r"a\.zip is an empty archive"),
        (["folder/"], r"a\.zip is an empty archive"),
        (["__MACOSX/a.csv", "photo.png"], r"no file of answers, but '__MACOSX/a.csv', 'photo.png'; files that end"),
    ],
)  # fmt: skip
def test_archives_without_answers_are_refused(tmp_path, names, said) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "")
    with pytest.raises(DataError, match=said):
        adapters.from_file(tmp_path / "a.zip")


def test_parquet_reads_an_index_that_pandas_wrote(tmp_path) -> None:
    frame = pd.DataFrame({"worker": [1], "label": ["x"]}, index=pd.Index(["t"], name="task"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_values(tmp_path / "a.parquet") == [["t", 1, "x"]]
    adapters.write_table(frame.reset_index(), tmp_path / "b.parquet.gz")
    assert read_values(tmp_path / "b.parquet.gz") == [["t", 1, "x"]]
    (tmp_path / "c.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"c\.parquet is not a readable parquet file"):
        adapters.read_long(tmp_path / "c.parquet")


def read_values(path) -> list[list]:
    return adapters.read_long(path).to_numpy().tolist()


@pytest.mark.parametrize(
    "content",
    [
        b"task,worker,label\nt,w,x\n",
        b"task\tworker\tlabel\nt\tw\tx\n",
        b'{"task": "t", "worker": "w", "label": "x"}\n',
        gzip.compress(b"task,worker,label\nt,w,x\n"),
    ],
    ids=["csv", "tsv", "jsonl", "gz"],
)
def test_streams_are_recognised_by_their_content(tmp_path, monkeypatch, content: bytes) -> None:
    class Stdin:
        buffer = io.BytesIO(content)

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert read_values("-") == [["t", "w", "x"]]
    assert read_values(io.BytesIO(content)) == [["t", "w", "x"]]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert read_values(pipe) == [["t", "w", "x"]]
    writer.join()


def test_the_systems_errors_pass(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        adapters.read_long(tmp_path / "none.csv")
    with pytest.raises(IsADirectoryError):
        adapters.read_long(tmp_path, "csv")
    with pytest.raises(FileNotFoundError):
        adapters.write_table(pd.DataFrame({"a": [1]}), tmp_path / "no" / "a.csv")
    with pytest.raises(ParameterError, match=r"format='cvs' is not one of.*Did you mean 'csv'"):
        adapters.read_long(tmp_path / "none.csv", "cvs")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_columns_by_name_in_every_format(tmp_path, suffix: str) -> None:
    frame = pd.DataFrame({"item": [1, 1, 2], "rater": ["a", "b", "a"], "verdict": ["x", "y", "y"]})
    path = tmp_path / f"answers.{suffix}"
    adapters.write_table(frame, path)
    names = {"task": "item", "worker": "rater", "label": "verdict"}
    for answers in (
        adapters.to_answers(path, **names),
        adapters.to_answers(path, format=suffix, **names),
        adapters.to_answers(frame, **names),
        adapters.from_file(path, columns={"task": "item"}, worker="rater", label="verdict"),
    ):
        assert answers.to_frame().to_numpy().tolist() == frame.to_numpy().tolist()
    with pytest.raises(ParameterError, match="'task' is named twice"):
        adapters.from_file(path, task="item", columns={"task": "item"})
    for data in (path, frame):
        with pytest.raises(ParameterError, match="column 'item' is named for task and label"):
            adapters.to_answers(data, **names | {"label": "item"})
    with pytest.raises(MissingColumnError, match="If these are meant.*'worker': 'rater'"):
        adapters.from_file(path)


def test_zstandard_is_read_and_written(tmp_path) -> None:
    content = HEADER + b"t,w,x\n" * 1000
    (tmp_path / "a.csv.zst").write_bytes(zstandard(content))
    (tmp_path / "b.csv.zst").write_bytes(zstandard(content[:99]) + zstandard(content[99:]))
    frame = adapters.read_long(tmp_path / "a.csv.zst")
    assert len(frame) == 1000
    pd.testing.assert_frame_equal(adapters.read_long(tmp_path / "b.csv.zst"), frame)
    assert adapters.to_answers([tmp_path / "a.csv.zst"]).n_tasks == 1
    # frames to be skipped, as parallel compressors write them, may stand anywhere
    skipped = [struct.pack("<II", 0x184D2A50 + n, 4) + b"\xff\xfe\x00\x80" for n in (0, 15)]
    for before in skipped:
        parts = [before, zstandard(content[:99]), skipped[0], zstandard(content[99:]), skipped[1]]
        (tmp_path / "d.csv.zst").write_bytes(b"".join(parts))
        pd.testing.assert_frame_equal(adapters.read_long(tmp_path / "d.csv.zst"), frame)
    adapters.write_table(frame, tmp_path / "c.csv.zst")
    with pa.input_stream(tmp_path / "c.csv.zst", compression="zstd") as file:
        assert file.read() == content
    pd.testing.assert_frame_equal(adapters.read_long(tmp_path / "c.csv.zst"), frame)


@pytest.mark.parametrize("name", ["a.csv.zip", "a.log", "folder", "a.csv"])
def test_a_file_that_is_not_there_is_said_to_be_so_whatever_its_name(tmp_path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        adapters.to_answers(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        adapters.from_file(tmp_path / name, task="item")


def test_a_file_of_probabilities_is_recognised_as_a_frame_of_them_is(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "task": ["a", "a", "b", "b"],
            "worker": [1, 2, 1, 2],
            "no": [0.75, 0.5, 0.125, 1.0],
            "yes": [0.25, 0.5, 0.875, 0.0],
        }
    )
    wanted = adapters.to_answers(frame)
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_json(tmp_path / "x.jsonl", orient="records", lines=True)
    for place in (tmp_path / "x.csv", tmp_path / "x.parquet", tmp_path / "x.jsonl"):
        found = adapters.to_answers(str(place))
        assert found.soft is not None
        assert wanted.soft is not None
        np.testing.assert_array_equal(found.soft, wanted.soft)
        assert list(found.classes) == ["no", "yes"]
    frame.assign(no=[0.74, 0.5, 0.13, 0.98]).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="sum"):
        adapters.to_answers(str(tmp_path / "x.csv"))
    frame.assign(no=[3.0, 2.5, 1.5, 9.0]).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(MissingColumnError, match="label"):
        adapters.to_answers(str(tmp_path / "x.csv"))

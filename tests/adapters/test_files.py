"""Files: what a field says is what is read; what cannot be read is named with its place."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import stat
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
from deem_crowd_adapters.files import read_table

from deem_crowd.exceptions import DataError, FormError, MissingColumnError, ParameterError

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


# --------------------------------------------------------------------- reading


def test_an_empty_field_is_missing_and_an_empty_text_is_not(csv) -> None:
    csv.write_bytes(HEADER + b't,w,""\nu,w,\n')
    label = adapters.read_long(csv)["label"]
    assert label.isna().tolist() == [False, True]
    assert label[0] == ""


def test_64_bit_integers_with_a_gap_lose_no_digit(csv) -> None:
    csv.write_bytes(HEADER + b"9223372036854775807,w,9007199254740993\n1,w,\n")
    frame = adapters.read_long(csv)
    assert frame["task"].tolist() == [2**63 - 1, 1]
    assert frame["label"].dtype == "Int64"
    assert frame["label"][0] == 2**53 + 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\n\n" + HEADER + b"t,w,x\n\n", [["t", "w", "x"]]),
        (HEADER + b"t,w,x", [["t", "w", "x"]]),
        (b"task,worker,label", []),
        (b"task,worker,label\r\nt,w,x\r\n", [["t", "w", "x"]]),
        (b"task,worker,label\rt,w,x\r", [["t", "w", "x"]]),
        (HEADER + b't,w,5" nail\n', [["t", "w", '5" nail']]),
        (b"note,label,worker,task\n\xe9,x,w,t\n", [["t", "w", "x"]]),
        (b"task,worker,label,\nt,w,x,\n", [["t", "w", "x"]]),
        (HEADER + b'"a ""b""",w,"x,\ny"\n', [['a "b"', "w", "x,\ny"]]),
        (HEADER + b"t\x00,w,x\n", [["t\x00", "w", "x"]]),
    ],
    ids=[
        "blank lines",
        "no last newline",
        "header alone",
        "crlf",
        "cr",
        "inch",
        "latin1 elsewhere",
        "trailing",
        "quotes",
        "nul",
    ],
)
def test_awkward_but_regular_csv(csv, content: bytes, expected: list) -> None:
    assert read(csv, content) == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEADER + b"t,w\n", "Row #2: Expected 3 columns, got 2"),
        (HEADER + b"t,w,x\nt,w,x,extra\n", "Row #3: Expected 3 columns, got 4"),
        (
            HEADER + b't,w,"x\nu,w,y\n',
            "quotation marks of the row that begins on line 2 do not match",
        ),
        (b'task,worker,label,note\nt,w,x,n\nu,w,y,"n\nv,w,z,n\n', "begins on line 3 do not match"),
        (HEADER + b"t,w,x\nt,w,\xff\n", "is not UTF-8: byte 0xff at position 28 (line 3)"),
        (b"task,worker,\xe9tiquette\n", "is not UTF-8: byte 0xe9 at position 12 (line 1)"),
        ("task,worker,label\n".encode("utf-16"), "looks like UTF-16"),
        (b"PAR1", "holds parquet: pass format='parquet'"),
        (HEADER + b't,w,"' + b"x" * 2**24, "quotation mark"),
    ],
    ids=[
        "short row",
        "long row",
        "open quote",
        "open quote elsewhere",
        "latin1",
        "latin1 header",
        "utf-16",
        "parquet",
        "huge",
    ],
)
def test_broken_csv_is_refused_with_the_place(csv, content: bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read(csv, content)
    assert words in str(caught.value)
    assert str(csv) in str(caught.value)


def test_an_undecodable_byte_is_found_across_chunks(csv) -> None:
    filler = (
        "é,w,x\n".encode() * 400_000
    )  # 2.8 MB: characters straddle the blocks that are searched
    with pytest.raises(
        DataError, match=rf"byte 0xe9 at position {18 + len(filler)} \(line 400002\)"
    ):
        read(csv, HEADER + filler + b"\xe9\xe9,w,x\n")


def test_row_column_missing_or_renamed(csv) -> None:
    with pytest.raises(
        MissingColumnError,
        match=r"a\.csv: missing columns 'task'; found 'Task', 'worker', 'label'; needed 'task', 'worker', 'label'\. "
        r"Did you mean columns=\{'task': 'Task'\}",
    ):
        read(csv, b"Task,worker,label\n1,2,3\n")
    assert read(csv, b"item,who,label\n1,2,3\n", columns={"task": "item", "worker": "who"}) == [
        [1, 2, 3]
    ]
    with pytest.raises(FormError, match=r"column 'label' .* stands 2 times"):
        read(csv, b"task,worker,label,label\n1,2,3,4\n")
    with pytest.raises(MissingColumnError, match=r"separated by bars"):
        read(csv, b"task|worker|label\n1|2|3\n", format="tsv")
    with pytest.raises(MissingColumnError, match=r"format='tsv'"):
        read(csv, b"task\tworker\tlabel\n1\t2\t3\n")


def test_semicolons_separate_fields_where_the_header_has_no_comma(csv) -> None:
    content = "\ufeffAufgabe;wer;Note\n1;Jörg;1,5\n2;Ann;2\n".encode()
    names = {"task": "Aufgabe", "worker": "wer", "label": "Note"}
    assert read(csv, content, columns=names) == [[1, "Jörg", "1,5"], [2, "Ann", "2"]]
    with pytest.raises(DataError, match=r"line 3 do not match"):
        read(csv, b'task;worker;label\n1;2;3\n1;4;"x\n')
    assert read(csv, b'"a;b",worker,label\n1,2,3\n', columns={"task": "a;b"}) == [[1, 2, 3]]
    csv.write_bytes(b'"a;b"\n1\n')  # one field, quoted
    assert list(read_table(csv).columns) == ["a;b"]


def test_a_file_without_a_header(csv) -> None:
    with pytest.raises(
        MissingColumnError, match=r"no header row.*columns=\['task', 'worker', 'label'\]"
    ):
        read(csv, b"t,w,x\nu,w,y\n")
    names = ["task", "worker", "label"]
    assert read(csv, b"t,w,x\nu,w,y\n", columns=names) == [["t", "w", "x"], ["u", "w", "y"]]
    assert read(csv, b"", columns=names) == []
    with pytest.raises(ParameterError, match=r"jsonl files name theirs"):
        adapters.read_long(io.BytesIO(b"{}"), "jsonl", names)


def test_json_lines_keep_their_types(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    content = b'\xef\xbb\xbf{"task": "7", "worker": 7, "label": null}\n\n{"task": "8", "worker": 8, "label": true}\n'
    path.write_bytes(content)
    frame = adapters.read_long(path)
    assert frame["task"].tolist() == ["7", "8"]
    assert frame["worker"].tolist() == [7, 8]
    assert frame["label"].dtype == "boolean"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"task": 1,', "line 2, is not JSON"),
        (b"[1, 2, 3]", "line 2, is not a JSON object but list"),
        (b'{"task": "\xff"}', "byte 0xff at position 55 (line 2)"),
        (b'{"task": "\\ud800", "worker": 1, "label": 1}', "row 1: 'task' is '\\ud800'"),
        (b'{"task": ' + b"9" * 5000 + b"}", "line 2, is not JSON that can be read"),
        (b'{"task": ' + b"[" * 100_000, "line 2, is not JSON"),
    ],
    ids=["cut", "array", "latin1", "surrogate", "digits", "depth"],
)
def test_broken_json_lines_are_refused_with_the_line(tmp_path, line: bytes, words: str) -> None:
    path = tmp_path / "a.jsonl"
    first = b'{"task": "t", "worker": 1, "label": "first label"}'.ljust(44) + b"\n"
    path.write_bytes(first + line + b"\n")
    words = words.replace("position 55", f"position {len(first) + 10}")
    with pytest.raises(DataError) as caught:
        adapters.read_long(path)
    assert words in str(caught.value)


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


def test_gold_is_read_in_the_kind_of_the_answers(csv) -> None:
    """Alone, 1 and 2 would be integers; beside answers labelled 1, 2 and x they are text."""
    answers = adapters.read_long(io.BytesIO(HEADER + b"001,w,1\n002,w,2\n3,w,x\n"), "csv")
    gold = io.BytesIO(b"task,label\n3,1\n")
    assert adapters.read_gold(gold, "csv").to_numpy().tolist() == [[3, 1]]
    gold.seek(0)
    assert adapters.read_gold(gold, "csv", like=answers).to_numpy().tolist() == [["3", "1"]]


def test_soft_columns_that_are_no_numbers_are_named() -> None:
    content = b"task,worker,a,b,note\nt,w,0.5,0.5,ok\n"
    with pytest.raises(
        DataError, match=r"column 'note' .* holds 1 values that are no numbers .rows 0: 'ok'"
    ):
        adapters.read_soft_long(io.BytesIO(content), "csv")
    frame = adapters.read_soft_long(io.BytesIO(content), "csv", classes=["a", "b"])
    assert frame[["a", "b"]].to_numpy().tolist() == [[0.5, 0.5]]


# --------------------------------------------------------------------- writing

FRAME = pd.DataFrame({"task": ["t"], "label": ["x"]})


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "csv.gz"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, suffix: str, error) -> None:
    class Bad:
        def __str__(self) -> str:
            raise error("stop")

    path = tmp_path / f"a.{suffix}"
    path.write_text("old")
    frame = pd.DataFrame({"task": [1] * 70_000, "label": [*["x"] * 69_999, Bad()]})
    with pytest.raises(error):
        adapters.write_table(frame, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_pipes_and_devices_are_written_and_never_replaced(tmp_path) -> None:
    """Replacing the target would turn /dev/null into a file for everyone, if root does it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    adapters.write_table(FRAME, pipe, "csv")
    reader.join()
    assert got == [b"task,label\nt,x\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_links_and_permissions_stay(tmp_path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    adapters.write_table(FRAME, link)
    assert link.is_symlink()
    assert target.read_text() == "task,label\nt,x\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_file_left_behind_by_a_killed_run_is_no_obstacle(tmp_path) -> None:
    (tmp_path / f".a.csv.{os.getpid()}.part").touch()
    adapters.write_table(FRAME, tmp_path / "a.csv")
    adapters.write_table(FRAME, tmp_path / ("n" * 250 + ".csv"))


def test_named_indexes_are_written_even_if_a_class_has_their_name(tmp_path, capfdbinary) -> None:
    probas = pd.DataFrame({"task": [0.25], "b": [0.75]}, index=pd.Index(["t"], name="task"))
    adapters.write_table(probas, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "task,task,b\nt,0.25,0.75\n"
    with pytest.raises(FormError, match=r"parquet cannot hold two columns called 'task'"):
        adapters.write_table(probas, tmp_path / "a.parquet")
    labels = pd.Series(["x"], index=pd.Index(["t"], name="task"), name="agg_label")
    adapters.write_table(labels, "-")
    assert capfdbinary.readouterr().out == b"task,agg_label\nt,x\n"


def test_what_a_format_cannot_hold_is_refused(tmp_path) -> None:
    mixed = pd.DataFrame({"label": pd.Series([1, "a"], dtype=object)})
    with pytest.raises(DataError, match=r"parquet cannot hold this table"):
        adapters.write_table(mixed, tmp_path / "a.parquet")
    half = pd.DataFrame({"label": pd.Series(["\ud800"], dtype=object)})
    for suffix in ("csv", "jsonl", "parquet"):
        with pytest.raises(DataError):
            adapters.write_table(half, tmp_path / f"a.{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_equal_tables_make_equal_archives(tmp_path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        adapters.write_table(FRAME, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


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
    with pytest.raises(MissingColumnError, match="If these are meant.*'worker': 'rater'"):
        adapters.from_file(path)


def test_json_that_would_be_read_silently_wrong(tmp_path) -> None:
    path = tmp_path / "x.jsonl"
    row = '{"task": 1, "worker": 2, "label": "a"}\n'
    path.write_text(row + '{"task": 1, "worker": 3, "label": "a", "label": "b"}\n')
    with pytest.raises(DataError, match=r"x.jsonl, line 2, holds the key 'label' twice"):
        adapters.from_file(path)
    path.write_text('{"task": 1, "worker": 2, "label": 1e400}\n')
    with pytest.raises(DataError, match=r"x.jsonl, row 0: 'label' is a number too large"):
        adapters.from_file(path)


def test_a_header_among_the_rows_of_joined_files(tmp_path) -> None:
    path = tmp_path / "x.csv"
    part = "task,worker,label\n1,a,x\n2,a,y\n"
    path.write_text(part + part.replace(",a,", ",b,"))
    with pytest.raises(DataError, match=r"x.csv: 1 rows repeat the header \(rows 2\)"):
        adapters.from_file(path)
    path.write_text("task,worker,label\ntask,a,x\nu,worker,label\n")
    assert adapters.from_file(path).n_answers == 2


def test_a_survey_with_a_column_for_each_question_is_told_what_to_do(csv) -> None:
    ids = ",".join(f'"{{""ImportId"":""QID{i}""}}"' for i in range(3))
    with pytest.raises(
        MissingColumnError,
        match=r"a survey of Qualtrics.*to_answers\(path, format='form'\)",
    ):
        read(csv, f"ResponseId,Q1,Q2\nResponse,Good?,Nice?\n{ids}\nR_1,yes,no\n".encode())


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


def test_bars_separate_fields_as_semicolons_do(csv) -> None:
    assert read(csv, b"task|worker|label\nt|w|x;y\n") == [["t", "w", "x;y"]]
    assert read(csv, b'note|label|worker|task\n"a|b"|x|w|t\n') == [["t", "w", "x"]]
    with pytest.raises(DataError, match="begins on line 2 do not match"):
        read(csv, b'task|worker|label\nt|w|"x\nu|w|y\n')


@pytest.mark.parametrize("first", ["sep=;", "sep=,", "# export of 2024"])
def test_a_first_line_that_names_no_columns_is_said(csv, first: str) -> None:
    with pytest.raises(
        MissingColumnError, match=r"The first line \(.*\) names no columns: remove it"
    ):
        read(csv, first.encode() + b"\ntask,worker,label\nt,w,x\n")


def test_objects_within_lines_are_named_by_their_path(tmp_path) -> None:
    lines = [
        {"item": {"id": f"t{k}"}, "by": {"user": {"name": "ann"}}, "answer": {"value": k % 2}}
        for k in range(4)
    ]
    lines[3]["answer"] = None
    lines.append({"item": {"id": "t4"}, "by": {"user": {"name": "bob"}}, "answer.value": 1})
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    columns = {"task": "item.id", "worker": "by.user.name", "label": "answer.value"}
    frame = adapters.read_long(path, columns=columns)
    assert frame["task"].tolist() == ["t0", "t1", "t2", "t3", "t4"]
    assert frame["worker"].tolist() == ["ann"] * 4 + ["bob"]
    assert frame["label"].fillna(-1).tolist() == [0, 1, 0, -1, 1]
    with pytest.raises(
        FormError, match=r"holds 5 objects .*\.str\['id'\]; in JSON lines by its path, COLUMN\.id"
    ):
        adapters.from_file(path, columns={**columns, "task": "item"}, missing="drop")
    with pytest.raises(MissingColumnError, match="missing columns 'item.key'"):
        adapters.read_long(path, columns={**columns, "task": "item.key"})


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

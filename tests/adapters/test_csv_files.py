"""Files with a line for each answer: what a field says is what is read, and what is broken is named with its place."""

from __future__ import annotations

import io

import deem_crowd_adapters as adapters
import pytest
from deem_crowd_adapters.files import read_table
from text_files import HEADER, csv, read

from deem_crowd.exceptions import DataError, FormError, MissingColumnError, ParameterError

__all__ = ["csv"]


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
        DataError, match=r"column 'note' .* holds 1 entry other than numbers .rows 0: 'ok'"
    ):
        adapters.read_soft_long(io.BytesIO(content), "csv")
    frame = adapters.read_soft_long(io.BytesIO(content), "csv", classes=["a", "b"])
    assert frame[["a", "b"]].to_numpy().tolist() == [[0.5, 0.5]]


def test_a_header_among_the_rows_of_joined_files(tmp_path) -> None:
    path = tmp_path / "x.csv"
    part = "task,worker,label\n1,a,x\n2,a,y\n"
    path.write_text(part + part.replace(",a,", ",b,"))
    with pytest.raises(DataError, match=r"x.csv: 1 row repeats the header \(rows 2\)"):
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"task,worker,label"\n"t,w,x"\n', "Each line stands in quotation marks as a whole"),
        (
            "My export\ntask,worker,label\nt,w,x\n",
            r"The first line \('My export'\) seems to be a title",
        ),
        ("My export\n\ntask;worker;label\nt;w;x\n", "needed 'task', 'worker', 'label'"),
        ("task\nt\nu\n", "If a column has another name"),
    ],
)
def test_a_first_line_of_one_field_is_told(csv, text: str, words: str) -> None:
    with pytest.raises(MissingColumnError, match=words):
        read(csv, text.encode())


def test_windows_1252_is_converted_as_such(csv) -> None:
    content = HEADER + "t,w,“x”\n".encode("windows-1252")
    with pytest.raises(DataError, match="iconv -f windows-1252 -t utf-8"):
        read(csv, content)
    assert read(csv, content.decode("windows-1252").encode()) == [["t", "w", "“x”"]]

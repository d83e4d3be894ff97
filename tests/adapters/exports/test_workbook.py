"""Excel workbooks: a long sheet, and a sheet for each annotator."""

from __future__ import annotations

import sys

import deem_crowd_adapters as adapters
import pandas as pd
import pytest
from by_hand import read, rows
from workbooks import LONG, LONG_ANSWERS, book, sheet

from deem_crowd.exceptions import DataError, ParameterError, UnsupportedError

pytest.importorskip("openpyxl")


def test_a_long_sheet_is_read_beside_others_that_are_named(tmp_path) -> None:
    notes = pd.DataFrame({"note": ["read the guidelines"]})
    export, said = read(book(tmp_path / "a.xlsx", answers=LONG, notes=notes))
    assert rows(export) == LONG_ANSWERS
    assert export.left_out == {"empty answers": 1}
    assert "sheets left out: 'notes'" in said
    renamed = LONG.rename(columns={"task": "item", "worker": "annotator", "label": "tag"})
    path = book(tmp_path / "b.xlsx", answers=renamed)
    export, _ = read(path, task="item", worker="annotator", label="tag")
    assert rows(export) == LONG_ANSWERS


def test_columns_with_other_names_are_suggested(tmp_path) -> None:
    renamed = LONG.rename(columns={"task": "item_id", "worker": "annotator", "label": "verdict"})
    with pytest.raises(
        DataError, match="task='item_id', worker='annotator', label='verdict'.*'answers' \\(4 rows"
    ):
        read(book(tmp_path / "a.xlsx", answers=renamed))


def test_each_annotator_may_have_a_sheet(tmp_path) -> None:
    path = book(
        tmp_path / "a.xlsx",
        anna=sheet(["x", "y", "x"], annotator=["anna"] * 3),
        ben=sheet(["x", "x", None], annotator=["ben"] * 3),
        gold=sheet(["x", "y", "y"], annotator=["boss"] * 3),
        Control=sheet(["y", "y", "y"], annotator=["boss"] * 3),
        Notes=pd.DataFrame({"a": [1], "b": [2]}),
    )
    export, said = read(path)
    assert rows(export) == {
        (1, "anna", "x"), (2, "anna", "y"), (3, "anna", "x"), (1, "ben", "x"), (2, "ben", "x"),
    }  # fmt: skip
    assert export.gold.to_dict() == {1: "x", 2: "y", 3: "y"}
    assert "sheets left out: 'gold', 'Control', 'Notes'" in said
    assert "'anna', 'ben'" in said


def test_sheets_may_overlap_and_hold_several_questions(tmp_path) -> None:
    first, second = sheet(["x", "y", "x"]), sheet(["y", "y", "x"]).iloc[1:]
    first["subtag"], second["subtag"] = [1, 2, 3], [2, 1]
    path = book(tmp_path / "a.xlsx", anna=first, ben=second.iloc[::-1])
    with pytest.raises(DataError, match="2 questions: 'tag'.*'subtag'"):
        read(book(tmp_path / "b.xlsx", anna=first, ben=second.assign(tag=["x", "x"])))
    export, _ = read(path, label="tag")
    assert len(export.answers) == 5
    assert set(export.answers.query("worker == 'ben'")["task"]) == {2, 3}


def test_sheets_without_shared_ids_and_tasks_twice_are_refused(tmp_path) -> None:
    one, two = sheet(["x", "y", "x"]), sheet(["x", "y", "y"])
    two["item_id"] += 10
    two["text"] = ["other", "texts", "here"]
    with pytest.raises(DataError, match="none of their columns .*task="):
        read(book(tmp_path / "a.xlsx", anna=one, ben=two))
    twice = pd.concat([one, one.iloc[:1]])
    with pytest.raises(
        DataError, match="sheet 'anna': column 'item_id' holds 1 task a second time"
    ):
        read(book(tmp_path / "b.xlsx", anna=twice, ben=one), task="item_id")
    with pytest.raises(ParameterError, match="task='nope'"):
        read(book(tmp_path / "c.xlsx", anna=one, ben=one), task="nope")
    hole = one.assign(item_id=[1, None, 3])
    with pytest.raises(DataError, match=r"sheet 'anna': column 'item_id' is empty in 1 row"):
        read(book(tmp_path / "d.xlsx", anna=hole, ben=one), task="item_id")


def test_annotators_may_have_columns_of_their_own(tmp_path) -> None:
    path = book(
        tmp_path / "a.xlsx",
        texts=sheet(["x", "y", "x"])[["item_id", "text"]],
        anna=sheet(["x", "y", "x"]),
        ben=sheet(["x", "x", "x"], remarks=["why?", None, None]),
        cara=sheet(["y", "x", "x"], remarks=[None, None, "hm"]),
    )
    export, said = read(path)
    assert len(export.answers) == 9
    assert set(export.answers["worker"]) == {"anna", "ben", "cara"}
    assert set(export.answers["label"]) == {"x", "y"}
    assert "sheets left out: 'texts'" in said


@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_each_annotator_may_have_a_file(tmp_path, kind) -> None:
    frames = {
        "anna": sheet(["x", "y", "x"]),
        "ben": sheet(["x", "x", None]),
        "gold": sheet(["x", "y", "y"]),
    }
    for name, frame in frames.items():
        if kind == "csv":
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
        else:
            book(tmp_path / f"{name}.xlsx", Sheet1=frame)
    export, said = read(tmp_path)
    assert rows(export) == {
        (1, "anna", "x"), (2, "anna", "y"), (3, "anna", "x"), (1, "ben", "x"), (2, "ben", "x"),
    }  # fmt: skip
    assert export.gold.to_dict() == {1: "x", 2: "y", 3: "y"}
    assert "a table for each annotator" in said
    assert "files left out: 'gold'" in said


@pytest.mark.parametrize("files", [True, False])
def test_tables_that_name_the_annotator_of_each_row_are_no_annotators(tmp_path, files) -> None:
    """Each pass over the items has a table, in which every item was labelled once, by one of three people."""
    passes = {
        f"pass{p}": pd.DataFrame(
            {
                "item_id": range(100, 112),
                "annotator": [f"ann{(t + p) % 3}" for t in range(12)],
                "label": [("x", "y")[(t + (t == p)) % 2] for t in range(12)],
            }
        )
        for p in range(2)
    }
    if files:
        for name, frame in passes.items():
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
        where = tmp_path
    else:
        where = tmp_path / "passes.xlsx"
        with pd.ExcelWriter(where) as writer:
            for name, frame in passes.items():
                frame.to_excel(writer, sheet_name=name, index=False)
    with pytest.raises(DataError, match="If these are meant.*item_id.*annotator"):
        read(where)
    named = adapters.to_answers(where, task="item_id", worker="annotator", label="label")
    assert sorted(named.workers) == ["ann0", "ann1", "ann2"]


def test_tables_that_share_no_tasks_are_no_files_of_annotators(tmp_path) -> None:
    sheet(["x", "y", "x"]).to_csv(tmp_path / "a.csv", index=False)
    other = sheet(["x", "y", "x"]).assign(item_id=[7, 8, 9], text=["p", "q", "r"])
    other.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match="a.csv is of no format that is known"):
        read(tmp_path)


def test_workbooks_of_several_sheets_are_joined_by_their_annotators(tmp_path) -> None:
    first = book(tmp_path / "a.xlsx", anna=sheet(["x", "y", "x"]), ben=sheet(["x", "x", "y"]))
    anna, ben = (
        sheet(labels).assign(item_id=[4, 5, 6], text=["p", "q", "r"])
        for labels in (["y", "y", "x"], ["y", "x", "x"])
    )
    second = book(tmp_path / "b.xlsx", anna=anna, ben=ben)
    export, _ = read([first, second])
    assert export.answers["task"].nunique() == 6
    assert set(export.answers["worker"]) == {"anna", "ben"}


def test_a_wide_sheet_is_read_as_a_wide_table(tmp_path) -> None:
    wide = pd.DataFrame({"id": range(1, 7), "anna": list("xyxyxy"), "ben": [*list("xxxyy"), None]})
    path = book(tmp_path / "a.xlsx", answers=wide, notes=pd.DataFrame({"note": ["hello"]}))
    export, said = read(path)
    assert len(export.answers) == 11
    assert set(export.answers["worker"]) == {"anna", "ben"}
    assert set(export.answers["task"]) == set(range(1, 7))
    assert "sheets left out: 'notes'" in said
    assert rows(read(path, task="id", workers="anna,ben")[0]) == rows(export)


def test_a_workbook_that_is_damaged_is_one_error(tmp_path) -> None:
    whole = book(tmp_path / "a.xlsx", answers=LONG).read_bytes()
    for size in range(30, len(whole) - 1, 331):
        (tmp_path / "part.xlsx").write_bytes(whole[:size])
        with pytest.raises(DataError, match="part.xlsx"):
            read(tmp_path / "part.xlsx")
    with pytest.raises(DataError, match=r"a.xlsx.*nope"):
        read(tmp_path / "a.xlsx", sheet="nope")
    with pytest.raises(DataError, match="all sheets are empty"):
        read(book(tmp_path / "empty.xlsx", answers=LONG.iloc[:0]))


def test_without_openpyxl_the_extra_is_named(tmp_path, monkeypatch) -> None:
    path = book(tmp_path / "a.xlsx", answers=LONG)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(UnsupportedError, match=r"deem-crowd\[excel\]"):
        read(path)


def test_titles_above_the_names_of_columns_are_left_out_and_said(tmp_path) -> None:
    wide = pd.DataFrame(
        {
            "item_id": range(1, 13),
            "ann": ["x", "y"] * 6,
            "bob": ["x", None, "y"] * 4,
            "cid": ["y", "x"] * 6,
        }
    )
    bare, _ = read(book(tmp_path / "bare.xlsx", answers=wide))
    with pd.ExcelWriter(tmp_path / "titled.xlsx") as writer:
        wide.to_excel(writer, sheet_name="answers", index=False, startrow=3)
        writer.sheets["answers"]["A1"] = "Results of the second round"
    titled, said = read(tmp_path / "titled.xlsx")
    assert rows(titled) == rows(bare)
    assert {worker for _, worker, _ in rows(titled)} == {"ann", "bob", "cid"}
    assert "3 rows above the names of the columns left out in sheet 'answers'" in said
    with pd.ExcelWriter(tmp_path / "long.xlsx") as writer:
        LONG.assign(task=[1, 1, None, 2]).to_excel(writer, index=False, startrow=1)
        writer.sheets["Sheet1"]["A1"] = "All answers"
    with pytest.raises(DataError, match=r"column 'task' is empty in 1 row \(rows 5\)"):
        read(tmp_path / "long.xlsx")


def test_cells_of_text_stay_as_they_were_typed(tmp_path) -> None:
    """Else the ids 007 and 7 were one task, and 1e5 the number 100000."""
    ids = ["007", "7", "1e5", "1_0", "TRUE"]
    long = pd.DataFrame(
        [(task, who, "01" if who == "a" else "1") for task in ids for who in "ab"],
        columns=["task", "worker", "label"],
    )
    export, _ = read(book(tmp_path / "a.xlsx", answers=long))
    assert rows(export) == set(long.itertuples(index=False, name=None))


def test_whole_numbers_in_cells_of_text_are_numbers_beside_empty_cells_and_numbers(
    tmp_path,
) -> None:
    long = LONG.assign(task=["10", 10, "9", 9], label=["1", "10", None, 2])
    export, _ = read(book(tmp_path / "a.xlsx", answers=long))
    assert rows(export) == {(10, "a", 1), (10, "b", 10), (9, "b", 2)}


def test_long_numbers_in_cells_of_text_keep_their_digits_beside_empty_cells(tmp_path) -> None:
    """As floats, which empty cells made of them, both were 9007199254740992."""
    ids = ["9007199254740992", "9007199254740993", None, "9007199254740992"]
    export, _ = read(book(tmp_path / "a.xlsx", answers=LONG.assign(label=ids)))
    assert sorted(map(str, export.answers["label"])) == sorted(filter(None, ids))


def test_a_text_on_one_sheet_keeps_those_of_the_same_column_on_others(tmp_path) -> None:
    export, _ = read(
        book(
            tmp_path / "a.xlsx",
            anna=pd.DataFrame({"item_id": ["08", "10", "11"], "tag": ["x", "y", "x"]}),
            ben=pd.DataFrame({"item_id": ["10", "11"], "tag": ["x", "x"]}),
        )
    )
    assert rows(export) == {
        ("08", "anna", "x"), ("10", "anna", "y"), ("11", "anna", "x"), ("10", "ben", "x"), ("11", "ben", "x"),
    }  # fmt: skip


def test_truth_values_beside_empty_cells_are_no_numbers(tmp_path) -> None:
    long = LONG.assign(label=[True, False, None, True])
    export, _ = read(book(tmp_path / "a.xlsx", answers=long))
    assert rows(export) == {(1, "a", True), (1, "b", False), (2, "b", True)}
    assert set(map(type, export.answers["label"])) == {bool}


def test_tasks_in_merged_cells_are_refused_with_what_fills_them(tmp_path) -> None:
    merged = LONG.assign(task=[1, None, 2, None])
    with pytest.raises(
        DataError, match="'task' is empty in 2 rows.*Fill them, where cells were merged"
    ):
        read(book(tmp_path / "a.xlsx", answers=merged))

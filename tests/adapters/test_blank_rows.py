"""Blank rows below a table, as spreadsheets write them, are no rows; those within it are named."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import pandas as pd
import pytest
from deem_crowd_adapters.text import _Lines
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataError, DataWarning

TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "long": ("task,worker,label\n1,a,x\n1,b,y\n2,a,x\n2,b,x\n", {}),
    "wide": (
        "item_id,ann1,ann2,ann3\n1,x,y,x\n2,x,x,x\n3,y,y,x\n",
        {"format": "wide", "task": "item_id"},
    ),
    "form": (
        "Timestamp,Name,Q1?,Q2?,Q3?\nt,ann,x,y,x\nt,bob,x,x,x\nt,cid,y,y,x\nt,dan,y,y,x\n",
        {"format": "form"},
    ),
}
WIDER = ["item_id,ann1,ann2,ann3", *(f"{n},{'xy'[n % 2]},y,{'xyy'[n % 3]}" for n in range(12))]
BLANK = {
    "commas": lambda n: "," * n + "\n",
    "commas, unended": lambda n: "," * n,
    "two": lambda n: ("," * n + "\r\n") * 2,
    "white space": lambda n: "   \n",
    "white space in cells": lambda n: ",".join([" "] * (n + 1)) + "\n\n",
    "no-break spaces": lambda n: ",".join(["\xa0 "] * (n + 1)) + "\n",
}
"""Blank rows below a table with so many commas a row."""


def read(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return adapters.to_answers(path, **options).to_frame()


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolons"])
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("blank", BLANK)
def test_blank_rows_below_a_table_are_no_rows(
    tmp_path: Path, table: str, blank: str, kind: str
) -> None:
    text, options = TABLES[table]
    below = BLANK[blank](text.partition("\n")[0].count(","))
    path = tmp_path / ("x.tsv" if kind == "tsv" else "x.csv")
    mark = {"csv": ",", "tsv": "\t", "semicolons": ";"}[kind]
    path.write_text(text.replace(",", mark))
    expected = read(path, options)
    path.write_text((text + below).replace(",", mark))
    pd.testing.assert_frame_equal(read(path, options), expected)


@pytest.mark.parametrize("table", TABLES)
def test_blank_rows_below_a_sheet_are_no_rows(tmp_path: Path, table: str) -> None:
    text, options = TABLES[table]
    options = options if table == "form" else {}
    frame = pd.read_csv(io.StringIO(text))
    frame.to_excel(tmp_path / "x.xlsx", index=False)
    expected = read(tmp_path / "x.xlsx", options)
    below = pd.DataFrame(
        [["\xa0 "] * frame.shape[1], [None] * frame.shape[1]], columns=frame.columns
    )
    pd.concat([frame.astype(object), below]).to_excel(tmp_path / "x.xlsx", index=False)
    pd.testing.assert_frame_equal(read(tmp_path / "x.xlsx", options), expected, check_dtype=False)


@pytest.mark.parametrize("table", TABLES)
def test_blank_rows_within_a_table_are_named(tmp_path: Path, table: str) -> None:
    text, options = TABLES[table]
    header, *lines = text.splitlines() if table != "wide" else WIDER
    path = tmp_path / "x.csv"
    path.write_text("\n".join([header, *lines[:2], "," * header.count(","), *lines[2:]]))
    with pytest.raises(DataError, match=r"column '\w+' is missing in 1 (of 5 )?rows? \(rows? 2"):
        adapters.to_answers(path, **options)


def test_a_form_with_a_blank_last_row_is_read_in_the_shell(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TABLES["form"][0] + ",,,,\n")
    done = CliRunner().invoke(app, ["aggregate", str(tmp_path / "x.csv"), "--adapter", "form"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("task,label\nQ1?,")


@given(
    st.text('aà",;\t \xa0\r\n', max_size=30),
    st.text(",\t \xa0\r\n", max_size=9),
    st.integers(1, 40),
)
def test_lines_are_passed_on_as_they_are_but_for_blank_ones_at_the_end(
    text: str, below: str, size: int
) -> None:
    """Whatever the size of the pieces, and wherever a line is broken."""
    full = (text + "x\n" + below).encode()
    lines = _Lines(io.BytesIO(full), ",")
    passed = b"".join(iter(lambda: lines.read(size), b""))
    assert passed == (text + "x\n").encode()
    assert lines.count == text.count('"')

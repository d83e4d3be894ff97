"""Tables in narrow terminals: no digit is cut, and names of sets stay."""

from __future__ import annotations

import io

import pytest
from deem_crowd_benchmarks.pages import reports
from deem_crowd_benchmarks.pages.tables import Table
from rich.console import Console


@pytest.mark.parametrize("width", [50, 80, 150])
def test_no_number_is_cut_in_a_narrow_terminal(width) -> None:
    header = ["set", *(f"method-{i}" for i in range(20))]
    names = ["led-display-domain-7digit", "x"]
    rows = [[name, *(f"{10 + i + r / 8:.3f}" for i in range(20))] for r, name in enumerate(names)]
    table = Table("Accuracy, %", header, rows)
    console = Console(width=width, record=True, file=io.StringIO())
    for part in reports.rich_tables(table, console.width):
        console.print(part)
    seen = console.export_text().split()
    for word in (*header[1:], *(cell for row in rows for cell in row)):
        assert word in seen
    assert seen.count("x") == seen.count("set") > 1  # each part names its rows


def test_a_method_with_a_long_name_does_not_push_the_names_of_sets_out() -> None:
    heading = "deem(hidden_dim=2,penalty=null,ordered=true,random_state=1)"
    table = Table("Accuracy, %", ["set", heading], [["adult", "12.345"], ["web", "67.891"]])
    console = Console(width=40, record=True, file=io.StringIO())
    (part,) = reports.rich_tables(table, console.width)
    console.print(part)
    seen = console.export_text()
    for word in ("adult", "web", "12.345", "67.891"):
        assert word in seen.split()
    folded = seen.replace(" set ", "").partition("─")[0]
    assert heading in "".join(folded.split())  # not cut


def test_each_column_of_a_wide_table_is_measured_once(monkeypatch) -> None:
    table = Table("A", ["set", *(f"m{i}" for i in range(50))], [["x", *["0.125"] * 50]] * 3)
    measured = []
    width_of = reports._width

    def counted(rich):
        measured.append(len(rich.columns))
        return width_of(rich)

    monkeypatch.setattr(reports, "_width", counted)
    parts = reports.rich_tables(table, 60)
    assert sum(measured) <= 51
    widths = [width_of(part) for part in parts]
    assert max(widths) <= 60
    assert (
        min(widths[:-1]) + width_of(reports._rich_table(table, [1], "")) - 1 > 60
    )  # and they are full

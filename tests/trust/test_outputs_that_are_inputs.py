"""No command destroys what it reads: an output that is an input, by whatever name, is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import processes
import pytest
from overwriting import ANSWERS, call, contents, folder, link, symlink

__all__ = ["folder"]


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("a.csv -o a.csv", "--output"),
        ("a.csv -o ./a.csv", "--output"),
        ("a.csv -o parts/../a.csv", "--output"),
        ("a.csv -o l.csv --workers a.csv", "--workers"),
        ("a.csv -o l.csv --proba a.csv", "--proba"),
        ("a.csv --gold g.csv -o g.csv", "--output"),
        ("a.csv --gold g.csv -o l.csv --proba g.csv", "--proba"),
        ("parts -o parts/one.parquet", "--output"),
        ("parts -o parts/labels.parquet", "--output"),
        ("parts -o parts/labels.csv", "--output"),
        ("parts -o l.csv --workers parts/w.csv", "--workers"),
        ("parts/*.parquet -o parts/two.parquet", "--output"),
        ("parts/*.parquet -o parts/three.parquet", "--output"),
        ("parts/one.parquet -o parts/one.parquet", "--output"),
        ("a.csv --adapter csv -o a.csv", "--output"),
    ],
)
def test_an_output_that_is_read_is_refused_before_anything_is_read(
    folder: Path, line: str, option: str
) -> None:
    before = contents(folder)
    result = call(f"aggregate {line}")
    assert result.exit_code == 2, result.output
    assert option in result.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("linked", [link, symlink])
@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("a.csv", "out.csv", "a.csv -o out.csv"),
        ("a.csv", "in.csv", "in.csv -o a.csv"),
        ("a.csv", "w.csv", "a.csv -o out.csv --workers w.csv"),
        ("g.csv", "p.csv", "a.csv --gold g.csv -o out.csv --proba p.csv"),
        ("parts/one.parquet", "out.parquet", "parts -o out.parquet"),
        ("parts/one.parquet", "out.parquet", "parts/*.parquet -o out.parquet"),
    ],
)
def test_a_link_to_an_input_is_refused(folder: Path, linked, old: str, new: str, line: str) -> None:
    linked(old, new)
    before = contents(folder)
    result = call(f"aggregate {line}")
    assert result.exit_code == 2, result.output
    assert "overwrite" in result.stderr
    assert contents(folder) == before


def test_a_link_to_the_folder_that_is_read_is_refused(folder: Path) -> None:
    symlink("parts", "others")
    before = contents(folder)
    assert call("aggregate parts -o others/labels.parquet").exit_code == 2
    assert call("aggregate others -o parts/labels.parquet").exit_code == 2
    assert contents(folder) == before


def test_nothing_is_read_before_the_refusal(folder: Path) -> None:
    (folder / "a.csv").write_bytes(b"\xff\xfe no answers at all")
    assert "overwrite" in call("aggregate a.csv -o a.csv").stderr


def test_standard_input_that_is_the_output_is_refused(folder: Path) -> None:
    code = "import os; os.dup2(os.open('a.csv', os.O_RDONLY), 0); from deem_crowd.cli import main; main()"
    done = processes.python("-c", code, "aggregate", "-", "-o", "a.csv")
    assert done.returncode == 2, done.stderr
    assert (folder / "a.csv").read_text() == ANSWERS


def test_outputs_beside_the_inputs_are_written(folder: Path) -> None:
    assert call("aggregate a.csv -o b.csv").exit_code == 0
    assert call("aggregate parts/one.parquet -o parts/labels.csv").exit_code == 0
    assert call("aggregate parts/one.parquet -o parts/two.parquet").exit_code == 0
    assert (folder / "a.csv").read_text() == ANSWERS


def test_two_names_of_one_output_are_refused(folder: Path) -> None:
    (folder / "one.csv").touch()
    link("one.csv", "two.csv")
    result = call("aggregate a.csv -o one.csv --workers two.csv")
    assert result.exit_code == 2
    assert "--output" in result.stderr


@pytest.mark.parametrize(
    "output", ["deep/in/one.csv", "deep/in/new.csv", "deep/new.csv", "deep/other/../new.csv"]
)
def test_a_file_of_a_folder_in_the_folder_that_is_read(folder: Path, output: str) -> None:
    """A folder without files of its own is read with those of its folders."""
    (folder / "deep" / "in").mkdir(parents=True)
    (folder / "deep" / "other").mkdir()
    (folder / "deep" / "in" / "one.csv").write_text(ANSWERS)
    before = contents(folder)
    result = call(f"aggregate deep -o {output}")
    assert result.exit_code == 2
    assert "which is read" in " ".join(result.stderr.replace("│", " ").split())
    assert contents(folder) == before


@pytest.mark.parametrize("connect", [link, symlink])
def test_a_report_that_is_a_link_to_its_input(
    folder: Path, connect: Callable[[str, str], None]
) -> None:
    connect("a.csv", "r.html")
    connect("g.csv", "s.html")
    before = contents(folder)
    for line in ("report a.csv -o r.html", "report a.csv --gold g.csv -o s.html"):
        result = call(line)
        assert result.exit_code == 2
        assert "which is read" in " ".join(result.stderr.replace("│", " ").split())
    assert contents(folder) == before

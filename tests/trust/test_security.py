"""Data stay data: nothing in them is executed, wherever they end up."""

from __future__ import annotations

import ast
import csv
import html.parser
import os
import re
import subprocess
from pathlib import Path

import deem_crowd_adapters
import deem_crowd_benchmarks
import deem_crowd_plugins
import pandas as pd
import processes
import pytest
from deem_crowd_adapters import read_long, write_table
from hypothesis import given
from hypothesis import strategies as st

import deem_crowd

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=HYPERLINK(\"http://evil\",\"x\")",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "{{7*7}}",
    "${jndi:x}",
    "../../etc/passwd",
    "\x1b[31mred\x1b[0m",
    "[bold]rich[/bold]",
    "$x^2$",
    "`|a|b`",
    "';--",
    "%s%n",
    "\u202egnp",
]  # fmt: skip

PACKAGES = (deem_crowd, deem_crowd_adapters, deem_crowd_benchmarks, deem_crowd_plugins)
SOURCES = sorted(
    path for package in PACKAGES for path in Path(package.__file__).parent.rglob("*.py")
)
MODULES = {
    "pickle",
    "dill",
    "marshal",
    "shelve",
    "cloudpickle",
    "yaml",
    "zipfile",
    "tarfile",
    "xml",
}
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "joblib.load",
    "pd.read_pickle", "pandas.read_pickle", "pd.eval", "dist.all_gather_object",
    "dist.broadcast_object_list", "dist.gather_object", "shutil.unpack_archive",
}  # fmt: skip
READERS = {
    "exports/content.py": {
        "zipfile"
    },  # read in memory, within a bound; nothing is unpacked to the disk
    "exports/zips.py": {"zipfile"},
    "sets/newsgroups.py": {"zipfile"},  # two tables of a wheel, read in memory
    "exports/cvat.py": {"xml"},  # a document type or an entity is refused before it is parsed
}
"""Modules that read a format of other tools, and what they read it with."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_no_code_that_executes_data(path) -> None:
    allowed = READERS.get(f"{path.parent.name}/{path.name}", set())
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found = {name.split(".")[0] for name in names} & MODULES - allowed
            assert not found, f"line {node.lineno} imports {found}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in CALLS, f"line {node.lineno}"
            assert not called.endswith((".extract", ".extractall")), f"line {node.lineno}"
            given_ = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert given_.get("shell") in (None, "False"), f"line {node.lineno}"
            assert given_.get("allow_pickle") in (None, "False"), f"line {node.lineno}"


def test_all_packages_were_looked_at() -> None:
    assert len(SOURCES) > 90
    assert {"checkpoint.py", "collectives.py", "isolation.py"} <= {p.name for p in SOURCES}


def nasty_frame() -> pd.DataFrame:
    n = len(NASTY)
    return pd.DataFrame(
        {
            "task": [NASTY[i // 4 % n] for i in range(4 * n)],
            "worker": [NASTY[(i // 4 + i % 4) % n] for i in range(4 * n)],
            "label": [NASTY[i // 4 % 3] for i in range(4 * n)],
        }
    )


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_ids_of_any_kind_come_back_as_they_were(kind, tmp_path) -> None:
    frame = nasty_frame()
    write_table(frame, tmp_path / f"a.{kind}")
    pd.testing.assert_frame_equal(
        read_long(tmp_path / f"a.{kind}").astype(str), frame.astype(str), check_dtype=False
    )


FORMULA = st.text(st.sampled_from("=+-@\t\r\n\"' ,;a1"), max_size=5)


@given(st.lists(st.tuples(FORMULA, st.integers(-5, 5)), min_size=1, max_size=5), st.booleans())
def test_no_cell_is_a_formula_for_a_spreadsheet(tmp_path_factory, rows, tabs) -> None:
    path = tmp_path_factory.mktemp("cells") / ("a.tsv" if tabs else "a.csv")
    frame = pd.DataFrame(rows, columns=["=text", "number"])
    write_table(frame, path, spreadsheet=True)
    with path.open(newline="") as file:
        header, *cells = csv.reader(file, delimiter="\t" if tabs else ",")
    assert header == ["'=text", "number"]
    for (text, number), (cell, other) in zip(rows, cells, strict=True):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        skipped = re.sub(r"^[\s\x00-\x1f]+", "", text)
        guarded = text.startswith(("\t", "\r", "\n")) or skipped.startswith(tuple("=+-@"))
        assert cell == (f"'{text}" if guarded else text)
        assert other == str(number)  # numbers are numbers, negative ones, too


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return processes.python(
        "-m", "deem_crowd.cli", *arguments, cwd=folder, env={**os.environ, "COLUMNS": "200"}
    )


def test_the_shell_writes_for_spreadsheets_when_told(tmp_path) -> None:
    write_table(nasty_frame(), tmp_path / "a.csv")
    for extra, protected in (([], False), (["--spreadsheet"], True)):
        done = run(
            "aggregate", "a.csv", "-o", "l.csv", "--workers", "w.csv", *extra, folder=tmp_path
        )
        assert done.returncode == 0, done.stderr
        workers = pd.read_csv(tmp_path / "w.csv")["worker"]
        assert ("'=HYPERLINK" in " ".join(workers)) == protected
        assert any(w.startswith("=HYPERLINK") for w in workers) != protected


def test_messages_show_control_characters_as_such(tmp_path) -> None:
    """An id cannot repaint the terminal of who reads the message about it."""
    frame = pd.DataFrame({"task": ["\x1b[31m", "\x1b[31m"], "worker": 1, "label": ["a\x07", "b"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    done = run("aggregate", "a.csv", "--duplicates", "error", folder=tmp_path)
    assert done.returncode == 1
    assert "\\x1b[31m" in done.stderr
    assert "\x1b" not in done.stderr


class Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.handlers += [v for _, v in attrs if v and v.strip().lower().startswith("javascript:")]


def test_a_report_on_nasty_data_is_a_page_without_code(tmp_path) -> None:
    folder = tmp_path / "data" / "<script>alert(2)<script><img src=x onerror=alert(3)>"
    folder.mkdir(parents=True)
    frame = nasty_frame()
    write_table(frame, folder / "labels.csv")
    truth = frame[["task", "label"]].drop_duplicates("task")
    write_table(truth, folder / "truth.csv")
    done = run(
        "benchmark", "--data", "data", "--methods", "mv, <b>x</b>=ds", "--out", "out", folder=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("report.html", "report.md"):
        text = (tmp_path / "out" / name).read_text()
        assert "&lt;img src=x onerror=" in text
        assert "<img src=x" not in text
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.tags & {"script", "iframe", "object", "embed", "form", "base"}
    assert not page.handlers
    assert "<script>" not in text
    assert "<b>x</b>" not in text
    assert "&lt;b&gt;x" in text
    assert "\x1b" not in done.stdout

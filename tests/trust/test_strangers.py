"""Plugins of strangers in the shell: what they return, what they print, and how they fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import processes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outsiders import HOSTILE, METHODS, OPEN, RETURNED, ROWS, obeyed
from typer.testing import CliRunner, Result

from deem_crowd.cli import shell
from deem_crowd.cli.app import app
from deem_crowd.plugins import registry

"""Methods that leave tasks open, with their accuracy."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    plugin = tmp_path / "plugin"
    info = plugin / "strange-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deem_crowd]\nstrange = strange_methods\n")
    (plugin / "strange_methods.py").write_text(METHODS)
    monkeypatch.syspath_prepend(str(plugin))
    monkeypatch.setenv("PYTHONPATH", str(plugin))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(ROWS, columns=["task", "worker", "label"]).to_csv("a.csv", index=False)
    (tmp_path / "g.csv").write_text("task,label\nt0,a\nt1,b\nt2,a\nt3,b\n")
    sys.modules.pop("strange_methods", None)
    registry.reload()
    yield tmp_path
    monkeypatch.undo()
    sys.modules.pop("strange_methods", None)
    registry.reload()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("method", RETURNED)
def test_what_is_no_result_is_one_line(folder: Path, method: str) -> None:
    result = call("aggregate", "a.csv", "--method", method, "-o", "l.csv")
    assert result.exit_code == 1
    (line,) = [x for x in result.stderr.splitlines() if x.startswith("error: ")]
    assert f"method {method!r}" in line
    assert RETURNED[method] in line
    assert not Path("l.csv").exists()


def test_compare_says_the_same_and_goes_on(folder: Path) -> None:
    names = [
        *RETURNED,
        "abstains",
        "improper",
        "patchy",
        "exits",
        "silent",
        "base",
        "leaves",
        "long-winded",
        "closes",
        "replaces",
        "good",
    ]
    result = call("compare", "a.csv", "--gold", "g.csv", "--methods", ",".join(names))
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    for method, words in RETURNED.items():
        if method not in OPEN:
            assert words in rows[method]
    for method, (score, words) in OPEN.items():
        assert f" {score} " in rows[method]
        assert f"warning: {method}: {words}" in result.stderr
    assert rows["method"].split()[:5] == ["method", "accuracy", "log-loss", "seconds", "coverage"]
    assert rows["good"].split().count("1.0000") == 2
    assert "no distribution" in rows["improper"]
    assert "none for 2 tasks ('t2', 't3')" in rows["patchy"]
    assert "SystemExit" in rows["exits"]
    assert "Silent" in rows["silent"]
    assert "Base: no Exception" in rows["base"]
    assert "SystemExit: 0" in rows["leaves"]
    assert len(rows["long-winded"]) < 1000
    for method in ("closes", "replaces", "good"):
        assert "1.0000" in rows[method]


def test_a_method_that_says_that_it_abstains_leaves_tasks_open(folder: Path) -> None:
    result = call("aggregate", "a.csv", "--method", "abstains", "-o", "l.csv", "--proba", "p.csv")
    assert result.exit_code == 0, result.output
    assert "1 task is left open: the label is missing ('t1')" in result.stderr
    assert Path("l.csv").read_text() == "task,label\nt0,a\nt1,\nt2,a\nt3,b\n"
    assert Path("p.csv").read_text().splitlines()[2] == "t1,,"


def test_authors_are_told_to_say_that_a_method_abstains(folder: Path) -> None:
    from deem_crowd.testing import ConformanceError, check_aggregator

    class Open:
        def fit_predict(self, data: pd.DataFrame) -> pd.Series:
            labels = data.groupby("task")["label"].first().rename("agg_label")
            return labels.where(labels.index != labels.index[0])

    with pytest.raises(ConformanceError, match="1 task has a missing label. .* abstains = True"):
        check_aggregator(Open)


def test_probabilities_that_are_none_are_not_written(folder: Path) -> None:
    result = call("aggregate", "a.csv", "--method", "improper", "-o", "l.csv", "--proba", "p.csv")
    assert result.exit_code == 1
    assert "no distribution for 4 tasks ('t0', 't1', 't2', 't3')" in result.stderr
    result = call("aggregate", "a.csv", "--method", "array", "-o", "l.csv", "--proba", "p.csv")
    assert result.exit_code == 1
    assert "probas_ is a ndarray, not a DataFrame (index task, a column for" in result.stderr
    assert not Path("l.csv").exists()


@pytest.mark.parametrize("method", ["exits", "silent", "long-winded", "base", "leaves"])
def test_however_a_method_fails_it_is_one_line(folder: Path, method: str) -> None:
    result = call("aggregate", "a.csv", "--method", method)
    assert result.exit_code == 1
    assert f"method {method!r} failed on these answers" in result.stderr
    assert len(result.stderr) < 1000


@pytest.mark.parametrize("command", ["aggregate", "compare", "plugins"])
def test_what_plugins_print_goes_to_standard_error(folder: Path, command: str) -> None:
    arguments = {
        "aggregate": ["aggregate", "a.csv", "--method", "prints"],
        "compare": ["compare", "a.csv", "--methods", "prints"],
        "plugins": ["plugins"],
    }[command]
    done = processes.python("-m", "deem_crowd.cli", *arguments)
    assert done.returncode == 0, done.stderr
    assert "printed at import" in done.stderr
    assert "printed" not in done.stdout
    assert "written to 1" not in done.stdout
    if command != "plugins":
        for words in ("printed by Python", "printed by C", "written to 1"):
            assert words in done.stderr
    if command == "aggregate":
        assert done.stdout == "task,label\nt0,a\nt1,b\nt2,a\nt3,b\n"


# ------------------------------------------------------------ what a terminal obeys


@pytest.mark.parametrize(
    "arguments",
    [
        ["aggregate", f"{HOSTILE}.csv"],
        ["aggregate", f"{HOSTILE}.xyz"],
        ["aggregate", "a.csv", "-o", f"{HOSTILE}/x.csv"],
        ["aggregate", "a.csv", "-o", f"{HOSTILE}.xyz"],
        ["aggregate", "a.csv", "--method", HOSTILE],
        ["aggregate", "a.csv", "--adapter", HOSTILE],
        ["aggregate", "a.csv", "--set", f"{HOSTILE}=1"],
        ["aggregate", "a.csv", "--gold", f"{HOSTILE}.csv"],
        ["aggregate", "a.csv", "--method", "paints"],
        ["aggregate", "h.csv"],
        ["aggregate", "r.csv"],
        ["aggregate", "a.csv", f"--{HOSTILE}"],
        ["--debug", "aggregate", f"{HOSTILE}.csv"],
        ["compare", "a.csv", "--methods", "paints,good"],
        [HOSTILE],
        [f"--{HOSTILE}"],
        ["benchmark", HOSTILE],
        ["benchmark", "--data", HOSTILE],
    ],
)
def test_nothing_from_outside_repaints_the_terminal(folder: Path, arguments: list[str]) -> None:
    Path("h.csv").write_text(f"task,worker,{HOSTILE}\nx,y,z\n", newline="")
    Path("r.csv").write_text(f"task,worker,label\n{HOSTILE[:-1]},y,z,x,y\n", newline="")
    result = call(*arguments)
    assert result.output
    assert not obeyed(result.output)
    if "compare" not in arguments:
        assert result.exit_code in (1, 2)


@given(st.text(st.characters(codec=None)))
@settings(max_examples=300)
def test_printable_text_is_obeyed_by_no_terminal(text: str) -> None:
    shown = shell.printable(text)
    assert not obeyed(shown)
    assert shell.printable(shown) == shown
    harmless = "".join(c for c in text if not obeyed(c))
    if harmless == text:
        assert shown == text
    assert "\n" not in shell.cell(text)


# ----------------------------------------------------------------- spreadsheets


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1+x", "@x", "\t=1", " =1", "\xa0=1", "\u3000=1", "\x00=1", "\x1b=1", "\u200b=1",
     "\ufeff=1", "＝1+1", "＋1", "－1", "＠x", " ＝1", "\n=1", "\r=1", "﹢1", "⁺1"],
)  # fmt: skip
def test_no_text_is_a_formula_to_a_spreadsheet(tmp_path: Path, text: str) -> None:
    from deem_crowd_adapters import write_table

    path = tmp_path / "t.csv"
    write_table(pd.DataFrame({"label": [text]}), path, spreadsheet=True)
    assert re.fullmatch(r'label\n"?\'.*\n', path.read_bytes().decode(), re.DOTALL)


@pytest.mark.parametrize("text", ["", " ", "a=1", "1", " x", "ａ＝1"])
def test_other_texts_are_left_alone(tmp_path: Path, text: str) -> None:
    from deem_crowd_adapters import write_table

    path = tmp_path / "t.csv"
    write_table(pd.DataFrame({"label": [text]}), path, spreadsheet=True)
    assert "'" not in path.read_text()


# --------------------------------------------------------------- closed streams


@pytest.mark.skipif(os.name == "nt", reason="POSIX descriptors")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_closed_streams_are_one_line(folder: Path, closed: str) -> None:
    line = f"{sys.executable} -m deem_crowd.cli aggregate - --method good {closed}"
    done = subprocess.run(["sh", "-c", line], input=b"", capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    assert b"closed" in done.stderr
    assert b"Traceback" not in done.stderr


def test_standard_input_twice_is_refused(folder: Path) -> None:
    result = call("aggregate", "-", "--gold", "-")
    assert result.exit_code == 2
    assert "--gold" in result.stderr


def test_deep_json_is_bad_usage(folder: Path) -> None:
    result = call("aggregate", "a.csv", "--set", "n_iter=" + "[" * 10**5)
    assert result.exit_code == 2, result.output[:300]
    assert "nested" in result.stderr

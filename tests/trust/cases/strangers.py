"""What somebody else's method may do in fit, in each command that runs methods."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from outsiders import HOSTILE, METHODS, OPEN, RETURNED, ROWS, obeyed
from typer.testing import CliRunner

from cases import Case
from deem_crowd.cli.app import app
from deem_crowd.plugins import registry

WORDS = {
    **RETURNED,
    "improper": "no distribution",
    "patchy": "none for 2 tasks",
    "exits": "SystemExit",
    "silent": "Silent: (its message cannot be shown)",
    "base": "Base: no Exception",
    "leaves": "SystemExit: 0",
    "long-winded": "ValueError: xxx",
    "paints": "ValueError: ",
}
WELL = ("good", "prints", "closes", "replaces", "abstains")


@contextlib.contextmanager
def installed(folder: Path, source: str) -> Iterator[None]:
    """Install the methods of a stranger in a folder, and write answers and gold."""
    info = folder / "plugin" / "strange-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deem_crowd]\nstrange = strange_methods\n")
    (folder / "plugin" / "strange_methods.py").write_text(source)
    pd.DataFrame(ROWS, columns=["task", "worker", "label"]).to_csv("a.csv", index=False)
    Path("g.csv").write_text("task,label\nt0,a\nt1,b\nt2,a\nt3,b\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(folder / "plugin")
    sys.path.insert(0, str(folder / "plugin"))
    sys.modules.pop("strange_methods", None)
    registry.reload()
    try:
        yield
    finally:
        sys.path.remove(str(folder / "plugin"))
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
        sys.modules.pop("strange_methods", None)
        registry.reload()


def called(folder: Path, *arguments: str, source: str = METHODS) -> tuple[int, str]:
    with installed(folder, source), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "600"})
    assert not obeyed(result.output)
    return result.exit_code, result.stderr + result.stdout


def aggregate(method: str, folder: Path) -> tuple[int, str]:
    found = called(
        folder, "aggregate", "a.csv", "--method", method, "-o", "l.csv", "--proba", "p.csv"
    )
    assert found[0] == 0 or not Path("l.csv").exists()
    return found


def labels(method: str, folder: Path) -> tuple[int, str]:
    return called(folder, "aggregate", "a.csv", "--method", method, "-o", "l.csv")


def compare(method: str, folder: Path) -> tuple[int, str]:
    found = called(folder, "compare", "a.csv", "--gold", "g.csv", "--methods", f"{method},good")
    assert [line for line in found[1].splitlines() if "good" in line and "1.0000" in line]
    return found


HOSTILES = [
    HOSTILE, "\x1b[31m", "\x9b2J", "\x07", "\x08\x08", "\r", "\u202e", "\u2066", "\u200f", "\u2028", "\x85", "\ufeff",
    "\U000e0041", "\x7f", "\x1b]8;;http://x\x07", "\x1bP", "\x0c", "\x0b",
]  # fmt: skip
PLACES: dict[str, list[str]] = {
    "file": ["aggregate", "{}.csv"],
    "format": ["aggregate", "{}.xyz"],
    "output": ["aggregate", "a.csv", "-o", "{}/x.csv"],
    "method": ["aggregate", "a.csv", "--method", "{}"],
    "adapter": ["aggregate", "a.csv", "--adapter", "{}"],
    "parameter": ["aggregate", "a.csv", "--set", "{}=1"],
    "column": ["aggregate", "a.csv", "--task", "{}"],
    "gold": ["aggregate", "a.csv", "--gold", "{}.csv"],
    "option": ["aggregate", "a.csv", "--{}"],
    "command": ["{}"],
    "suite": ["benchmark", "{}"],
    "data": ["benchmark", "--data", "{}"],
}


def painted(place: str, text: str, folder: Path) -> None:
    pd.DataFrame(ROWS, columns=["task", "worker", "label"]).to_csv("a.csv", index=False)
    arguments = [part.replace("{}", f"a{text}b") for part in PLACES[place]]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "600"})
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output
    assert not obeyed(result.output)


PLUGINS, TERMINAL = "plugin results", "words on the terminal"
CASES = [
    *(
        Case(PLUGINS, f"aggregate, {method}", functools.partial(labels, method), f"status 1: {words}")
        for method, words in WORDS.items() if method not in ("improper", "patchy")
    ),
    *(
        Case(PLUGINS, f"probabilities, {method}", functools.partial(aggregate, method), f"status 1: {WORDS[method]}")
        for method in ("improper", "patchy", "none", "unknown")
    ),
    *(
        Case(PLUGINS, f"compare, {method}", functools.partial(compare, method), f"status 0: {words}")
        for method, words in ({**WORDS, **{name: words for name, (_, words) in OPEN.items()}}).items()
    ),
    *(Case(PLUGINS, f"aggregate, {method}", functools.partial(labels, method), "status 0") for method in WELL),
    *(Case(PLUGINS, f"compare, {method}", functools.partial(compare, method), "status 0") for method in WELL[1:-1]),
    *(
        Case(TERMINAL, f"{text!r} in {place}", functools.partial(painted, place, text))
        for place in PLACES for text in HOSTILES
    ),
]  # fmt: skip

"""Calls of the shell in a folder of twelve tasks that five workers answered, and what they are expected to say."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pandas as pd
import processes
import pytest
from typer.testing import CliRunner, Result

from deem_crowd.cli import shell
from deem_crowd.cli.app import app

TRUTH = {f"t{t}": ["no", "yes"][t % 2] for t in range(12)}


def answers() -> pd.DataFrame:
    """Five workers label twelve tasks; each errs once."""
    rows = [
        (f"t{t}", f"w{w}", ["no", "yes"][(t % 2) ^ ((t + 3 * w) % 12 == 0)])
        for t in range(12)
        for w in range(5)
    ]
    return pd.DataFrame(rows, columns=["task", "worker", "label"])


def csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with answers.csv in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "answers.csv").write_text(csv(answers()))
    return tmp_path


def call(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def really(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return processes.python("-m", "deem_crowd.cli", *arguments, stdin=stdin)


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def failed(result: Result, status: int) -> str:
    """Check that a call failed with ``status``, said nothing on stdout, and return what it said on stderr."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    if status == shell.BAD_DATA:
        assert (
            result.stderr.splitlines()[-1].startswith("error: ")
            or "\nerror: " in f"\n{result.stderr}"
        )
    return " ".join(result.stderr.replace("│", " ").split())

"""A folder of answers, commands in it, and all that it holds, to see that nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from deem_crowd.cli.app import app

ANSWERS = "task,worker,label\na,1,x\na,2,y\na,3,x\nb,1,y\nb,2,y\nb,3,x\n"
GOLD = "task,label\na,x\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(ANSWERS)
    (tmp_path / "g.csv").write_text(GOLD)
    frame = pd.read_csv(tmp_path / "a.csv")
    (tmp_path / "parts").mkdir()
    for name in ("one", "two"):
        part = frame.assign(worker=frame["worker"].astype(str) + name)
        part.to_parquet(tmp_path / "parts" / f"{name}.parquet")
    return tmp_path


def call(line: str) -> Result:
    return CliRunner().invoke(app, line.split())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def link(old: str, new: str) -> None:
    os.link(old, new)


def symlink(old: str, new: str) -> None:
    os.symlink(os.path.abspath(old), new)

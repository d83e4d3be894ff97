"""Calls of the commands of this folder, and what they write."""

from __future__ import annotations

import io

import pandas as pd
from typer.testing import CliRunner, Result

from deem_crowd.cli.app import app


def call(line: str) -> Result:
    return CliRunner().invoke(app, line.split())


def table(line: str) -> pd.DataFrame:
    """Return what a command writes to standard output."""
    done = call(line)
    assert done.exit_code == 0, done.output
    return pd.read_csv(io.StringIO(done.stdout))


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    expected = expected.reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=False, rtol=1e-9)

"""Workers with habits in the benchmark: draws are what they say, and the command prints a row for each law."""

from __future__ import annotations

import pandas as pd
import pytest
import typer
from deem_crowd_benchmarks import habits
from typer.testing import CliRunner


@pytest.mark.parametrize("lazy", habits.LAZY)
def test_so_many_workers_name_one_class_and_the_others_are_right_as_often_as_said(
    lazy: float,
) -> None:
    answers, truth = habits.draw(6, lazy, 3, (8000, 200), seed=0)
    classes = answers.groupby("worker")["label"].nunique()
    assert (classes == 1).mean() == pytest.approx(lazy)
    others = answers[answers["worker"].map(classes) > 1]
    right = others["label"].to_numpy() == truth.loc[others["task"]].to_numpy()
    assert right.mean() == pytest.approx(0.75, abs=0.03)
    assert not answers.duplicated(["task", "worker"]).any()


def test_the_command_prints_a_row_for_each_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(habits, "CLASSES", (3,))
    monkeypatch.setattr(habits, "OF_TASK", (2,))
    monkeypatch.setattr(habits, "SIZES", ((60, 12),))
    monkeypatch.setattr(habits, "LAZY", (0.0, 0.4))
    monkeypatch.setattr(habits, "RESTARTS", 1)
    app = typer.Typer()
    app.command()(habits.main)
    result = CliRunner().invoke(app, ["--seeds", "1"])
    assert result.exit_code == 0, result.output
    rows = pd.Series([line.split() for line in result.output.splitlines() if line.strip()])
    assert rows.str[0].tolist()[-3:] == ["3", "3", "all"]

"""Few answers a worker in the benchmark: the laws are what they say, and the command prints a row for each."""

from __future__ import annotations

import pytest
from deem_crowd_benchmarks import few_answers
from typer.testing import CliRunner


@pytest.mark.parametrize("name", few_answers.LAWS)
def test_draws_follow_their_law(name: str) -> None:
    share, zero, one, _ = law = few_answers.LAWS[name]
    answers, truth = few_answers.draw(law, 30_000, 3, 10, seed=0)
    assert truth.mean() == pytest.approx(share, abs=0.02)
    right = answers["label"] == truth.loc[answers["task"]].to_numpy()
    by_class = right.groupby(truth.loc[answers["task"]].to_numpy()).mean()
    assert by_class[0] == pytest.approx(zero[0] / sum(zero), abs=0.03)
    assert by_class[1] == pytest.approx(one[0] / sum(one), abs=0.03)
    assert answers.groupby("task").size().max() <= 3
    assert answers.groupby("worker").size().mean() == pytest.approx(10, abs=0.5)


def test_the_command_prints_a_row_for_each_law(monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    monkeypatch.setattr(few_answers, "OF_TASK", (3,))
    monkeypatch.setattr(few_answers, "OF_WORKER", (10,))
    app = typer.Typer()
    app.command()(few_answers.main)
    result = CliRunner().invoke(app, ["--seeds", "1", "--answers", "300"])
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.strip()]
    assert len(rows) == 2 + len(few_answers.LAWS)
    assert all(name in result.output for name in few_answers.LAWS)

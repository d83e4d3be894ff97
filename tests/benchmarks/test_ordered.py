"""Ordered classes in the benchmark: errors by hand, and generated ratings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks import ordered
from deem_crowd_benchmarks.sets import kinds
from typer.testing import CliRunner

from deem_crowd import Answers


def test_errors_by_hand() -> None:
    probas = pd.DataFrame(
        [[0.4, 0.0, 0.35, 0.25], [0.5, 0.0, 0.0, 0.5], [0.1, 0.8, 0.1, 0.0]],
        columns=[5, 1, 2, 4],
        index=["a", "b", "c"],
    )
    gold = pd.Series({"a": 4, "b": 1, "c": 2, "unseen": 1})
    # a: likeliest 5, median 4; b: 5 or 4 by a fair draw, of two medians the lower, 4; c: 1 both
    mode, median = ordered.absolute_errors(probas, gold)
    assert mode == pytest.approx((1 + 3.5 + 1) / 3)
    assert median == pytest.approx((0 + 3 + 1) / 3)


def test_vote_shares_by_pandas() -> None:
    data = kinds.ratings(0, 30).answers
    shares = ordered.vote_shares(Answers.from_frame(data))
    expected = pd.crosstab(data["task"], data["label"], normalize="index")
    pd.testing.assert_frame_equal(
        shares[expected.columns],
        expected,
        check_names=False,
        check_index_type=False,
        check_column_type=False,
    )


@pytest.mark.parametrize(("name", "k", "per_task"), [("ratings", 5, 4), ("stars", 7, 6)])
def test_ratings_lie_around_the_truth(name: str, k: int, per_task: int) -> None:
    data = kinds.ORDERED[name](3)
    assert set(data.answers["label"]) <= set(range(k))
    assert (data.answers.groupby("task")["worker"].nunique() == per_task).all()
    error = data.answers["label"] - data.answers["task"].map(data.gold)
    inner = data.answers["task"].map(data.gold).between(2, k - 3)
    assert abs(error[inner].mean()) < 0.8
    assert 0.5 < error[inner].std() < 2
    pd.testing.assert_frame_equal(data.answers, kinds.ORDERED[name](3).answers)


def test_the_order_helps_on_generated_ratings() -> None:
    errors = []
    for seed in range(2):
        data = kinds.ratings(seed, 400)
        found = ordered.run(Answers.from_frame(data.answers), data.gold)
        errors.append([found[name][1] for name in ordered.METHODS])
    votes, unordered, with_order = np.mean(errors, axis=0)
    assert with_order < unordered
    assert with_order < votes


def test_the_command_leaves_out_names(tmp_path) -> None:
    import typer

    app = typer.Typer()
    app.command()(ordered.main)
    done = CliRunner().invoke(app, ["law:stars@60"])
    assert done.exit_code == 0
    assert "stars, 60 tasks" in done.stdout
    assert done.stdout.count("*") >= 1
    two = CliRunner().invoke(app, ["law:unipolar@50"])
    assert (two.exit_code, "three classes" in two.output) == (1, True)

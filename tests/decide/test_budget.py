"""What a budget buys: answers in the order of their worth per cost, until the money is spent."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from crowds import crowd
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deem_crowd import DEEMAggregator, decide
from deem_crowd.cli.app import app
from deem_crowd.decide.costs import bought
from deem_crowd.exceptions import DataWarning, ParameterError

FRAME, TRUTH = crowd(n=60, d=8, per_task=4, seed=1)
TASKS = pd.Series({task: 1.0 + i % 7 for i, task in enumerate(TRUTH.index)})
WORKERS = pd.Series({f"w{i}": 1.0 + i % 5 for i in range(8)})
CALLS = {
    "task": (decide.next_tasks, TASKS, "expected_error_reduction"),
    "worker": (decide.next_pairs, WORKERS, "expected_information"),
}


@pytest.fixture(scope="module")
def agg() -> DEEMAggregator:
    return DEEMAggregator().fit(FRAME)


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.5, 1.0, 3.0, 7.0]), max_size=30),
    st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5, 12.0, 1000.0]),
)
def test_what_is_bought_is_paid_and_what_is_left_buys_nothing_more(
    cost: list[float], budget: float
) -> None:
    costs = np.array(cost)
    places = bought(costs, budget * (1 + 1e-9))
    assert places.tolist() == sorted(set(places.tolist()))
    assert costs[places].sum() <= budget + 1e-6
    rest = np.delete(costs, places)
    assert (costs[places].sum() + rest > budget - 1e-6).all()
    # Nobody skips what there is money for: each answer that is left out did not fit with those before it.
    for place in np.setdiff1d(np.arange(len(costs)), places):
        assert costs[places[places < place]].sum() + costs[place] > budget - 1e-6


@pytest.mark.parametrize("what", CALLS)
def test_tenths_add_up(agg, what: str) -> None:
    assert len(CALLS[what][0](agg, 9, costs=0.1, budget=0.3)) == 3


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("budget", [1, 6.5, 20])
def test_a_budget_buys_in_the_order_of_worth_per_cost(agg, what: str, budget: float) -> None:
    call, costs, strategy = CALLS[what]
    found = call(agg, 60, strategy, costs=costs, budget=budget)
    paid = costs[found[what]]
    assert 0 < paid.sum() <= budget
    assert found["score"].is_monotonic_decreasing
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)  # a budget that is spent needs no word
        few = call(agg, 3, strategy, costs=costs, budget=budget)
    pd.testing.assert_frame_equal(few, found.head(3))


@pytest.mark.parametrize("what", CALLS)
def test_a_large_budget_changes_nothing_and_a_small_one_says_so(agg, what: str) -> None:
    call, costs, strategy = CALLS[what]
    expected = call(agg, 9, strategy, costs=costs)
    pd.testing.assert_frame_equal(call(agg, 9, strategy, costs=costs, budget=1e6), expected)
    with pytest.warns(DataWarning, match=r"budget=0\.5 .* costs 1\. Raise budget= or lower"):
        none = call(agg, 9, strategy, costs=costs, budget=0.5)
    assert none.empty
    assert list(none) == list(expected)
    assert none.dtypes.equals(expected.dtypes)


@pytest.mark.parametrize("what", CALLS)
def test_without_costs_each_answer_costs_one(agg, what: str) -> None:
    call, _, strategy = CALLS[what]
    pd.testing.assert_frame_equal(call(agg, 50, strategy, budget=7.9), call(agg, 7, strategy))


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("budget", [-1, float("nan"), float("inf"), "9"])
def test_a_budget_is_a_number(agg, what: str, budget: object) -> None:
    with pytest.raises(ParameterError, match="budget must be a number of at least 0"):
        CALLS[what][0](agg, 9, budget=budget)


@pytest.mark.parametrize("strategy", ["fusion", "random", "margin"])
def test_batches_keep_to_the_budget(agg, strategy: str) -> None:
    features = np.random.default_rng(0).normal(size=(60, 2))
    for options in ({}, {"features": features}):
        found = decide.next_tasks(agg, 40, strategy, costs=TASKS, budget=15, **options)
        assert 0 < TASKS[found["task"]].sum() <= 15


@pytest.mark.parametrize(
    ("dear", "price", "cheapest"), [(5, 1.01, 1.0), (20, 1.5, 0.05), (59, 30.0, 1.0)]
)
@pytest.mark.parametrize("spread", [False, True], ids=["list", "spread"])
@pytest.mark.parametrize("strategy", ["least_confidence", "fusion", "random"])
def test_no_money_is_left_that_buys_another_answer(
    agg, strategy: str, spread: bool, dear: int, price: float, cheapest: float
) -> None:
    order = decide.next_tasks(agg, 60)["task"]
    costs = pd.Series(1.0, index=order)
    costs.iloc[:dear], costs.iloc[-1] = price, cheapest
    options = {"features": np.random.default_rng(0).normal(size=(60, 2))} if spread else {}
    for n, budget in ((1, 1), (3, 1.4), (3, 20)):
        found = decide.next_tasks(agg, n, strategy, costs=costs, budget=budget, **options)["task"]
        rest = costs.drop(found)
        assert costs[found].sum() <= budget + 1e-6
        assert len(found) == n or (costs[found].sum() + rest > budget - 1e-6).all()


@pytest.mark.parametrize("strategy", ["fusion", "entropy"])
@pytest.mark.parametrize("spread", [None, "k-center", "k-means++"])
def test_a_large_budget_changes_no_batch(agg, strategy: str, spread: str | None) -> None:
    options = {}
    if spread is not None:
        features = np.random.default_rng(0).normal(size=(60, 2))
        options = {"features": features, "diversify": spread}
    expected = decide.next_tasks(agg, 7, strategy, costs=TASKS, **options)
    found = decide.next_tasks(agg, 7, strategy, costs=TASKS, budget=1e6, **options)
    pd.testing.assert_frame_equal(found, expected)


def test_features_need_no_task_that_can_be_asked(agg) -> None:
    features = np.zeros((60, 2))
    with pytest.warns(DataWarning, match="no tasks are left to ask"):
        assert decide.next_tasks(agg, 3, features=features, exclude=TRUTH.index).empty
    with pytest.warns(DataWarning, match="buys no answer"):
        assert decide.next_tasks(agg, 3, features=features, budget=0.5).empty


@pytest.mark.parametrize("what", CALLS)
def test_a_budget_does_not_hide_that_too_few_are_left(agg, what: str) -> None:
    call, costs, _ = CALLS[what]
    with pytest.warns(
        DataWarning, match=f"500 {'tasks' if what == 'task' else 'pairs'} were asked"
    ):
        assert len(call(agg, 500, costs=costs, budget=1e6)) == 60
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)  # the money is spent first
        assert len(call(agg, 500, costs=costs, budget=30)) < 60


@pytest.mark.parametrize("costs", [None, {f"w{i}": 1 + 50 * i for i in range(8)}])
def test_a_budget_does_not_hide_that_everybody_has_answered(costs: object) -> None:
    frame, _ = crowd(n=20, d=8, per_task=8, seed=1)
    full = DEEMAggregator().fit(frame)
    with pytest.warns(DataWarning, match="no pairs are left to ask: of 20 tasks all are"):
        assert decide.next_pairs(full, 5, answers=frame, costs=costs, budget=10).empty


def test_the_shell_buys_the_same_and_says_what_it_costs(
    agg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("answers.csv", index=False)
    TASKS.rename_axis("task").rename("cost").to_csv("tasks.csv")
    WORKERS.rename_axis("worker").rename("cost").to_csv("workers.csv")

    def run(line: str) -> tuple[pd.DataFrame, str]:
        done = CliRunner().invoke(app, ["next", "answers.csv", *line.split()])
        assert done.exit_code == 0, done.output
        return pd.read_csv(io.StringIO(done.stdout)), done.stderr

    found, said = run("--costs tasks.csv --budget 20 --strategy expected_error_reduction")
    expected = decide.next_tasks(agg, 60, "expected_error_reduction", costs=TASKS, budget=20)
    assert found["task"].tolist() == expected["task"].tolist()
    total = TASKS[expected["task"]].sum()
    assert f"{len(expected)} answers cost {total:g} of a budget of 20." in said
    found, said = run("--pairs --costs workers.csv --budget 12 -n 4")
    expected = decide.next_pairs(agg, 4, costs=WORKERS, budget=12)
    assert found["worker"].tolist() == expected["worker"].tolist()
    assert f"4 answers cost {WORKERS[expected['worker']].sum():g} of a budget of 12." in said
    found, said = run("--budget 5")
    assert len(found) == 5
    assert "5 answers cost 5 of a budget of 5." in said
    _, said = run("-n 3 --costs tasks.csv")
    assert "3 answers cost" in said
    assert "budget" not in said
    assert "cost" not in run("-n 3")[1]


@pytest.mark.parametrize("budget", ["-1", "nan", "inf"])
def test_the_shell_refuses_what_is_no_budget(tmp_path: Path, budget: str) -> None:
    FRAME.to_csv(tmp_path / "answers.csv", index=False)
    done = CliRunner().invoke(app, ["next", str(tmp_path / "answers.csv"), "--budget", budget])
    assert done.exit_code == 2
    assert "--budget" in done.output

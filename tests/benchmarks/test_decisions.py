"""The suites ``labelling``, ``suspects`` and ``coverage``: what is bought, and what is measured."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks import suites
from deem_crowd_benchmarks.buying import doubts, market, savings, strategies
from deem_crowd_benchmarks.sets.label_set import LabelSet
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from deem_crowd.exceptions import ParameterError

OPTIONAL = strategies.NEEDS


def small(n=30, d=8, per_task=5, seed=0, k=3) -> LabelSet:
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    skill = np.linspace(0.45, 0.95, d)
    rows = []
    for task in range(n):
        for worker in rng.choice(d, per_task, replace=False):
            right = rng.random() < skill[worker]
            label = truth[task] if right else (truth[task] + rng.integers(1, k)) % k
            rows.append((f"t{task}", f"w{worker}", f"c{label}"))
    answers = pd.DataFrame(rows, columns=["task", "worker", "label"])
    gold = pd.Series([f"c{c}" for c in truth], index=[f"t{t}" for t in range(n)])
    return LabelSet("small", answers, gold)


@pytest.fixture(scope="module")
def shop() -> market.Market:
    return market.Market.of(small(), 0)


def recorded(strategy, bought_in):
    """Return a strategy that notes what it bought."""

    def choose(state, n):
        rows = strategy(state, n)
        assert not state.bought[rows].any()
        assert len(set(state.market.task[rows].tolist())) == len(rows) <= n
        bought_in.append(rows)
        return rows

    return choose


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
@pytest.mark.parametrize("name", strategies.STRATEGIES)
def test_every_strategy_buys_each_answer_once_within_the_budget(shop, name) -> None:
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    bought: list = []
    strategy = recorded(strategies.STRATEGIES[name](), bought)
    curve = market.simulate(shop, strategy, 0, per_task=3, rounds=2)
    rows = np.concatenate(bought)
    assert len(set(rows.tolist())) == len(rows)
    assert curve.answers.tolist() == [30, 60, 90]
    assert ((curve.accuracy >= 0) & (curve.accuracy <= 1)).all()
    assert curve.n_tasks == 30


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_the_market_is_the_same_for_all_and_is_sold_out(shop) -> None:
    again = market.Market.of(small(), 0)
    pd.testing.assert_frame_equal(again.rows, shop.rows)
    assert not market.Market.of(small(), 1).rows.equals(shop.rows)
    ends = {
        name: market.simulate(shop, strategies.STRATEGIES[name](), 0, per_task=99, rounds=2)
        for name in ("random", "margin")
    }
    for curve in ends.values():
        assert curve.answers[-1] == len(shop.rows) == 150
    starts = {curve.accuracy[0] for curve in ends.values()}
    assert len(starts) == 1  # one answer a task, the same for all
    few = market.Market.of(small(), 0, most_tasks=10)
    assert len(few.tasks) == 10
    assert set(few.rows["task"]) == set(few.tasks)
    one = market.simulate(few, strategies.at_random, 0, per_task=1.5, step=1)
    assert one.answers.tolist() == [10, 11, 12, 13, 14, 15]


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_the_least_confident_tasks_are_bought(shop) -> None:
    seen: list = []

    def choose(state, n):
        rows = strategies.ours("least_confidence")(state, n)
        seen.append((state.model.probas_.max(axis=1), state.market.tasks[state.market.task[rows]]))
        return rows

    market.simulate(shop, choose, 0, per_task=2, rounds=2)
    for confidence, tasks in seen:
        worst = confidence.sort_values().iloc[: len(tasks)]
        assert confidence[tasks].to_numpy() == pytest.approx(worst.to_numpy())


def test_area_and_saved_answers_by_hand() -> None:
    curve = market.Curve(np.array([10, 20, 40]), np.array([0.5, 0.7, 0.9]), 10)
    assert curve.area == pytest.approx((10 * 0.6 + 20 * 0.8) / 30)


def test_saved_answers_by_hand() -> None:
    """Of 10 tasks; random's curve is a line from 0.5 to 0.9, and a curve twice as steep saves half."""
    base = {"answers": [100, 110, 120, 130, 140], "accuracy": [0.5, 0.6, 0.7, 0.8, 0.9]}
    fast = {**base, "accuracy": [0.5, 0.7, 0.9, 0.9, 0.9]}
    never, flat = {**base, "accuracy": [0.5] * 5}, {**base, "accuracy": [0.9] * 5}

    def row(strategy, curve, name="x", seed=0):
        return {"set": name, "seed": seed, "strategy": strategy, "n_tasks": 10, **curve}

    rows = [row("random", base), row("fast", fast), row("same", base), row("never", never)]
    rows += [row("random", flat, "nothing to gain"), row("fast", flat, "nothing to gain")]
    found = savings.table(rows)
    assert found["set"].unique().tolist() == ["x"]
    found = found.set_index("strategy")
    level = np.interp(np.linspace(100, 140, 101)[-20:], base["answers"], base["accuracy"]).mean()
    needs = {"fast": (level - 0.5) / 0.02, "same": (level - 0.5) / 0.01, "never": 40.0}
    for name, after in needs.items():
        assert found.loc[name, "random"] == pytest.approx(10 + (level - 0.5) / 0.1)
        assert found.loc[name, "needed"] == pytest.approx(10 + after / 10)
    assert found.loc["fast", "saved_bought"] == pytest.approx(0.5)
    assert found.loc["same", "saved"] == pytest.approx(0)


def test_seeds_are_averaged_before_curves_are_compared() -> None:
    """One seed up, the other down: together a line that rises, and as long for the same curves in another order."""
    up = {"answers": [10, 20, 30], "accuracy": [0.5, 0.9, 0.7]}
    down = {"answers": [10, 20, 30], "accuracy": [0.5, 0.3, 0.9]}
    parts = [("random", up, 0), ("random", down, 1), ("other", down, 0), ("other", up, 1)]
    rows = [
        {"set": "x", "seed": seed, "strategy": name, "n_tasks": 10, **curve}
        for name, curve, seed in parts
    ]
    assert savings.table(rows)["saved"].tolist() == pytest.approx([0.0])
    curve = savings.Curve.of([row for row in rows if row["strategy"] == "random"])
    assert curve.accuracy[[0, 50, 100]] == pytest.approx([0.5, 0.6, 0.8])


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6), st.data())
def test_ties_count_by_their_expectation(pairs, data) -> None:
    """Against the mean over all orders that keep higher scores first."""
    score = np.array([s for s, _ in pairs], dtype=float)
    wrong = np.array([w for _, w in pairs])
    k = data.draw(st.integers(1, len(pairs)))
    orders = [
        list(o)
        for o in itertools.permutations(range(len(pairs)))
        if all(score[a] >= score[b] for a, b in itertools.pairwise(o))
    ]
    precision = np.mean([wrong[o[:k]].mean() for o in orders])
    assert doubts.precision_at(score, wrong, k) == pytest.approx(precision)
    risk = np.mean([[wrong[o[:m]].mean() for m in range(1, len(o) + 1)] for o in orders])
    assert doubts.aurc(score, ~wrong) == pytest.approx(risk)


def test_methods_are_scored_on_tasks_with_gold() -> None:
    whole = small(n=60)
    scored = doubts.Scored(LabelSet("part", whole.answers, whole.gold.head(25)))
    wrong, known = scored.wrong()
    assert known.sum() == 25 * 5
    truth = whole.gold[whole.answers["task"]].to_numpy()
    assert (wrong == ((whole.answers["label"] != truth) & known)).all()
    for name, score in doubts.SUSPECTS.items():
        if not doubts.there(name):
            continue
        found = doubts.suspects(scored, name)
        auc = roc_auc_score(wrong[known], score(scored)[known])
        assert found["auc"] == pytest.approx(auc)
        assert auc > 0.6, name
    for name in doubts.COVERAGE:
        if doubts.there(name):
            found = doubts.coverage(scored, name)
            assert found["aurc"] < 1 - found["accuracy"], (
                name
            )  # better than leaving labels out at random


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_the_suites_write_tables_and_go_on_where_they_were_stopped(tmp_path, monkeypatch) -> None:
    data = small()
    names = "least_confidence, random"
    monkeypatch.setattr(market, "simulate", functools.partial(market.simulate, rounds=4))
    first = suites.benchmark("labelling", data=data, methods=names, seeds=2, out=tmp_path / "a")
    buying, area, saved = first.decisions
    assert [row[0] for row in buying.rows] == ["random", "least_confidence"]
    assert area.header == ["set", "random", "least_confidence"]
    assert saved.header == ["set", "least_confidence"]
    monkeypatch.setattr(market, "simulate", None)  # nothing is bought again
    lines = (tmp_path / "a" / "results.jsonl").read_text()
    again = suites.benchmark("labelling", data=data, methods=names, seeds=2, out=tmp_path / "a")
    assert again.decisions == first.decisions
    assert (tmp_path / "a" / "results.jsonl").read_text() == lines
    assert "Buying answers" in (tmp_path / "a" / "report.md").read_text(encoding="utf-8")
    found = suites.benchmark(
        "suspects", data=data, methods="plain, disagreement", out=tmp_path / "b"
    )
    assert [row[0] for row in found.decisions[0].rows] == ["plain", "disagreement"]
    found = suites.benchmark("coverage", data=data, methods="deem", out=tmp_path / "c")
    assert [table.title for table in found.decisions][1].startswith("What reliable(0.95) keeps")


def test_names_that_are_none(tmp_path) -> None:
    for suite in ("labelling", "suspects", "coverage"):
        with pytest.raises(ParameterError, match="'guess'; there are: "):
            suites.benchmark(suite, data=small(), methods="guess", out=tmp_path / "x")


def test_what_fails_is_a_row_with_its_reason(tmp_path, monkeypatch) -> None:
    def broken(state, n):
        raise ZeroDivisionError("no")

    monkeypatch.setitem(strategies.STRATEGIES, "margin", lambda: broken)
    monkeypatch.setattr(market, "simulate", functools.partial(market.simulate, rounds=2))
    found = suites.benchmark(
        "labelling", data=small(), methods="random, margin", seeds=1, out=tmp_path / "a"
    )
    assert found.failures is not None
    assert found.failures.rows == [["margin", "failed", "ZeroDivisionError: no", "1", "small"]]

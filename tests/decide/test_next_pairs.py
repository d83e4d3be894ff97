"""next_pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from crowds import consensus, crowd
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd import DataError, DataWarning, DEEMAggregator
from deem_crowd.decide import criteria, next_pairs, next_tasks, ranking, together
from deem_crowd.decide.consensus import Given

FRAME, TRUTH = crowd()


@pytest.fixture(scope="module")
def agg():
    return DEEMAggregator().fit(FRAME)


def test_pairs_prefer_the_better_worker_and_respect_limits(agg) -> None:
    pairs = next_pairs(agg, 15, answers=FRAME)
    assert list(pairs.columns) == [
        "task", "worker", "label", "confidence", "score", "expected_gain",
    ]  # fmt: skip
    assert pairs["task"].is_unique
    assert pairs["score"].is_monotonic_decreasing
    done = set(zip(FRAME["task"], FRAME["worker"], strict=True))
    assert not done & set(zip(pairs["task"], pairs["worker"], strict=True))
    assert agg.skills_[pairs["worker"]].mean() > agg.skills_.mean()
    few = next_pairs(agg, 15, answers=FRAME, per_worker_limit=2)
    assert few["worker"].value_counts().max() <= 2
    with pytest.warns(DataWarning, match="4 are left: each of 2 workers takes 2 at most"):
        next_pairs(agg, 5, workers=["w0", "w1"], per_worker_limit=2)
    some = next_pairs(agg, 5, workers=["w0", "w1"])
    assert set(some["worker"]) <= {"w0", "w1"}
    cost = dict.fromkeys(agg.skills_.index, 1.0) | {pairs["worker"].iloc[0]: 1e6}
    assert pairs["worker"].iloc[0] not in set(next_pairs(agg, 15, costs=cost)["worker"])


def test_pairs_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    posterior = rng.dirichlet(np.ones(3), size=5)
    tables = np.array([rng.dirichlet(np.ones(3), size=3).T for _ in range(4)])
    rows = next_pairs(consensus(posterior, tables), 1, "expected_error_reduction")
    values = {
        (f"t{n}", f"w{i}"): criteria.expected_error_reduction(posterior[[n]], tables[i])[0]
        for n in range(5)
        for i in range(4)
    }
    assert (rows["task"][0], rows["worker"][0]) == max(values, key=values.get)
    assert rows["score"][0] == pytest.approx(max(values.values()))


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 3]))
def test_least_certain_tasks_go_to_those_whose_answer_tells_most(seed, limit) -> None:
    rng = np.random.default_rng(seed)
    n, d, k = 30, 8, 3
    posterior = rng.dirichlet(np.ones(k), n)
    tables = rng.dirichlet(np.full(k, 0.5), (d, k)).swapaxes(1, 2)
    view = consensus(posterior, tables)
    rows = next_pairs(view, 12, "least_confidence", per_worker_limit=limit)
    assert rows["task"].tolist() == next_tasks(view, 12)["task"].tolist()
    np.testing.assert_allclose(rows["score"], 1 - rows["confidence"])
    load = np.zeros(d, dtype=int)
    for task, worker in zip(rows["task"], rows["worker"], strict=True):
        p = posterior[[view.tasks.get_loc(task)]]
        told = np.array([criteria.expected_information(p, table)[0] for table in tables])
        told[load >= (limit or len(rows))] = -1
        who = view.workers.get_loc(worker)
        assert told[who] >= told.max() - 1e-9
        load[who] += 1


def test_pairs_that_change_no_label_by_themselves_are_worth_what_they_tell() -> None:
    """Where it takes two answers to change a label, the first is bought: of the best worker, where it tells most."""
    tables = np.array([[[s, 1 - s], [1 - s, s]] for s in (0.5, 0.7, 0.9)])
    sure = np.array([0.95, 0.92, 0.99])
    view = consensus(np.column_stack([sure, 1 - sure]), tables)
    rows = next_pairs(view, 3, "expected_error_reduction")
    assert rows["score"].tolist() == rows["expected_gain"].tolist() == [0.0] * 3
    assert rows["task"].tolist() == ["t1", "t0", "t2"]
    assert set(rows["worker"]) == {"w2"}
    with pytest.warns(DataWarning, match="no pairs"):  # who guesses tells nothing
        assert next_pairs(view, 3, "expected_error_reduction", workers=["w0"]).empty


@given(
    st.integers(0, 999), st.integers(1, 12), st.integers(1, 3), st.sampled_from([0, 4, 9, np.inf])
)
def test_pairs_are_those_of_the_whole_ranking(seed, n, limit, budget) -> None:
    cost = np.array([1.0, 2.0, 3.0])
    value = np.random.default_rng(seed).integers(0, 4, (8, 3)).astype(float)
    found = []
    for each in (1, 24):  # from the best n pairs, or from all
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ranking, "_PAIRS_EACH", each)
            rng = np.random.default_rng(seed)
            found.append(ranking.assigned(value, value, n, limit, rng, cost, budget).tolist())
    assert found[0] == found[1]
    assert sum(cost[worker] for _, worker in found[0]) <= budget


def test_where_pairs_are_very_many_the_best_workers_are_weighed(monkeypatch) -> None:
    """Of workers of growing accuracy on tasks of one posterior the best are asked, and limits still hold."""
    d, n = 40, 60
    skill = np.linspace(0.5, 0.99, d)
    tables = np.array([[[s, 1 - s], [1 - s, s]] for s in skill])
    view = consensus(np.full((n, 2), 0.5), tables)
    whole = next_pairs(view, 10, per_worker_limit=2)
    monkeypatch.setattr("deem_crowd.decide.pairs._PAIRS", 300)
    few = next_pairs(view, 10, per_worker_limit=2)
    assert few["score"].to_numpy() == pytest.approx(whole["score"].to_numpy())
    assert few["worker"].value_counts().to_dict() == {f"w{i}": 2 for i in range(d - 5, d)}
    costs = dict.fromkeys(view.workers, 1.0) | {f"w{d - 1}": 100.0}
    assert f"w{d - 1}" not in set(next_pairs(view, 10, costs=costs)["worker"])


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"w0": 1.0}, "costs are missing for 11 of 12 workers"),
        (-2.0, "costs of 12 workers are not above 0"),
        (
            pd.Series(np.inf, index=[f"w{i}" for i in range(12)]),
            "costs of 12 workers are not above 0",
        ),
    ],
)
def test_bad_costs_of_workers(agg, costs, message) -> None:
    with pytest.raises(DataError, match=message):
        next_pairs(agg, 5, costs=costs)


def test_more_pairs_than_there_are(agg) -> None:
    with pytest.warns(DataWarning, match=r"1000 pairs were asked for, \d+ are left"):
        pairs = next_pairs(agg, 1000)
    assert pairs["task"].is_unique
    assert len(pairs) <= 200


@pytest.mark.parametrize("strategy", criteria.VALUE)
@pytest.mark.parametrize("k", [2, 3, 7, 50, 70])
def test_nobody_is_asked_whose_answer_tells_nothing(strategy, k) -> None:
    """What rounding errors leave of the information of a guess is none."""
    posterior = np.random.default_rng(k).dirichlet(np.ones(k), 40)
    view = consensus(posterior, np.full((2, k, k), 1 / k))
    with pytest.warns(DataWarning, match="no pairs are left"):
        assert next_pairs(view, 5, strategy).empty


def test_the_gain_of_a_pair_allows_for_answers_that_err_together(monkeypatch) -> None:
    """As that of a task does: by how many answers the task has, and in full where it has none."""
    monkeypatch.setattr(together, "correlation", lambda *_: 0.5)
    tables = np.array([[[0.9, 0.1], [0.1, 0.9]]])
    given_ = Given(np.array([0, 1, 1]), np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64))
    view = replace(consensus(np.full((3, 2), 0.5), tables), answers=given_)
    rows = next_tasks(view, 3).set_index("task")["expected_gain"]
    assert rows[["t0", "t1", "t2"]].tolist() == pytest.approx([0.4 / 3, 0.4 / 6, 0.4])
    one_more = replace(view, workers=view.workers.append(pd.Index(["new"])), errors=tables[[0, 0]])
    pairs = next_pairs(one_more, 3, workers=["new"]).set_index("task")["expected_gain"]
    assert pairs[rows.index].tolist() == pytest.approx(rows.tolist())


def test_of_many_workers_those_are_weighed_whose_answers_tell_most(monkeypatch) -> None:
    """Where no answer changes a label by itself, so that by error reduction all are worth nothing."""
    skill = np.linspace(0.5, 0.9, 40)
    tables = np.array([[[s, 1 - s], [1 - s, s]] for s in skill])
    view = consensus(np.tile([0.95, 0.05], (60, 1)), tables)
    monkeypatch.setattr("deem_crowd.decide.pairs._PAIRS", 300)
    rows = next_pairs(view, 10, "expected_error_reduction", per_worker_limit=2)
    assert rows["worker"].value_counts().to_dict() == {f"w{i}": 2 for i in range(35, 40)}

"""next_tasks and next_pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from crowds import consensus, crowd
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEM, DataError, DataWarning, DEEMAggregator, ParameterError
from deem_crowd.decide import (
    Consensus,
    criteria,
    next_pairs,
    next_tasks,
    ranking,
    together,
)
from deem_crowd.decide.consensus import Given
from deem_crowd.decide.tasks import STRATEGIES
from deem_crowd.exceptions import FormError

FRAME, TRUTH = crowd()


@pytest.fixture(scope="module")
def agg():
    return DEEMAggregator().fit(FRAME)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_distinct_tasks_in_order(agg, strategy) -> None:
    rows = next_tasks(agg, 20, strategy, answers=FRAME)
    assert list(rows.columns) == ["task", "label", "confidence", "score", "expected_gain"]
    assert rows["task"].is_unique
    assert len(rows) == 20
    assert rows["label"].tolist() == agg.labels_[rows["task"]].tolist()
    assert rows["confidence"].to_numpy() == pytest.approx(agg.probas_.max(axis=1)[rows["task"]])
    assert (rows["expected_gain"] >= 0).all()
    if strategy != "fusion":
        assert rows["score"].is_monotonic_decreasing
    again = next_tasks(agg, 20, strategy, answers=FRAME)
    pd.testing.assert_frame_equal(rows, again)


def test_least_confidence_takes_the_least_confident(agg) -> None:
    rows = next_tasks(agg, 30)
    worst = agg.probas_.max(axis=1).sort_values().iloc[:30]
    assert rows["confidence"].to_numpy() == pytest.approx(worst.to_numpy())


def test_least_confidence_per_answer_divides_by_what_was_paid(agg) -> None:
    rows = next_tasks(agg, 200, "least_confidence_per_answer", answers=FRAME)
    paid = FRAME.groupby("task").size()[rows["task"]].to_numpy()
    assert rows["score"].to_numpy() == pytest.approx((1 - rows["confidence"]) / (1 + paid))


def test_fusion_stays_within_the_best_half_of_each_criterion() -> None:
    rng = np.random.default_rng(0)
    posterior = rng.dirichlet(np.full(10, 0.7), size=3000)
    best = {
        name: set(np.argsort(-criterion(posterior))[:20])
        for name, criterion in criteria.UNCERTAINTY.items()
    }
    union = {f"t{i}" for i in set.union(*best.values())}
    assert len(union) > 40  # so that nothing has to be filled up, and there is a choice
    first = next_tasks(consensus(posterior), 40, "fusion")
    assert len(first) == 40
    assert set(first["task"]) <= union
    other = next_tasks(consensus(posterior), 40, "fusion", random_state=1)
    assert set(other["task"]) != set(first["task"])


def test_fusion_is_filled_up_where_the_criteria_agree() -> None:
    posterior = np.column_stack([np.linspace(0.5, 0.99, 50), 1 - np.linspace(0.5, 0.99, 50)])
    rows = next_tasks(consensus(posterior), 10, "fusion")
    assert sorted(rows["task"]) == sorted(f"t{i}" for i in range(10))


def test_expected_gain_of_a_named_worker() -> None:
    posterior = [[0.6, 0.4], [0.9, 0.1]]
    tables = [np.eye(2), np.full((2, 2), 0.5)]
    view = consensus(posterior, tables)
    perfect = next_tasks(view, 2, "expected_error_reduction", worker="w0")
    assert perfect["task"].tolist() == ["t0", "t1"]
    assert perfect["expected_gain"].to_numpy() == pytest.approx([0.4, 0.1])
    guess = next_tasks(view, 2, "expected_error_reduction", worker="w1")
    assert guess["expected_gain"].to_numpy() == pytest.approx([0, 0])
    typical = next_tasks(view, 2, "expected_error_reduction")
    # table [[.75, .25], [.25, .75]]: 0.45 + 0.30 − 0.60 and nothing
    assert typical["expected_gain"].to_numpy() == pytest.approx([0.15, 0.0])
    with pytest.raises(DataError, match="'nobody' is not one of the 2"):
        next_tasks(view, 1, worker="nobody")


def test_the_typical_worker_is_weighted_by_answers() -> None:
    frame = pd.DataFrame(
        [("t0", "w0", "c0"), ("t1", "w0", "c1"), ("t1", "w1", "c0")],
        columns=["task", "worker", "label"],
    )
    tables = np.array([np.eye(2), np.full((2, 2), 0.5)])
    view = Consensus.of(consensus([[0.6, 0.4], [0.5, 0.5]], tables), frame)
    assert view.typical_table() == pytest.approx((2 * tables[0] + tables[1]) / 3)


def test_tasks_nobody_answered(agg) -> None:
    rows = next_tasks(agg, 203, unanswered=["new1", "new2", "new3"])
    new = rows[rows["task"].str.startswith("new")]
    assert len(new) == 3
    assert new["label"].isna().all()
    assert new["confidence"].to_numpy() == pytest.approx(agg.priors_.max())
    with pytest.raises(DataError, match="1 task that has a posterior already: 't0'"):
        next_tasks(agg, 1, unanswered=["t0", "new"])


def test_a_callable_strategy(agg) -> None:
    mine = next_tasks(agg, 10, lambda posterior: 1 - posterior.max(axis=1))
    pd.testing.assert_frame_equal(mine, next_tasks(agg, 10))
    with pytest.raises(ParameterError, match="strategy returned an array of shape"):
        next_tasks(agg, 10, lambda posterior: posterior)


def test_exclude_limit_and_costs(agg) -> None:
    first = next_tasks(agg, 10)
    second = next_tasks(agg, 10, exclude=[*first["task"], "no such task"])
    assert not set(first["task"]) & set(second["task"])
    counts = FRAME.groupby("task").size()
    more = pd.concat([FRAME, FRAME.head(1).assign(worker="extra")])
    fuller = DEEMAggregator().fit(more)
    with pytest.warns(DataWarning, match="199|200"):
        some = next_tasks(fuller, 300, per_task_limit=5, answers=more)
    assert FRAME["task"].iloc[0] not in set(some["task"])
    assert len(some) == len(counts) - 1
    dear = pd.Series(1.0, index=agg.probas_.index)
    dear[first["task"]] = 1e6
    assert not set(next_tasks(agg, 10, costs=dear)["task"]) & set(first["task"])
    scaled = next_tasks(agg, 10, costs=2.0)
    assert scaled["score"].to_numpy() == pytest.approx(first["score"] / 2)


def test_gold_is_settled_and_all_settled_is_an_empty_frame() -> None:
    known = TRUTH.iloc[:50]
    agg = DEEMAggregator().fit(FRAME, gold=known)
    rows = next_tasks(agg, 100)
    assert not set(rows["task"]) & set(known.index)
    everything = DEEMAggregator().fit(FRAME, gold=TRUTH)
    with pytest.warns(DataWarning, match="no tasks are left to ask: of 200 tasks all are settled"):
        rows = next_tasks(everything, 5)
    assert len(rows) == 0
    assert list(rows.columns) == ["task", "label", "confidence", "score", "expected_gain"]
    with pytest.warns(DataWarning, match="no pairs are left"):
        assert len(next_pairs(everything, 5)) == 0


def test_settled_is_a_threshold_on_the_entropy(agg) -> None:
    entropy = criteria.entropy(agg.probas_.to_numpy())
    limit = float(np.median(entropy))
    with pytest.warns(DataWarning, match="are left"):
        rows = next_tasks(agg, 200, settled=limit)
    assert set(rows["task"]) == set(agg.probas_.index[entropy > limit])


def test_ties_go_by_what_an_answer_tells_for_its_cost() -> None:
    view = consensus(np.array([[0.95, 0.05], [0.92, 0.08]]), np.array([[[0.7, 0.3], [0.3, 0.7]]]))
    costs = {"t0": 1.0, "t1": 100.0}
    rows = next_tasks(view, 1, "expected_error_reduction", costs=costs)
    assert (rows["task"][0], rows["score"][0]) == ("t0", 0.0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 45), st.integers(0, 99))
def test_the_first_of_a_ranking_are_those_of_the_whole(scores, n, seed) -> None:
    score = np.array(scores, dtype=float)
    keys = ranking.keys_of(score, score % 2, np.random.default_rng(seed))
    assert ranking.first(keys, n).tolist() == np.lexsort(keys)[:n].tolist()


def test_deem_with_its_answers() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=100)
    predictions = np.where(
        rng.random((100, 6)) < 0.7, truth[:, None], rng.integers(3, size=(100, 6))
    )
    model = DEEM().fit(predictions)
    rows = next_tasks(model, 10, answers=predictions)
    proba = model.predict_proba(predictions).max(axis=1)
    assert rows["confidence"].to_numpy() == pytest.approx(np.sort(proba)[:10])
    assert rows["label"].tolist() == model.predict(predictions)[rows["task"]].tolist()
    pd.testing.assert_frame_equal(next_tasks(model, 10), rows)  # it has them itself


def test_crowdkit_aggregators_and_frames() -> None:
    from crowdkit.aggregation import DawidSkene, MajorityVote

    ds = DawidSkene(n_iter=20).fit(FRAME)
    rows = next_tasks(ds, 5, "expected_error_reduction", answers=FRAME)
    assert (rows["expected_gain"] >= 0).all()
    vote = MajorityVote().fit(FRAME)
    bare = next_tasks(vote.probas_, 5)
    assert bare["expected_gain"].isna().all()
    with pytest.raises(
        ParameterError, match="there are none: pass a fitted aggregator with errors_"
    ):
        next_tasks(vote.probas_, 5, "expected_information")


def test_tables_may_be_any_array() -> None:
    tables = np.array([[[0.9, 0.2], [0.1, 0.8]], [[0.6, 0.3], [0.4, 0.7]]])
    known = consensus([[0.6, 0.4], [0.8, 0.2], [0.5, 0.5]], tables)
    listed = replace(known, errors=tables.astype(np.float32).tolist())
    columns = ["task", "worker", "score", "expected_gain"]
    found, expected = (next_pairs(one, 3, random_state=0)[columns] for one in (listed, known))
    pd.testing.assert_frame_equal(found, expected, atol=1e-6)


def test_a_loaded_model_decides_as_before(agg, tmp_path) -> None:
    agg.save(tmp_path / "m.safetensors")
    loaded = DEEMAggregator.load(tmp_path / "m.safetensors")
    pd.testing.assert_frame_equal(next_tasks(loaded, 9, answers=FRAME), next_tasks(agg, 9))
    columns = ["task", "label", "confidence", "score"]
    pd.testing.assert_frame_equal(next_tasks(loaded, 9)[columns], next_tasks(agg, 9)[columns])
    for arguments, message in (
        ({"per_task_limit": 3}, "per_task_limit needs the answers, which are not there"),
        ({"strategy": "least_confidence_per_answer"}, "needs the answers"),
    ):
        with pytest.raises(ParameterError, match=message):
            next_tasks(loaded, 5, **arguments)
    predictions = np.random.default_rng(0).integers(2, size=(30, 4))
    DEEM().fit(predictions).save(tmp_path / "d.safetensors")
    model = DEEM.load(tmp_path / "d.safetensors")
    with pytest.raises(ParameterError, match="this DEEM does not have its answers"):
        next_tasks(model, 5)
    assert len(next_tasks(model, 5, answers=predictions)) == 5


def test_known_labels_of_a_deem_are_settled() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=60)
    predictions = np.where(rng.random((60, 5)) < 0.7, truth[:, None], 1 - truth[:, None])
    known = np.where(np.arange(60) < 20, truth, -1)
    model = DEEM().fit(predictions, gold=known)
    with pytest.warns(DataWarning, match="100 tasks were asked for, 40 are left"):
        rows = next_tasks(model, 100)
    assert rows["task"].min() == 20


def test_no_answers_at_all() -> None:
    empty = DEEMAggregator().fit(FRAME[:0])
    for strategy in STRATEGIES:
        with pytest.warns(DataWarning, match="there are no answers yet to rank tasks by"):
            assert next_tasks(empty, 5, strategy).empty
    with pytest.warns(DataWarning, match="there are no answers yet to rank tasks by"):
        assert next_pairs(empty, 5).empty


def test_one_worker() -> None:
    alone = FRAME.drop_duplicates("task").assign(worker="only")
    agg = DEEMAggregator().fit(alone)
    assert len(next_tasks(agg, 3, "expected_error_reduction")) == 3
    with pytest.warns(DataWarning, match="no pairs are left"):
        assert len(next_pairs(agg, 3, answers=alone)) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ParameterError, "n must be a whole number of at least 1, not 0"),
        ({"n": 2.5}, ParameterError, "n must be a whole number"),
        ({"strategy": "margins"}, ParameterError, "strategy 'margins' is not known"),
        ({"per_task_limit": 0}, ParameterError, "per_task_limit must be a whole number"),
        ({"costs": {"t0": 1.0}}, DataError, "costs are missing for 199 of 200 tasks: 't1'"),
        ({"costs": -1.0}, DataError, "costs of 200 tasks are not above 0"),
        ({"costs": "a lot"}, DataError, "costs is a str; pass a number"),
        ({"costs": pd.Series(0.0, index=TRUTH.index)}, DataError, "not above 0"),
        ({"settled": -1}, ParameterError, "settled must be a number of at least 0"),
        ({"features": np.zeros((3, 2))}, FormError, "features have shape"),
        ({"features": np.full((200, 2), np.nan)}, DataError, "of 200 tasks are missing or infinite"),
        ({"features": pd.DataFrame({"x": [1.0]}, index=["t0"])}, DataError, "no row for 199 of 200"),
        ({"features": np.zeros((200, 1)), "diversify": "k"}, ParameterError, "must be 'k-center'"),
    ],
)  # fmt: skip
def test_bad_arguments(agg, arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        next_tasks(agg, **{"n": 5, **arguments})


def test_bad_sources(agg) -> None:
    with pytest.raises(NotFittedError, match="this DEEMAggregator is not fitted yet"):
        next_tasks(DEEMAggregator(), 5)
    with pytest.raises(NotFittedError, match="this DEEM is not fitted yet"):
        next_tasks(DEEM(), 5)
    with pytest.raises(FormError, match="a list holds no posterior"):
        next_tasks([0.5, 0.5], 5)
    with pytest.raises(DataError, match="1 row that is no distribution"):
        next_tasks(pd.DataFrame([[0.5, 0.5], [0.9, 0.9]]), 5)
    strange = FRAME.assign(task="elsewhere")
    with pytest.raises(DataError, match="answers name 1 task that the model was not fitted to"):
        next_tasks(agg, 5, answers=strange.drop_duplicates("worker"))
    with pytest.raises(ParameterError, match="strategy must be one of"):
        next_pairs(agg, 5, "margin")


def test_more_than_there_is(agg) -> None:
    with pytest.warns(DataWarning, match="1000 tasks were asked for, 200 are left"):
        assert len(next_tasks(agg, 1000)) == 200


def test_the_expected_gain_allows_for_answers_that_err_together() -> None:
    """Where everybody guesses on three tasks of ten, it is near what more answers do: without allowance four times."""
    rng = np.random.default_rng(41)
    n, workers, given = 2000, 20, 4
    truth, hard = rng.integers(0, 3, n), rng.random(n) < 0.3
    skill, who = rng.uniform(0.75, 0.95, workers), np.argsort(rng.random((n, workers)), axis=1)

    def answers(task, worker) -> pd.DataFrame:
        right = rng.random(len(task)) < np.where(hard[task], 1 / 3, skill[worker])
        wrong = (truth[task] + rng.integers(1, 3, len(task))) % 3
        label = np.where(right, truth[task], wrong)
        return pd.DataFrame({"task": task, "worker": worker, "label": label})

    def n_right(model) -> int:
        return int((model.labels_.reindex(range(n)).to_numpy() == truth).sum())

    first = answers(np.repeat(np.arange(n), given), who[:, :given].ravel())
    before = DEEMAggregator().fit(first)
    rows = next_tasks(before, 400)
    task = rows["task"].to_numpy()
    after = DEEMAggregator().fit(pd.concat([first, answers(task, who[task, given])]))
    gain = n_right(after) - n_right(before)
    assert gain / 2 < rows["expected_gain"].sum() < 2 * gain


@given(st.integers(0, 30), st.floats(0, 1))
def test_another_answer_counts_for_what_it_adds_to_the_independent_ones(m, rho) -> None:
    """So many answers to one task are worth n_eff; the next one adds the difference, and the first is worth 1."""
    given_ = Given(*np.zeros((3, m), dtype=np.int64))
    view = replace(consensus(np.array([[0.5, 0.5]])), answers=given_)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "correlation", lambda *_: rho)
        found = together.another_answer(view)
    worth = [k / (1 + (k - 1) * rho) if k else 0.0 for k in (m, m + 1)]
    assert found == pytest.approx([worth[1] - worth[0]], abs=1e-9)

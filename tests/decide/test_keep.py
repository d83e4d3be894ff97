"""reliable and coverage_curve."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from crowds import consensus, crowd
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.exceptions import NotFittedError

from deem_crowd import Answers, DataError, DEEMAggregator, ParameterError
from deem_crowd.decide import Consensus, coverage_curve, reliable
from deem_crowd.decide.consensus import Given
from deem_crowd.decide.together import correlation
from deem_crowd.model.calibration import within_task_correlation
from deem_crowd.model.design import DesignMatrix


def view_of(p):
    return consensus(np.column_stack([p, 1 - np.asarray(p)]))


@given(st.lists(st.floats(0.5, 1.0), min_size=1, max_size=12), st.floats(0.55, 0.99))
def test_the_largest_set_by_trying_all_sizes(p, precision) -> None:
    """Of all sets of a size the surest tasks have the highest mean, so trying sizes tries all sets."""
    kept = reliable(view_of(p), precision)
    best = sorted(p, reverse=True)
    sizes = [m for m in range(1, len(p) + 1) if np.mean(best[:m]) >= precision]
    close = [m for m in range(1, len(p) + 1) if abs(np.mean(best[:m]) - precision) < 1e-9]
    if not close:
        assert len(kept.labels) == max(sizes, default=0)
        assert kept.coverage == len(kept.labels) / len(p)
    if len(kept.labels):
        assert kept.lower_bound <= kept.expected_precision
        assert kept.threshold == kept.confidence.min()


def test_the_lower_bound_holds_where_the_posterior_is_right() -> None:
    """Tasks right with the very chance stated: the bound at 90 % fails in at most 10 % of draws, and 4 s.e."""
    rng = np.random.default_rng(0)
    p = rng.beta(8, 2, size=300).clip(0.5)
    kept = reliable(view_of(p), 0.85, confidence=0.9)
    held = [
        (rng.random(len(kept.confidence)) < kept.confidence.to_numpy()).mean() >= kept.lower_bound
        for _ in range(2000)
    ]
    assert np.mean(held) >= 0.9 - 4 * np.sqrt(0.09 / 2000)


def test_gold_corrects_an_overconfident_posterior() -> None:
    """Everything is said to be 99 % sure and 80 % of it is right: nothing may be kept at 95 %."""
    rng = np.random.default_rng(1)
    view = view_of(np.full(1000, 0.99))
    truth = pd.Series(np.where(rng.random(1000) < 0.8, "c0", "c1"), index=view.tasks)
    assert reliable(view, 0.95).coverage == 1
    assert reliable(view, 0.95, gold=truth.iloc[:300]).coverage == 0
    kept = reliable(view, 0.7, gold=truth.iloc[:300])
    assert kept.coverage == 1
    right = int((truth.iloc[:300] == "c0").sum())
    exact = stats.binomtest(right, 300, alternative="greater").proportion_ci(0.95).low
    assert kept.lower_bound == pytest.approx(exact)


def test_gold_bound_holds() -> None:
    """Falsely kept sets (true precision below the target) come in at most 10 % of draws, and 4 s.e."""
    rng = np.random.default_rng(2)
    p = np.sort(rng.uniform(0.5, 1, 400))[::-1]
    true = np.clip(p - 0.1, 0, 1)  # overconfident by ten points
    view = view_of(p)
    wrong = 0
    for _ in range(200):
        gold = pd.Series(np.where(rng.random(400) < true, "c0", "c1"), index=view.tasks)
        sample = gold.iloc[rng.choice(400, 150, replace=False)]
        kept = reliable(view, 0.8, confidence=0.9, gold=sample)
        size = len(kept.labels)
        wrong += size > 0 and true[:size].mean() < 0.8
    assert wrong / 200 <= 0.1 + 4 * np.sqrt(0.09 / 200)


def test_with_gold_the_members_order_the_tasks() -> None:
    """A posterior that is the same for all, and members that know which labels are right."""
    rng = np.random.default_rng(3)
    view = view_of(np.full(600, 0.9))
    right = rng.random(600) < 0.7
    truth = pd.Series(np.where(right, "c0", "c1"), index=view.tasks)
    knowing = np.where(right, 0.8, 0.6) + rng.uniform(0, 0.01, 600)
    view.__dict__["evidence"] = np.column_stack([knowing, 1 - knowing])
    kept = reliable(view, 0.95, gold=truth.iloc[::2])
    assert kept.coverage == pytest.approx(right.mean(), abs=0.1)
    assert (kept.labels == truth[kept.labels.index]).mean() >= 0.95
    bare = view_of(np.full(600, 0.9))
    assert reliable(bare, 0.95, gold=truth.iloc[::2]).coverage == 0


def test_a_set_counts_from_as_many_gold_tasks_as_can_show_the_precision() -> None:
    """At 95 % that takes log 0.05 / log 0.95 = 58.4 tasks, all right; after a failure nothing more is looked at."""
    view = view_of(np.linspace(0.99, 0.9, 1000))
    truth = pd.Series("c0", index=view.tasks)
    assert reliable(view, 0.95, gold=truth.iloc[:58]).coverage == 0
    assert reliable(view, 0.95, gold=truth.iloc[:59]).coverage == 1
    wrong = truth.where(np.arange(1000) >= 10, "c1")
    assert reliable(view, 0.95, gold=wrong).coverage == 0
    assert (wrong == "c0").mean() == 0.99
    few = truth.where(np.arange(1000) >= 3, "c1")  # three mistakes among the surest end nothing
    assert reliable(view, 0.95, gold=few).coverage == 1


def test_curve() -> None:
    frame, truth = crowd(n=150, seed=5)
    agg = DEEMAggregator().fit(frame)
    curve = coverage_curve(agg, truth)
    assert list(curve.columns) == [
        "coverage", "threshold", "expected_precision", "lower_bound", "precision",
    ]  # fmt: skip
    assert curve["coverage"].iloc[-1] == 1
    assert curve["expected_precision"].is_monotonic_decreasing
    assert curve["precision"].iloc[-1] == pytest.approx((agg.labels_ == truth).mean())
    assert (curve["lower_bound"] <= curve["expected_precision"]).all()
    kept = reliable(agg, 0.9)
    row = curve.iloc[len(kept.labels) - 1]
    assert kept.expected_precision == pytest.approx(row["expected_precision"])
    assert kept.labels.equals(agg.labels_[kept.labels.index])
    half = coverage_curve(agg, truth.iloc[75:])
    first = half["precision"].first_valid_index()
    assert half["precision"][first:].notna().all()


def test_votes_lower_the_bound_of_an_overconfident_model() -> None:
    """100 tasks, 3 of 4 answers give the label, and a model that is 99 % sure: the bound is that of (3 + ½) / 5."""
    frame = pd.DataFrame(
        [(f"t{t}", f"w{w}", "c0" if w else "c1") for t in range(100) for w in range(4)],
        columns=["task", "worker", "label"],
    )
    bare = view_of(np.full(100, 0.99))
    view = Consensus.of(bare, frame)
    kept = reliable(view, 0.95)
    assert kept.coverage == 1
    assert kept.expected_precision == pytest.approx(0.99)
    deviation = stats.norm.ppf(0.95) * np.sqrt(0.7 * 0.3 / 100) + 0.005
    assert deviation < np.sqrt(np.log(20) / 200)  # Hoeffding's is the wider one here
    assert kept.lower_bound == pytest.approx(0.7 - deviation)
    assert kept.lower_bound < reliable(bare, 0.95).lower_bound
    known = Consensus.of(view_of(np.ones(100)), frame)  # labels that are known need no votes
    assert reliable(known, 0.95).lower_bound == pytest.approx(1 - 0.005)


def shared_answers(n=400, workers=6, follow=0.6, seed=0):
    """Return answers of which a share repeats what the task suggests to everybody, right in 75 %, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=n)
    suggested = np.where(rng.random(n) < 0.75, truth, 1 - truth)
    own = np.where(rng.random((n, workers)) < 0.75, truth[:, None], 1 - truth[:, None])
    said = np.where(rng.random((n, workers)) < follow, suggested[:, None], own)
    rows = [(f"t{t}", f"w{w}", f"c{said[t, w]}") for t in range(n) for w in range(workers)]
    return pd.DataFrame(rows, columns=["task", "worker", "label"]), truth


def test_the_correlation_of_answers_by_another_implementation() -> None:
    """Under the truth it is follow² of the pairs; under a posterior, what the engine's own function says."""
    frame, truth = shared_answers(n=3000, seed=1)
    known = Consensus.of(view_of(1.0 - truth), frame)
    assert correlation(known) == pytest.approx(0.6**2, abs=0.03)
    posterior = np.random.default_rng(2).dirichlet(np.ones(2), 3000)
    view = Consensus.of(consensus(posterior), frame)
    given = view.answers
    counts = np.zeros((6, 2, 2))
    np.add.at(counts, (given.worker, given.label), posterior[given.task])
    mean = counts.sum(axis=0) / counts.sum(axis=(0, 1))
    tables = (counts + mean) / (counts.sum(axis=1, keepdims=True) + 1)
    engine = within_task_correlation(
        DesignMatrix(Answers.from_frame(frame), torch.device("cpu"), torch.float64),
        torch.tensor(posterior),
        torch.tensor(tables),
    )
    assert engine > 0.05
    assert correlation(view) == pytest.approx(engine, abs=1e-9)
    third = correlation(view, len(given.task) * 2 // 3)  # of a third of the tasks
    assert third != correlation(view)
    assert third == pytest.approx(engine, abs=0.03)


@pytest.mark.parametrize("period", [1, 4, 10])
def test_part_of_the_tasks_tells_the_correlation_of_all(period) -> None:
    """Also where workers gave few answers, of which the part holds fewer, and where the order of tasks has a period."""
    rng = np.random.default_rng(5)
    n, k, workers, each = 6000, 2, 1200, 5
    easy = np.arange(n) % period > 0 if period > 1 else rng.random(n) < 0.7
    truth = rng.integers(k, size=n)
    task, worker = np.repeat(np.arange(n), each), rng.integers(workers, size=n * each)
    right = rng.random(n * each) < np.where(easy[task], 0.9, 0.5)
    answers = Given(task, worker, np.where(right, truth[task], 1 - truth[task]))
    view = dataclasses.replace(consensus(np.eye(k)[truth]), answers=answers)
    whole = correlation(view)
    assert whole > 0.03
    assert correlation(view, n * each * k // 4) == pytest.approx(whole, rel=0.15)
    assert correlation(view, n * each * k // 10) == pytest.approx(whole, rel=0.25)


def test_answers_that_err_together_lower_the_bound() -> None:
    """With weight 1 − (1 − √ρ)² the answers to a task count as one."""
    frame, truth = shared_answers()
    sure = Consensus.of(view_of(1.0 - truth), frame)
    doubt = dataclasses.replace(sure, posterior=np.clip(sure.posterior, 0.01, 0.99))
    rho = correlation(doubt)
    assert 0.2 < rho < 0.4
    given = doubt.answers
    votes = np.bincount(given.task, given.label == truth[given.task])
    apart = (1 - np.sqrt(rho)) ** 2
    support = apart * (votes + 1 / 2) / 7 + (1 - apart) * (votes / 6 + 1 / 2) / 2
    deviation = stats.norm.ppf(0.95) * np.sqrt((support * (1 - support)).sum()) / 400 + 0.5 / 400
    expected = support.mean() - min(deviation, np.sqrt(np.log(20) / 800))
    assert reliable(doubt, 0.95).lower_bound == pytest.approx(expected)


def test_the_bound_of_independent_answers_holds() -> None:
    """Answers drawn as the model has it: the precision is above the bound in each of 20 draws."""
    for seed in range(20):
        frame, truth = crowd(n=120, per_task=5, seed=seed, low=0.6)
        kept = reliable(DEEMAggregator(auto_hyperparameters=False).fit(frame), 0.9)
        assert len(kept.labels) > 20
        assert (kept.labels == truth[kept.labels.index]).mean() >= kept.lower_bound


def test_neighbours_sharpen_and_noise_does_not() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=400)
    p = np.where(truth == 0, 0.75, 0.25)
    view = view_of(p)
    telling = np.column_stack([truth * 10.0, np.zeros(400)]) + rng.normal(size=(400, 2))
    plain = coverage_curve(view)["expected_precision"].iloc[-1]
    sharp = coverage_curve(view, features=telling)["expected_precision"].iloc[-1]
    noise = coverage_curve(view, features=rng.normal(size=(400, 2)))["expected_precision"].iloc[-1]
    assert plain == pytest.approx(0.75)
    # ten neighbours and one at the mean: 0.75 · (10 · 0.75 + 0.5) / 11 against 0.25 · (10 · 0.25 + 0.5) / 11
    assert sharp == pytest.approx(0.75 * 8 / (0.75 * 8 + 0.25 * 3), abs=0.01)
    assert abs(noise - plain) < 0.002


def test_features_that_say_nothing_keep_no_further_label() -> None:
    """Ten random neighbours agree by chance, which once took labels in that did not belong there."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        view = view_of(rng.uniform(0.5, 1.0, 400))
        plain = reliable(view, 0.85)
        noise = reliable(view, 0.85, features=rng.normal(size=(400, 3)))
        assert noise.coverage == pytest.approx(plain.coverage, abs=0.02)
        assert len(plain.labels.index.symmetric_difference(noise.labels.index)) < 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": 1.5}, "precision must be a number between 0 and 1, not 1.5"),
        ({"confidence": 0}, "confidence must be"),
        ({"features": np.zeros((2, 1)), "n_neighbours": 0}, "n_neighbours must be"),
    ],
)
def test_bad_arguments(arguments, message) -> None:
    with pytest.raises(ParameterError, match=message):
        reliable(view_of([0.9, 0.8]), **arguments)


def test_gold_of_other_tasks_is_bad_data() -> None:
    with pytest.raises(DataError, match=r"gold names no task that has a label here\."):
        reliable(view_of([0.9, 0.8]), gold={})


def test_nothing_reaches_the_precision() -> None:
    kept = reliable(view_of([0.6, 0.6]), 0.95)
    assert kept.coverage == 0
    assert kept.labels.empty
    assert np.isnan(kept.lower_bound)


def test_one_worker_known_labels_and_no_answers() -> None:
    frame, truth = crowd(n=40, d=1, per_task=1, seed=6)
    alone = DEEMAggregator().fit(frame)
    assert len(coverage_curve(alone)) == 40
    # nobody to compare with: each label is as likely as any other
    assert reliable(alone, 0.5).labels.empty
    assert len(reliable(alone, 0.3).labels) == 40
    known = DEEMAggregator().fit(frame, gold=truth)
    kept = reliable(known, 0.999)
    assert kept.labels.to_dict() == truth.to_dict()
    assert kept.expected_precision == 1
    nothing = DEEMAggregator().fit(frame[:0])
    assert reliable(nothing, 0.9).labels.empty
    assert coverage_curve(nothing).empty


def test_a_model_that_is_not_fitted_and_one_from_a_file(tmp_path) -> None:
    for call in (reliable, coverage_curve):
        with pytest.raises(NotFittedError, match="call fit first"):
            call(DEEMAggregator())
    frame, _ = crowd(n=60, seed=7)
    agg = DEEMAggregator().fit(frame)
    agg.save(tmp_path / "m.safetensors")
    loaded = DEEMAggregator.load(tmp_path / "m.safetensors")
    same = coverage_curve(loaded, answers=frame)
    pd.testing.assert_frame_equal(same, coverage_curve(agg))
    bare = coverage_curve(loaded)  # without the answers there are no votes to lower the bound
    assert (bare["lower_bound"] >= same["lower_bound"]).all()
    assert bare["expected_precision"].equals(same["expected_precision"])

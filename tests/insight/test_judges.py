"""Judges against gold: definitions by scikit-learn, prevalence by simulation and by a peer library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from deem_crowd import DEEM, DataError, DEEMAggregator, ParameterError, judge_report
from deem_crowd.insight.judges import independent_errors, prediction_powered_mean
from deem_crowd.insight.results import results_of

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")


def judges(n: int, d: int = 4, share: float = 0.3, skill: float = 0.75, seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < share).astype(int)
    # each judge says 1 too often, so that the labels' prevalence is biased
    right = rng.random((n, d)) < np.where(truth[:, None] == 1, 0.95, skill)
    return np.where(right, truth[:, None], 1 - truth[:, None]), truth


def test_scores_are_those_of_scikit_learn() -> None:
    matrix, truth = judges(400)
    matrix = np.where(np.random.default_rng(1).random(matrix.shape) < 0.2, -1, matrix)
    model = DEEM(n_classes=2).fit(matrix)
    gold = np.where(np.arange(400) < 150, truth, -1)
    report = judge_report(model, gold)
    labels = model.predict(matrix)
    rated = (gold >= 0) & (labels >= 0)
    assert report.n_gold == rated.sum()
    assert (report.confusion.to_numpy() == confusion_matrix(truth[rated], labels[rated]).T).all()
    assert (report.confusion.index.name, report.confusion.columns.name) == ("answer", "label")
    assert report.consensus["accuracy"] == pytest.approx((labels == truth)[rated].mean())
    assert report.consensus["kappa"] == pytest.approx(
        cohen_kappa_score(truth[rated], labels[rated])
    )
    for i in range(4):
        mine = rated & (matrix[:, i] >= 0)
        row = report.sources.loc[i]
        assert row["gold_answers"] == mine.sum()
        assert row["accuracy"] == pytest.approx((matrix[mine, i] == truth[mine]).mean())
        assert row["kappa"] == pytest.approx(cohen_kappa_score(truth[mine], matrix[mine, i]))
        table = confusion_matrix(truth[mine], matrix[mine, i]).T
        assert (report.source_confusion.loc[i].to_numpy() == table).all()
        assert row["low"] < row["accuracy"] < row["high"]
    assert "right" in repr(report)


def test_corrected_shares_sum_to_one_and_cover_the_truth() -> None:
    hits, errors, raw = 0, [], []
    for seed in range(60):
        matrix, truth = judges(1000, seed=seed)
        model = DEEM(auto_hyperparameters=False).fit(matrix)
        gold = np.where(np.arange(1000) < 120, truth, -1)
        table = judge_report(model, gold).prevalence
        assert table["corrected"].sum() == pytest.approx(1)
        row = table.loc[1]
        hits += row["low"] <= 0.3 <= row["high"]
        errors.append(row["corrected"] - 0.3)
        raw.append(row["gold"] - 0.3)
    assert hits >= 51  # 57 of 60 are expected
    assert np.abs(np.mean(errors)) < 0.01
    assert np.std(errors) < np.std(raw)  # the labels add something to gold alone


@pytest.mark.parametrize("n_gold", [10, 30])
def test_the_share_of_a_class_that_gold_does_not_have_is_covered(n_gold) -> None:
    """Of a class of 4 % few tasks with gold often have none: that there are none at all does not follow."""
    hits = []
    for seed in range(4):
        matrix, truth = judges(1500, share=0.04, seed=seed)
        model, rng = DEEM(auto_hyperparameters=False).fit(matrix), np.random.default_rng(seed)
        for _ in range(25):
            gold = np.full(1500, -1)
            some = rng.choice(1500, n_gold, replace=False)
            gold[some] = truth[some]
            row = judge_report(model, gold).prevalence.loc[1]
            hits.append(row["low"] <= truth.mean() <= row["high"])
    assert (
        np.mean(hits) > 0.9
    )  # 0.95, less three standard errors of a hundred draws within four sets


def test_corrected_shares_are_shares() -> None:
    """Of a class that gold never has and answers rarely name, the estimate itself is below 0."""
    matrix, truth = judges(300)
    matrix[np.random.default_rng(2).random(matrix.shape) < 0.06] = 2
    report = judge_report(DEEM(n_classes=3).fit(matrix), np.where(np.arange(300) < 60, truth, -1))
    table = report.prevalence
    assert (table["corrected"] >= 0).all()
    assert table["corrected"].sum() == pytest.approx(1)
    assert (table["low"] <= table["corrected"]).all()
    assert (table["corrected"] <= table["high"]).all()


def test_a_biased_panel_is_corrected() -> None:
    # judges that all say 1 to half of the zeros: the labels are wrong together, and no model can see it
    rng = np.random.default_rng(0)
    truth = (rng.random(2000) < 0.3).astype(int)
    shared = np.where((truth == 0) & (rng.random(2000) < 0.5), 1, truth)
    matrix = np.where(rng.random((2000, 5)) < 0.95, shared[:, None], 1 - shared[:, None])
    gold = np.where(np.arange(2000) < 300, truth, -1)
    report = judge_report(DEEM().fit(matrix), gold)
    row = report.prevalence.loc[1]
    assert row["consensus"] > 0.55
    assert row["low"] <= 0.3 <= row["high"]
    assert report.effective_sources < 2  # five judges that err together


def test_independent_errors_count_every_source() -> None:
    matrix, truth = judges(3000, 6)
    rng = np.random.default_rng(1)
    matrix = np.where(rng.random(matrix.shape) < 0.8, truth[:, None], 1 - truth[:, None])
    assert judge_report(DEEM().fit(matrix), truth).effective_sources == pytest.approx(6, abs=0.5)
    copied = np.column_stack([matrix[:, :1]] * 4)
    assert judge_report(DEEM().fit(copied), truth).effective_sources == pytest.approx(1)


@pytest.mark.parametrize(("n_gold", "d"), [(10, 8), (30, 8), (100, 8), (30, 40)])
def test_errors_that_are_independent_are_worth_all_sources(n_gold, d) -> None:
    """Errors on gold correlate by chance, up as often as down: half of the draws find no fewer than there are."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.integers(3, size=n_gold)
        right = rng.random((n_gold, d)) < rng.uniform(0.5, 0.9, d)
        matrix = np.where(
            right, truth[:, None], (truth[:, None] + rng.integers(1, 3, (n_gold, d))) % 3
        )
        results = results_of(DEEM(n_classes=3, auto_hyperparameters=False).fit(matrix))
        found.append(independent_errors(results, truth))
    assert np.median(found) > 0.9 * d
    assert max(found) <= d


def test_errors_on_too_few_common_tasks_say_nothing_of_independence() -> None:
    matrix, truth = judges(200, 6)
    gold = np.where(np.arange(200) < 9, truth, -1)
    report = judge_report(DEEM().fit(matrix), gold)
    assert np.isnan(report.effective_sources)
    assert "nan" not in repr(report)


def test_prediction_powered_mean_is_that_of_the_library() -> None:
    library = pytest.importorskip("ppi_py")
    rng = np.random.default_rng(3)
    n, others = 200, 2000
    truth = (rng.random(n + others) < 0.4).astype(float)
    guess = np.clip(0.6 * truth + 0.3 * rng.random(n + others), 0, 1)
    known, on_known, elsewhere = truth[:n, None], guess[:n, None], guess[n:, None]
    mean, error = prediction_powered_mean(known, on_known, elsewhere)
    expected = library.ppi_mean_pointestimate(known, on_known, elsewhere)
    assert mean == pytest.approx(expected, abs=2e-3)
    low, high = library.ppi_mean_ci(known, on_known, elsewhere, alpha=0.05)
    assert 2 * 1.96 * error == pytest.approx(high - low, rel=0.02)


def test_useless_labels_leave_gold_alone() -> None:
    rng = np.random.default_rng(0)
    known = (rng.random((100, 1)) < 0.4).astype(float)
    mean, error = prediction_powered_mean(known, np.full((100, 1), 0.5), np.full((900, 1), 0.5))
    assert mean == pytest.approx(known.mean(axis=0))
    assert error == pytest.approx(known.std(axis=0, ddof=1) / 10)


def test_gold_that_fit_has_seen_is_left_out() -> None:
    matrix, truth = judges(300)
    task, worker = np.nonzero(matrix >= 0)
    df = pd.DataFrame({"task": task, "worker": worker, "label": matrix[task, worker]})
    gold = pd.Series(truth)
    agg = DEEMAggregator().fit(df, gold=gold[:100])
    with pytest.warns(UserWarning, match="the gold of 100 tasks was given to fit"):
        report = judge_report(agg, gold[:150])
    assert report.n_gold == 50
    with (
        pytest.raises(DataError, match="there are none"),
        pytest.warns(UserWarning, match="given to fit"),
    ):
        judge_report(agg, gold[:100])


def test_bad_input_says_why() -> None:
    matrix, truth = judges(50)
    model = DEEM().fit(matrix)
    with pytest.raises(DataError, match="gold"):
        judge_report(model, None)
    with pytest.raises(DataError, match="there is 1"):
        judge_report(model, np.where(np.arange(50) < 1, truth, -1))
    with pytest.raises(ParameterError, match="level"):
        judge_report(model, truth, level=2)

"""Agreement of a panel: coefficients against libraries and definitions, tables against pandas."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from deem_crowd import Answers, DataError, DataWarning, ParameterError
from deem_crowd.insight import coefficients
from deem_crowd.insight.agreement import agreement

matrices = st.integers(0, 2**32 - 1).map(lambda seed: _matrix(np.random.default_rng(seed)))


def _matrix(rng: np.random.Generator) -> np.ndarray:
    """Answers of some workers, −1 where there is none, with a truth behind them or none."""
    n, d, k = rng.integers(2, 30), rng.integers(2, 6), rng.integers(1, 5)
    truth = rng.integers(k, size=n)[:, None]
    answers = np.where(rng.random((n, d)) < rng.random(), truth, rng.integers(k, size=(n, d)))
    return np.where(rng.random((n, d)) < 0.3 * rng.random(), -1, answers)


def long(matrix: np.ndarray) -> pd.DataFrame:
    task, worker = np.nonzero(matrix >= 0)
    return pd.DataFrame({"task": task, "worker": worker, "label": matrix[task, worker]})


def has_pair(matrix: np.ndarray) -> bool:
    return bool(((matrix >= 0).sum(axis=1) >= 2).any())


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_alpha_is_that_of_the_library(matrix) -> None:
    library = pytest.importorskip("krippendorff")
    rated = matrix[(matrix >= 0).sum(axis=1) >= 2]
    used = np.unique(rated[rated >= 0])
    if len(used) < 2:
        return
    result = agreement(long(matrix), n_resamples=0)
    data = np.where(matrix < 0, np.nan, matrix).T
    for level in ("nominal", "ordinal", "interval"):
        expected = library.alpha(reliability_data=data, level_of_measurement=level)
        assert getattr(result, f"alpha_{level}").value == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_fleiss_kappa_is_that_of_the_library(matrix) -> None:
    library = pytest.importorskip("statsmodels.stats.inter_rater")
    full = matrix[(matrix >= 0).all(axis=1)]
    if len(full) == 0 or len(np.unique(full)) < 2:
        return
    counts, _ = library.aggregate_raters(full)
    result = agreement(long(full), n_resamples=0)
    assert result.fleiss_kappa.value == pytest.approx(library.fleiss_kappa(counts), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_pairs_are_those_of_scikit_learn(matrix) -> None:
    if not has_pair(matrix):
        return
    table = agreement(long(matrix), n_resamples=0).pairs
    classes = np.unique(matrix[matrix >= 0])
    seen = 0
    for i in range(matrix.shape[1]):
        for j in range(i + 1, matrix.shape[1]):
            both = (matrix[:, i] >= 0) & (matrix[:, j] >= 0)
            if not both.any():
                continue
            seen += 1
            x, y = matrix[both, i], matrix[both, j]
            keys = {(i, j), (j, i)} & set(table.index)
            assert len(keys) == 1
            row = table.loc[keys.pop()]
            assert row["common"] == both.sum()
            assert row["observed"] == pytest.approx((x == y).mean())
            if len(np.unique(np.concatenate([x, y]))) > 1:
                assert row["kappa"] == pytest.approx(cohen_kappa_score(x, y), abs=1e-9)
                assert row["low"] <= row["kappa"] <= row["high"]
                weighted = cohen_kappa_score(x, y, labels=classes, weights="quadratic")
                assert row["weighted_kappa"] == pytest.approx(weighted, abs=1e-9)
            else:
                assert np.isnan(row["kappa"])
                assert np.isnan(row["weighted_kappa"])
    assert len(table) == seen


@settings(max_examples=40, deadline=None)
@given(matrices)
def test_disputed_tasks_by_pandas(matrix) -> None:
    if not has_pair(matrix):
        return
    df = long(matrix)
    table = agreement(df, n_resamples=0).disputed
    disputed = set()
    for task, labels in df.groupby("task")["label"]:
        share = labels.value_counts(normalize=True)
        if len(share) < 2:
            continue
        disputed.add(task)
        pairs = [x != y for i, x in enumerate(labels) for j, y in enumerate(labels) if i != j]
        assert table.loc[task, "disagreement"] == pytest.approx(np.mean(pairs))
        assert table.loc[task, "votes"] == pytest.approx(share.max())
        assert table.loc[task, "label"] in set(share.index[share == share.max()])
        assert table.loc[task, "answers"] == len(labels)
    assert set(table.index) == disputed
    assert table["disagreement"].is_monotonic_decreasing


def test_vote_patterns_lose_no_task() -> None:
    rng = np.random.default_rng(3)
    answers = Answers.from_frame(long(rng.integers(-1, 3, size=(400, 4))))
    patterns = coefficients.vote_patterns(answers)
    votes = coefficients.vote_counts(answers).toarray()
    votes = votes[votes.sum(axis=1) >= 2]
    expected = {tuple(row): int((votes == row).all(axis=1).sum()) for row in votes}
    rows = patterns.votes.toarray()
    assert {tuple(r): n for r, n in zip(rows, patterns.times, strict=True)} == expected


def test_the_interval_covers_what_it_should() -> None:
    # α of the population by the definition, on 200,000 tasks; intervals on samples of 100 from the same law
    rng = np.random.default_rng(0)

    def sample(n: int) -> pd.DataFrame:
        truth = rng.integers(2, size=n)[:, None]
        return long(np.where(rng.random((n, 3)) < 0.7, truth, rng.integers(2, size=(n, 3))))

    true = agreement(sample(200_000), n_resamples=0).alpha_nominal.value
    hits = 0
    for _ in range(100):
        interval = agreement(sample(100), n_resamples=200).alpha_nominal
        hits += interval.low <= true <= interval.high
    assert hits >= 85  # 95 expected; fewer than 85 has a chance below 1e-4


def test_groups_of_tasks_give_the_interval_that_single_tasks_give(monkeypatch) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(4, size=3_000)[:, None]
    df = long(np.where(rng.random((3_000, 8)) < 0.5, truth, rng.integers(4, size=(3_000, 8))))
    single = agreement(df, n_resamples=400).alpha_nominal
    monkeypatch.setattr(coefficients, "MAX_UNITS", 200)
    grouped = agreement(df, n_resamples=400).alpha_nominal
    assert grouped.value == single.value
    width = single.high - single.low
    assert grouped.high - grouped.low == pytest.approx(width, rel=0.25)


def test_an_order_is_taken_from_the_labels_or_from_the_caller() -> None:
    rng = np.random.default_rng(2)
    df = long(rng.integers(3, size=(50, 3)))
    words = df.assign(label=df["label"].map({0: "bad", 1: "fair", 2: "good"}))
    assert np.isfinite(agreement(df, n_resamples=0).alpha_ordinal.value)
    assert np.isnan(agreement(words, n_resamples=0).alpha_ordinal.value)
    ordered = words.assign(
        label=pd.Categorical(words["label"], ["bad", "fair", "good"], ordered=True)
    )
    same = agreement(ordered, n_resamples=0).alpha_ordinal.value
    assert same == agreement(df, n_resamples=0).alpha_ordinal.value
    assert np.isnan(agreement(ordered, n_resamples=0).alpha_interval.value)
    assert np.isnan(agreement(df, ordered=False, n_resamples=0).alpha_interval.value)
    with pytest.raises(
        DataError, match="ordered=True needs labels with an order, and these are names"
    ):
        agreement(words, ordered=True)  # in the alphabet they have another order


@pytest.mark.parametrize("written", ["{}", "{:.1f}", "{:+.0e}"])
def test_numbers_that_are_text_go_by_their_values(written, tmp_path) -> None:
    """As half points in a file are, which come back as they were written."""
    df = long(np.random.default_rng(2).integers(3, size=(50, 3)))
    numbers = df["label"].map({0: 5, 1: 20, 2: 100})
    expected = agreement(df.assign(label=numbers), n_resamples=20)
    text = df.assign(label=numbers.map(written.format))
    text.to_csv(tmp_path / "ratings.csv", index=False)
    for found in (
        agreement(text, n_resamples=20),
        agreement(text, ordered=True, n_resamples=20),
        agreement(tmp_path / "ratings.csv", n_resamples=20),
    ):
        for name in ("alpha_nominal", "alpha_ordinal", "alpha_interval", "fleiss_kappa"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12)
        weighted = found.pairs["weighted_kappa"].to_numpy()
        np.testing.assert_allclose(weighted, expected.pairs["weighted_kappa"].to_numpy())
    assert np.isnan(agreement(text, ordered=False, n_resamples=0).alpha_ordinal.value)


def test_the_example_that_krippendorff_computes() -> None:
    """Computing Krippendorff's Alpha-Reliability (2011), section D: four observers, twelve units."""
    nan = np.nan
    said = pd.DataFrame(
        {
            "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
            "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
            "C": [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
            "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
        }
    )
    found = agreement(said.rename_axis(index="task", columns="worker"), n_resamples=50)
    assert found.alpha_nominal.value == pytest.approx(0.743, abs=5e-4)
    assert found.alpha_ordinal.value == pytest.approx(0.815, abs=5e-4)
    assert found.alpha_interval.value == pytest.approx(0.849, abs=5e-4)
    assert found.alpha_interval.low < found.alpha_interval.value < found.alpha_interval.high
    assert "interval" in repr(found)


@pytest.mark.parametrize("unit", [1e-9, 1e200])
def test_the_interval_alpha_does_not_depend_on_the_unit(unit: float) -> None:
    df = long(np.random.default_rng(2).integers(5, size=(50, 3)))
    expected = agreement(df, n_resamples=20).alpha_interval
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", DataWarning)  # they look like ratings
        found = agreement(df.assign(label=df["label"] * unit), ordered=True, n_resamples=20)
    assert found.alpha_interval == pytest.approx(expected, abs=1e-9)


def test_numbers_that_floats_cannot_tell_apart_have_no_distance() -> None:
    df = long(np.random.default_rng(2).integers(2, size=(50, 3)))
    found = agreement(df.assign(label=df["label"] + 2**60), n_resamples=20)
    assert found.alpha_ordinal == pytest.approx(agreement(df, n_resamples=20).alpha_ordinal)
    assert np.isnan(found.alpha_interval.value)


def test_an_endless_number_has_a_place_and_no_distance() -> None:
    df = long(np.random.default_rng(2).integers(4, size=(50, 3)))
    endless = df.assign(label=df["label"].astype(float).replace(3.0, np.inf))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = agreement(endless, n_resamples=20)
    assert found.alpha_ordinal == agreement(df, n_resamples=20).alpha_ordinal
    assert np.isnan(found.alpha_interval.value)


def test_numbers_in_a_column_of_objects_are_numbers() -> None:
    """As columns are that come from a database, or once held None."""
    df = long(np.random.default_rng(2).integers(4, size=(50, 3)))
    found = agreement(df.astype({"label": object}), ordered=True, n_resamples=20)
    assert repr(found) == repr(agreement(df, n_resamples=20))


def test_answers_that_are_all_the_same_define_no_coefficient() -> None:
    found = agreement(long(np.ones((9, 3), dtype=int)))
    assert np.isnan([found.alpha_nominal.value, found.fleiss_kappa.value]).all()
    assert "all answers are the same, so that no coefficient is defined" in repr(found)
    assert "same" not in repr(agreement(long(np.arange(9).reshape(3, 3) % 2)))


def test_weighted_kappa_is_there_where_classes_have_an_order() -> None:
    df = long(np.random.default_rng(3).integers(3, size=(50, 3)))
    assert "weighted_kappa" in agreement(df, n_resamples=0).pairs
    assert "weighted_kappa" not in agreement(df, ordered=False, n_resamples=0).pairs


def test_answers_come_in_any_form_and_columns_may_be_named(tmp_path) -> None:
    matrix = _matrix(np.random.default_rng(6))
    df = long(matrix)
    expected = agreement(df, n_resamples=0)
    names = {"task": "image", "worker": "reader", "label": "grade"}
    renamed = df.rename(columns=names)
    renamed.to_parquet(tmp_path / "grades.parquet")
    for data in (renamed, renamed.to_dict("records"), tmp_path / "grades.parquet"):
        found = agreement(data, **names, n_resamples=0)
        assert found.alpha_ordinal.value == expected.alpha_ordinal.value
    assert agreement(matrix, n_resamples=0).alpha_nominal.value == pytest.approx(
        expected.alpha_nominal.value
    )
    wide = df.pivot(index="task", columns="worker", values="label")
    assert agreement(wide, n_resamples=0).alpha_nominal.value == pytest.approx(
        expected.alpha_nominal.value
    )


def test_many_workers_leave_the_least_active_out_of_the_pairs() -> None:
    rng = np.random.default_rng(4)
    df = long(rng.integers(2, size=(40, 6)))
    df = df[(df["worker"] < 3) | (df["task"] < 10)]
    result = agreement(df, max_workers=3, n_resamples=0)
    assert result.left_out == 3
    assert set(result.pairs.index) == {(0, 1), (0, 2), (1, 2)} or len(result.pairs) == 3


def test_equal_seeds_give_equal_intervals_and_the_global_generator_is_left_alone() -> None:
    df = long(np.random.default_rng(5).integers(2, size=(40, 3)))
    np.random.seed(7)  # noqa: NPY002 (to see that it is neither read nor written)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = agreement(df, random_state=3), agreement(df, random_state=3)
    assert first.alpha_nominal == second.alpha_nominal
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_answers_that_cannot_be_compared_say_why() -> None:
    with pytest.raises(DataError, match="two answers"):
        agreement(pd.DataFrame({"task": [1, 2], "worker": [1, 1], "label": ["a", "b"]}))
    with pytest.raises(DataError, match="two answers"):
        agreement(pd.DataFrame({"task": [], "worker": [], "label": []}))
    soft = Answers.from_soft(np.full((2, 2, 2), 0.5))
    with pytest.raises(DataError, match="distributions"):
        agreement(soft)
    good = long(np.zeros((3, 2), dtype=int))
    for bad in ({"level": 1.0}, {"n_resamples": -1}, {"max_workers": 1}):
        with pytest.raises(ParameterError):
            agreement(good, **bad)


def test_one_class_alone_has_agreement_but_no_coefficient() -> None:
    result = agreement(long(np.zeros((5, 3), dtype=int)))
    assert np.isnan(result.alpha_nominal.value)
    assert np.isnan(result.fleiss_kappa.value)
    assert (result.pairs["observed"] == 1).all()
    assert len(result.disputed) == 0
    assert "pairs of workers" in repr(result)

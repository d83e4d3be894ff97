"""Regressions that leave out one fold each, fitted at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from deem_crowd.features import folds, logistic
from deem_crowd.features.learners import LogisticLearner, settled
from deem_crowd.features.neighbours import NeighbourLearner

N = 60


def drawn(seed, n_columns, k=3):
    """Return features on one scale, soft targets, and shares of the rows in four problems."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, n_columns)).astype(np.float32) * rng.uniform(0.1, 2, n_columns)
    targets = rng.dirichlet(np.full(k, 0.5), N)
    share = (np.arange(N) % 4 != np.arange(4)[:, None]) * rng.uniform(0.5, 1, N)
    return x.astype(np.float32), targets, share / share.sum(axis=1, keepdims=True)


@given(st.integers(0, 100), st.sampled_from([1, 5, 90]), st.sampled_from([1.0, 0.1, 1e-3]))
@settings(max_examples=12, deadline=None)
def test_each_is_the_regression_alone(seed, n_columns, ridge):
    x, targets, share = drawn(seed, n_columns)
    found = folds.fit(folds.Axes.of(x), targets, ridge, share, None)
    assert found.shape == (4, n_columns + 1, 3)

    def loss(coefficients, counts):
        log_p = logistic.log_softmax(x @ coefficients[:-1] + coefficients[-1])
        return -counts @ (targets * log_p).sum(1) + ridge / 2 * (coefficients[:-1] ** 2).sum()

    for coefficients, counts in zip(found, share, strict=True):
        alone = logistic.fit_soft(x, targets, ridge, counts)
        oracle = np.vstack([alone.weight, alone.intercept])
        # with hardly a penalty both end on a flat bottom
        assert loss(coefficients, counts) == pytest.approx(loss(oracle, counts), abs=1e-4)


@given(st.integers(0, 100), st.sampled_from([3, 90]))
@settings(max_examples=8, deadline=None)
def test_axes_lose_nothing(seed, n_columns):
    x, _, _ = drawn(seed, n_columns)
    axes = folds.Axes.of(x)
    assert axes.x.shape[1] <= min(N, n_columns)
    np.testing.assert_allclose(axes.back.T @ axes.back, np.eye(axes.x.shape[1]), atol=1e-3)
    np.testing.assert_allclose(axes.x @ axes.back.T, x, atol=1e-3)


def test_steps_that_begin_at_the_end_stay_there():
    x, targets, share = drawn(0, 5)
    axes = folds.Axes.of(x)
    end = folds.fit(axes, targets, 0.1, share, None)
    np.testing.assert_allclose(folds.fit(axes, targets, 0.1, share, end), end, atol=1e-3)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_folds_at_once_or_one_by_one_say_the_same(form, monkeypatch):
    x, targets, _ = drawn(1, 5)
    x -= x.mean(axis=0)  # sparse features are not centred
    fold, weights = np.arange(N) % 5, np.where(np.arange(N) < 4, 0.0, 1.0)
    at_once = settled(LogisticLearner(each=False), form(x), targets, weights, fold)
    monkeypatch.setattr(folds, "MOST_AT_ONCE", 0)
    one_by_one = settled(LogisticLearner(each=False), form(x), targets, weights, fold)
    np.testing.assert_allclose(at_once, one_by_one, atol=0.02)


@pytest.mark.parametrize("make", [LogisticLearner, NeighbourLearner])
def test_settings_are_gone_through_again(make, monkeypatch):
    x, targets, _ = drawn(2, 5)
    fold, weights = np.arange(N) % 5, np.ones(N)
    sharper = np.eye(3)[(x[:, 0] > 0).astype(int) + (x[:, 1] > 0)]
    first = make()
    told = [settled(first, x, each, weights, fold) for each in (targets, sharper)]
    again = first.again()
    monkeypatch.setattr("deem_crowd.features.settling.settled", None)  # chooses no more
    for each, before in zip((targets, sharper), told, strict=True):
        np.testing.assert_allclose(settled(again, x, each, weights, fold), before, atol=0.02)
    later = first.again(passed=1)
    np.testing.assert_allclose(settled(later, x, sharper, weights, fold), told[1], atol=0.02)
    steady = first.steady()
    for each in (targets, sharper):
        now = settled(steady, x, each, weights, fold)
    assert not np.allclose(now, told[1], atol=0.02)
    assert set(steady._chosen) == {first._chosen[0]}

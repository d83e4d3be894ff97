"""One accuracy, tasks of different difficulty, and the weight of a classifier's word."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deem_crowd.features import coin
from deem_crowd.features.logistic import log_softmax
from deem_crowd.features.scaling import Scaling


@settings(max_examples=15, deadline=None)
@given(st.floats(0.3, 0.95), st.floats(0.001, 0.5), st.integers(2, 4), st.integers(1, 4))
def test_chances_of_all_answers_sum_to_one(a, rho, k, m) -> None:
    counts = np.array(
        [np.bincount(given_, minlength=k) for given_ in itertools.product(range(k), repeat=m)]
    )
    found = coin.Coin(a, rho, Scaling.none(k)).log_likelihood(counts.astype(float))
    np.testing.assert_allclose(np.exp(found).sum(axis=0), 1, atol=1e-9)


def test_two_classes_are_scipys_beta_binomial() -> None:
    a, rho, m = 0.7, 0.1, 5
    right = np.arange(m + 1)
    counts = np.stack([right, m - right], axis=1).astype(float)
    found = coin.Coin(a, rho, Scaling.none(2)).log_likelihood(counts)[:, 0]
    choose = np.array([1, 5, 10, 10, 5, 1])
    expected = stats.betabinom(m, a * (1 - rho) / rho, (1 - a) * (1 - rho) / rho).pmf(right)
    np.testing.assert_allclose(np.exp(found) * choose, expected)


def drawn(a, rho, n=4_000, m=4, word=2.0):
    """Draw labels of two classes, counts of answers, and log-odds that are right to tell the label by."""
    rng = np.random.default_rng(0)
    logit = word * rng.normal(size=n)
    truth = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    chance = rng.beta(a * (1 - rho) / rho, (1 - a) * (1 - rho) / rho, n)
    right = rng.binomial(m, chance)
    counts = np.zeros((n, 2))
    counts[np.arange(n), truth] = right
    counts[np.arange(n), 1 - truth] = m - right
    return truth, counts, log_softmax(np.stack([np.zeros(n), logit], axis=1))


@pytest.mark.parametrize(("a", "rho"), [(0.65, 0.2), (0.65, 0.02)])
def test_accuracy_correlation_and_weight_are_found(a, rho) -> None:
    _, counts, log_q = drawn(a, rho)
    found = coin.fit(counts, log_q / 2)  # a word at half its weight
    assert found.accuracy == pytest.approx(a, abs=0.02)
    assert found.correlation == pytest.approx(rho, abs=0.03)
    assert found.scaling.weight == pytest.approx(2, abs=0.4)


def test_known_labels_pull() -> None:
    truth, counts, log_q = drawn(0.65, 0.1, n=300)
    blind = coin.fit(counts, log_q)
    known = np.where(np.arange(300) < 200, 1 - truth, -1)  # whatever the answers say
    assert coin.fit(counts, log_q, known).accuracy < blind.accuracy - 0.05


def test_held_numbers_stay() -> None:
    _, counts, log_q = drawn(0.65, 0.1, n=300)
    held = coin.Coin(0.8, 0.3, Scaling.none(2))
    found = coin.fit(counts, log_q, held=held)
    assert found.accuracy == pytest.approx(0.8)
    assert found.correlation == pytest.approx(0.3)


@pytest.mark.parametrize("share", [0.5, 0.03])
def test_a_timid_classifier_says_as_much_as_a_bold_one(share) -> None:
    """One that is penalised too much keeps the class shares and flattens the rest: its word has to be the same."""
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 600, p=[0.7, 0.2, 0.1])
    counts = np.eye(3)[np.where(rng.random(600) < 0.7, truth, rng.integers(0, 3, 600))]
    bold = log_softmax(np.log([0.7, 0.2, 0.1]) + rng.normal(size=(600, 3)) + np.eye(3)[truth])
    shares = np.log(np.exp(bold).mean(axis=0))
    timid = log_softmax(shares + share * (bold - shares))
    told = [np.exp(coin.fit(counts, log_q).scaling(log_q)) for log_q in (bold, timid)]
    np.testing.assert_allclose(told[1], told[0], atol=0.03)

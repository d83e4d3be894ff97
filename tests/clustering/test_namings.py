"""The search for namings: partitions that grow from a source, namings that are settled, and their mean."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln, factorial, gammaln
from sklearn.metrics import adjusted_rand_score

from deem_crowd.clustering import (
    AgreementClusters,
    ClusteringAggregator,
    align_sources,
    growing,
    naming,
    settling,
)
from deem_crowd.clustering.naming import centred
from deem_crowd.clustering.one_accuracy import one_accuracy
from deem_crowd.clustering.own_names import OwnNames
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataError


def drawn(seed: int, accuracies, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    answers = []
    for p in accuracies:
        known = rng.random(n) < p
        said = np.where(known, truth, rng.integers(k, size=n))
        answers.append(rng.permutation(k)[said])
    return np.column_stack(answers), truth


@pytest.mark.parametrize(
    ("right", "n", "names", "k"), [(7, 10, 3, 4), (2, 3, 2, 2), (0, 2, 1, 3), (5, 5, 5, 6)]
)
def test_log_odds_are_those_of_the_integral(right, n, names, k) -> None:
    a, b = growing.RIGHT, growing.WRONG

    def joint(p):
        return p ** (a - 1 + right) * (1 - p) ** (b - 1 + n - right)

    total = quad(lambda p: p ** (a - 1) * (1 - p) ** (b - 1), 0, 1)[0]
    one = quad(joint, 0, 1)[0] / total / (k - 1) ** (n - right)
    one *= factorial(k - names) / factorial(k)
    assert growing._log_odds(right, n, names, k) == pytest.approx(np.log(one * k**n), rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_partitions_grow_around_sources_without_skill(seed) -> None:
    matrix, truth = drawn(seed, [0.8] * 5 + [0.0] * 3, 200, 5)
    found = growing.grown(OwnNames.of(matrix), 5, 3)
    assert len(found) == 3
    for posterior in found:
        np.testing.assert_allclose(posterior.sum(1), 1)
        assert adjusted_rand_score(truth, posterior.argmax(1)) > 0.75


def test_growth_leaves_votes_as_they_are_when_a_source_comes_and_goes() -> None:
    own = OwnNames.of(drawn(0, [0.8] * 4, 50, 3)[0])
    growth = growing._Growth(own, 3)
    for source in range(3):
        growth.joins(growing._Offer(source, np.arange(3), np.arange(3), 0.7, 0.0))
    before = growth.votes.copy()
    (offer,) = growth.offers([3])
    growth.joins(offer)
    growth.leaves(3)
    np.testing.assert_allclose(growth.votes, before, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_the_mean_does_not_depend_on_numbers_of_classes(seed, k) -> None:
    rng = np.random.default_rng(seed)
    one = rng.dirichlet(np.full(k, 0.2), 30)
    order = rng.permutation(k)
    np.testing.assert_allclose(settling.mean([(one, -1.0), (one[:, order], -1.2)], 50), one)
    other = rng.dirichlet(np.full(k, 0.2), 30)
    np.testing.assert_allclose(settling.mean([(one, -1.0), (other, -9.0)], 50), one)
    np.testing.assert_allclose(settling.mean([(one, -np.inf), (other, -np.inf)], 50), one)


def test_a_settled_naming_is_the_one_that_the_default_model_confirms() -> None:
    own = OwnNames.of(drawn(1, [0.5, 0.6, 0.7, 0.4, 0.6], 150, 3)[0])
    start = np.random.default_rng(0).dirichlet(np.ones(3), 150)
    ends = settling._settled(own, [start, start[:, [2, 0, 1]]])
    assert len(ends) == 1
    again, bound = naming.relabelled(own, ends[0][0])
    assert bound == pytest.approx(ends[0][1], abs=1e-6)
    assert adjusted_rand_score(again.argmax(1), ends[0][0].argmax(1)) == pytest.approx(1.0)


def test_a_source_that_is_silent_is_no_warning_of_numpy() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.integers(3, size=(20, 4))
    matrix[:, 1] = -1
    own = OwnNames.of(Answers.from_dense(matrix, 3, warn_empty=()))
    start = rng.dirichlet(np.ones(3), size=20)
    silent = centred(own, start, "any", passes=6)
    spoken = OwnNames.of(Answers.from_dense(np.delete(matrix, 1, axis=1), 3))
    np.testing.assert_allclose(silent.posterior, centred(spoken, start, "any", passes=6).posterior)


def test_names_may_be_any_integers() -> None:
    matrix, truth = drawn(2, [0.8] * 4, 120, 3)
    far = np.array([7, 40, 2_000_000_000])
    found = ClusteringAggregator(3).fit(far[matrix])
    assert adjusted_rand_score(truth, found.labels_) > 0.6
    assert set(found.labels_) == set(far)
    assert set(align_sources(far[matrix]).mapping["name"]) == set(far)
    with pytest.raises(DataError, match="below −1: -3"):
        align_sources(np.array([[0, 1], [-3, 1]]))


def test_awkward_answers_are_said() -> None:
    two = np.array([[0, 1], [1, 0], [0, 1], [1, 0]])
    assert len(AgreementClusters(5).fit(two).sizes_) == 2  # at most five
    unknown = np.where(two == 0, np.nan, 1.0)
    for fit in (align_sources, ClusteringAggregator(2).fit, AgreementClusters(2).fit):
        with pytest.raises(DataError, match="4 entries are NaN"):
            fit(unknown)
    np.testing.assert_array_equal(
        ClusteringAggregator(2).fit(two.astype(float)).labels_,
        ClusteringAggregator(2).fit(two).labels_,
    )


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_one_accuracy_and_its_bound(seed, k) -> None:
    matrix, truth = drawn(seed, [0.8] * 6, 200, k)
    own = OwnNames.of(matrix)
    start = np.eye(k)[np.where(np.random.default_rng(seed).random(200) < 0.7, truth, 0)]
    fit = one_accuracy(own, 0.9 * start + 0.1 / k, "start")
    np.testing.assert_allclose(fit.posterior.sum(1), 1)
    assert adjusted_rand_score(truth, fit.posterior.argmax(1)) > 0.7
    # a partition that is certain has its evidence, under the best namings, in closed form
    certain = one_accuracy(own, np.eye(k)[truth], "truth", passes=0)
    right = [
        max(sum(matrix[:, i] == np.array(names)[truth]) for names in permutations(range(k)))
        for i in range(6)
    ]
    a, b = growing.RIGHT, growing.WRONG
    evidence = sum(
        betaln(a + r, b + 200 - r) - betaln(a, b) - (200 - r) * np.log(k - 1) for r in right
    )
    sizes = np.bincount(truth, minlength=k)
    evidence += gammaln(k) + gammaln(sizes + 1).sum() - gammaln(200 + k)
    assert certain.bound == pytest.approx(evidence)


@pytest.mark.parametrize("n_silent", [1, 3])
def test_sources_with_one_name_for_all_tasks_change_nothing(n_silent: int) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(4, size=400)
    seen = np.where(rng.random((400, 6)) < 0.4, truth[:, None], rng.integers(4, size=(400, 6)))
    beside = np.column_stack([seen, np.zeros((400, n_silent), dtype=int)])
    alone, together = (ClusteringAggregator(4, n_starts=2).fit(m) for m in (seen, beside))
    pd.testing.assert_series_equal(alone.labels_, together.labels_)
    np.testing.assert_allclose(alone.probas_, together.probas_, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 4])
def test_sources_with_one_name_change_nothing_where_others_are_silent_on_a_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=80)
    seen = np.where(rng.random((80, 7)) < 0.75, truth[:, None], rng.integers(4, size=(80, 7)))
    for column in seen.T[:5]:
        column[column == rng.integers(4)] = -1
    seen = seen[(seen >= 0).any(1)]
    beside = np.column_stack([seen, np.zeros((len(seen), 6), dtype=int)])
    alone, together = (ClusteringAggregator(4, n_starts=1).fit(m) for m in (seen, beside))
    np.testing.assert_allclose(alone.probas_, together.probas_, atol=1e-6)

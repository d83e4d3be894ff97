"""Parts that few sources link: the law with shared errors, and classes of a part matched anew."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln

from deem_crowd.clustering import ClusteringAggregator
from deem_crowd.clustering.own_names import OwnNames
from deem_crowd.clustering.relinking import _parts, relinked
from deem_crowd.clustering.shared_errors import (
    ERRORS,
    SharedErrors,
    evidence_of_sizes,
    shared_errors,
)

K = 5


def two_parts(seed: int, n: int = 240, each: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return answers of sources who know one half of the tasks, and of two that hardly know any; and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(K, size=n)
    errors = np.zeros((K, K))
    errors[~np.eye(K, dtype=bool)] = rng.dirichlet(np.full(K - 1, 0.3), size=K).ravel()
    answers = np.full((n, 2 * each + 2), -1)
    for source in range(2 * each + 2):
        knows = source < 2 * each
        half = np.arange(n // 2) + n // 2 * (source // each)
        tasks = half[rng.random(n // 2) < 0.7] if knows else rng.choice(n, n // 3, replace=False)
        names, right = rng.permutation(K), 0.75 if knows else 0.35
        for task in tasks:
            if rng.random() < right:
                label = truth[task]
            elif knows and rng.random() < 0.9:
                label = rng.choice(K, p=errors[truth[task]])
            else:
                label = rng.integers(K)
            answers[task, source] = names[label]
    return answers, truth


def accuracy(labels: np.ndarray, truth: np.ndarray) -> float:
    table = np.zeros((K, K))
    np.add.at(table, (labels, truth), 1)
    rows, classes = linear_sum_assignment(table, maximize=True)
    return float(table[rows, classes].sum() / len(truth))


def certain(labels: np.ndarray, k: int = K) -> np.ndarray:
    return 0.95 * np.eye(k)[labels] + 0.05 / k


def test_the_bound_is_below_the_evidence() -> None:
    """Of two tasks and two sources, against draws of the parameters from their priors."""
    own = OwnNames.of(np.array([[0, 1], [1, 1]]))
    k, rng = 3, np.random.default_rng(0)
    fit = shared_errors(own, certain(np.array([0, 1]), k), "start")
    law = SharedErrors(own, fit.counts)
    n = 100_000
    shares = rng.dirichlet([2.0, 0.5, 0.5], size=(n, 2))
    errors = np.zeros((n, k, k))
    for true in range(k):
        others = np.flatnonzero(np.arange(k) != true)
        errors[:, true, others] = rng.dirichlet(np.full(k - 1, ERRORS), size=n)
    prior = rng.dirichlet(np.ones(k), size=n)
    likelihood = np.ones(n)
    for row in own.indicator.toarray():
        joint = prior.copy()
        for column in np.flatnonzero(row):
            said, (right, shared, guess) = law.naming[column], shares[:, own.source[column]].T
            table = shared[:, None] * errors[:, :, said] + guess[:, None] / k
            table[:, said] += right
            joint *= table
        likelihood *= joint.sum(1)
    evidence = np.log(likelihood.mean())
    assert fit.bound <= evidence + 4 * likelihood.std() / likelihood.mean() / n**0.5 + 0.2
    assert fit.bound > evidence - 4  # and not far below


def test_bounds_grow_with_passes_and_errors_are_found() -> None:
    answers, truth = two_parts(0)
    own = OwnNames.of(answers)
    start = certain(truth)
    bounds = [shared_errors(own, start, "s", passes=p).bound for p in (1, 2, 4, 8, 30)]
    assert (np.diff(bounds) > -1e-6).all()
    fit = shared_errors(own, start, "s")
    law = SharedErrors(own, fit.counts)
    law.settles(fit.counts)
    right = law.right_shares()
    assert right[:-2].min() > 0.55 > 0.5 > right[-2:].max()
    assert accuracy(fit.posterior.argmax(1), truth) > 0.9


def test_renaming_the_sources_changes_nothing() -> None:
    answers, truth = two_parts(1)
    rng = np.random.default_rng(0)
    renamed = np.where(
        answers >= 0, np.stack([rng.permutation(K)[column] for column in answers.T], 1), -1
    )
    one, other = (shared_errors(OwnNames.of(a), certain(truth), "s") for a in (answers, renamed))
    assert other.bound == pytest.approx(one.bound, abs=1e-6)
    np.testing.assert_allclose(other.posterior, one.posterior, atol=1e-6)


def test_evidence_of_class_sizes_by_hand() -> None:
    # of one task each class has the same chance, however even they are
    assert evidence_of_sizes(np.array([1.0, 0, 0])) == pytest.approx(-np.log(3))
    even, uneven = evidence_of_sizes(np.array([[40.0, 40, 40], [120, 0, 0]]))
    assert even == pytest.approx(-120 * np.log(3), rel=0.02)
    assert uneven == pytest.approx(np.log(2 / (121 * 122)))


def test_a_part_is_cut_where_few_right_answers_cross() -> None:
    answers, truth = two_parts(2)
    own = OwnNames.of(answers)
    fit = shared_errors(own, certain(truth), "s")
    parts = _parts(own, fit)
    assert len(parts) >= 1
    half = np.arange(len(truth)) < len(truth) // 2
    assert (parts[0].tasks == half).all() or (parts[0].tasks == ~half).all()
    assert parts[0].both.shape[1:] == (2 * K, K)
    assert parts[0].sizes.sum() == pytest.approx(len(truth))
    # without a part that is linked loosely there is nothing to match
    rng = np.random.default_rng(0)
    whole = np.where(rng.random((100, 6)) < 0.7, rng.integers(K, size=(100, 1)), 0)
    own = OwnNames.of(whole)
    fit = shared_errors(own, certain(rng.integers(K, size=100)), "s")
    assert relinked(own, [fit], rng) == []
    assert relinked(own, [], rng) == []


@pytest.mark.parametrize("cells", [1, 2**22])
def test_what_speaks_for_a_matching_by_hand(cells, monkeypatch) -> None:
    monkeypatch.setattr("deem_crowd.clustering.relinking._CELLS", cells)
    answers, truth = two_parts(3, n=60)
    own = OwnNames.of(answers)
    part = _parts(own, shared_errors(own, certain(truth), "s"))[0]
    orders = np.array(list(permutations(range(K)))[:20])
    found = part.told(orders)
    expected = []
    for order in orders:
        value = float(evidence_of_sizes(part.sizes[0] + part.sizes[1][order]))
        for k in range(K):
            cells = [
                part.errors[0][k, m] + part.errors[1][order[k], order[m]]
                for m in range(K)
                if m != k
            ]
            value += sum(gammaln(c + ERRORS) for c in cells)
            value -= gammaln(sum(cells) + ERRORS * (K - 1))
        for here, there in zip(*part.both, strict=True):
            value += gammaln(here + there[order] + ERRORS).sum()
        expected.append(value)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_classes_of_a_part_that_were_mixed_up_are_matched_again() -> None:
    answers, truth = two_parts(2)
    own = OwnNames.of(answers)
    mixed = np.where(np.arange(len(truth)) < len(truth) // 2, truth, (truth + 1) % K)
    start = shared_errors(own, certain(mixed), "s")
    assert accuracy(start.posterior.argmax(1), truth) < 0.7
    fits = relinked(own, [start], np.random.default_rng(0))
    best = max(fits, key=lambda fit: fit.bound)
    assert best.bound > start.bound + 5
    assert accuracy(best.posterior.argmax(1), truth) > 0.85


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_silent_sources_and_tasks_without_answers_do_no_harm() -> None:
    answers, truth = two_parts(4, n=120)
    answers = np.column_stack([answers, np.full(len(truth), -1)])
    answers[7] = -1
    own = OwnNames.of(answers)
    mixed = np.where(np.arange(len(truth)) < len(truth) // 2, truth, (truth + 2) % K)
    fits = relinked(own, [shared_errors(own, certain(mixed), "s")], np.random.default_rng(0))
    assert len(fits) > 1
    assert np.isfinite([fit.bound for fit in fits]).all()
    assert all(np.isfinite(fit.posterior).all() for fit in fits)


def test_a_consensus_of_loosely_linked_parts() -> None:
    answers, truth = two_parts(2)
    model = ClusteringAggregator(K, n_starts=1).fit(answers)
    assert accuracy(model.probas_.to_numpy().argmax(1), truth) > 0.85

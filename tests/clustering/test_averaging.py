"""Partitions averaged with squared loss, and whether sources depend on one another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import xlogy
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from deem_crowd.clustering import AgreementClusters, ClusteringAggregator
from deem_crowd.clustering.averaging import _agreement, _minima, _Sources, averaged, exchanged
from deem_crowd.clustering.dependent import _likelihood_ratio, dependence
from deem_crowd.clustering.latent import source_sums
from deem_crowd.clustering.own_names import OwnNames
from deem_crowd.exceptions import DataWarning, ParameterError


def answers_of(n=200, k=3, d=6, right=0.7, extra=1, missing=0.0, seed=0):
    """Independent sources that draw among ``k + extra`` names of their own where they do not know."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    guess = rng.integers(k + extra, size=(n, d))
    known = np.where(rng.random((n, d)) < right, truth[:, None], guess)
    own = np.stack([rng.permutation(k + extra)[known[:, i]] for i in range(d)], axis=1)
    return truth, np.where(rng.random((n, d)) < missing, -1, own)


def sources_of(matrix):
    own = OwnNames.of(matrix)
    return own, _Sources.of(own.indicator, source_sums(own))


def test_loss_is_that_of_its_formula():
    own, sources = sources_of(answers_of(n=30, missing=0.4)[1])
    rng = np.random.default_rng(1)
    tables, weight = rng.random((len(own.source), 4)), rng.random(6)
    x = own.indicator.toarray()
    expected = np.zeros((x.shape[0], 4))
    for n in range(x.shape[0]):
        for i in range(6):
            columns = own.source == i
            if x[n, columns].any():
                apart = x[n, columns, None] - tables[columns]
                expected[n] += weight[i] * ((apart**2).sum(0) - 1)
    np.testing.assert_allclose(sources.losses(tables, weight), expected, atol=1e-12)


def test_minima_of_complete_answers_are_those_of_k_means():
    _, sources = sources_of(answers_of()[1])
    rng = np.random.default_rng(0)
    tables, label = _minima(sources, np.ones(6), 3, 8, rng)
    x = sources.indicator.toarray()
    inertia = []
    for run in range(8):
        centres = tables[:, 3 * run : 3 * run + 3].T
        again = KMeans(3, init=centres, n_init=1).fit(x)
        np.testing.assert_array_equal(again.labels_, label[:, run])
        inertia.append(again.inertia_)
    assert inertia == sorted(inertia)


def test_sources_weigh_as_their_mutual_information():
    truth, matrix = answers_of(right=0.5)
    _, sources = sources_of(matrix)
    shared = [normalized_mutual_info_score(truth, matrix[:, i]) for i in range(6)]
    weight = _agreement(sources, truth, 3)
    np.testing.assert_allclose(weight, shared / np.mean(shared))
    # over the tasks that a source answered
    matrix[::3, 2] = -1
    _, sources = sources_of(matrix)
    answered = matrix[:, 2] >= 0
    expected = normalized_mutual_info_score(truth[answered], matrix[answered, 2])
    weight = _agreement(sources, truth, 3)
    assert weight[2] / weight[1] == pytest.approx(expected / shared[1])
    np.testing.assert_array_equal(_agreement(sources, np.zeros_like(truth), 3), 1.0)


def test_minima_of_a_part_say_where_all_tasks_belong():
    truth, matrix = answers_of(n=300, right=0.8, missing=0.2)
    own = OwnNames.of(matrix)
    part = replace(
        own, answers=own.answers.select(tasks=np.arange(100)), indicator=own.indicator[:100]
    )
    probabilities = averaged(own, part, 3, np.random.default_rng(0))
    assert adjusted_rand_score(truth, probabilities.argmax(1)) > 0.75
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    assert (probabilities > 0).all()


def shared_mistakes(seed):
    """Twelve sources, four of which are wrong about the same quarter of the tasks, and in the same way."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=200)
    wrong = np.where(rng.random(200) < 0.35, rng.integers(4, size=200), truth)
    base = np.stack([wrong] * 4 + [truth] * 8, axis=1)
    base = np.where(rng.random(base.shape) < 0.05, 4, base)
    return truth, np.stack([rng.permutation(5)[base[:, i]] for i in range(12)], axis=1)


def test_sources_that_share_mistakes_are_averaged():
    truth, matrix = shared_mistakes(0)
    auto = ClusteringAggregator(4).fit(matrix)
    same = ClusteringAggregator(4, average=True).fit(matrix)
    np.testing.assert_array_equal(auto.probas_, same.probas_)
    assert adjusted_rand_score(truth, auto.labels_) > 0.95
    assert (auto.probas_.to_numpy().argmax(1) == auto.labels_.map(list(auto.probas_).index)).all()
    # renamed sources change nothing
    renamed = np.stack(
        [np.random.default_rng(i).permutation(5)[matrix[:, i]] for i in range(12)], 1
    )
    again = ClusteringAggregator(4).fit(renamed)
    assert adjusted_rand_score(auto.labels_, again.labels_) == 1.0


@pytest.mark.parametrize("extra", [0, 1])
def test_independent_sources_are_not_averaged(extra):
    _, matrix = answers_of(n=300, d=6, extra=extra)
    auto = ClusteringAggregator(3, n_starts=1).fit(matrix)
    latent = ClusteringAggregator(3, n_starts=1, average=False).fit(matrix)
    np.testing.assert_array_equal(auto.probas_, latent.probas_)


def renamed_classes(seed):
    """Ten sources of three names: four share the mistakes of a fifth of the tasks, six are right in 87 %."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=150)
    wrong = np.where(rng.random(150) < 0.2, rng.integers(3, size=150), truth)
    shared = np.where(rng.random((150, 4)) < 0.05, rng.integers(3, size=(150, 4)), wrong[:, None])
    alone = np.where(rng.random((150, 6)) < 0.8, truth[:, None], rng.integers(3, size=(150, 6)))
    base = np.concatenate([shared, alone], axis=1)
    return truth, np.stack([rng.permutation(3)[base[:, i]] for i in range(10)], axis=1)


@pytest.mark.parametrize(("seed", "few"), [(0, False), (10, True)])
def test_the_average_corrects_few_labels_of_renamed_sources_or_none(seed, few):
    _, matrix = renamed_classes(seed)
    auto, model, average = (
        ClusteringAggregator(3, n_starts=1, average=kind).fit(matrix)
        for kind in (None, False, True)
    )
    changed = auto.labels_ != model.labels_
    assert (auto.labels_ == (average if few else model).labels_).all()
    assert changed.any() == few
    assert auto.probas_[~changed].equals(model.probas_[~changed])
    np.testing.assert_array_equal(np.sort(auto.probas_), np.sort(model.probas_))


def test_exchanged_probabilities_have_the_labels_of_the_partition():
    posterior = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]])
    partition = np.eye(3)[[1, 2, 0, 0]]  # its classes 1, 2, 0 are 0, 1, 2
    expected = posterior.copy()
    expected[3] = [0.2, 0.3, 0.5]
    np.testing.assert_array_equal(exchanged(posterior, partition), expected)


def test_dependence_beyond_the_classes():
    rng = np.random.default_rng(0)
    truth, matrix = answers_of(n=2000, right=0.6)
    assert dependence(OwnNames.of(matrix), truth, rng) == pytest.approx(1.0, abs=0.25)
    shared = np.concatenate([matrix, matrix[:, ::-1]], axis=1)
    assert dependence(OwnNames.of(shared), truth, rng) > 5
    apart = np.array([[0, -1], [1, -1], [-1, 0], [-1, 1], [0, 1]])
    assert dependence(OwnNames.of(apart), np.zeros(5, dtype=np.int64), rng) == 0.0


def test_likelihood_ratio_of_a_pair():
    rng = np.random.default_rng(0)
    z, one, other = rng.integers(3, size=300), rng.integers(4, size=300), rng.integers(5, size=300)
    table = np.zeros((3, 4, 5))
    np.add.at(table, (z, one, other), 1)
    expected = table.sum(2, keepdims=True) * table.sum(1, keepdims=True)
    expected /= table.sum((1, 2), keepdims=True)
    g2 = 2 * xlogy(table, table / expected).sum()
    assert _likelihood_ratio(z, one, other) == pytest.approx((g2, 3 * 3 * 4))
    distinct = np.arange(30_000)  # of all pairs of names there are nearly 10^9
    assert _likelihood_ratio(distinct % 3, distinct, distinct)[1] == 3 * 9_999**2


def test_average_is_checked():
    with pytest.raises(ParameterError, match="average='yes' is not allowed: True, False or None"):
        ClusteringAggregator(3, average="yes").fit(answers_of()[1])


def test_agreement_clusters_grow_within_a_part():
    parts = np.full((8, 4), -1)
    parts[:4, :2], parts[4:, 2:] = [[0, 1], [1, 0]] * 2, [[1, 1], [0, 0]] * 2
    with pytest.warns(DataWarning, match=r"2 parts without a common task .* Cluster each part"):
        AgreementClusters(2).fit(parts)

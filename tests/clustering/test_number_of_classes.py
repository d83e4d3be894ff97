"""How many classes sources without common names speak of, where nobody says so."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from deem_crowd.clustering import ClusteringAggregator
from deem_crowd.clustering.own_names import OwnNames
from deem_crowd.clustering.spectrum import gap, typical_names


def groups(seed: int, k: int = 4, n: int = 250):
    """Rows around k centres, far apart."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    return truth, 5 * np.eye(8)[truth] + rng.normal(size=(n, 8))


def clustered(X: np.ndarray, numbers, seed: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    views = [rng.choice(X.shape[1], columns, replace=False) for _ in numbers]
    fits = [
        KMeans(k, n_init=1, random_state=i).fit_predict(X[:, view])
        for i, (k, view) in enumerate(zip(numbers, views, strict=True))
    ]
    return np.stack(fits, axis=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_clusterings_with_too_many_clusters_do_not_make_classes_of_them(seed: int) -> None:
    truth, X = groups(seed)
    matrix = clustered(X, (3, 4, 5, 6, 7, 8, 5, 4), seed, 5)
    found = ClusteringAggregator(n_starts=1).fit(matrix)
    assert found.n_classes_ == 4
    assert adjusted_rand_score(found.labels_, truth) > 0.9


def merged(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Six classes, of which every source merges two or four to one or two names."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(6, size=600)
    seen = np.where(rng.random((600, 10)) < 0.85, truth[:, None], rng.integers(6, size=(600, 10)))
    columns = []
    for i in range(10):
        one, other, third, fourth = rng.choice(6, 4, replace=False)
        names = np.arange(6)
        names[one] = other
        if i % 3:
            names[third] = fourth
        columns.append(names[seen[:, i]])
    return truth, np.stack(columns, axis=1)


def test_more_classes_are_found_than_any_source_has_names() -> None:
    truth, matrix = merged(0)
    found = ClusteringAggregator(n_starts=1).fit(matrix)
    assert found.n_classes_ == 6
    assert adjusted_rand_score(found.labels_, truth) > 0.9


@pytest.mark.parametrize("seed", [1, 2])
def test_no_class_is_lost_where_sources_merge_some(seed: int) -> None:
    truth, matrix = merged(seed)
    labels = ClusteringAggregator(6, n_starts=2).fit_predict(matrix)
    assert adjusted_rand_score(labels, truth) > 0.9


@pytest.mark.parametrize("seed", [3, 4])
def test_no_class_is_lost_where_sources_are_silent_on_some(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(5, size=500)
    right = rng.random((500, 8)) < rng.uniform(0.6, 0.9, 8)
    matrix = np.where(right, truth[:, None], rng.integers(5, size=(500, 8)))
    for column in matrix.T:
        column[np.isin(column, rng.choice(5, 2, replace=False))] = -1
    answered = (matrix >= 0).any(1)
    labels = ClusteringAggregator(5, n_starts=2).fit_predict(matrix[answered])
    assert labels.nunique() == 5
    assert adjusted_rand_score(labels, truth[answered]) > 0.65


def test_a_source_with_a_name_for_each_task_adds_no_numbers_to_try() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(3, size=300)
    seen = np.where(rng.random((300, 5)) < 0.8, truth[:, None], rng.integers(3, size=(300, 5)))
    matrix = np.column_stack([seen, rng.permutation(300)])
    found = ClusteringAggregator(n_starts=1).fit(matrix)
    assert found.n_classes_ == 3
    assert found.selection_["n_classes"].max() <= 6
    alone = ClusteringAggregator(3).fit(seen)
    assert adjusted_rand_score(found.labels_, alone.labels_) > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_few_who_use_all_names_among_many_with_few_answers_say_how_many_to_try(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(9, size=200)
    right = np.where(rng.random((200, 6)) < 0.95, truth[:, None], rng.integers(9, size=(200, 6)))
    matrix = np.full((200, 153), -1)
    for place in range(3):
        # three occasional answers a task, from workers who give four each
        worker = rng.permutation(np.arange(200) // 4) + 50 * place
        matrix[np.arange(200), worker] = right[:, place]
    matrix[:, 150:] = np.where(rng.random((200, 3)) < 0.8, right[:, 3:], -1)
    own = OwnNames.of(matrix)
    assert 2 * typical_names(own) < 9
    found = ClusteringAggregator(n_starts=0, refine=False).fit(matrix)
    assert found.n_classes_ == 9
    assert adjusted_rand_score(found.labels_, truth) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_clusterings_of_rows_without_groups_show_no_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = clustered(rng.normal(size=(500, 8)), rng.integers(6, 11, size=15), seed, 5)
    assert gap(OwnNames.of(matrix), 16, rng) is None


@pytest.mark.parametrize("seed", range(5))
def test_labels_drawn_at_random_show_no_number(seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = OwnNames.of(rng.integers(rng.integers(2, 9, size=8), size=(500, 8)))
    assert gap(own, 8, rng) is None


def test_a_loose_link_between_parts_is_no_gap() -> None:
    rng = np.random.default_rng(0)
    seen = rng.integers(4, size=(600, 8))
    seen[:290, :4] = seen[310:, 4:] = -1
    assert gap(OwnNames.of(seen), 8, rng) is None


@pytest.mark.parametrize("missing", [0.0, 0.5])
@pytest.mark.parametrize("k", [2, 5, 9])
def test_the_spectrum_shows_the_classes_of_independent_sources(k: int, missing: float) -> None:
    rng = np.random.default_rng(k)
    truth = rng.integers(k, size=1500)
    seen = np.where(rng.random((1500, 10)) < 0.7, truth[:, None], rng.integers(k, size=(1500, 10)))
    seen[rng.random(seen.shape) < missing] = -1
    assert gap(OwnNames.of(seen), 2 * k, rng) == k


def test_a_typical_source_is_that_of_the_median_answer() -> None:
    matrix = np.full((100, 5), -1)
    matrix[:, 0] = np.arange(100) % 4
    matrix[:90, 1] = np.arange(90) % 3
    matrix[:20, 2] = np.arange(20) % 2
    matrix[:20, 3] = np.arange(20)
    matrix[:, 4] = 0  # and one that says nothing
    assert typical_names(OwnNames.of(matrix)) == 4


def test_many_small_clusters_join_to_classes_of_any_shape() -> None:
    """Two half circles that interlock, and clusterings that cut each in some twenty parts."""
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 200)
    angle = rng.uniform(0, np.pi, 400)
    X = np.column_stack([np.cos(angle), np.sin(angle)])
    X[truth == 1] = [1.0, 0.4] - X[truth == 1]
    X += rng.normal(0, 0.05, X.shape)
    matrix = clustered(X, rng.integers(12, 30, size=20), 0, 2)
    labels = ClusteringAggregator(2).fit_predict(matrix)
    assert adjusted_rand_score(labels, truth) > 0.95

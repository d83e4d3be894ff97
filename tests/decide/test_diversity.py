"""Batches of next_tasks with features: by score, and spread out where scores are about the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crowds import consensus
from examples import runs
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd.decide import diversity, next_tasks


@pytest.mark.parametrize("method", ["k-center", "k-means++"])
def test_batches_are_diverse(method) -> None:
    # five places, a hundred uncertain tasks at each: a batch of five takes one from each
    features = np.repeat(np.arange(5.0)[:, None] * 100, 100, axis=0)
    rng = np.random.default_rng(1)
    p = 0.5 + 0.001 * rng.random(500)
    view = consensus(np.column_stack([p, 1 - p]))
    rows = next_tasks(view, 5, features=features[:500], diversify=method)
    plain = next_tasks(view, 5)
    spots = {features[int(task[1:]), 0] for task in rows["task"]}
    pool = next_tasks(view, 25)["task"]
    reachable = {features[int(task[1:]), 0] for task in pool}
    assert spots == reachable or len(spots) == 5
    assert rows["task"].iloc[0] == plain["task"].iloc[0]
    indexed = pd.DataFrame(features, index=view.tasks).sample(frac=1, random_state=0)
    again = next_tasks(view, 5, features=indexed, diversify=method)
    assert again["task"].tolist() == rows["task"].tolist()


@pytest.mark.parametrize("method", ["k-center", "k-means++"])
@pytest.mark.parametrize("strategy", ["least_confidence", "expected_error_reduction"])
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60))
@runs(20)
def test_no_distance_makes_up_for_a_lower_score(seed, n, method, strategy) -> None:
    """Who scores 5/4 of the n-th is in, who scores less than 4/5 is not; most expected reductions are 0."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.5, 1.0, 60)
    view = consensus(np.column_stack([p, 1 - p]), [[[0.6, 0.4], [0.4, 0.6]]])
    features = np.exp(6 * p)[:, None] * rng.normal(size=(60, 2))  # settled tasks lie far outside
    plain = next_tasks(view, 60, strategy)
    last = plain["score"][n - 1]
    batch = next_tasks(view, n, strategy, features=features, diversify=method)
    assert len(set(batch["task"])) == n
    assert batch["score"].min() >= 0.8 * last - 1e-12
    sure = plain["task"][plain["score"] > 1.25 * last + 1e-12].tolist()
    assert batch["task"][: len(sure)].tolist() == sure
    if last == 0:  # what breaks ties compares the others
        told = next_tasks(view, 60, "expected_information").set_index("task")["score"]
        ranked = told[plain["task"][plain["score"] == 0]].to_numpy()
        others = told[batch["task"][batch["score"] == 0]].to_numpy()
        assert others.min() >= 0.8 * ranked[len(others) - 1] - 1e-9


def test_features_need_not_spread_a_batch() -> None:
    p = np.random.default_rng(0).uniform(0.5, 1.0, 60)
    view = consensus(np.column_stack([p, 1 - p]), [[[0.6, 0.4], [0.4, 0.6]]])
    features = 100 * np.eye(60)
    plain, alone = (
        next_tasks(view, 20, features=given, diversify=None) for given in (None, features)
    )
    pd.testing.assert_frame_equal(plain, alone)


@given(st.integers(0, 10_000), st.integers(2, 12))
def test_k_center_is_within_twice_of_every_choice(seed, n) -> None:
    """Gonzalez: the chosen points lie at least as far apart as any point lies from them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40, 2))
    chosen = diversity.diverse(features, rng.random(40), n, "k-center", rng)
    assert len(set(chosen.tolist())) == n
    distance = np.linalg.norm(features[:, None] - features[chosen], axis=2)
    radius = distance.min(axis=1).max()
    gaps = [distance[chosen[i], j] for i in range(n) for j in range(i)]
    assert min(gaps) >= radius - 1e-12

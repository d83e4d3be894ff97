"""Known shares of the classes together with features of the tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import DataWarning

N, K, D = 400, 3, 8
SHARES = np.array([0.1, 0.3, 0.6])
NAMES = np.array(["a", "b", "c"])


def drawn(seed: int, bias: float = 0.25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two answers a task, of which some name class 0 whatever is true, four features, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(K, size=N, p=SHARES)
    x = rng.normal(size=(N, 4))
    x[np.arange(N), truth] += 1.2
    matrix = np.full((N, D), -1)
    for task in range(N):
        for worker in rng.permutation(D)[:2]:
            right = rng.random() < 0.75
            given = truth[task] if right else (truth[task] + rng.integers(1, K)) % K
            matrix[task, worker] = 0 if rng.random() < bias else given
    return matrix, x, truth


def log_loss(probas: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(np.maximum(probas[np.arange(N), truth], 1e-12)).mean())


@pytest.mark.usefixtures("few_fits")
def test_wrong_shares_of_the_classifier_are_mended() -> None:
    gains = []
    for seed in range(2):
        matrix, x, truth = drawn(seed)
        new, x_new, truth_new = drawn(100 + seed)
        without = DEEM().fit(matrix, features=x)
        known = DEEM(class_balance=SHARES.tolist()).fit(matrix, features=x)
        assert known.features_use_ == without.features_use_
        assert "answers alone" not in known.features_use_
        pairs = [(without.probas_, known.probas_, truth)]
        for given in (new, np.full_like(new, -1)):  # with answers, and with features alone
            first, second = (m.predict_proba(given, features=x_new) for m in (without, known))
            pairs.append((first, second, truth_new))
        for first, second, _ in pairs:
            assert abs(second.mean(0) - SHARES).max() < 0.75 * abs(first.mean(0) - SHARES).max()
        gains.append(
            [log_loss(first, true) - log_loss(second, true) for first, second, true in pairs]
        )
    assert (np.mean(gains, axis=0) > 0.05).all()


@pytest.mark.usefixtures("few_fits")
def test_the_same_is_added_to_the_log_probabilities_of_every_task() -> None:
    matrix, x, _ = drawn(0)
    new, x_new, _ = drawn(1)
    without = DEEM().fit(matrix, features=x)
    known = DEEM(class_balance=SHARES.tolist()).fit(matrix, features=x)
    empty = np.full_like(new, -1)

    def added(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        moved = np.log(second) - np.log(first)
        return moved - moved.mean(1, keepdims=True)

    odds = added(without.probas_, known.probas_)
    np.testing.assert_allclose(odds, np.tile(odds[0], (N, 1)), atol=1e-6)
    assert np.ptp(odds[0]) > 0.5
    for given, features in ((new, x_new), (empty, x_new), (new, None)):
        some = added(
            without.predict_proba(given, features=features),
            known.predict_proba(given, features=features),
        )
        np.testing.assert_allclose(some, np.tile(odds[0], (N, 1)), atol=1e-5)
    np.testing.assert_allclose(known.predict_proba(empty[:2]), np.tile(SHARES, (2, 1)))
    np.testing.assert_allclose(known.priors_, SHARES)


@pytest.mark.usefixtures("few_fits")
def test_known_labels_stand_and_tasks_with_nothing_have_the_shares() -> None:
    matrix, x, truth = drawn(2)
    frame = pd.DataFrame(x).iloc[: N - 1]
    matrix[N - 1] = -1
    gold = np.full(N, -1)
    gold[:40] = truth[:40]
    with pytest.warns(DataWarning):
        known = DEEM(class_balance=SHARES.tolist()).fit(matrix, gold=gold, features=frame)
    np.testing.assert_array_equal(known.labels_[:40], truth[:40])
    np.testing.assert_allclose(known.probas_[N - 1], SHARES)
    assert known.labels_[N - 1] == -1


@pytest.mark.usefixtures("few_fits")
def test_features_that_say_nothing_leave_what_the_answers_give() -> None:
    matrix, _, _ = drawn(3)
    noise = np.random.default_rng(0).normal(size=(N, 2))
    alone = DEEM(class_balance=SHARES.tolist()).fit(matrix)
    with pytest.warns(DataWarning, match="the features are not used"):
        known = DEEM(class_balance=SHARES.tolist()).fit(matrix, features=noise)
    np.testing.assert_allclose(known.probas_, alone.probas_)


@pytest.mark.usefixtures("few_fits")
def test_names_and_files_keep_the_shares(tmp_path) -> None:
    matrix, x, _ = drawn(4)
    task, worker = np.nonzero(matrix >= 0)
    rows = pd.DataFrame({"task": task, "worker": worker, "label": NAMES[matrix[task, worker]]})
    features = pd.DataFrame(x)
    shares = dict(zip(NAMES, SHARES, strict=True))
    named = DEEMAggregator(class_balance=shares).fit(rows, features=features)
    plain = DEEM(class_balance=SHARES.tolist()).fit(matrix, features=x)
    np.testing.assert_allclose(named.probas_[list(NAMES)].to_numpy(), plain.probas_, atol=1e-9)
    named.save(tmp_path / "named")
    plain.save(tmp_path / "plain")
    again = DEEMAggregator.load(tmp_path / "named.safetensors")
    pd.testing.assert_frame_equal(
        again.predict_proba(rows, features=features), named.predict_proba(rows, features=features)
    )
    empty = np.full_like(matrix, -1)
    loaded = DEEM.load(tmp_path / "plain.safetensors")
    for given in (matrix, empty):
        np.testing.assert_allclose(
            loaded.predict_proba(given, features=x), plain.predict_proba(given, features=x)
        )

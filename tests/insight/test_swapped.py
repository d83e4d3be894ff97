"""Labels that one worker uses for one another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEMAggregator
from deem_crowd.insight.findings import findings
from deem_crowd.insight.results import results_of
from deem_crowd.insight.swapped import swapped_labels

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
NAMES = np.array(["cat", "dog", "fox", "owl"], dtype=object)


def crowd(k: int = 4, n: int = 400, d: int = 7, p: float = 0.8, seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    matrix = np.where(rng.random((n, d)) < p, truth[:, None], rng.integers(k, size=(n, d)))
    return matrix, rng


def fitted(matrix: np.ndarray) -> DEEMAggregator:
    task, worker = np.nonzero(matrix >= 0)
    names = np.array([f"w{i}" for i in range(matrix.shape[1])], dtype=object)
    frame = {"task": task, "worker": names[worker], "label": NAMES[matrix[task, worker]]}
    return DEEMAggregator(progress=False).fit(pd.DataFrame(frame))


def found(matrix: np.ndarray):
    return swapped_labels(results_of(fitted(matrix)))


def test_two_swapped_buttons_are_named() -> None:
    matrix, rng = crowd()
    matrix[:, 3] = np.array([0, 2, 1, 3])[matrix[:, 3]]
    matrix[rng.random(matrix.shape) < 0.3] = -1
    agg = fitted(matrix)
    (sentence,) = [s for s in findings(agg) if "swapped" in s]
    assert sentence.startswith("w3 seems to have labels swapped: dog for fox and fox for dog, in ")
    (swap,) = swapped_labels(results_of(agg))
    answers = matrix[:, 3]
    truth = agg.labels_.reindex(range(len(matrix))).map({n: i for i, n in enumerate(NAMES)})
    inside = np.isin(answers, [1, 2]) & truth.isin([1, 2]).to_numpy()
    assert swap.n_answers == inside.sum()
    assert swap.n_moved == (answers[inside] != truth[inside]).sum()


def test_a_circle_of_three() -> None:
    matrix, _ = crowd()
    matrix[:, 0] = np.array([1, 2, 0, 3])[matrix[:, 0]]
    (swap,) = found(matrix)
    assert {(g, m) for g, m in zip(swap.given, swap.meant, strict=True)} == {(1, 0), (2, 1), (0, 2)}


def test_two_pairs_of_one_worker_are_two_findings() -> None:
    matrix, _ = crowd()
    matrix[:, 0] = np.array([1, 0, 3, 2])[matrix[:, 0]]
    swaps = found(matrix)
    assert [s.worker for s in swaps] == [0, 0]
    assert {frozenset(s.given.tolist()) for s in swaps} == {frozenset({0, 1}), frozenset({2, 3})}


def test_two_classes() -> None:
    matrix, _ = crowd(k=2)
    matrix[:, 5] = 1 - matrix[:, 5]
    (swap,) = found(matrix)
    assert swap.worker == 5


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_said_of_honest_workers_and_of_spammers(seed) -> None:
    matrix, rng = crowd(seed=seed, p=0.5)
    matrix[:, 0] = rng.integers(4, size=len(matrix))
    matrix[:, 1] = 2
    matrix[:, 2] = np.where(
        matrix[:, 2] == 1, 2, matrix[:, 2]
    )  # one class merged into another, not swapped
    assert found(matrix) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [3, 4])
def test_who_is_wrong_whatever_the_class_swapped_nothing(k, seed) -> None:
    matrix, rng = crowd(k=k, seed=seed, p=0.9)
    truth = np.array([np.bincount(row).argmax() for row in matrix])
    matrix[:, 2] = (truth + rng.integers(1, k, len(truth))) % k
    assert found(matrix) == []


def test_a_rare_class_swapped_for_a_large_one() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(4, 1500, p=[0.7, 0.06, 0.14, 0.1])
    guess = rng.integers(4, size=(1500, 7))
    matrix = np.where(rng.random((1500, 7)) < 0.85, truth[:, None], guess)
    matrix[:, 4] = np.array([1, 0, 2, 3])[matrix[:, 4]]
    (swap,) = found(matrix)
    assert swap.worker == 4
    assert sorted(swap.given) == [0, 1]


@pytest.mark.parametrize("n_rare", [1, 3, 12])
def test_a_few_tasks_of_a_further_class_hide_no_swap(n_rare: int) -> None:
    rng = np.random.default_rng(n_rare)
    truth = np.append(rng.integers(2, size=200), np.full(n_rare, 2))
    guess = rng.integers(3, size=(len(truth), 7))
    matrix = np.where(rng.random(guess.shape) < 0.85, truth[:, None], guess)
    matrix[:, 4] = np.array([1, 0, 2])[matrix[:, 4]]
    assert {(swap.worker, *sorted(swap.given)) for swap in found(matrix)} == {(4, 0, 1)}


def test_who_is_one_off_on_a_scale_swapped_nothing() -> None:
    matrix, rng = crowd(k=4, n=3000, p=0.9)
    truth = np.array([np.bincount(row).argmax() for row in matrix])
    off = rng.choice([-1, 0, 1], len(truth), p=[0.4, 0.2, 0.4])
    matrix[:, 2] = np.clip(truth + off, 0, 3)
    assert found(matrix) == []


def test_who_says_one_class_unless_it_is_true_swapped_nothing() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 600, p=[0.35, 0.4, 0.25])
    guess = rng.integers(3, size=(600, 7))
    matrix = np.where(rng.random((600, 7)) < 0.85, truth[:, None], guess)
    matrix[:, 2] = np.where(truth == 0, 1, 0)
    assert found(matrix) == []


def test_few_answers_say_nothing() -> None:
    matrix, _ = crowd()
    matrix[15:, 3] = -1
    matrix[:, 3] = np.where(matrix[:, 3] >= 0, 3 - matrix[:, 3], -1)
    assert found(matrix) == []

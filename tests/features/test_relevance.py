"""Whether votes have to do with features, by shuffling the votes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer
from threadpoolctl import threadpool_limits

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import DataWarning
from deem_crowd.features import choice, relevance


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def draw(seed: int, n: int = 40, told: float = 0.0):
    """Return features of shape (n, 3) and votes of shape (n, 3) that follow the first column in a share of cases."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    named = np.where(
        rng.random(n) < told, np.digitize(x[:, 0], [-0.5, 0.5]), rng.integers(3, size=n)
    )
    return x, np.eye(3)[named]


@pytest.mark.parametrize("columns", [3, 40], ids=["few columns", "many columns"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_sums_over_pairs_are_those_of_a_loop(columns, form) -> None:
    _, votes = draw(0, 17)
    x = np.maximum(np.random.default_rng(2).normal(size=(17, columns)), 0).astype(np.float32)
    votes = votes - votes.mean(axis=0)
    order = np.stack([np.arange(17), np.random.default_rng(1).permutation(17)], axis=1)
    wanted = []
    for each in (True, False):
        # sparse features keep their zeros: what counts as a column's size is its distance from zero
        square = x.var(axis=0) if form is np.asarray else (x**2).mean(axis=0)
        scaled = (x - x.mean(axis=0)) / np.sqrt(square if each else square.mean())
        wanted.append(scaled @ scaled.T)
    distance = ((scaled[:, None] - scaled) ** 2).sum(axis=2)
    rank = distance.argsort(axis=1).argsort(axis=1)
    wanted.append((rank <= 10).astype(float))
    for part in wanted:
        np.fill_diagonal(part, 0.0)  # a row is no neighbour of its own
    for together, similar in zip(relevance._similarities(form(x)), wanted, strict=True):
        found = together(votes.astype(np.float32)[order])
        for shuffle, q in zip(order.T, found, strict=True):
            expected = (similar * (votes[shuffle] @ votes[shuffle].T)).sum()
            assert q == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_votes_without_relation_are_called_related_as_often_as_promised() -> None:
    found = np.array([relevance.chance(*draw(seed), np.ones(40), seed) for seed in range(200)])
    for level in (0.05, 0.2, 0.5):
        # a binomial count of 200 lies within four standard errors but in one case of 16,000
        assert abs((found <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 200)


def test_rows_in_the_order_of_labels_do_not_relate_to_features_of_few_values() -> None:
    """Most neighbours are then as near as others, and the first ones would be taken."""
    votes = np.eye(2)[np.arange(100) // 50]
    found = []
    for seed in range(150):
        x = (np.random.default_rng(seed).random((100, 1)) < 0.05).astype(np.float32)
        found.append(relevance.chance(x, votes, np.ones(100), seed))
    assert (np.array(found) <= 0.05).mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 150)


def test_votes_that_follow_features_are_told() -> None:
    found = [relevance.chance(*draw(seed, 80, 0.8), np.ones(80), 0) for seed in range(10)]
    assert max(found) <= relevance.UNCHECKED


def test_it_asks_neighbours_where_products_say_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 2)).astype(np.float32)
    ring = (np.hypot(*x.T) < 0.8).astype(int)
    assert relevance.chance(x, np.eye(2)[ring], np.ones(200), 0) <= relevance.UNCHECKED


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_depend_on_names_units_or_rows_that_count_for_nothing(seed) -> None:
    x, votes = draw(seed, told=0.3)
    ones = np.ones(len(x))
    chance = relevance.chance(x, votes, ones, 0)
    assert relevance.chance(x, votes[:, [2, 0, 1]], ones, 0) == chance
    assert relevance.chance(8 * x + np.float32(3), votes, ones, 0) == pytest.approx(
        chance, abs=0.004
    )
    more = np.concatenate([x, 9 * np.ones_like(x)]), np.concatenate([votes, votes[::-1]])
    assert relevance.chance(*more, np.repeat([1.0, 0.0], len(x)), 0) == chance


def test_sparse_features_are_asked_too() -> None:
    x, votes = draw(0, 80, 0.6)
    words = sparse.csr_array(np.maximum(x, 0))
    assert relevance.chance(words, votes, np.ones(80), 0) <= relevance.UNCHECKED


def test_constant_votes_or_features_have_nothing_in_common() -> None:
    x, votes = draw(0)
    assert relevance.chance(x, np.ones_like(votes) / 3, np.ones(40), 0) == 1
    assert relevance.chance(np.ones_like(x), votes, np.ones(40), 0) > relevance.CHECKED


def crowd(seed: int, n: int = 70):
    """Return the truth about n tumours, two answers each by twenty workers, and the tumours' features."""
    rng = np.random.default_rng(seed)
    x, truth = load_breast_cancer(return_X_y=True)
    some = rng.permutation(len(x))[:n]
    x, truth = x[some], truth[some]
    skill = rng.beta(4, 2, 20)
    rows = [
        (f"t{i}", f"w{j}", int(truth[i] if rng.random() < skill[j] else 1 - truth[i]))
        for i in range(n)
        for j in rng.choice(20, 2, replace=False)
    ]
    tasks = [f"t{i}" for i in range(n)]
    features = pd.DataFrame(x, index=tasks)
    answers = pd.DataFrame(rows, columns=["task", "worker", "label"])
    return answers, features, pd.Series(truth, index=tasks)


def share_right(model, truth: pd.Series) -> float:
    return float((model.labels_.reindex(truth.index) == truth).mean())


def test_features_of_few_tasks_are_used_where_predictions_alone_would_not_tell(monkeypatch) -> None:
    answers, features, truth = crowd(34)
    model = DEEMAggregator(progress=False).fit(answers, features=features)
    assert model.features_use_.startswith("joint: ")
    assert "of shuffled votes match the features at least as well" in model.features_use_
    monkeypatch.setattr(relevance, "MOST_ROWS", 0)
    with pytest.warns(
        DataWarning, match=r"standard errors better than chance \(2.4 better are needed\)\.$"
    ):
        without = DEEMAggregator(progress=False).fit(answers, features=features)
    assert share_right(model, truth) > share_right(without, truth) + 0.1


def told(seed: int, **how) -> str:
    answers, features, _ = crowd(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        model = DEEMAggregator(progress=False, **how).fit(answers, features=features)
        without = DEEMAggregator(progress=False, **how).fit(answers)
    if model.features_use_.startswith("answers alone: "):
        pd.testing.assert_frame_equal(model.probas_, without.probas_)
    return model.features_use_


def test_held_out_answers_have_to_speak_for_features_that_predictions_leave_in_doubt(
    monkeypatch,
) -> None:
    monkeypatch.setattr(relevance, "chance", lambda *_: 0.01)
    use = told(19)
    assert use.startswith("answers alone: ")
    assert "but only 1.0% of shuffled votes match" in use
    assert "held-out answers are not clearly likelier with them: -" in use
    assert use.endswith("and have to be")


def test_shuffles_have_to_say_more_where_held_out_answers_are_not_asked(monkeypatch) -> None:
    monkeypatch.setattr(choice, "ASSOCIATED", 4.0)
    monkeypatch.setattr(relevance, "chance", lambda *_: 0.03)
    assert told(34).startswith("joint: ")
    use = told(34, groups={"a": ["w0", "w1"]})
    assert use.startswith("answers alone: ")
    assert "3.0% of shuffled labels match" in use
    assert "(at most 0.8% may)" in use


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([1] * 30, [0] * 30),
        ([1] * 5, [0] * 5),
        ([2] * 25 + [1] * 25, [1] * 25 + [0] * 25),
        ([1] * 19 + [2] + [3] * 21 + [np.inf] * 3, [0] * 20 + [1] * 24),
        ([1] * 19 + [2] * 2 + [3] * 19, [0] * 40),
    ],
)
def test_rows_with_about_as_many_answers_are_one_stratum(answers, expected) -> None:
    assert relevance.strata(np.array(answers, dtype=float)).tolist() == expected


def test_the_number_of_answers_may_go_with_the_features() -> None:
    """Votes of one answer are farther from their mean than those of many; shuffles leave them among their like."""
    found = {"by strata": [], "all": []}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(200, 2)).astype(np.float32)
        extreme = np.abs(x[:, 0]) > np.quantile(np.abs(x[:, 0]), 0.85)
        number = np.where(extreme, 1, 30)
        share = rng.binomial(number, 0.5) / number
        votes = np.stack([share, 1 - share], axis=1)
        asked = (x, votes, np.ones(200), seed)
        found["by strata"].append(relevance.chance(*asked, number.astype(float)))
        found["all"].append(relevance.chance(*asked))
    most = 0.05 + 4 * np.sqrt(0.05 * 0.95 / 100)
    assert np.mean(np.array(found["by strata"]) <= 0.05) < most
    assert np.mean(np.array(found["all"]) <= 0.05) > np.mean(np.array(found["by strata"]) <= 0.05)

"""Soft answers of several classes, as classifiers give them: one factor, and errors that all sources share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from deem_crowd_adapters import from_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.decide import suspect_answers
from deem_crowd.model.design import make_design
from deem_crowd.selection import one_factor
from deem_crowd.selection.candidates import FACTOR, VOTES

Array = npt.NDArray[np.float64]


def softmax(logits: Array) -> Array:
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True))


def drawn(
    seed: int,
    k: int,
    signal: list[float],
    n: int = 600,
    shared: float = 0.0,
    first: float = 0.0,
    scale: list[float] | None = None,
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return probabilities, shape (N, K, D), and classes; the first class is likelier by ``first``.

    A part ``shared`` of the variance of the noise is the same for all sources, whose logits are ``scale`` times larger.
    """
    draw = np.random.default_rng(seed)
    shares = np.full(k, (1 - first) / k)
    shares[0] += first
    truth = draw.choice(k, n, p=shares)
    noise = draw.normal(size=(n, k, len(signal))) * np.sqrt(1 - shared)
    noise += draw.normal(size=(n, k, 1)) * np.sqrt(shared)
    logits = noise + np.eye(k)[truth][:, :, None] * np.array(signal)
    return softmax(logits * np.array(scale or [1.0] * len(signal))), truth


def right(probabilities: Array, truth: npt.NDArray[np.int64]) -> float:
    return float((probabilities.argmax(1) == truth).mean())


def log_loss(probabilities: Array, truth: npt.NDArray[np.int64]) -> float:
    return float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-9)).mean())


def found_in(soft: Array) -> one_factor.Factor | None:
    answers = Answers.from_soft(soft)
    return one_factor.find(answers, make_design(answers, "cpu", "float64", answers.n_classes))


WORLDS = {
    "half of them guess": {"k": 4, "signal": [2.0, 1.5, 1.2, 0.0, 0.0, 0.0]},
    "scales differ": {"k": 5, "signal": [1.0, 1.2, 1.4, 1.6], "scale": [6.0, 0.5, 2.0, 1.0]},
    "a usual class": {"k": 6, "signal": [1.0, 1.3, 1.6, 1.9, 2.2], "first": 0.4},
    "certain and uncertain": {"k": 3, "signal": [1.5] * 6, "scale": [40.0, 1, 40, 1, 40, 1]},
}


@pytest.mark.parametrize("name", WORLDS)
def test_better_than_the_mean_of_probabilities(name: str) -> None:
    gains = []
    for seed in range(2):
        soft, truth = drawn(seed, **WORLDS[name])
        model, mean = DEEM().fit(soft), soft.mean(2)
        weight = model.selection_.set_index("candidate")["weight"]
        assert weight[FACTOR] == 1
        gains.append(
            (
                right(model.probas_, truth) - right(mean, truth),
                log_loss(mean, truth) - log_loss(model.probas_, truth),
            )
        )
    accuracy, loss = np.mean(gains, 0)
    assert accuracy > 0.005
    assert loss > 0.2


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_the_energy_is_the_likelihood_of_what_sources_have_in_common(shared: float) -> None:
    soft, _ = drawn(1, 4, [1.0, 1.5, 2.0, 2.5], shared=shared)
    found = found_in(soft)
    assert found is not None
    assert (found.shared > 0) == (shared > 0)
    k, pi = 4, np.exp(found.energy.bias.numpy())
    centred = soft - soft.mean(0)
    number, variance = len(soft), (centred**2).mean(0).sum(0)
    usual = variance.mean()
    variance = (number * variance + 10 * usual) / (number + 10)
    even = 1 - (pi**2).sum()
    shift = found.loading * np.sqrt(variance / even)
    slope = shift * (k - 1) / (variance * np.maximum(1 - found.loading**2, 0.25))
    together, strength = centred @ slope, float(slope @ shift)
    spread = np.sqrt(strength + found.shared * even * strength**2 / (k - 1))
    middle = np.sqrt(1 - found.shared) * strength * (np.eye(k) - pi)
    density = norm.logpdf(together[:, None], middle, spread).sum(2) + np.log(pi)
    answers = Answers.from_soft(soft)
    told = found.energy.posterior(make_design(answers, "cpu", "float64", k)).numpy()
    np.testing.assert_allclose(told, softmax(density), atol=1e-9)


def test_errors_that_all_sources_share_make_probabilities_cautious() -> None:
    parts, overconfident = [], []
    for shared in (0.0, 0.3, 0.6):
        soft, truth = drawn(3, 3, [1.0, 1.2, 1.4, 1.6, 1.8], n=2000, shared=shared)
        found, model = found_in(soft), DEEM().fit(soft)
        assert found is not None
        parts.append(found.shared)
        overconfident.append(model.probas_.max(1).mean() - right(model.probas_, truth))
    assert parts[0] <= 0.01
    assert 0.05 < parts[1] < parts[2]
    assert max(overconfident) < 0.1


@pytest.mark.parametrize(
    "world",
    [
        {"k": 3, "signal": [1.0, 1.3, 1.6, 1.9, 2.2], "first": 0.85},
        {"k": 2, "signal": [0.8, 1.0, 1.2, 1.4, 1.6]},
        {"k": 30, "signal": [1.0, 1.6, 2.2, 2.6, 3.0, 3.4]},
        {"k": 4, "signal": [4.0, 0.5, 0.5, 0.5, 0.5]},
        {"k": 4, "signal": [0.5, 1.0, 1.5, 2.0, 2.5], "scale": [6.0, 0.5, 2.0, 1.0, 1.0]},
    ],
    ids=["a usual class", "two classes", "many classes", "one good source", "scales differ"],
)
def test_a_skill_is_how_often_the_likeliest_class_is_right(world: dict[str, Any]) -> None:
    errors = []
    for seed in range(2):
        soft, truth = drawn(seed, **world)
        told = [right(soft[:, :, i], truth) for i in range(soft.shape[2])]
        errors.append(np.abs(DEEM().fit(soft).skills_ - told).mean())
    assert np.mean(errors) < 0.035


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(4)), st.permutations(range(5)))
def test_names_and_orders_do_not_matter(seed: int, classes: list[int], sources: list[int]) -> None:
    soft, _ = drawn(seed, 4, [0.5, 1.0, 1.5, 2.0, 2.5], n=150, shared=0.2)
    rows = np.random.default_rng(seed).permutation(len(soft))
    one, other = found_in(soft), found_in(soft[rows][:, classes][:, :, sources])
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.loading, one.loading[sources], atol=1e-6)
    assert other.shared == one.shared
    weight = one.energy.weight.numpy()[sources][:, classes][:, :, classes]
    np.testing.assert_allclose(other.energy.weight.numpy(), weight, atol=1e-5)


def test_a_source_that_says_nothing_changes_nothing() -> None:
    soft, _ = drawn(2, 3, [1.0, 1.5, 2.0])
    nothing = np.full((len(soft), 3, 1), np.nan)
    same = np.full((len(soft), 3, 1), 1 / 3)
    one = DEEM().fit(soft).probas_
    np.testing.assert_allclose(
        DEEM().fit(np.concatenate([soft, nothing], 2)).probas_, one, atol=1e-9
    )
    both = np.concatenate([soft, same], 2)
    found = found_in(both)
    assert found is not None
    assert (found.energy.weight[-1] == 0).all()
    assert DEEM().fit(both).skills_[-1] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("n", "k", "d"), [(50, 3, 3), (200, 8, 6)])
def test_answers_without_a_label_show_none(n: int, k: int, d: int) -> None:
    found = [found_in(drawn(seed, k, [0.0] * d, n=n)[0]) is not None for seed in range(100)]
    assert np.mean(found) <= 0.05  # 1 % are expected; 5 of 100 have a chance of 0.4 %


def test_answers_that_are_nearly_certain_are_left_to_tables() -> None:
    soft, _ = drawn(0, 3, [2.0] * 5, scale=[100.0] * 5)
    assert FACTOR not in set(DEEM().fit(soft).selection_["candidate"])


@pytest.mark.parametrize("least", [0.9, 0.7])
def test_classes_named_with_a_certainty_are_left_to_tables(least: float) -> None:
    """People who mistake some classes for others, and are more or less sure: tables know the mistakes."""
    draw = np.random.default_rng(7)
    k, n, d = 6, 600, 6
    truth = draw.integers(0, k, n)
    tables = draw.dirichlet(np.full(k, 0.3), (d, k)) + 1.2 * np.eye(k)
    odds = (tables / tables.sum(2, keepdims=True))[:, truth].cumsum(2)
    named = (draw.random((d, n, 1)) > odds).sum(2).clip(0, k - 1)
    sure = draw.uniform(least, 1, (d, n, 1))
    soft = np.where(np.arange(k) == named[:, :, None], sure, (1 - sure) / (k - 1))
    model, hard = DEEM().fit(soft.transpose(1, 2, 0)), DEEM().fit(named.T)
    assert FACTOR not in set(model.selection_["candidate"])
    assert right(model.probas_, truth) > right(hard.probas_, truth) - 0.02


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 0.95))
def test_smoothed_answers_do_not_lie_between_classes(seed: int, certain: float) -> None:
    named = np.eye(4)[drawn(seed, 4, [1.0] * 5, n=100)[0].argmax(1)].transpose(0, 2, 1)
    answers = Answers.from_soft(certain * named + (1 - certain) / 4)
    assert not one_factor.between_classes(answers, make_design(answers, "cpu", "float64", 4))


@pytest.mark.parametrize("k", [2, 3, 8])
def test_ranks_and_logistic_scores_lie_between_classes(k: int) -> None:
    scores = drawn(0, k, [1.0] * 5)[0]
    for soft in (
        scores,
        np.where(np.arange(5) < 2, np.eye(k)[scores.argmax(1)].transpose(0, 2, 1), scores),
    ):
        answers = Answers.from_soft(soft)
        assert one_factor.between_classes(answers, make_design(answers, "cpu", "float64", k))


@pytest.mark.parametrize(("k", "first"), [(2, 0.8), (3, 0.9), (6, 0.85)])
def test_rare_classes_of_sources_that_do_not_know_how_rare_they_are(k: int, first: float) -> None:
    gains = []
    for seed in range(2):
        soft, truth = drawn(seed, k, [1.0, 1.3, 1.6, 1.9, 2.2], first=first)
        gains.append(right(DEEM().fit(soft).probas_, truth) - right(soft.mean(2), truth))
    assert np.mean(gains) > -0.01


def test_the_share_of_ranks_is_the_users() -> None:
    draw = np.random.default_rng(4)
    truth = draw.random(400) < 0.3
    scores = draw.normal(size=(400, 5)) + truth[:, None] * np.array([1.0, 1.2, 1.4, 1.6, 1.8])
    scores[draw.random((400, 5)) < 0.3] = np.nan
    for share in (0.2, 0.5):
        told = pd.DataFrame(scores, columns=list("abcde")).rename_axis("task").reset_index()
        answers = from_scores(told.melt("task", var_name="worker", value_name="score"), share=share)
        found = one_factor.find(answers, make_design(answers, "cpu", "float64", 2))
        assert found is not None
        assert answers.soft is not None
        assert found.energy.bias.exp()[1] == pytest.approx(answers.soft[:, 1].mean())


@pytest.mark.parametrize("k", [2, 4])
def test_wrong_answers_are_the_most_suspect(k: int) -> None:
    soft, truth = drawn(1, k, [0.6, 1.0, 1.4, 1.8, 2.2], n=300)
    unasked = np.random.default_rng(1).random((300, 1, 5)) < 0.5
    answers = Answers.from_soft(np.where(unasked, np.nan, soft))
    model = DEEMAggregator().fit(answers)
    assert FACTOR in set(model.selection_["candidate"])
    rows = suspect_answers(model, answers=answers)
    assert roc_auc_score(rows["label"] != truth[rows["task"]], rows["score"]) > 0.85


def test_known_labels_leave_probabilities_as_certain_as_they_should_be() -> None:
    worlds = {"k": 5, "signal": [0.8, 1.0, 1.2, 1.4, 1.6, 1.8], "scale": [0.5, 1, 2, 4, 1, 0.5]}
    lost = []
    for seed in range(2):
        soft, truth = drawn(seed, n=300, **worlds)
        gold = np.where(np.arange(len(truth)) < 5, truth, -1)
        without, known = DEEM().fit(soft), DEEM().fit(soft, gold=gold)
        assert (known.labels_[:5] == truth[:5]).all()
        rest = slice(5, None)
        lost.append(
            log_loss(known.probas_[rest], truth[rest])
            - log_loss(without.probas_[rest], truth[rest])
        )
    assert np.mean(lost) < 0.05


def test_one_source_of_probabilities_is_taken_at_its_word() -> None:
    soft, _ = drawn(2, 4, [1.3])
    given = soft[:, :, 0]
    found = DEEM().fit(soft).probas_
    np.testing.assert_allclose(found, (given + 0.1 / 4) / 1.1, atol=0.02)
    assert (found.argmax(1) == given.argmax(1)).all()


@pytest.mark.parametrize("k", [2, 3])
def test_many_known_labels_leave_one_source_of_probabilities_as_certain(k: int) -> None:
    lost = []
    for seed in range(1, 3):
        soft, truth = drawn(seed, k, [1.3], n=300, scale=[1.3])
        gold = np.where(np.arange(300) < 150, truth, -1)
        without, known = DEEM().fit(soft).probas_, DEEM().fit(soft, gold=gold).probas_
        lost.append(log_loss(known[150:], truth[150:]) - log_loss(without[150:], truth[150:]))
    assert np.mean(lost) < 0.02


def test_two_sources_that_agree_by_chance_are_taken_at_their_word_in_a_group_too() -> None:
    soft = np.random.default_rng(0).dirichlet([1, 1, 1], size=(300, 2)).transpose(0, 2, 1)
    plain, grouped = DEEM().fit(soft), DEEM(groups={"both": [0, 1]}).fit(soft)
    np.testing.assert_allclose(plain.probas_, (soft.mean(2) + 0.05 / 3) / 1.05, atol=1e-9)
    np.testing.assert_allclose(grouped.probas_, plain.probas_, atol=1e-3)


def test_what_is_chosen_for_two_sources_says_what_it_counts() -> None:
    soft, _ = drawn(0, 4, [1.0, 1.5])
    told = DEEM().fit(soft).selection_
    assert told[told["weight"] > 0].set_index("candidate")["weight"].to_dict() == {
        FACTOR: 0.5,
        VOTES: 0.5,
    }


@pytest.mark.parametrize("scale", [[1.0, 1.0], [3.0, 0.7]])
def test_two_sources_of_probabilities_say_more_than_their_likeliest_classes(
    scale: list[float],
) -> None:
    gains, lost = [], []
    for seed in range(2):
        soft, truth = drawn(seed, 4, [1.0, 1.5], scale=scale)
        of_two, of_labels = DEEM().fit(soft).probas_, DEEM().fit(soft.argmax(1)).probas_
        gains.append(right(of_two, truth) - right(of_labels, truth))
        lost.append(log_loss(of_two, truth) - log_loss(soft.mean(2), truth))
    assert np.mean(gains) > 0.03
    assert np.mean(lost) < -0.05


def test_features_beside_one_source_of_probabilities() -> None:
    gains, lost = [], []
    for seed in range(2):
        soft, truth = drawn(seed, 4, [1.3], n=400)
        draw = np.random.default_rng(seed)
        features = draw.normal(size=(4, 8))[truth] * 0.6 + draw.normal(size=(400, 8))
        alone, beside = DEEM().fit(soft).probas_, DEEM().fit(soft, features=features).probas_
        gains.append(right(beside, truth) - right(alone, truth))
        lost.append(log_loss(beside, truth) - log_loss(alone, truth))
    assert np.mean(gains) > 0.05
    assert np.mean(lost) < -0.2


def test_the_smoothing_of_probabilities_is_saved(tmp_path: Path) -> None:
    soft, _ = drawn(3, 3, [1.3, 1.0])
    model = DEEM().fit(soft)
    model.save(tmp_path / "model")
    told = DEEM.load(tmp_path / "model").predict(soft, return_probs=True)[1]
    np.testing.assert_allclose(told, model.probas_, atol=1e-9)

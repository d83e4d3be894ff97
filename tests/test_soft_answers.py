"""Soft answers of several classes, as classifiers give them: one factor, and errors that all sources share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from deem_crowd import DEEM, Answers
from deem_crowd.model.design import make_design
from deem_crowd.selection import one_factor
from deem_crowd.selection.candidates import FACTOR

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
    for seed in range(3):
        soft, truth = drawn(seed, **WORLDS[name])  # type: ignore[arg-type]
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


def test_a_skill_is_the_chance_that_the_likeliest_class_is_right() -> None:
    """Where answers are what the model says: normal, with one variance in all directions."""
    draw = np.random.default_rng(5)
    k, n, size = 3, 6000, np.array([0.02, 0.03, 0.04, 0.06])
    truth = draw.choice(k, n, p=[0.5, 0.3, 0.2])
    noise = 0.05 * draw.normal(size=(n, k, 4))
    noise -= noise.mean(1, keepdims=True)
    soft = 1 / k + np.eye(k)[truth][:, :, None] * size - size / k + noise
    found = found_in(np.clip(soft, 0.001, 1))
    assert found is not None
    told = [right(soft[:, :, i], truth) for i in range(4)]
    np.testing.assert_allclose(found.skills, told, atol=0.03)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(4)), st.permutations(range(5)))
def test_names_and_orders_do_not_matter(seed: int, classes: list[int], sources: list[int]) -> None:
    soft, _ = drawn(seed, 4, [0.5, 1.0, 1.5, 2.0, 2.5], n=150, shared=0.2)
    rows = np.random.default_rng(seed).permutation(len(soft))
    one, other = found_in(soft), found_in(soft[rows][:, classes][:, :, sources])
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.loading, one.loading[sources], atol=1e-6)
    np.testing.assert_allclose(other.skills, one.skills[sources], atol=1e-6)
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
    both = found_in(np.concatenate([soft, same], 2))
    assert both is not None
    assert (both.energy.weight[-1] == 0).all()
    assert both.skills[-1] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("n", "k", "d"), [(50, 3, 3), (200, 8, 6)])
def test_answers_without_a_label_show_none(n: int, k: int, d: int) -> None:
    found = [found_in(drawn(seed, k, [0.0] * d, n=n)[0]) is not None for seed in range(100)]
    assert np.mean(found) <= 0.05  # 1 % are expected; 5 of 100 have a chance of 0.4 %


def test_answers_that_are_nearly_certain_are_left_to_tables() -> None:
    soft, _ = drawn(0, 3, [2.0] * 5, scale=[100.0] * 5)
    assert FACTOR not in set(DEEM().fit(soft).selection_["candidate"])

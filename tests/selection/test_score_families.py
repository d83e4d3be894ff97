"""Families of sources of probabilities that correlations alone do not tell from a few good sources."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import softmax

from deem_crowd import DEEM, Answers
from deem_crowd.model.design import make_design
from deem_crowd.selection import one_factor

Array = npt.NDArray[np.float64]


def right(probabilities: Array, truth: Array) -> float:
    return float((probabilities.argmax(1) == truth).mean())


def found_in(soft: Array) -> one_factor.Factor | None:
    answers = Answers.from_soft(soft)
    return one_factor.find(answers, make_design(answers, "cpu", "float64", answers.n_classes))


def panel(
    seed: int, blocks: list[tuple[int, float, float, float]], k: int, everyone: float = 0.0
) -> tuple[Array, Array]:
    """Return probabilities, shape (N, K, D), and classes: blocks of sources whose errors are correlated.

    Each block is its number of sources, the correlation, and the range of their signals. Errors of all are correlated
    by ``everyone`` beside.
    """
    draw = np.random.default_rng(seed)
    truth = draw.integers(k, size=500)
    of_all = np.random.default_rng([seed, 1]).normal(size=(500, k))
    logits = []
    for size, correlation, low, high in blocks:
        common = np.sqrt(correlation) * draw.normal(size=(500, k))
        for _ in range(size):
            own = np.sqrt(1 - correlation) * draw.normal(size=(500, k))
            errors = np.sqrt(1 - everyone) * (common + own) + np.sqrt(everyone) * of_all
            logits.append(draw.uniform(low, high) * np.eye(k)[truth] + errors)
    scale = draw.uniform(0.5, 3, len(logits))
    return softmax(np.stack(logits, 2) * scale, axis=1), truth


@pytest.mark.parametrize(
    ("blocks", "k", "more"),
    [
        ([(4, 0.7, 0.6, 1.3), (4, 0.0, 0.6, 1.3)], 3, 0.1),
        ([(4, 0.7, 0.6, 1.3), (4, 0.0, 0.6, 1.3)], 2, 0.08),
        ([(3, 0.7, 0.6, 1.3), (5, 0.0, 0.6, 1.3)], 6, 0.2),
        ([(3, 0.0, 1.5, 2.0), (5, 0.7, 0.3, 0.8)], 3, 0.2),
        ([(5, 0.8, 0.6, 1.3), (3, 0.0, 0.6, 1.3)], 2, 0.1),
    ],
)
def test_who_shares_errors_is_told_by_whether_answers_gather_around_the_classes(
    blocks: list[tuple[int, float, float, float]],
    k: int,
    more: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gains = []
    for seed in range(2):
        soft, truth = panel(seed, blocks, k)
        found = DEEM().fit(soft).probas_
        with monkeypatch.context() as patched:
            patched.setattr(one_factor, "_GATHERED", 1.0)  # doubtful families are not asked about
            before = DEEM().fit(soft).probas_
        gains.append(right(found, truth) - right(before, truth))
    assert np.mean(gains) > more


@pytest.mark.parametrize("k", [2, 3, 6])
def test_independent_sources_are_no_family(k: int) -> None:
    """Three that are much better than the rest look like one by their correlations."""
    for blocks in ([(8, 0.0, 0.6, 1.3)], [(3, 0.0, 1.5, 2.0), (5, 0.0, 0.3, 0.8)]):
        found = found_in(panel(1, blocks, k)[0])
        assert found is not None
        assert (found.family < 0).all()


def test_good_sources_are_no_family_where_all_share_errors() -> None:
    """A little error in common does not outweigh what the good ones say of eight classes."""
    for seed in range(6):
        for blocks in (
            [(3, 0.0, 1.5, 2.0), (5, 0.0, 0.3, 0.8)],
            [(4, 0.0, 1.3, 1.8), (4, 0.0, 0.3, 0.8)],
        ):
            found = found_in(panel(seed, blocks, 8, everyone=0.1)[0])
            assert found is not None
            assert not (found.family[:3] >= 0).all()

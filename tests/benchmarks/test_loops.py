"""The streams of wrong labels that RAD is measured on."""

from __future__ import annotations

import numpy as np
import pytest
from deem_crowd_benchmarks import loops
from sklearn.neighbors import KNeighborsClassifier


def test_as_many_labels_are_wrong_as_the_paper_says() -> None:
    """At 10 % of 400: 40 with a standard deviation of 8, over 1,000 batches, within four standard errors."""
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=400)
    given = [loops.noisy(labels, 0.1, rng) for _ in range(1000)]
    wrong = np.array([(one != labels).sum() for one in given])
    assert wrong.mean() == pytest.approx(40, abs=4 * 8 / np.sqrt(1000))
    assert wrong.std() == pytest.approx(8, abs=4 * 8 / np.sqrt(2000))
    drawn = np.concatenate([(one - labels)[one != labels] % 10 for one in given])
    shares = np.bincount(drawn, minlength=10)[1:] / len(drawn)
    assert shares == pytest.approx(np.full(9, 1 / 9), abs=4 * np.sqrt(1 / 9 / len(drawn)))


def test_ceal_is_measured_at_both_thresholds_of_the_paper(monkeypatch) -> None:
    monkeypatch.setattr(loops, "_classifier", lambda: KNeighborsClassifier(10))
    row = loops.ceal(1).iloc[0]
    strict, loose = (row[f"pseudo {delta}"] for delta in (0.005, 0.05))
    assert 0 < strict <= loose
    assert all(0 < row[f"right {delta}"] <= 1 for delta in (0.005, 0.05))
    assert row["margin 0.0"] > row["random 0.0"]

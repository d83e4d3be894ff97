"""CEAL and RAD on scikit-learn's digits: ``python -m deem_crowd_benchmarks.loops ceal --seeds 20``, ``... rad``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from deem_crowd.decide import CEAL, RAD
from deem_crowd_benchmarks.sets.things import of_sklearn

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_TRAIN = 1_397
_FIRST, _BATCH = 200, 100
_DELTAS, _DECAY = (0.05, 0.005), 0.066
"""δ_0 of CEAL on faces and on Caltech-256, and its decay r as a multiple of δ_0."""


def digits(seed: int) -> tuple[FloatArray, IntArray]:
    """Return the 1,797 digits in random order, values from 0 to 16."""
    features, labels = of_sklearn("digits")
    order = np.random.default_rng(seed).permutation(len(labels))
    return features[order], labels[order]


def noisy(
    labels: IntArray, share: float, rng: np.random.Generator, n_classes: int = 10
) -> IntArray:
    """Return labels some of which are wrong, each evenly one of the other classes.

    Their number is normal with mean ``share`` of the batch and a relative standard deviation of a fifth (RAD).
    """
    n = len(labels)
    wrong = int(np.clip(round(rng.normal(share * n, 0.2 * share * n)), 0, n))
    given = labels.copy()
    chosen = rng.choice(n, wrong, replace=False)
    given[chosen] = (labels[chosen] + rng.integers(1, n_classes, wrong)) % n_classes
    return given


def _classifier() -> LogisticRegression:
    return LogisticRegression(max_iter=300)


def ceal(seeds: int) -> pd.DataFrame:
    """Return the mean test accuracy over the rounds, 30 labels and 15 rounds of 20, a row a seed.

    ``pseudo`` and ``right`` with δ_0: pseudo-labels of all rounds with margin, and the share of right ones, at the two
    thresholds of the paper.
    """
    rows = []
    for seed in range(seeds):
        x, y = digits(seed)
        row: dict[str, float] = {}
        for strategy, delta in (
            ("random", 0.0),
            ("margin", 0.0),
            *(("margin", d) for d in _DELTAS),
        ):
            loop = CEAL(
                _classifier(),
                strategy,
                delta0=delta,
                decay=_DECAY * delta,
                rounds=15,
                random_state=seed,
            )
            rest = slice(_TRAIN, None)
            loop.fit(x[:_TRAIN], y[:_TRAIN], truth=y[:_TRAIN], test=(x[rest], y[rest]))
            history = loop.history_
            row[f"{strategy} {delta}"] = float(history["test_accuracy"][1:].mean())
            if delta:
                made = history["pseudo_labelled"]
                row[f"pseudo {delta}"] = float(made.sum())
                right = (history["pseudo_accuracy"] * made).sum() / max(made.sum(), 1)
                row[f"right {delta}"] = float(right)
        rows.append(row)
    return pd.DataFrame(rows)


def rad(seeds: int, share: float = 0.4) -> pd.DataFrame:
    """Return the test accuracy after a stream of batches of 100 with wrong labels, a row a seed.

    Starts from 200 clean digits. ``none`` accepts every label, ``clean`` the right ones; ``asked``: questions of
    'active' over the labels that came.
    """
    rows = []
    for seed in range(seeds):
        x, y = digits(seed)
        x = x / 16
        rng = np.random.default_rng(seed)
        given = y[:_TRAIN].copy()
        parts = [slice(i, min(i + _BATCH, _TRAIN)) for i in range(_FIRST, _TRAIN, _BATCH)]
        for part in parts:
            given[part] = noisy(y[part], share, rng)
        test = slice(_TRAIN, None)
        right = given == y[:_TRAIN]
        row: dict[str, float] = {}
        for name, taken in (("none", np.ones(_TRAIN, dtype=bool)), ("clean", right)):
            model = _classifier().fit(x[:_TRAIN][taken], given[taken])
            row[name] = float(model.score(x[test], y[test]))
        truth: dict[Any, Any] = dict(enumerate(y[_FIRST:]))
        for variant in ("base", "voting", "active", "slim"):
            stream = RAD(KNeighborsClassifier(5), _classifier(), variant, oracle=truth.get)
            stream.fit(x[:_FIRST], y[:_FIRST])
            for part in parts:
                stream.partial_fit(x[part], given[part])
            row[variant] = stream.score(x[test], y[test])
            if variant in ("active", "slim"):
                row[f"{variant} asked"] = float(stream.report_["asked"].sum() / (_TRAIN - _FIRST))
        rows.append(row)
    return pd.DataFrame(rows)


def difference(frame: pd.DataFrame, one: str, other: str) -> tuple[float, float, float]:
    """Return the mean of paired differences and its 95 % interval (Student's t)."""
    gap = (frame[one] - frame[other]).to_numpy()
    half = stats.t.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))
    return float(gap.mean()), float(gap.mean() - half), float(gap.mean() + half)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print means over seeds, and paired differences with their 95 % intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("ceal", "rad"))
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args(arguments)
    table = (ceal if options.name == "ceal" else rad)(options.seeds)
    pairs = {
        "ceal": [
            ("margin 0.0", "random 0.0"),
            ("margin 0.05", "margin 0.0"),
            ("margin 0.005", "margin 0.0"),
        ],
        "rad": [("base", "none"), ("active", "base"), ("clean", "active"), ("clean", "base")],
    }
    lines = [f"{name}: {value:.4f}" for name, value in table.mean().items()]
    for one, other in pairs[options.name]:
        gap, low, high = difference(table, one, other)
        lines.append(
            f"{one} - {other}: {100 * gap:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] points"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

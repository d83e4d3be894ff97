"""Sources that number the classes each at will, and how well clusters of tasks match the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

# Rows are tasks 0 to 10, columns three models.
HAND = np.array(
    [
        list(map(int, row))
        for row in ["000", "000", "000", "001", "111", "111", "110", "101", "222", "222", "212"]
    ]
)


def sources(seed: int, k: int, d: int, p: float, n: int = 800, missing: float = 0.0):
    """Sources that know the class with chance p and else draw any; each numbers the classes at will."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    common = np.where(rng.random((n, d)) < p, truth[:, None], rng.integers(k, size=(n, d)))
    private = np.stack([rng.permutation(k)[common[:, i]] for i in range(d)], axis=1)
    unanswered = rng.random((n, d)) < missing
    private[unanswered], common[unanswered] = -1, -1
    return private, common, truth


def accuracy(labels, truth) -> float:
    """The largest share of tasks right over one-to-one maps from clusters to classes."""
    table = pd.crosstab(np.asarray(labels), np.asarray(truth)).to_numpy()
    rows, cols = linear_sum_assignment(table, maximize=True)
    return table[rows, cols].sum() / len(truth)


def renamed(matrix: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = matrix.copy()
    for i in range(matrix.shape[1]):
        given_ = matrix[:, i] >= 0
        out[given_, i] = rng.permutation(matrix.max() + 1)[matrix[given_, i]]
    return out

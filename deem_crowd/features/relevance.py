r"""Whether votes and features have anything in common, asked of all tasks at once: a permutation test.

Predictions out of fold (:func:`deem_crowd.features.choice.association`) are made by classifiers that have seen four
fifths of the votes and are asked about one fifth. Of a hundred tasks that is often too little to tell. Here tasks with
like features are asked whether they have like votes, without a classifier: with r_n the votes of a task less the mean
of all, the sum over pairs of tasks

    Q = Σ_{n≠m} s(x_n, x_m) r_n · r_m

is large if they do (the global test of Goeman et al., *Bioinformatics* 20, 2004). s is the inner product of features,
with each column scaled or all by one number, or says whether m is among the nearest neighbours of n. If votes have
nothing to do with features, the votes of any task could have been those of any other: Q is compared with what it is
after votes were shuffled among the tasks. Of the three values of Q, in standard deviations over the shuffles, the
largest counts, and so it does in each shuffle (Westfall and Young, *Resampling-Based Multiple Testing*, 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.features.logistic import Scaler
from deem_crowd.features.neighbours import nearest_rows

FloatArray = npt.NDArray[np.float64]
Similarity = Callable[[npt.NDArray[np.float32]], FloatArray]
"""From deviations of votes, shape (N, S, K), to Q of each of S shuffles."""

MOST_ROWS = 2_500
"""With more, predictions out of fold tell as much."""
CHECKED, UNCHECKED = 0.05, 1 / 120
"""The most that :func:`chance` may be where held-out answers are asked as well, and where they are not."""
_SHUFFLES = 499
_NEIGHBOURS = 10
_ALIKE = 1e-3
"""In standard deviations: closer values of Q are equal, but for rounding, where features take few values."""
_MOST_NUMBERS = 5 * 10**6
"""Deviations that are shuffled at once."""


def chance(x: Any, targets: FloatArray, weights: FloatArray, seed: int) -> float:
    """Return in which share of shuffles votes have at least as much in common with the features.

    Parameters
    ----------
    x : shape (M, p), dense or sparse
    targets : shape (M, K)
        Shares of votes.
    weights : shape (M,)
        0 for rows that count for nothing.
    seed : int
        Of the shuffles.

    Returns
    -------
    float
        A multiple of 1/500; 1/500 is the least.
    """
    rng = np.random.default_rng(seed)
    # neighbours at one distance are told apart by their order, which may be one of labels
    taught = rng.permutation(np.flatnonzero(weights > 0))
    x, votes, n = x[taught], targets[taught], len(taught)
    deviation = (votes - votes.mean(axis=0)).astype(np.float32)
    order = np.stack([np.arange(n), *(rng.permutation(n) for _ in range(_SHUFFLES))], axis=1)
    at_once = max(1, _MOST_NUMBERS // max(deviation.size, 1))
    parts = [order[:, i : i + at_once] for i in range(0, order.shape[1], at_once)]
    found = np.stack(
        [
            np.concatenate([together(deviation[part]) for part in parts])
            for together in _similarities(x)
        ]
    )
    spread = found.std(axis=1, keepdims=True)
    spread[spread == 0] = np.inf
    largest = ((found - found.mean(axis=1, keepdims=True)) / spread).max(axis=0)
    return float((largest >= largest[0] - _ALIKE).mean())


def _similarities(x: Any) -> Iterator[Similarity]:
    """Yield what adds up votes over pairs of alike rows of features, shape (N, p)."""
    for each in (True, False):
        scaled = Scaler.of(x, each)(x)
        yield _products(scaled)
    yield _among_neighbours(scaled)


def _products(scaled: Any) -> Similarity:
    """Return Q where the similarity is the inner product of centred features."""
    centre = np.asarray(scaled.mean(axis=0)).ravel()
    square = scaled * scaled if isinstance(scaled, np.ndarray) else scaled.multiply(scaled)
    length = np.asarray(square.sum(axis=1)).ravel() - 2 * (scaled @ centre) + centre @ centre

    def together(deviation: npt.NDArray[np.float32]) -> FloatArray:
        n, shuffles, k = deviation.shape
        sums = np.asarray(scaled.T @ deviation.reshape(n, -1)).reshape(-1, shuffles, k)
        own = length @ np.square(deviation).sum(axis=2, dtype=np.float64)
        return np.asarray(np.square(sums).sum(axis=(0, 2), dtype=np.float64) - own)

    return together


def _among_neighbours(scaled: Any) -> Similarity:
    """Return Q where the similarity is 1 for the nearest neighbours of a row, and for itself, which changes nothing."""
    from scipy import sparse

    n = scaled.shape[0]
    number = min(_NEIGHBOURS + 1, n)
    found = nearest_rows(scaled, scaled, number).ravel()
    start = np.arange(0, n * number + 1, number)
    adjacent = sparse.csr_array((np.ones(len(found), dtype=np.float32), found, start), (n, n))

    def together(deviation: npt.NDArray[np.float32]) -> FloatArray:
        around = np.asarray(adjacent @ deviation.reshape(n, -1)).reshape(deviation.shape)
        return np.asarray((around * deviation).sum(axis=(0, 2)), dtype=np.float64)

    return together

r"""Whether votes and features have anything in common, asked of all tasks at once: a permutation test.

Predictions out of fold (:func:`deem_crowd.features.choice.association`) are made by classifiers that have seen four
fifths of the votes and are asked about one fifth. Of a hundred tasks that is often too little to tell. Here tasks with
like features are asked whether they have like votes, without a classifier: with r_n the votes of a task less the mean
of its stratum, the sum over pairs of tasks

    Q = Σ_{n≠m} s(x_n, x_m) r_n · r_m

is large if they do (the global test of Goeman et al., *Bioinformatics* 20, 2004). s is the inner product of features,
with each column scaled or all by one number, or says whether m is among the nearest neighbours of n. If votes have
nothing to do with features, the votes of a task could have been those of any other task with about as many answers, its
stratum: Q is compared with what it is after votes were shuffled within strata. Of the three values of Q, in standard
deviations over the shuffles, the largest counts, and so it does in each shuffle (Westfall and Young, *Resampling-Based
Multiple Testing*, 1993).
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
"""With more, predictions out of fold decide alone."""
CHECKED, UNCHECKED = 0.05, 1 / 120
"""The most that :func:`chance` may be where held-out answers are asked as well, and where they are not."""
_SHUFFLES = 499
_NEIGHBOURS = 10
_LEAST_IN_STRATUM = 20
_ALIKE = 1e-3
"""In standard deviations. Values of Q that differ by less count as equal: with features of few values many are equal,
and rounding would tell them apart."""
_MOST_NUMBERS = 5 * 10**6
"""Deviations that are shuffled at once."""


def chance(
    x: Any, targets: FloatArray, weights: FloatArray, seed: int, answers: FloatArray | None = None
) -> float:
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
    answers : shape (M,), optional
        How many answers each row has, infinity where its label is known; all as many if omitted.

    Returns
    -------
    float
        A multiple of 1/500; 1/500 is the least.
    """
    rng = np.random.default_rng(seed)
    # neighbours at one distance are told apart by their order, which may be one of labels
    taught = rng.permutation(np.flatnonzero(weights > 0))
    x, votes, n = x[taught], targets[taught], len(taught)
    stratum = np.zeros(n, dtype=np.int64) if answers is None else strata(answers[taught])
    sums = np.zeros((int(stratum.max(initial=0)) + 1, votes.shape[1]))
    np.add.at(sums, stratum, votes)
    deviation = (votes - (sums / np.bincount(stratum)[:, None])[stratum]).astype(np.float32)
    order = np.stack([np.arange(n), *_shuffles(stratum, rng)], axis=1)
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


def strata(answers: FloatArray) -> npt.NDArray[np.int64]:
    """Return a number for each row, shape (N,), that is the same for rows with about as many answers.

    Votes of many answers vary less from task to task. Rows of one stratum have equally many answers where that leaves
    twenty or more; others are joined to those with a few more.
    """
    _, own, size = np.unique(answers, return_inverse=True, return_counts=True)
    reached = np.cumsum(size)
    ends = [0]
    for end in reached:
        if end - ends[-1] >= _LEAST_IN_STRATUM:
            ends.append(int(end))
    # those after the last end are joined to the stratum before
    number = np.searchsorted(ends[1:-1], reached - size, side="right")
    return np.asarray(number[own], dtype=np.int64)


def _shuffles(
    stratum: npt.NDArray[np.int64], rng: np.random.Generator
) -> Iterator[npt.NDArray[np.intp]]:
    """Yield orders of the rows, each row in the place of one of its stratum."""
    place = np.argsort(stratum, kind="stable")
    for _ in range(_SHUFFLES):
        order = np.empty(len(stratum), dtype=np.intp)
        order[place] = np.lexsort((rng.random(len(stratum)), stratum))
        yield order


def _similarities(x: Any) -> Iterator[Similarity]:
    """Yield what adds up votes over pairs of alike rows of features, shape (N, p)."""
    for each in (True, False):
        scaled = Scaler.of(x, each)(x)
        yield _products(scaled)
    if scaled.shape[0] > _NEIGHBOURS + 1:
        yield _among_neighbours(scaled)


def _products(scaled: Any) -> Similarity:
    """Return Q where the similarity is the inner product of centred features."""
    if scaled.shape[1] > scaled.shape[0]:
        product = scaled @ scaled.T
        return _all_pairs(product if isinstance(product, np.ndarray) else product.toarray())
    dense = scaled if isinstance(scaled, np.ndarray) else scaled.toarray()
    centred = (dense - dense.mean(axis=0, dtype=np.float64)).astype(np.float32)
    length = np.square(centred).sum(axis=1, dtype=np.float64)

    def together(deviation: npt.NDArray[np.float32]) -> FloatArray:
        n, shuffles, k = deviation.shape
        sums = (centred.T @ deviation.reshape(n, -1)).reshape(-1, shuffles, k)
        own = length @ np.square(deviation).sum(axis=2, dtype=np.float64)
        return np.asarray(np.square(sums).sum(axis=(0, 2), dtype=np.float64) - own)

    return together


def _all_pairs(product: npt.NDArray[np.float32]) -> Similarity:
    """Return the same from the inner products of rows, shape (N, N), which are fewer numbers than many columns."""
    product = product - product.mean(axis=0)
    product -= product.mean(axis=1, keepdims=True)
    np.fill_diagonal(product, 0.0)
    return _sums(product)


def _among_neighbours(scaled: Any) -> Similarity:
    """Return Q where the similarity is 1 for the nearest neighbours of a row."""
    from scipy import sparse

    n, number = scaled.shape[0], _NEIGHBOURS + 1  # it finds itself, too
    found = nearest_rows(scaled, scaled, number).ravel()
    others = (found != np.repeat(np.arange(n), number)).astype(np.float32)
    return _sums(sparse.csr_array((others, found, np.arange(0, n * number + 1, number)), (n, n)))


def _sums(similarity: Any) -> Similarity:
    """Return Q of a matrix of similarities, shape (N, N), dense or sparse."""

    def together(deviation: npt.NDArray[np.float32]) -> FloatArray:
        around = np.asarray(similarity @ deviation.reshape(len(deviation), -1))
        product = around.reshape(deviation.shape) * deviation
        return np.asarray(product.sum(axis=(0, 2), dtype=np.float64))

    return together

"""From the highest score to the lowest, with ties by a second score and then at random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Keys = tuple[IntArray, FloatArray, FloatArray]

# Scores that differ by less are tied.
_DECIMALS = 12
# The best pairs are looked for among so many for each that is wanted, and among all only if these do not suffice.
_PAIRS_EACH = 50


def keys_of(score: FloatArray, tie: FloatArray, rng: np.random.Generator) -> Keys:
    """Return what a ranking sorts by, the last key first: scores from high to low, ``tie`` likewise, and chance.

    Shapes (M,).
    """
    return rng.permutation(len(score)), -tie.round(_DECIMALS), -score.round(_DECIMALS)


def first(keys: Keys, n: int) -> IntArray:
    """Return the first n positions of a ranking of M, shape (min(n, M),), without sorting the others.

    ``keys`` as from :func:`keys_of`.
    """
    if n >= len(keys[-1]):
        return np.lexsort(keys)
    near = np.flatnonzero(keys[-1] <= np.partition(keys[-1], n - 1)[n - 1])
    return near[np.lexsort(tuple(key[near] for key in keys))][:n]


def assigned(
    value: FloatArray,
    tie: FloatArray,
    n: int,
    limit: int,
    rng: np.random.Generator,
    cost: FloatArray,
    budget: float = np.inf,
) -> IntArray:
    """Choose pairs of a task and a worker greedily by ``value``, ties by ``tie``, where that is above 0; shapes (N, D).

    Each task is chosen once, each worker at most ``limit`` times, for a ``cost`` of shape (D,) that is at most the
    ``budget`` in all; shape (m, 2), m ≤ n.
    """
    there = np.flatnonzero(tie > 0)
    keys = keys_of(value.ravel()[there], tie.ravel()[there], rng)
    best = _greedy(there[first(keys, _PAIRS_EACH * n)], value.shape, n, limit, cost, budget)
    if len(best) < min(n, len(value)) and len(there) > _PAIRS_EACH * n:
        best = _greedy(there[np.lexsort(keys)], value.shape, n, limit, cost, budget)
    return best


def _greedy(
    order: IntArray, shape: tuple[int, ...], n: int, limit: int, cost: FloatArray, budget: float
) -> IntArray:
    """Take pairs in an order, as :func:`assigned` says; shape (m, 2), m ≤ n."""
    free = np.ones(shape[0], dtype=bool)
    load = np.zeros(shape[1], dtype=np.int64)
    pairs: list[tuple[int, int]] = []
    for place in order:
        task, worker = divmod(int(place), shape[1])
        if free[task] and load[worker] < limit and cost[worker] <= budget:
            budget -= cost[worker]
            pairs.append((task, worker))
            free[task] = False
            load[worker] += 1
            if len(pairs) == n:
                break
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)

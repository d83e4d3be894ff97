r"""Whether sources depend on one another beyond the classes, by the likelihood ratio of pairs of them.

    Σ_{i<j} G²(x_i, x_j | z) / Σ_{i<j} degrees of freedom

is about 1 where sources are independent given the classes z, and larger where they share mistakes.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.special import xlogy

from deem_crowd.clustering.own_names import IntArray, OwnNames

_PAIRS = 200
"""Most pairs that are looked at; of more, so many are drawn."""


def dependence(own: OwnNames, partition: IntArray, rng: np.random.Generator) -> float:
    """Return G² per degree of freedom over pairs of sources; 0 where no pair has common tasks that tell.

    Parameters
    ----------
    own : OwnNames
        N tasks.
    partition : integers, shape (N,)
        The classes.
    rng : Generator
        Draws pairs of sources where there are many.
    """
    answers = own.answers
    task = np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr))
    order = np.argsort(answers.worker, kind="stable")
    ends = np.searchsorted(answers.worker[order], np.arange(answers.n_workers + 1))
    by_source = [order[a:b] for a, b in pairwise(ends)]
    one, other = np.triu_indices(answers.n_workers, 1)
    if len(one) > _PAIRS:
        drawn = rng.choice(len(one), _PAIRS, replace=False)
        one, other = one[drawn], other[drawn]
    label = answers.hard_label.astype(np.int64)
    ratio = freedom = 0.0
    for i, j in zip(one, other, strict=True):
        a, b = by_source[i], by_source[j]
        common, in_a, in_b = np.intersect1d(
            task[a], task[b], assume_unique=True, return_indices=True
        )
        of_pair = _likelihood_ratio(partition[common], label[a[in_a]], label[b[in_b]])
        ratio, freedom = ratio + of_pair[0], freedom + of_pair[1]
    return ratio / freedom if freedom else 0.0


def _likelihood_ratio(z: IntArray, one: IntArray, other: IntArray) -> tuple[float, float]:
    """Return G² of independence given z, and its degrees of freedom."""
    if len(z) < 2:
        return 0.0, 0.0
    alone, with_one = _joined(z, z), _joined(z, one)
    with_other, with_both = _joined(z, other), _joined(_joined(z, one), other)
    value = (
        _entropies(with_both) - _entropies(with_one) - _entropies(with_other) + _entropies(alone)
    )
    classes = int(alone.max()) + 1
    names = [_per_class(alone, part, classes) for part in (with_one, with_other)]
    return 2 * value, float(((names[0] - 1) * (names[1] - 1)).sum())


def _joined(one: IntArray, other: IntArray) -> IntArray:
    """Return numbers from 0 for the pairs that occur, shape (n,): tables of all pairs may be too large."""
    pairs = one * (int(other.max()) + 1) + other
    return np.asarray(np.unique(pairs, return_inverse=True)[1])


def _entropies(part: IntArray) -> float:
    """Return Σ n log n over the sizes of the parts."""
    sizes = np.bincount(part)
    return float(xlogy(sizes, sizes).sum())


def _per_class(z: IntArray, part: IntArray, classes: int) -> IntArray:
    """Return in how many parts each class falls, shape (classes,)."""
    of_part = np.empty(int(part.max()) + 1, dtype=np.int64)
    of_part[part] = z
    return np.bincount(of_part, minlength=classes)

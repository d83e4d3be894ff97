"""Sources joined into groups by how far pairs of them agree beyond what is expected."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deem_crowd.selection.pairs import FloatArray

IntArray = npt.NDArray[np.int64]

_ROUNDS, _SETTLED = 200, 1e-6


def together(group: IntArray) -> npt.NDArray[np.bool_]:
    """Return which two different sources are of one group, shape (n, n), from its number, −1 for none."""
    same = (group[:, None] == group) & (group >= 0)
    np.fill_diagonal(same, False)
    return np.asarray(same)


def centred(agreement: FloatArray, weight: FloatArray) -> FloatArray:
    """Return r_ij − a_i − a_j, shape (n, n), with the a of least weighted squares."""
    total = np.maximum(weight.sum(1), 1e-12)
    own = np.zeros(len(agreement))
    for _ in range(_ROUNDS):
        moved = (weight * (agreement - own)).sum(1) / total
        if np.abs(moved - own).max() < _SETTLED:
            break
        own = (own + moved) / 2
    return agreement - own[:, None] - own


def joined(residual: FloatArray, weight: FloatArray, errors: float) -> list[list[int]]:
    """Join n sources by the largest mean residual between two groups (average linkage).

    Parameters
    ----------
    residual, weight : shape (n, n)
        Agreement beyond what is expected, and the inverse of its variance; weight 0 where it is unknown.
    errors : float
        Groups are joined as long as the mean is more than so many standard errors above zero.
    """
    groups = [[i] for i in range(len(residual))]
    excess, total = weight * residual, weight.copy()
    while len(groups) > 1:
        clear = excess > errors * np.sqrt(total)
        np.fill_diagonal(clear, False)
        if not clear.any():
            break
        mean = np.where(clear, excess / np.where(clear, total, 1), -np.inf)
        first, second = sorted(np.unravel_index(int(mean.argmax()), mean.shape))
        groups[first] += groups.pop(int(second))
        for sums in (excess, total):
            sums[first] += sums[second]
            sums[:, first] += sums[:, second]
        kept = np.arange(len(total)) != second
        excess, total = excess[np.ix_(kept, kept)], total[np.ix_(kept, kept)]
    return groups

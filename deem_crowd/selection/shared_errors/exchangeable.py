r"""Sources that cannot be told apart, such as the answers that each of several models gave more than once.

Samples of one model are exchangeable: each of them agrees with any other source equally often. Independent sources do
so only if their skills happen to be the same. So where sources fall into families whose members cannot be told apart
while the families can, and members agree more than their agreement with outsiders explains, the families are sources
that repeat themselves, whether or not a model has followed one of them.

1. *Distance.* Of two sources i and j, over all others o:

       d_ij = mean of (r_io − r_jo)² / (s_io² + s_jo²),

   with r the agreement beyond chance and s its standard error. For exchangeable sources it is about 1, or less, since
   both meet the same answers. Sources are joined by average linkage up to the widest gap between distances: joined at 2
   at most, and the next two families g ≥ 2 times as far apart. Sources of many skills leave no such gap.
2. *Repetition.* With λ from how often families and single sources agree with one another, the pairs of a family
   exceed λ_i λ_j by three standard errors, all together. Other families fall apart into single sources. Where one
   label does not explain the rest, nothing is found: families that agree less than by chance, members that agree less
   than λ_i λ_j, or pairs outside families that exceed it half as much as those inside (parts of larger families).
3. *No accident.* Suppose that sources are independent, and their skills spread as widely as the families lie apart. The
   chance that one lies as close to another as members do is about g^(−1/2). For all members but the first of each
   family it is g^(−(m − f)/2), with m members in f families; that has to be below 1/15.
4. *Which side is right.* Two families or more hold two thirds of the sources together, and none of them more than half:
   one family alone may as well be good sources among poor ones (:mod:`deem_crowd.selection.shared_errors.families`
   decides). There are three families and single sources at least, since the agreement of two says nothing of their
   skills.

The families then count as if the user had named them (:mod:`deem_crowd.selection.shared_errors.groups`).
"""

from __future__ import annotations

import numpy as np

from deem_crowd.selection.pairs import MIN_COMMON, FloatArray, Pairs
from deem_crowd.selection.shared_errors import dependence, families
from deem_crowd.selection.shared_errors.families import IntArray

MOST_SOURCES = 200
"""With more sources, the distances take too long to compute."""
_ALIKE, _GAP, _ODDS = 2.0, 2.0, 15.0
_ROUNDS, _BOUNDS = 200, (0.005, 0.995)
_LEAST_UNITS, _MOST, _LARGEST, _PART = 3, 2 / 3, 0.5, 0.5


def find(counted: Pairs, n_workers: int) -> IntArray | None:
    """Return the number of each worker's family, shape (D,), −1 for none; None where no families are of this kind.

    Parameters
    ----------
    counted : Pairs
        Among n of the D workers.
    n_workers : int
        D.
    """
    part = families.asked(counted, MOST_SOURCES)
    if part is None:
        return None
    joined, gap = _joined(distances(part))
    family = _repeating(part, joined)
    if not _likely(family, gap):
        return None
    found = np.full(n_workers, -1)
    found[part.sources] = family
    return found


def described(family: IntArray) -> str:
    """Say how many families there are, and how large they are."""
    found = families.counted_sizes(family)[0]
    return f"as there are {found} whose members cannot be told apart, like answers that one model gave repeatedly"


def distances(part: Pairs) -> FloatArray:
    """Return how differently two of n sources agree with all others, shape (n, n); NaN where they share no partner."""
    agreement, variance = part.beyond, part.standard_error() ** 2
    known = part.common >= MIN_COMMON
    np.fill_diagonal(known, False)
    apart = np.full(known.shape, np.nan)
    for i in range(len(apart)):
        both = known & known[i]
        square = np.where(both, (agreement - agreement[i]) ** 2 / (variance + variance[i]), 0.0)
        number = both.sum(1)
        apart[i, number > 0] = square.sum(1)[number > 0] / number[number > 0]
    return apart


def _joined(apart: FloatArray) -> tuple[IntArray, float]:
    """Return the families of n sources at these distances, shape (n, n), and the gap; −1 for single sources."""
    from scipy.cluster.hierarchy import fcluster, linkage

    different = apart[np.triu_indices(len(apart), 1)]
    if not np.isfinite(different).all():
        return np.full(len(apart), -1), 0.0
    tree = linkage(different, "average")
    height, following = tree[:-1, 2], tree[1:, 2]
    gap = np.where(height <= _ALIKE, following / np.maximum(height, 1), 0.0)
    family = _numbered(np.asarray(fcluster(tree, height[gap.argmax()], "distance")))
    return family, float(gap.max())


def _numbered(cluster: IntArray) -> IntArray:
    """Return numbers from 0 in the order of first members, −1 for clusters of one."""
    _, first, which, size = np.unique(
        cluster, return_index=True, return_inverse=True, return_counts=True
    )
    number = np.full(len(first), -1)
    several = np.flatnonzero(size > 1)
    number[several[np.argsort(first[several])]] = np.arange(len(several))
    return np.asarray(number[which])


def _repeating(part: Pairs, family: IntArray) -> IntArray:
    """Return the families whose members agree more than their agreement with outsiders explains.

    None at all where two sources of different families repeat one another by more than half as much: the families are
    then parts of larger ones, whose members can be told apart. None either where members agree less than is explained:
    families do not agree as one label would make them.
    """
    n = len(family)
    alone = n + np.arange(n)  # each a cluster of its own
    skill = _skills(part, np.where(family < 0, alone, family))
    if skill is None:
        return _numbered(alone)
    product = np.outer(skill, skill)
    beyond = part.beyond - product
    deviation = beyond / dependence.expected_scatter(part.common, part.chance, product)
    excess = np.clip(beyond / np.maximum(1 - product, 0.02), 0, 1)
    kept, pairs = alone.copy(), np.triu(np.ones((n, n), dtype=bool), 1)
    for number, size in enumerate(np.bincount(family[family >= 0])):
        inside = pairs & np.outer(family == number, family == number)
        errors = deviation[inside].sum() / np.sqrt(size * (size - 1) / 2)
        if errors < -dependence.EXCESS:
            return _numbered(alone)
        if errors > dependence.EXCESS:
            kept[family == number] = number
    inside = pairs & (kept[:, None] == kept)
    outside = pairs & ~inside & (part.common >= MIN_COMMON) & (deviation > dependence.EXCESS)
    if excess[outside].max(initial=0) > _PART * (excess[inside].mean() if inside.any() else 1):
        return _numbered(alone)
    return _numbered(kept)


def _skills(part: Pairs, unit: IntArray) -> FloatArray | None:
    """Return λ of each source, shape (n,), the same in a unit, from the mean agreement of units.

    None if the agreement is too little known, or if two units agree less than by chance, by three standard errors: λ
    are no skills then.

    λ_f λ_g ≈ r_fg is fitted by weighted least squares, one unit after the other: medians over partners would follow
    the largest unit alone.
    """
    _, number = np.unique(unit, return_inverse=True)
    member = np.eye(number.max() + 1)[number]
    weight = np.where(part.common >= MIN_COMMON, 1 / part.standard_error() ** 2, 0.0)
    mass = member.T @ weight @ member
    between = (member.T @ (weight * part.beyond) @ member) / np.maximum(mass, 1e-9)
    np.fill_diagonal(mass, 0.0)
    few = ((mass > 0).sum(1) < _LEAST_UNITS - 1).any()
    if few or (between * np.sqrt(mass))[mass > 0].min() < -dependence.EXCESS:
        return None
    skill = np.full(len(mass), 0.5)
    for _ in range(_ROUNDS):
        before = skill.copy()
        for one in range(len(mass)):
            pull = mass[one] * skill
            skill[one] = np.clip((pull @ between[one]) / (pull @ skill), *_BOUNDS)
        if np.abs(skill - before).max() < 1e-6:
            break
    return skill[number]


def _likely(family: IntArray, gap: float) -> bool:
    """Tell whether families of n sources, shape (n,), with this gap between them are neither accident nor too large."""
    sizes = np.bincount(family[family >= 0])
    single = int((family < 0).sum())
    members, units = int(sizes.sum()), len(sizes) + single
    if units < _LEAST_UNITS or gap < _GAP or gap ** ((members - len(sizes)) / 2) < _ODDS:
        return False
    held = members / len(family) >= _MOST and sizes.max() <= _LARGEST * len(family)
    return len(sizes) > 1 and bool(held)

"""Workers who answer alike while the rest agree on something else: two readings, and the answers do not tell which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, special

from deem_crowd.insight.pairs import FloatArray, IntArray, Mask, Panel
from deem_crowd.selection.pairs import LEAST_COMMON, Pairs

_ALIKE = 0.8
"""Cohen's κ from which two workers answer alike."""
_BEYOND = 4.0
"""Standard errors by which the others have to agree beyond what the group explains."""
_MOST_WORKERS = 50


@dataclass(frozen=True)
class Camp:
    """A group of workers who answer alike.

    Attributes
    ----------
    members, others : integers
        Positions 0..D-1.
    within, across, among : float
        Mean κ of pairs of members, of a member with one of the others, and of pairs of the others.
    """

    members: IntArray
    others: IntArray
    within: float
    across: float
    among: float


def camp_of(panel: Panel) -> Camp | None:
    """Return the largest group whose members answer alike, if that cannot be their skill alone; else None.

    Were what the members say the label, two of the others j and k, with mean agreement b_j and b_k with the members,
    would agree by b_j b_k / κ̄, where κ̄ is the agreement within the group (one factor, as in
    :mod:`deem_crowd.selection.shared_errors.dependence`). They have to agree more than that and more than with the
    members: then the members share errors, or the others do. The mean excess is compared with four standard errors, by
    the delta method from those of all κ that enter. The group is the one that agrees most among all pairs, so κ̄
    counts as low as it may be, did any of the pairs come as high by chance (one panel in a hundred, Bonferroni over
    the pairs). Only pairs with enough tasks in common enter, and only others who share enough tasks with a member.
    Panels of more than 50 workers are not asked.

    Parameters
    ----------
    panel : Panel
        Of D workers in pairs.
    """
    counts = panel.counts
    n = len(counts.sources)
    if not 5 <= n <= _MOST_WORKERS:
        return None
    kappa = np.nan_to_num(counts.kappa)
    known = counts.common >= LEAST_COMMON
    np.fill_diagonal(known, False)
    alike = sparse.csr_array(known & (kappa >= _ALIKE))
    from scipy.sparse import csgraph  # brings scipy.linalg

    _, group = csgraph.connected_components(alike, directed=False)
    inside = group == np.bincount(group).argmax()
    # who shares too few tasks with every member says nothing of them
    outside = ~inside & known[:, inside].any(1)
    if inside.sum() < 2 or outside.sum() < 2:
        return None
    among = _mean(kappa, known, outside, outside)
    across = _mean(kappa, known, inside, outside)
    if among <= across or not _beyond_skill(counts, kappa, known, inside, outside):
        return None
    within = _mean(kappa, known, inside, inside)
    return Camp(counts.sources[inside], counts.sources[outside], within, across, among)


def _beyond_skill(
    counts: Pairs, kappa: FloatArray, known: Mask, inside: Mask, outside: Mask
) -> bool:
    """Tell whether others agree more than b_j b_k / κ̄; see :func:`camp_of`. Masks have shapes (n,) and (n, n)."""
    square = counts.standard_error() ** 2
    ours, theirs = np.ix_(inside, inside), np.ix_(outside, outside)
    n_members = known[ours].sum()
    spread = (
        np.sqrt(2 * square[ours][known[ours]].sum()) / n_members
    )  # each pair stands there twice
    n_pairs = np.triu(known, 1).sum()
    within = _mean(kappa, known, inside, inside) - spread * float(-special.ndtri(0.01 / n_pairs))
    if within <= 0:
        return False
    tied = known[np.ix_(outside, inside)]
    number = tied.sum(1)
    toward = np.where(tied, kappa[np.ix_(outside, inside)], 0).sum(1) / number
    pairs = np.triu(known[theirs], 1)
    beyond = kappa[theirs] - np.outer(toward, toward) / within
    # of the sum over pairs: what it moves with each b_j, and with each κ of two others
    slope = (pairs | pairs.T) @ toward / within
    variance = square[theirs][pairs].sum()
    variance += slope**2 @ (np.where(tied, square[np.ix_(outside, inside)], 0).sum(1) / number**2)
    return bool(beyond[pairs].sum() > _BEYOND * np.sqrt(variance))


def _mean(kappa: FloatArray, known: Mask, rows: Mask, columns: Mask) -> float:
    part = np.ix_(rows, columns)
    return float(kappa[part][known[part]].mean()) if known[part].any() else 0.0

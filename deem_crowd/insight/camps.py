"""Workers who answer alike while the rest agree on something else: two readings, and the answers do not tell which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from deem_crowd.insight.pairs import FloatArray, IntArray, Panel
from deem_crowd.selection.pairs import LEAST_COMMON

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
    :mod:`deem_crowd.selection.dependence`). They have to agree more than that, four standard errors of the mean and
    more, and more than with the members: then the members share errors, or the others do. Panels of more than 50
    workers are not asked.

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
    outside = ~inside
    if inside.sum() < 2 or outside.sum() < 3:
        return None
    within = _mean(kappa, known, inside, inside)
    toward = np.where(known, kappa, 0.0)[np.ix_(outside, inside)].sum(1)
    toward = toward / np.maximum(known[np.ix_(outside, inside)].sum(1), 1)
    pairs = np.triu(known[np.ix_(outside, outside)], 1)
    if not pairs.any():
        return None
    beyond = kappa[np.ix_(outside, outside)] - np.outer(toward, toward) / max(within, _ALIKE)
    error = np.sqrt((counts.standard_error()[np.ix_(outside, outside)][pairs] ** 2).sum())
    if beyond[pairs].sum() < _BEYOND * error:
        return None
    across = _mean(kappa, known, inside, outside)
    among = _mean(kappa, known, outside, outside)
    if among <= across:
        return None
    return Camp(counts.sources[inside], counts.sources[outside], within, across, among)


def _mean(kappa: FloatArray, known: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    part = np.ix_(rows, columns)
    return float(kappa[part][known[part]].mean()) if known[part].any() else 0.0

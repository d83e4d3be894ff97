r"""Parts of the tasks that few sources link: their classes matched anew, by the errors that all sources share.

Within a part sources tell each other's names. Which class of one part is which of the other only those sources say that
answered in both, and the confusions that are common to all. EM keeps the matching that it began with, since all sources
of a part would have to be renamed at once. So a part is cut off where the fewest right answers cross, by a leading
singular vector of tasks × sources (normalised cut), and its classes are permuted by swaps of two that raise

    Σ_k ln DM(E_1[k, ·] + E_2[σk, σ·]) + Σ_i Σ_l Σ_k ln Γ(α + T_i1[l, k] + T_i2[l, σk]) + ln p(n_1 + n_2[σ])

with E the shared errors of either part, T_i the counts of a source in both, and n the class sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds
from scipy.special import gammaln

from deem_crowd.clustering.latent import Fit
from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames
from deem_crowd.clustering.shared_errors import (
    ERRORS,
    SharedErrors,
    evidence_of_sizes,
    shared_errors,
)

_VECTORS, _LOOSE = 3, 0.2
"""Cuts that are tried, and the share of a part's right answers that may cross one."""
_CLASSES = range(3, 21)
"""Of two classes there are no errors to tell apart; of many, swaps are too many."""
_TASKS_OF_A_CLASS = 2
_IN_BOTH = 3.0
"""Answers that a source has in either part, at least, to count as one of both."""
_STARTS, _KEPT, _SWAPS, _EXPANDED = 20, 4, 60, 12
_CELLS = 2**22
"""Matchings × names × classes that are looked at together."""
_SAME = 0.01

BoolArray = npt.NDArray[np.bool_]


def relinked(own: OwnNames, fits: Sequence[Fit], rng: np.random.Generator) -> list[Fit]:
    """Return fits with shared errors in which parts are matched anew; none where no part is linked loosely.

    Parameters
    ----------
    own : OwnNames
        N tasks; no source has more than K names.
    fits : sequence of Fit
        Where to begin.
    rng : Generator
        Draws matchings to begin with.
    """
    if not fits or fits[0].posterior.shape[1] not in _CLASSES or not _parts(own, fits[0]):
        return []
    found = [shared_errors(own, fit.posterior, "shared errors") for fit in fits]
    waiting = list(found)
    for _ in range(_EXPANDED):
        if not waiting:
            break
        waiting.sort(key=lambda fit: fit.bound)
        for fit in _matched_anew(own, waiting.pop(), rng):
            if not any(abs(fit.bound - other.bound) < _SAME for other in found):
                found.append(fit)
                waiting.append(fit)
    return found


def _matched_anew(own: OwnNames, fit: Fit, rng: np.random.Generator) -> list[Fit]:
    """Return fits that begin with the best matchings of each part."""
    fits = []
    for part in _parts(own, fit):
        for order in part.orders(rng):
            start = fit.posterior.copy()
            start[part.tasks] = start[part.tasks][:, order]
            fits.append(shared_errors(own, start, "matched anew"))
    return fits


@dataclass(frozen=True)
class _Part:
    """A part of the tasks, and what it and the rest say on their own.

    Attributes
    ----------
    tasks : shape (N,)
    errors : shape (2, K, K)
        Shared errors of the rest and of the part.
    both : shape (2, names of sources in both, K)
    sizes : shape (2, K)
    """

    tasks: BoolArray
    errors: FloatArray
    both: FloatArray
    sizes: FloatArray

    def told(self, orders: IntArray) -> FloatArray:
        """Return what speaks for matchings, in nats and up to a constant, shape (n,), from (n, K)."""
        k = orders.shape[1]
        apart = ~np.eye(k, dtype=bool)
        cells = self.errors[0] + self.errors[1][orders[:, :, None], orders[:, None, :]]
        value = gammaln(cells[:, apart] + ERRORS).sum(1)
        value -= gammaln((cells * apart).sum(2) + ERRORS * (k - 1)).sum(1)
        at_once = max(1, _CELLS // max(self.both[0].size, 1))
        for start in range(0, len(orders), at_once):
            some = slice(start, start + at_once)
            tables = self.both[0] + np.moveaxis(self.both[1][:, orders[some]], 1, 0)
            value[some] += gammaln(tables + ERRORS).sum((1, 2))
        return np.asarray(value + evidence_of_sizes(self.sizes[0] + self.sizes[1][orders]))

    def orders(self, rng: np.random.Generator) -> list[IntArray]:
        """Return the best matchings to which swaps lead from random ones, without the one so far."""
        k = self.sizes.shape[1]
        one, other = np.array(list(combinations(range(k), 2))).T
        row = np.arange(len(one))
        ends: dict[bytes, tuple[float, IntArray]] = {}
        for _ in range(_STARTS):
            order = rng.permutation(k)
            value = float(self.told(order[None])[0])
            for _ in range(_SWAPS):
                swapped = np.tile(order, (len(row), 1))
                swapped[row, one], swapped[row, other] = order[other], order[one]
                values = self.told(swapped)
                if values.max() <= value + 1e-9:
                    break
                value, order = float(values.max()), swapped[int(values.argmax())]
            ends[order.tobytes()] = (value, order)
        best = sorted(ends.values(), key=lambda end: -end[0])[:_KEPT]
        return [order for _, order in best if (order != np.arange(k)).any()]


def _parts(own: OwnNames, fit: Fit) -> list[_Part]:
    """Return the parts that few right answers link to the rest."""
    law = SharedErrors(own, fit.counts)
    law.settles(fit.counts)
    return [_counted(law, fit, *cut) for cut in _cuts(own, law.right_shares(), law.k)]


def _counted(law: SharedErrors, fit: Fit, tasks: BoolArray, sources: BoolArray) -> _Part:
    own, posterior = law.own, fit.posterior
    inside = np.asarray(own.indicator.T @ (posterior * tasks[:, None]))
    counts = np.stack([fit.counts - inside, inside])
    given = np.stack([law.by_source @ part.sum(1) for part in counts])
    twice = (given.min(0) >= _IN_BOTH)[own.source]
    of_part = sources[own.source] & ~twice
    of_rest = ~sources[own.source] & ~twice
    errors = [
        law.errors_of(part * chosen[:, None])
        for part, chosen in zip(counts, (of_rest, of_part), strict=True)
    ]
    sizes = np.stack([posterior[~tasks].sum(0), posterior[tasks].sum(0)])
    return _Part(tasks, np.stack(errors), counts[:, twice], sizes)


def _cuts(own: OwnNames, right: FloatArray, k: int) -> list[tuple[BoolArray, BoolArray]]:
    """Return tasks and sources of parts that few right answers link to the rest, shapes (N,) and (D,)."""
    answers = own.answers
    shape = (answers.n_tasks, answers.n_workers)
    rank = min(_VECTORS + 1, min(shape) - 1)
    if rank < 2:
        return []
    cells = (right[answers.worker], (answers.task, answers.worker))
    given = sparse.csr_matrix(cells, shape=shape)
    scale = [np.maximum(np.asarray(given.sum(axis)).ravel(), 1e-6) ** -0.5 for axis in (1, 0)]
    scaled = sparse.diags(scale[0]) @ given @ sparse.diags(scale[1])
    left, values, rows = svds(scaled, k=rank, v0=np.ones(min(shape)))
    found: list[tuple[BoolArray, BoolArray]] = []
    for vector in np.argsort(-values)[1:]:
        cut = _swept(given, left[:, vector] * scale[0], rows[vector] * scale[1])
        if cut is None or cut[0].sum() < _TASKS_OF_A_CLASS * k:
            continue
        if not any((cut[0] == other[0]).all() for other in found):
            found.append(cut)
    return found


def _swept(
    given: sparse.csr_matrix, tasks: FloatArray, sources: FloatArray
) -> tuple[BoolArray, BoolArray] | None:
    """Return the part beyond the place where the smallest share of answers crosses, the smaller one of the two."""
    pairs = given.tocoo()
    places = np.unique(sources)
    places = (places[1:] + places[:-1]) / 2
    total = float(pairs.data.sum())
    one, other = tasks[pairs.row], sources[pairs.col]
    touched = total - _below(np.maximum(one, other), pairs.data, places)
    above = total - _below(np.minimum(one, other), pairs.data, places)
    inside = np.minimum(above, total - touched) > 0
    share = (touched - above) / np.maximum(np.minimum(touched, total - above), 1e-9)
    if not inside.any():
        return None
    best = int(np.where(inside, share, np.inf).argmin())
    if share[best] > _LOOSE:
        return None
    part = tasks > places[best], sources > places[best]
    return (~part[0], ~part[1]) if 2 * part[0].sum() > len(tasks) else part


def _below(at: FloatArray, weight: FloatArray, places: FloatArray) -> FloatArray:
    """Return the weight of what lies below each place."""
    order = np.argsort(at, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(weight[order])])
    return np.asarray(sums[np.searchsorted(at[order], places)])

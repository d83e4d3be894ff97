r"""Partitions that grow from one source: sources join one by one, each under the naming that its answers support most.

A source that agrees with the partition so far in r of n answers, its m names matched one to one to the K classes,
speaks for joining by the log odds

    ln B(a + r, b + n − r) − ln B(a, b) − (n − r) ln (K − 1)  +  n ln K  −  ln K! / (K − m)!

of a source with one accuracy, errors spread evenly and all namings equally likely, against one that answers at random.
Votes are weighted by the log odds of being right. Where answers are sparse this finds what random starts miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.special import betaln, gammaln, softmax

from deem_crowd.clustering.naming import columns_of
from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames

RIGHT, WRONG = 2.0, 0.8
"""a and b, as the default model's accuracies have them before anything is learned."""
_CANDIDATES = 40
"""Of more sources, the first one is among those with most answers."""
_ONE_BY_ONE = 30
"""While more sources than this are left, all join at once that speak half as much for it as the first."""
_SWEEPS, _SWEPT = 3, 200
"""Rounds in which each source is matched to the others again, of so many sources at most."""
_FIRST = 0.7
_OTHERS = 0.02
_ROUNDING = 1e-9
"""Votes below it are none."""


def grown(own: OwnNames, k: int, number: int) -> list[FloatArray]:
    """Return partitions that grow from different sources, each of shape (N, K).

    Parameters
    ----------
    own : OwnNames
        No source has more than K names.
    k : int
        K.
    number : int
        How many; fewer where there are fewer sources.
    """
    return [_from(own, k, source) for source in _first_sources(own, k)[:number]]


def _log_odds(right: float, n: float, n_names: int, k: int) -> float:
    """Return what speaks for a source joining, in nats."""
    matched = betaln(RIGHT + right, WRONG + n - right) - betaln(RIGHT, WRONG)
    spread = (n - right) * np.log(k - 1)
    return float(matched - spread + n * np.log(k) - gammaln(k + 1) + gammaln(k - n_names + 1))


def _first_sources(own: OwnNames, k: int) -> list[int]:
    """Return sources by what their pairs with others speak for a common label, the most first."""
    columns = columns_of(own)
    size = np.array([own.indicator[:, place].nnz for place in columns])
    order = np.argsort(-size, kind="stable")
    most = max(map(len, columns))
    named = [int(i) for i in order if len(columns[i]) == most][:_CANDIDATES]
    others = [int(i) for i in order if size[i]][:_CANDIDATES]
    some = list(dict.fromkeys([*named, *others]))
    chosen = np.concatenate([columns[i] for i in some])
    part = own.indicator[:, chosen]
    table = np.asarray((part.T @ part).todense())
    ends = np.cumsum([0, *(len(columns[i]) for i in some)])
    told = np.zeros(len(named))
    for a in range(len(named)):
        for b in range(len(some)):
            block = table[ends[a] : ends[a + 1], ends[b] : ends[b + 1]]
            n = block.sum()
            if a != b and n:
                right = block[linear_sum_assignment(block, maximize=True)].sum()
                told[a] += max(0.0, _log_odds(right, n, int((block.sum(1) > 0).sum()), k))
    return [named[i] for i in np.argsort(-told, kind="stable")]


@dataclass(frozen=True)
class _Offer:
    """The naming under which a source would join: its names ``rows`` are ``classes``, right in a share of answers."""

    source: int
    rows: IntArray
    classes: IntArray
    accuracy: float
    told: float


class _Growth:
    """The sources that have joined, and their votes: sums of log odds, shape (N, K)."""

    def __init__(self, own: OwnNames, k: int) -> None:
        self.own, self.columns = own, columns_of(own)
        self.votes = np.zeros((own.answers.n_tasks, k))
        self.parts: dict[int, sparse.csr_matrix] = {}
        self._by_name = own.indicator.T.tocsr()

    def posterior(self) -> FloatArray:
        """Return the probabilities of the classes, shape (N, K)."""
        out: FloatArray = softmax(self.votes, axis=1)
        return out

    def offers(self, sources: Sequence[int]) -> list[_Offer]:
        """Return as what sources would join, those that have tasks in common with the ones that have joined."""
        k, answered = self.votes.shape[1], np.asarray((self.votes > _ROUNDING).any(1))
        places = [self.columns[source] for source in sources]
        rows = self._by_name[np.concatenate(places)]
        table = np.asarray(rows @ (self.posterior() * answered[:, None]))
        common = np.asarray(rows @ answered.astype(np.float64))
        ends = np.cumsum([0, *map(len, places)])
        offers = []
        for source, begin, end in zip(sources, ends[:-1], ends[1:], strict=True):
            counts, n = table[begin:end], float(common[begin:end].sum())
            if not n:
                continue
            own, classes = linear_sum_assignment(counts, maximize=True)
            matched = np.asarray(counts[own, classes])
            met = np.flatnonzero(matched > 0)  # names that meet no class of theirs are silent
            right = float(matched.sum())
            accuracy = (RIGHT + right) / (RIGHT + WRONG + n)
            told = _log_odds(right, n, int((common[begin:end] > 0).sum()), k)
            offers.append(_Offer(source, own[met], classes[met], accuracy, told))
        return offers

    def joins(self, offer: _Offer) -> None:
        """Let a source's names vote for classes."""
        k = self.votes.shape[1]
        odds = max(np.log(offer.accuracy * (k - 1) / (1 - offer.accuracy)), 0.0)
        place = self.columns[offer.source][offer.rows]
        shape = (len(self.own.source), k)
        part = sparse.csr_matrix((np.full(len(place), odds), (place, offer.classes)), shape=shape)
        self.parts[offer.source] = part
        self.votes += (self.own.indicator @ part).toarray()

    def leaves(self, source: int) -> None:
        """Take a source's votes away."""
        self.votes -= (self.own.indicator @ self.parts.pop(source)).toarray()


def _from(own: OwnNames, k: int, first: int) -> FloatArray:
    """Return the partition that grows from a source, shape (N, K), softened."""
    growth = _Growth(own, k)
    names = np.arange(len(growth.columns[first]))
    growth.joins(_Offer(first, names, names, _FIRST, 0.0))
    left = [i for i, place in enumerate(growth.columns) if len(place) and i != first]
    while left:
        offers = sorted(growth.offers(left), key=lambda offer: -offer.told)
        if not offers or offers[0].told <= 0:
            break
        together = len(left) > _ONE_BY_ONE and len(growth.parts) > 1
        chosen = [o for o in offers if o.told >= offers[0].told / 2] if together else offers[:1]
        for offer in chosen:
            growth.joins(offer)
            left.remove(offer.source)
    for _ in range(_SWEEPS if len(growth.parts) <= _SWEPT else 0):
        for source in list(growth.parts):
            part = growth.parts[source]
            growth.leaves(source)
            offers = growth.offers([source])
            if offers:
                growth.joins(offers[0])
            else:
                growth.parts[source] = part
                growth.votes += (own.indicator @ part).toarray()
    return (1 - _OTHERS) * growth.posterior() + _OTHERS / k

"""Nearest neighbours on soft targets: the mean of the targets of the things that are most alike."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.features import settling
from deem_crowd.features.folds import Folds, splits
from deem_crowd.features.learners import Learner, Predictor
from deem_crowd.features.logistic import Scaler
from deem_crowd.features.scaling import Scaling
from deem_crowd.features.sklearn_learner import renamed

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

NUMBERS = (5, 10, 20, 40)
"""Numbers of neighbours to choose from."""
_MOST_REMEMBERED = 2**25
"""Numbers of neighbours that are remembered, 128 MB."""
_SHARE = 1.0
"""So many neighbours more are taken to have the shares of the classes, so that no probability is zero."""


_searches: ContextVar[dict[bytes, IntArray] | None] = ContextVar("searches", default=None)


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Search once among the same rows for the same rows: a fit asks again and again, with other targets."""
    token = _searches.set({})
    try:
        yield
    finally:
        _searches.reset(token)


def nearest_rows(among: Any, wanted: Any, number: int) -> IntArray:
    """Return which rows of ``among`` are nearest to each of N wanted ones, nearest first, shape (N, number)."""
    from sklearn.neighbors import NearestNeighbors

    found = _searches.get()
    if found is None:
        search = NearestNeighbors(n_neighbors=number).fit(among)
        return np.asarray(search.kneighbors(wanted, return_distance=False))
    key = _digest(among) + _digest(wanted)
    if key not in found:
        search = NearestNeighbors(n_neighbors=min(max(NUMBERS), among.shape[0])).fit(among)
        nearest = search.kneighbors(wanted, return_distance=False).astype(np.int32)
        if sum(each.size for each in found.values()) + nearest.size > _MOST_REMEMBERED:
            found.clear()
        found[key] = nearest
    return found[key][:, :number]


def _digest(x: Any) -> bytes:
    parts = (x,) if isinstance(x, np.ndarray) else (x.data, x.indices, x.indptr)
    read = hashlib.blake2b(repr(x.shape).encode())
    for part in parts:
        read.update(np.ascontiguousarray(part).data)
    return read.digest()


@dataclass
class Neighbours:
    """What neighbours are searched among."""

    scaler: Scaler
    x: Any
    """Scaled features of the rows that were learned from."""
    targets: FloatArray
    number: int

    def log_proba(self, x: Any) -> FloatArray:
        """Return log p(label | x), shape (N, K)."""
        return self.of_each(x, (self.number,))[0]

    def of_each(self, x: Any, numbers: tuple[int, ...]) -> list[FloatArray]:
        """Return the same for several numbers of neighbours."""
        shares = self.targets.mean(axis=0)
        most = min(max(numbers), len(self.targets))
        if not x.shape[0]:
            return [np.zeros((0, len(shares))) for _ in numbers]
        nearest = nearest_rows(self.x, self.scaler(x), most)
        sums = self.targets[nearest].cumsum(axis=1)
        told = [min(number, most) for number in numbers]
        return [
            np.log((sums[:, n - 1] + _SHARE * shares + 1e-9) / (n + _SHARE + 1e-9 * len(shares)))
            for n in told
        ]


class NeighbourLearner:
    """How many neighbours count, and whether each column is scaled, are chosen out of fold."""

    def __init__(self) -> None:
        self._each: bool | None = None
        self._number = NUMBERS[0]
        self._chosen: list[int] = []
        self._script: Sequence[int] = ()

    def anew(self) -> Learner:
        """See :class:`~deem_crowd.features.learners.Learner`."""
        return NeighbourLearner()

    def again(self, passed: int = 0) -> Learner:
        """See :class:`~deem_crowd.features.learners.Learner`."""
        other = NeighbourLearner()
        other._each, other._number, other._script = self._each, self._number, tuple(self._chosen)
        other._chosen = self._chosen[:passed]
        return other

    def steady(self) -> Learner | None:
        """See :class:`~deem_crowd.features.learners.Learner`."""
        other = NeighbourLearner()
        other._each, other._number, other._script = self._each, self._chosen[0], self._chosen[:1]
        return other

    def settle(
        self, x: Any, targets: FloatArray, weights: FloatArray, fold: Folds, choose: bool = True
    ) -> FloatArray | None:
        """See :class:`~deem_crowd.features.learners.Learner`. The scaling is settled at the first call."""
        if self._script and choose:
            self._number = self._script[min(len(self._chosen), len(self._script) - 1)]
            self._chosen.append(self._number)
        if (self._script or not choose) and self._each is not None:
            return None

        def tried(each: bool) -> Iterator[tuple[int, FloatArray]]:
            told = [np.zeros(targets.shape) for _ in NUMBERS]
            for rows, held in splits(fold, weights):
                fitted = self._fitted(x[rows], targets[rows], each)
                for log_q, part in zip(told, fitted.of_each(x[held], NUMBERS), strict=True):
                    log_q[held] = part
            yield from zip(NUMBERS, told, strict=True)

        self._each, self._number, found = settling.settled(tried, self._each, targets, weights)
        self._chosen.append(self._number)
        return found

    def fit(self, x: Any, targets: FloatArray, weights: FloatArray) -> Predictor:
        """See :class:`~deem_crowd.features.learners.Learner`."""
        taught = np.flatnonzero(weights > 0)
        return self._fitted(x[taught], targets[taught], bool(self._each))

    def _fitted(self, x: Any, targets: FloatArray, each: bool) -> Neighbours:
        scaler = Scaler.of(x, each)
        return Neighbours(scaler, scaler(x), np.asarray(targets, dtype=np.float64), self._number)

    def public(self, predictor: Predictor, scaling: Scaling, labels: Any) -> Any:
        """Return a pipeline of scikit-learn's that goes by the likeliest label of each neighbour."""
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline

        assert isinstance(predictor, Neighbours)
        number = min(predictor.number, len(predictor.targets))
        nearest = KNeighborsClassifier(number, algorithm="brute").fit(
            predictor.x, predictor.targets.argmax(axis=1)
        )
        return make_pipeline(predictor.scaler.public(), renamed(nearest, labels))

r"""Logistic regressions on the same rows that leave out one fold each, fitted at once.

The problems are those of :mod:`deem_crowd.features.logistic`, one a fold. Their logits are one product of matrices, and
L-BFGS (Liu and Nocedal, *Mathematical Programming* 45, 1989) takes its steps side by side. Features are rotated onto
their principal axes first: the penalty does not notice, the axes without variance drop out (with more columns than rows
that is most of them), and in the new coordinates the curvature

    Σ_n w_n p_nk (1 − p_nk) x_nj²  +  ridge

of a coefficient alone, taken where the steps begin, says much of how long a step has to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.features.logistic import (
    FTOL,
    MOST_STEPS,
    TOLERANCE,
    Coefficients,
    FloatArray,
    Scaler,
    fit_soft,
)
from deem_crowd.model import narrow

Float64 = npt.NDArray[np.float64]
Folds = npt.NDArray[Any]
"""Which fold each row is in, shape (M,)."""

MOST_AT_ONCE = 5 * 10**6
"""Rows × columns of features that are brought to their principal axes."""
_MEMORY = 8
"""Steps that L-BFGS remembers."""
_RANK = 1e-7
"""Axes with less than this share of the largest variance are none."""
_SHORTER, _SHORTENED = 0.4, 12
"""A step that climbs is shortened by this factor, at most so often."""
_DESCENT = 1e-4
"""The share of the promised descent that a step has to keep (Armijo)."""
_SLACK = 1e-9
_LEAST_CURVATURE = 1e-3
"""Of an intercept: classes that hardly occur."""


@dataclass(frozen=True)
class Axes:
    """Scaled features on their principal axes.

    Attributes
    ----------
    x : float32, shape (N, r)
    back : float32, shape (p, r)
        Orthonormal columns: the axes.
    """

    x: FloatArray
    back: FloatArray

    @classmethod
    def of(cls, scaled: FloatArray) -> Axes:
        """Rotate features, shape (N, p); r ≤ min(N, p)."""
        n, p = scaled.shape
        if p <= n:
            _, axes = np.linalg.eigh(np.asarray(scaled.T @ scaled, dtype=np.float64))
            back = axes.astype(np.float32)
        else:
            variance, left = np.linalg.eigh(np.asarray(scaled @ scaled.T, dtype=np.float64))
            some = variance > _RANK * variance[-1]
            back = scaled.T @ (left[:, some] / np.sqrt(variance[some])).astype(np.float32)
        return cls(scaled @ back, back)

    def rotated(self, coefficients: Float64) -> Float64:
        """Return coefficients of the features, shape (F, p + 1, K), as those of the axes, shape (F, r + 1, K)."""
        weight = self.back.T.astype(np.float64) @ coefficients[:, :-1]
        return np.concatenate([weight, coefficients[:, -1:]], axis=1)

    def restored(self, coefficients: Float64) -> Float64:
        """Return coefficients of the axes as those of the features."""
        weight = self.back.astype(np.float64) @ coefficients[:, :-1]
        return np.concatenate([weight, coefficients[:, -1:]], axis=1)


@dataclass(frozen=True)
class Seen:
    """Features as a regression sees them; on their axes where they are :func:`few`.

    Attributes
    ----------
    x : array or CSR array, shape (N, p)
    scaler : Scaler
    scaled : the same form
    axes : Axes, or None
    """

    x: Any
    scaler: Scaler
    scaled: Any
    axes: Axes | None

    @classmethod
    def of(cls, x: Any, each: bool) -> Seen:
        """Scale features; ``each`` says whether columns are scaled one by one."""
        scaler = Scaler.of(x, each)
        scaled = scaler(x)
        if not few(x):
            return cls(x, scaler, scaled, None)
        dense = scaled if isinstance(scaled, np.ndarray) else scaled.toarray()
        return cls(x, scaler, scaled, Axes.of(dense))


def few(x: Any) -> bool:
    """Whether features are no more than :data:`MOST_AT_ONCE` numbers."""
    return bool(x.shape[0] * x.shape[1] <= MOST_AT_ONCE)


def trained(
    seen: Seen,
    targets: FloatArray,
    weights: FloatArray,
    taught: Sequence[npt.NDArray[np.intp]],
    ridge: float,
    starts: Sequence[Coefficients | None],
) -> Iterator[Coefficients]:
    """Yield the coefficients of a regression on each set of rows: of all at once, or one by one.

    Parameters
    ----------
    seen : Seen
        N rows, p columns.
    targets : shape (N, K)
    weights : shape (N,)
    taught : list of integer arrays
        The rows of each regression.
    ridge : float
    starts : list of Coefficients or None
        Where each begins.
    """
    if seen.axes is None:
        for rows, start in zip(taught, starts, strict=True):
            yield fit_soft(seen.scaled[rows], targets[rows], ridge, weights[rows], start)
        return
    share = np.zeros((len(taught), len(weights)))
    for row, rows in zip(share, taught, strict=True):
        row[rows] = weights[rows] / weights[rows].sum()
    known = [np.vstack([start.weight, start.intercept]) for start in starts if start is not None]
    begin = np.stack(known) if len(known) == len(taught) else None
    for coefficients in fit(seen.axes, targets, ridge, share, begin):
        yield Coefficients(coefficients[:-1].astype(np.float32), coefficients[-1])


class _Losses:
    """Losses of F problems, their slopes and curvatures; coefficients have shape (F, r + 1, K), intercepts last."""

    def __init__(self, x: FloatArray, targets: FloatArray, ridge: float, share: FloatArray) -> None:
        self._x, self._ridge = x, ridge
        self._aim = np.asarray(targets, dtype=np.float32)
        self._share = np.ascontiguousarray(share.T, dtype=np.float32)
        self._taught = self._summed(self._share[:, :, None] * self._aim[:, None, :])

    def _summed(self, values: FloatArray) -> Float64:
        """Return Σ_n x_nj v_nfk, and Σ_n v_nfk last, shape (F, r + 1, K)."""
        n, f, k = values.shape
        sums = np.empty((f, self._x.shape[1] + 1, k))
        products = self._x.T @ values.reshape(n, f * k)
        sums[:, :-1] = products.reshape(-1, f, k).transpose(1, 0, 2)
        sums[:, -1] = values.sum(axis=0, dtype=np.float64)
        return sums

    def _expected(self, at: Float64) -> tuple[FloatArray, Float64]:
        """Return w_n p_nk, shape (N, F, K), and the losses less their penalties, shape (F,)."""
        f, _, k = at.shape
        weight = at[:, :-1].transpose(1, 0, 2).reshape(-1, f * k).astype(np.float32)
        logits = (self._x @ weight).reshape(-1, f, k)
        logits += at[:, -1].astype(np.float32)
        logits -= narrow.largest(logits)
        expected = np.exp(logits)
        total = narrow.total(expected)[:, :, 0]
        lost = np.log(total) - np.einsum("nk,nfk->nf", self._aim, logits)
        loss: Float64 = np.einsum("nf,nf->f", lost, self._share, dtype=np.float64)
        expected *= (self._share / total)[:, :, None]
        return expected, loss

    def __call__(self, at: Float64) -> tuple[Float64, Float64]:
        """Return losses, shape (F,), and slopes, shape (F, r + 1, K)."""
        return self._with_penalty(at, *self._expected(at))

    def _with_penalty(
        self, at: Float64, expected: FloatArray, loss: Float64
    ) -> tuple[Float64, Float64]:
        slope = self._summed(expected) - self._taught
        weight = at[:, :-1]
        slope[:, :-1] += self._ridge * weight
        return loss + 0.5 * self._ridge * np.einsum("fpk,fpk->f", weight, weight), slope

    def with_curvature(self, at: Float64) -> tuple[Float64, Float64, Float64]:
        """Return losses, slopes, and the diagonals of the Hessians, shape (F, r + 1, K)."""
        spread, loss = self._expected(at)
        loss, slope = self._with_penalty(at, spread, loss)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(self._share > 0, 1 / self._share, 0.0)[:, :, None] * spread
        spread *= 1 - p
        n, f, k = spread.shape
        squares = np.square(self._x).T @ spread.reshape(n, f * k)
        diagonal = np.empty(at.shape)
        diagonal[:, :-1] = squares.reshape(-1, f, k).transpose(1, 0, 2) + self._ridge
        diagonal[:, -1] = np.maximum(spread.sum(axis=0), _LEAST_CURVATURE)
        return loss, slope, diagonal


class _Memory:
    """The steps of L-BFGS: what the last ones tell of the curvature."""

    def __init__(self, diagonal: Float64) -> None:
        self._inverse, self._scale = 1 / diagonal, np.ones((len(diagonal), 1, 1))
        self._pairs: list[tuple[Float64, Float64, Float64]] = []

    def direction(self, slope: Float64) -> Float64:
        """Return the inverse of the curvature times the slope."""
        found, kept = slope.copy(), []
        for step, turn, one_over in reversed(self._pairs):
            kept.append(one_over * _dot(step, found))
            found -= kept[-1] * turn
        found *= self._inverse * self._scale
        for (step, turn, one_over), first in zip(self._pairs, reversed(kept), strict=True):
            found += (first - one_over * _dot(turn, found)) * step
        return found

    def learn(self, step: Float64, turn: Float64) -> None:
        """Remember a step and by how much the slope turned; a problem that stood still tells nothing."""
        product = _dot(step, turn)
        told = product > 1e-14
        one_over = np.where(told, 1 / np.where(told, product, 1.0), 0.0)
        size = np.where(told, _dot(turn * self._inverse, turn), 1.0)
        self._scale = np.where(told, product / size, self._scale)
        self._pairs = [*self._pairs[1 - _MEMORY :], (step, turn, one_over)]


def fit(
    axes: Axes, targets: FloatArray, ridge: float, share: FloatArray, start: Float64 | None
) -> Float64:
    """Return the coefficients of each problem, shape (F, p + 1, K), intercepts last.

    Parameters
    ----------
    axes : Axes
        Of N rows and p columns.
    targets : shape (N, K)
        Rows sum to 1.
    ridge : float
    share : shape (F, N)
        What rows count in each problem; sums to 1 over the rows.
    start : shape (F, p + 1, K), optional
        Where to begin; by default at the shares of the classes.
    """
    if start is None:
        begin = np.zeros((len(share), axes.x.shape[1] + 1, targets.shape[1]))
        prior = share @ targets + 1e-6
        begin[:, -1] = np.log(prior / prior.sum(axis=1, keepdims=True))
    else:
        begin = axes.rotated(start)
    return axes.restored(_descended(_Losses(axes.x, targets, ridge, share), begin))


def _descended(losses: _Losses, at: Float64) -> Float64:
    loss, slope, curvature = losses.with_curvature(at)
    memory = _Memory(curvature)
    moving = _steep(slope)
    for _ in range(MOST_STEPS):
        if not moving.any():
            break
        direction = memory.direction(slope)
        promised = _dot(direction, slope).ravel()
        length = moving.astype(np.float64)
        for _ in range(_SHORTENED):
            there = at - length[:, None, None] * direction
            after, turned = losses(there)
            climbed = moving & ~(after <= loss - _DESCENT * length * promised + _SLACK)
            if not climbed.any():
                break
            length = np.where(climbed, _SHORTER * length, length)
        memory.learn(there - at, turned - slope)
        size = np.maximum(np.maximum(np.abs(loss), np.abs(after)), 1.0)
        moving = moving & ~climbed & (loss - after > FTOL * size) & _steep(turned)
        if climbed.any():  # rounding: no step goes down any more
            there = np.where(climbed[:, None, None], at, there)
        at, loss, slope = there, after, turned
    return at


def _steep(slope: Float64) -> npt.NDArray[np.bool_]:
    steep: npt.NDArray[np.bool_] = np.abs(slope).max(axis=(1, 2)) > TOLERANCE
    return steep


def _dot(a: Float64, b: Float64) -> Any:
    """Return the product of two arrays, shape (F, 1, 1), over all but the first axis."""
    return np.einsum("fpk,fpk->f", a, b)[:, None, None]


def splits(
    fold: Folds, weights: FloatArray
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield for each fold the rows to train on, those of positive weight outside it, and the rows held out."""
    for number in range(int(fold.max()) + 1):
        yield np.flatnonzero((fold != number) & (weights > 0)), np.flatnonzero(fold == number)

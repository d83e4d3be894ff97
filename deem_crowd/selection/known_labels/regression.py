r"""Multinomial logistic regression of the label on who gave which answer: a discriminative energy of one unit.

    p(k | x_n) ∝ exp( b_k + Σ_{i∈O(n)} ( s_i [x_ni = k] + Δ[i, x_ni, k] ) ),

with a ridge penalty on the skills s and on what departs from them, Δ: a worker's skill is the same for all classes as
far as labels do not say otherwise, so that few labels are enough to learn it.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.special import logsumexp

from deem_crowd.data.answers import Answers
from deem_crowd.model.energy import Energy
from deem_crowd.runtime.fork import in_every_fork

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SCALE_SPREAD = 0.5
"""Standard deviation of the prior on the scale of the log-odds of a fit."""
_SMALL, _FILLED = 2**15, 8
"""Indicators with at most so many cells, or so many cells an answer, are multiplied faster as an array."""


def indicators(answers: Answers, rows: npt.NDArray[np.intp]) -> sparse.csr_matrix:
    """Return which (worker, answer) each of some tasks has, shape (n, D·K); soft answers by their mass."""
    part = answers.select(tasks=rows)
    k = answers.n_classes
    shape = (len(rows), answers.n_workers * k)
    if part.soft is None:
        cell = part.worker.astype(np.int64) * k + part.hard_label
        return sparse.csr_matrix((np.ones(len(cell)), (part.task, cell)), shape=shape)
    cell = (part.worker.astype(np.int64)[:, None] * k + np.arange(k)).ravel()
    mass = part.soft.astype(np.float64).ravel()
    return sparse.csr_matrix((mass, (np.repeat(part.task, k), cell)), shape=shape)


class Regression:
    """Multinomial logistic regression on indicators, with a ridge penalty, from zero or from the log-odds of a fit.

    Parameters
    ----------
    features : sparse matrix, shape (n, D·K)
        As :func:`indicators` returns them.
    base : shape (n, K), optional
        Log-odds of the fit.
    scale : float
        Mean of the prior on what multiplies them.
    penalty : float
        Of Δ: the inverse of its variance.
    common : float
        The same of s and b.
    offset : pair of shapes (K,), optional
        What is added to the logits of these rows, and to those of all other tasks: where rows were chosen by their
        labels, the log-shares of the classes in these rows, and those in all tasks.
    """

    def __init__(
        self,
        features: sparse.csr_matrix,
        base: FloatArray | None,
        scale: float,
        penalty: float,
        common: float = 1.0,
        offset: tuple[FloatArray, FloatArray] | None = None,
    ) -> None:
        self._features, self._base = features, base
        self._usual, self._penalty, self._common = scale, penalty, common
        none = np.zeros(1)
        self._here, self._elsewhere = (none, none) if offset is None else offset
        self._scale, self._bias, self._weight = scale, np.zeros(0), np.zeros((0, 0))
        self._skill = np.zeros(0)

    def fit(self, rows: npt.NDArray[np.intp], known: IntArray, k: int) -> Regression:
        """Train on some rows, whose labels are ``known``."""
        from scipy.optimize import minimize

        features = self._features[rows]
        d = features.shape[1] // k
        seen = np.flatnonzero(features.getnnz(axis=0))
        features = _fast(features[:, seen])
        sparsely = sparse.issparse(features)
        back = features.T.tocsr() if sparsely else np.ascontiguousarray(features.T)
        # each row of Δ is an answer of a source, whose skill counts in the cell of the class that was answered
        source, cell = seen // k, np.arange(len(seen)) * k + seen % k
        base = np.zeros((len(rows), k)) if self._base is None else self._base[rows]
        truth = np.eye(k)[known]

        def loss(values: FloatArray) -> tuple[float, FloatArray]:
            scale, bias, skill = values[0], values[1 : 1 + k], values[1 + k : 1 + k + d]
            weight = values[1 + k + d :].reshape(-1, k)
            with_skills = weight.copy()
            with_skills.ravel()[cell] += skill[source]
            logits = features @ with_skills
            logits += scale * base
            logits += self._here + bias
            logits -= logits.max(1, keepdims=True)
            told = np.exp(logits)
            total = told.sum(1, keepdims=True)
            off = (scale - self._usual) / _SCALE_SPREAD
            value = np.log(total).sum() - (truth * logits).sum()
            value += 0.5 * self._penalty * (weight**2).sum()
            value += 0.5 * self._common * ((bias**2).sum() + (skill**2).sum()) + 0.5 * off**2
            told /= total
            told -= truth
            of_cells = back @ told
            slope = np.empty_like(values)
            slope[0] = (told * base).sum() + off / _SCALE_SPREAD
            slope[1 : 1 + k] = told.sum(0) + self._common * bias
            of_skill = np.bincount(source, of_cells.ravel()[cell], d)
            slope[1 + k : 1 + k + d] = of_skill + self._common * skill
            slope[1 + k + d :] = (of_cells + self._penalty * weight).ravel()
            return float(value), slope

        start = np.zeros(1 + k + d + len(seen) * k)
        start[0] = self._usual
        options = {"maxiter": 300, "ftol": 1e-12, "gtol": 1e-7}
        # The problem is small: several threads would mostly wait for one another. Of several fits at once, the last to
        # end would restore the one thread that it found when it began: one at a time, therefore.
        with _alone(), _libraries().limit(limits=1, user_api="blas"):
            best = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
        self._scale, self._bias, self._skill = (
            float(best[0]),
            best[1 : 1 + k],
            best[1 + k : 1 + k + d],
        )
        self._weight = np.zeros((self._features.shape[1], k))
        self._weight[seen] = best[1 + k + d :].reshape(-1, k)
        return self

    def predict(self, rows: npt.NDArray[np.intp]) -> FloatArray:
        """Return p(label) of some rows, shape (n, K)."""
        logits = self._features[rows] @ self._table + self._bias + self._here
        if self._base is not None:
            logits = logits + self._scale * self._base[rows]
        return np.asarray(np.exp(logits - logsumexp(logits, axis=1, keepdims=True)))

    @property
    def _table(self) -> FloatArray:
        """What each answer adds to the logits, skills included, shape (D·K, K)."""
        k = len(self._bias)
        skills = self._skill[:, None, None] * np.eye(k)
        return self._weight + skills.reshape(-1, k)

    def energy(self, tables: FloatArray, log_prior: FloatArray) -> Energy:
        """Return the energy with this posterior."""
        weight, bias = self._table.reshape(tables.shape), self._bias + self._elsewhere
        if self._base is not None:
            weight, bias = weight + self._scale * tables, bias + self._scale * log_prior
        table = torch.from_numpy(np.ascontiguousarray(weight))
        return Energy(torch.from_numpy(bias), table, table.mean(0))


def _fast(features: sparse.csr_matrix) -> Any:
    """Return indicators as an array where its products take less time than those of a sparse matrix."""
    cells = features.shape[0] * features.shape[1]
    return features.toarray() if cells <= max(_SMALL, _FILLED * features.nnz) else features


_LOCKS: list[threading.Lock] = []


@in_every_fork
def _renew() -> None:
    """Make the lock: a forked process must not wait for threads that only its parent has."""
    _LOCKS[:] = [threading.Lock()]


_renew()


def _alone() -> threading.Lock:
    """Return what one fit at a time holds."""
    return _LOCKS[0]


@functools.lru_cache(maxsize=1)
def _libraries() -> Any:
    """Return what limits the threads of the loaded libraries; kept, since to find these takes longer than some fits."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()

r"""Multinomial logistic regression of the label on who gave which answer: a discriminative energy of one unit.

    p(k | x_n) ∝ exp( b_k + Σ_{i∈O(n)} ( s_i [x_ni = k] + Δ[i, x_ni, k] ) ),

with a ridge penalty on the skills s and on what departs from them, Δ: a worker's skill is the same for all classes as
far as labels do not say otherwise, so that few labels are enough to learn it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.special import logsumexp

from deem_crowd.data.answers import Answers
from deem_crowd.model.energy import Energy

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SCALE_SPREAD = 0.5
"""Standard deviation of the prior on the scale of the log-odds of a fit."""


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
        own = _own_answers(features, k)
        seen = np.flatnonzero(features.getnnz(axis=0))
        features = features[:, seen]
        back = features.T.tocsr()
        # all classes in one matrix: a product of scipy's takes as long for a few answers as for thousands
        by_class = sparse.vstack(own, format="csr")
        by_worker = sparse.block_diag([one.T for one in own], format="csr")
        base = np.zeros((len(rows), k)) if self._base is None else self._base[rows]
        truth = np.eye(k)[known]
        d = own[0].shape[1]

        def loss(values: FloatArray) -> tuple[float, FloatArray]:
            scale, bias, skill = values[0], values[1 : 1 + k], values[1 + k : 1 + k + d]
            weight = values[1 + k + d :].reshape(-1, k)
            of_answers = np.ascontiguousarray((by_class @ skill).reshape(k, -1).T)
            logits = scale * base + self._here + bias + features @ weight + of_answers
            logits -= logsumexp(logits, axis=1, keepdims=True)
            off = (scale - self._usual) / _SCALE_SPREAD
            value = -(truth * logits).sum() + 0.5 * self._penalty * (weight**2).sum()
            value += 0.5 * self._common * ((bias**2).sum() + (skill**2).sum()) + 0.5 * off**2
            rest = np.exp(logits) - truth
            of_skill = sum((by_worker @ rest.T.ravel()).reshape(k, d))
            slope = np.concatenate(
                [
                    [(rest * base).sum() + off / _SCALE_SPREAD],
                    rest.sum(0) + self._common * bias,
                    of_skill + self._common * skill,
                    (back @ rest + self._penalty * weight).ravel(),
                ]
            )
            return float(value), slope

        start = np.zeros(1 + k + d + len(seen) * k)
        start[0] = self._usual
        options = {"maxiter": 300, "ftol": 1e-12, "gtol": 1e-7}
        # The problem is small, and threads wait for one another.
        with _libraries().limit(limits=1, user_api="blas"):
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
        features = self._features[rows]
        logits = features @ self._weight + self._bias + self._here
        logits += _by_class(_own_answers(features, len(self._bias)), self._skill)
        if self._base is not None:
            logits = logits + self._scale * self._base[rows]
        return np.asarray(np.exp(logits - logsumexp(logits, axis=1, keepdims=True)))

    def energy(self, tables: FloatArray, log_prior: FloatArray) -> Energy:
        """Return the energy with this posterior."""
        skills = self._skill[:, None, None] * np.eye(len(self._bias))
        weight, bias = self._weight.reshape(tables.shape) + skills, self._bias + self._elsewhere
        if self._base is not None:
            weight, bias = weight + self._scale * tables, bias + self._scale * log_prior
        table = torch.from_numpy(np.ascontiguousarray(weight))
        return Energy(torch.from_numpy(bias), table, table.mean(0))


def _own_answers(features: sparse.csr_matrix, k: int) -> list[sparse.csr_matrix]:
    """Return for each class which workers answered it, K matrices of shape (n, D)."""
    columns = features.tocsc()
    return [columns[:, c::k].tocsr() for c in range(k)]


def _by_class(own: list[sparse.csr_matrix], skill: FloatArray) -> FloatArray:
    """Return the sums of the skills of those who answered each class, shape (n, K)."""
    return np.stack([one @ skill for one in own], 1)


@functools.lru_cache(maxsize=1)
def _libraries() -> Any:
    """Return what sets the threads of the libraries loaded; looking for them takes longer than some fits."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()

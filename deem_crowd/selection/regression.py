"""Multinomial logistic regression of the label on who gave which answer: a discriminative energy of one unit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.special import logsumexp

from deem_crowd.data.answers import Answers
from deem_crowd.model.energy import Energy

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SCALE_SPREAD, _BIAS_SPREAD = 0.5, 1.0


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
    """Multinomial logistic regression on indicators, with a ridge penalty, from zero or from the log-odds of a fit."""

    def __init__(
        self, features: sparse.csr_matrix, base: FloatArray | None, scale: float, penalty: float
    ) -> None:
        self._features, self._base = features, base
        self._usual, self._penalty = scale, penalty
        self._scale, self._bias, self._weight = scale, np.zeros(0), np.zeros((0, 0))

    def fit(self, rows: npt.NDArray[np.intp], known: IntArray, k: int) -> Regression:
        """Train on some rows."""
        from scipy.optimize import minimize
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        features = self._features[rows]
        seen = np.flatnonzero(features.getnnz(axis=0))
        features = features[:, seen]
        back = features.T.tocsr()
        base = np.zeros((len(rows), k)) if self._base is None else self._base[rows]
        truth = np.eye(k)[known]

        def loss(values: FloatArray) -> tuple[float, FloatArray]:
            scale, bias, weight = values[0], values[1 : 1 + k], values[1 + k :].reshape(-1, k)
            logits = scale * base + bias + features @ weight
            logits -= logsumexp(logits, axis=1, keepdims=True)
            off = (scale - self._usual) / _SCALE_SPREAD
            value = -(truth * logits).sum() + 0.5 * self._penalty * (weight**2).sum()
            value += 0.5 * (bias**2).sum() / _BIAS_SPREAD**2 + 0.5 * off**2
            rest = np.exp(logits) - truth
            slope = np.concatenate(
                [
                    [(rest * base).sum() + off / _SCALE_SPREAD],
                    rest.sum(0) + bias / _BIAS_SPREAD**2,
                    (back @ rest + self._penalty * weight).ravel(),
                ]
            )
            return float(value), slope

        start = np.zeros(1 + k + len(seen) * k)
        start[0] = self._usual
        options = {"maxiter": 300, "ftol": 1e-12, "gtol": 1e-7}
        with threadpool_limits(1, "blas"):  # the problem is small, and threads wait for one another
            best = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
        self._scale, self._bias = float(best[0]), best[1 : 1 + k]
        self._weight = np.zeros((self._features.shape[1], k))
        self._weight[seen] = best[1 + k :].reshape(-1, k)
        return self

    def predict(self, rows: npt.NDArray[np.intp]) -> FloatArray:
        """Return p(label) of some rows, shape (n, K)."""
        logits = self._features[rows] @ self._weight + self._bias
        if self._base is not None:
            logits = logits + self._scale * self._base[rows]
        return np.asarray(np.exp(logits - logsumexp(logits, axis=1, keepdims=True)))

    def energy(self, tables: FloatArray, log_prior: FloatArray) -> Energy:
        """Return the energy with this posterior."""
        weight, bias = self._weight.reshape(tables.shape), self._bias
        if self._base is not None:
            weight, bias = weight + self._scale * tables, bias + self._scale * log_prior
        table = torch.from_numpy(np.ascontiguousarray(weight))
        return Energy(torch.from_numpy(bias), table, table.mean(0))

r"""Multinomial logistic regression on soft targets: what a classifier learns from a posterior.

With targets R of shape (N, K), whose rows are distributions, and weights w_n of the tasks,

    minimise  − Σ_n w_n Σ_k R[n, k] log softmax(x_n B + b)_k / Σ_n w_n  +  ridge / 2 · ‖B‖²

by L-BFGS. Hard labels are one-hot targets. Repeating each row once a class with sample weights gives the same minimum
and takes K times the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.model import narrow

FloatArray = npt.NDArray[np.floating[Any]]

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties to choose from, for features of unit variance and a loss in nats a task."""
MOST_STEPS = 200
TOLERANCE, FTOL = 1e-4, 1e-7
"""Steps end where no slope is steeper than the first, or where the loss falls by less than the second."""


@dataclass(frozen=True)
class Scaler:
    """Centre and scale of features.

    Attributes
    ----------
    centre : shape (p,), or None for sparse features, which stay sparse
    scale : shape (p,)
        What columns are divided by: each by its own standard deviation, or all by one.
    """

    centre: FloatArray | None
    scale: FloatArray

    @classmethod
    def of(cls, x: Any, each: bool) -> Scaler:
        """Return the scaler of features, shape (N, p); ``each`` says whether columns are scaled one by one.

        Components and embeddings have columns that matter by their size: those are divided by one number.
        """
        mean, variance = moments(x)
        dense = isinstance(x, np.ndarray)
        if not dense:  # not centred: a column's size is its distance from zero
            variance = variance + mean**2
        if each:
            scale = np.sqrt(variance)
            constant = scale <= 1e-6 * np.abs(mean) + 1e-12
            scale = np.where(constant, 1.0, scale)
        else:
            scale = np.full(len(variance), max(float(np.sqrt(variance.mean())), 1e-12))
        return cls(mean.astype(np.float32) if dense else None, scale.astype(np.float32))

    def __call__(self, x: Any) -> Any:
        """Return scaled features, float32."""
        if isinstance(x, np.ndarray) and self.centre is not None:
            dense = np.asarray(x, dtype=np.float32)
            return (dense - self.centre) / self.scale
        from scipy import sparse

        return sparse.csr_array(x, dtype=np.float32) @ sparse.diags_array(1 / self.scale)

    def public(self) -> Any:
        """Return the same as a fitted ``StandardScaler``."""
        from sklearn.preprocessing import StandardScaler

        model = StandardScaler(with_mean=self.centre is not None)
        model.scale_, model.var_ = self.scale, self.scale**2
        model.mean_ = np.zeros_like(self.scale) if self.centre is None else self.centre
        model.n_features_in_, model.n_samples_seen_ = len(self.scale), 1
        return model


def moments(x: Any) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of each column of features, dense or sparse, float64, shape (p,)."""
    if isinstance(x, np.ndarray):
        mean = x.mean(axis=0, dtype=np.float64)
        return mean, x.var(axis=0, dtype=np.float64)
    n = max(x.shape[0], 1)
    mean = np.asarray(x.sum(axis=0), dtype=np.float64).ravel() / n
    square = np.asarray(x.multiply(x).sum(axis=0), dtype=np.float64).ravel() / n
    return mean, np.maximum(square - mean**2, 0.0)


@dataclass(frozen=True)
class Coefficients:
    """B, shape (p, K), and b, shape (K,)."""

    weight: FloatArray
    intercept: FloatArray

    def log_proba(self, x: Any) -> npt.NDArray[np.float64]:
        """Return log p(label | x), shape (N, K)."""
        logits = np.asarray(x @ self.weight, dtype=np.float64) + self.intercept
        return log_softmax(logits)


def log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the logarithm of the softmax over the last axis."""
    shifted = logits - narrow.largest(logits)
    log_proba: npt.NDArray[np.float64] = shifted - np.log(narrow.total(np.exp(shifted)))
    return log_proba


def fit_soft(
    x: Any,
    targets: FloatArray,
    ridge: float,
    weights: FloatArray | None = None,
    start: Coefficients | None = None,
) -> Coefficients:
    """Fit to soft targets.

    Parameters
    ----------
    x : shape (N, p), dense or sparse
        Scaled features.
    targets : shape (N, K)
        Rows sum to 1.
    ridge : float
    weights : shape (N,), optional
        Of the tasks.
    start : Coefficients, optional
        Where to begin.
    """
    n, p = x.shape
    k = targets.shape[1]
    x = x.astype(np.float32)
    aim = np.asarray(targets, dtype=np.float32)
    share = np.full(n, 1.0 / max(n, 1)) if weights is None else weights / weights.sum()
    share = share.astype(np.float32)[:, None]
    transposed = x.T if isinstance(x, np.ndarray) else x.T.tocsr()
    prior = (share * aim).sum(0) + 1e-6
    begin = np.zeros((p + 1, k), dtype=np.float64)
    begin[p] = np.log(prior / prior.sum())
    if start is not None:
        begin[:p], begin[p] = start.weight, start.intercept

    def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        table = flat.reshape(p + 1, k)
        logits = x @ table[:p].astype(np.float32) + table[p].astype(np.float32)
        logits -= narrow.largest(logits)
        expected = np.exp(logits)
        total = narrow.total(expected)
        loss = float((share * (np.log(total) - narrow.total(aim * logits))).sum(dtype=np.float64))
        expected /= total
        expected -= aim
        expected *= share
        slope = np.empty((p + 1, k))
        slope[:p] = transposed @ expected + ridge * table[:p]
        slope[p] = expected.sum(axis=0, dtype=np.float64)
        return loss + 0.5 * ridge * float((table[:p] ** 2).sum()), slope.ravel()

    from scipy import optimize

    solution = optimize.minimize(
        objective,
        begin.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MOST_STEPS, "gtol": TOLERANCE, "ftol": FTOL},
    ).x.reshape(p + 1, k)
    return Coefficients(solution[:p].astype(np.float32), solution[p])

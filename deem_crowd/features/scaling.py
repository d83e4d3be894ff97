"""How much a classifier's word counts: the weight of its log-probabilities, and an offset for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deem_crowd.features.logistic import log_softmax

FloatArray = npt.NDArray[np.float64]

MOST = 20.0
"""The weight is at most this."""
_STEPS = 8
_PULL = 1e-6


@dataclass(frozen=True)
class Scaling:
    """log p(label | x) = log softmax(weight · log q(x) + offset).

    Attributes
    ----------
    weight : float
        Above 1 where the classifier is too timid (it was trained on noisy labels), below 1 where it is too sure.
    offset : shape (K,)
    """

    weight: float
    offset: FloatArray

    @classmethod
    def none(cls, n_classes: int, weight: float = 1.0) -> Scaling:
        """Return the scaling without offset."""
        return cls(weight, np.zeros(n_classes))

    def __call__(self, log_q: FloatArray) -> FloatArray:
        """Return log p(label | x), shape (N, K)."""
        return log_softmax(self.weight * log_q + self.offset)

    def fitted(self, log_q: FloatArray, posterior: FloatArray, weights: FloatArray) -> Scaling:
        """Return the scaling of largest likelihood under a posterior, by Newton's method from this one.

        Parameters
        ----------
        log_q, posterior : shape (N, K)
        weights : shape (N,)
            Of the tasks.
        """
        k = log_q.shape[1]
        total = max(float(weights.sum()), 1e-12)
        at = np.append(self.weight, self.offset)

        def value(point: FloatArray) -> float:
            fit = (weights[:, None] * posterior * log_softmax(point[0] * log_q + point[1:])).sum()
            return float(fit) / total - _PULL * float((point[1:] ** 2).sum())

        before = value(at)
        for _ in range(_STEPS):
            p = np.exp(log_softmax(at[0] * log_q + at[1:]))
            gap = (posterior - p) * weights[:, None]
            slope = np.append((gap * log_q).sum(), gap.sum(axis=0)) / total
            slope[1:] -= 2 * _PULL * at[1:]
            mean = (p * log_q).sum(axis=1)
            weighted = p * weights[:, None]
            curve = np.zeros((k + 1, k + 1))
            curve[0, 0] = (weights * ((p * log_q**2).sum(axis=1) - mean**2)).sum()
            curve[0, 1:] = curve[1:, 0] = (weighted * (log_q - mean[:, None])).sum(axis=0)
            curve[1:, 1:] = np.diag(weighted.sum(axis=0)) - weighted.T @ p
            step = np.linalg.solve(curve / total + 2 * _PULL * np.eye(k + 1), slope)
            length = 1.0
            while length > 1e-3 and value(at + length * step) < before:
                length /= 2
            at = at + length * step
            after = value(at)
            if after - before < 1e-7:
                break
            before = after
        return Scaling(float(np.clip(at[0], 0.0, MOST)), at[1:])

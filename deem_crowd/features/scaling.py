"""How much a classifier's word counts: the weight of its log-probabilities, and an offset for each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deem_crowd.features.logistic import log_softmax
from deem_crowd.model import narrow

FloatArray = npt.NDArray[np.float64]

MOST = 1_000.0
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

    def fitted(
        self, log_q: FloatArray, posterior: FloatArray, weights: FloatArray, steps: int = _STEPS
    ) -> Scaling:
        """Return the scaling of largest likelihood under a posterior, by Newton's method from this one.

        Parameters
        ----------
        log_q, posterior : shape (N, K)
        weights : shape (N,)
            Of the tasks.
        steps : int
            At most.
        """
        k = log_q.shape[1]
        total = max(float(weights.sum()), 1e-12)
        at = np.append(self.weight, self.offset)
        aims = weights[:, None] * posterior
        aimed = np.append((aims * log_q).sum(), aims.sum(axis=0))

        def value(point: FloatArray, normaliser: FloatArray) -> float:
            fit = float(aimed @ point) - float(weights @ normaliser)
            return fit / total - _PULL * float((point[1:] ** 2).sum())

        p, normaliser = _softmax(at[0] * log_q + at[1:])
        before = value(at, normaliser)
        for _ in range(steps):
            weighted = p * weights[:, None]
            said = weighted * log_q
            slope = (aimed - np.append(said.sum(), weighted.sum(axis=0))) / total
            slope[1:] -= 2 * _PULL * at[1:]
            mean = narrow.total(p * log_q)[:, 0]
            curve = np.zeros((k + 1, k + 1))
            curve[0, 0] = (said * log_q).sum() - weights @ mean**2
            curve[0, 1:] = curve[1:, 0] = said.sum(axis=0) - mean @ weighted
            curve[1:, 1:] = np.diag(weighted.sum(axis=0)) - weighted.T @ p
            step = np.linalg.solve(curve / total + 2 * _PULL * np.eye(k + 1), slope)
            length = 1.0
            while True:
                moved = at + length * step
                p, normaliser = _softmax(moved[0] * log_q + moved[1:])
                after = value(moved, normaliser)
                if after >= before or length <= 1e-3:
                    break
                length /= 2
            at = moved
            if after - before < 1e-7:
                break
            before = after
        return Scaling(float(np.clip(at[0], 0.0, MOST)), at[1:])


def _softmax(logits: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the softmax over the last axis, and the logarithms of its normalisers."""
    top = narrow.largest(logits)
    expected = np.exp(logits - top)
    total = narrow.total(expected)
    return expected / total, (np.log(total) + top)[:, 0]

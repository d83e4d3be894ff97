"""How much a task is worth asking about: uncertainty of its label, and what one more answer would change.

All criteria are non-negative, and the highest is asked first. Least confidence, margin and entropy: Wang, Zhang, Li,
Zhang and Lin, Cost-effective active learning for deep image classification (IEEE TCSVT 27, 2017). Expected error
reduction: Roy and McCallum (ICML 2001).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def least_confidence(posterior: FloatArray) -> FloatArray:
    """Return 1 − max_k p_k of each row of ``posterior``, shape (N, K) → (N,)."""
    return np.asarray(1.0 - posterior.max(axis=1, initial=0.0))


def margin(posterior: FloatArray) -> FloatArray:
    """Return 1 − (p₍₁₎ − p₍₂₎), the two largest of each row, shape (N, K) → (N,)."""
    if posterior.shape[1] < 2:
        return least_confidence(posterior)
    two = np.partition(posterior, -2, axis=1)[:, -2:]
    return np.asarray(1.0 - (two[:, 1] - two[:, 0]))


def entropy(posterior: FloatArray) -> FloatArray:
    """Return −Σ_k p_k log p_k of each row, in nats with 0 log 0 = 0, shape (N, K) → (N,)."""
    return np.asarray(np.maximum(-_xlogx(posterior).sum(axis=1), 0.0))


def expected_error_reduction(posterior: FloatArray, table: FloatArray) -> FloatArray:
    """Return by how much one more answer raises the chance that the label is right, shape (N,).

    Σ_a max_h p_h t[a, h] − max_h p_h: every answer a that may come is enumerated, with the label chosen anew after
    each. Exact for answers that are independent given the label. Zero where no single answer can change the label.

    Parameters
    ----------
    posterior : shape (N, K)
    table : shape (A, K)
        p(answer | label) of whoever answers.
    """
    after = np.zeros(len(posterior))
    for row in table:
        after += (posterior * row).max(axis=1, initial=0.0)
    return np.asarray(np.maximum(after - posterior.max(axis=1, initial=0.0), 0.0))


def expected_information(posterior: FloatArray, table: FloatArray) -> FloatArray:
    """Return the information that one more answer gives about the label, in nats, shape (N,).

    H(h) − Σ_a p(a) H(h | a), with all answers enumerated. See :func:`expected_error_reduction`.
    """
    remaining = np.zeros(len(posterior))
    for row in table:
        joint = posterior * row
        remaining += _xlogx(joint.sum(axis=1)) - _xlogx(joint).sum(axis=1)
    return np.asarray(np.maximum(entropy(posterior) - remaining, 0.0))


def _xlogx(values: FloatArray) -> FloatArray:
    positive = values > 0
    return np.asarray(np.where(positive, values * np.log(np.where(positive, values, 1.0)), 0.0))


UNCERTAINTY = {"least_confidence": least_confidence, "margin": margin, "entropy": entropy}
"""Criteria of the posterior alone."""

VALUE = {
    "expected_error_reduction": expected_error_reduction,
    "expected_information": expected_information,
}
"""Criteria that need the table of whoever answers next."""

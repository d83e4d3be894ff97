"""How much a task is worth asking about: uncertainty of its label, and what one more answer would change.

All criteria are non-negative, and the highest is asked first. Least confidence, margin and entropy: Wang, Zhang, Li,
Zhang and Lin, Cost-effective active learning for deep image classification (IEEE TCSVT 27, 2017). Expected error
reduction: Roy and McCallum (ICML 2001).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deem_crowd.model import narrow

FloatArray = npt.NDArray[np.float64]

_CACHED = 2**18
"""Numbers in an intermediate array that stays in the cache."""
_ROUNDING = 1e-14
"""Gains and nats up to this are rounding errors of sums of probabilities, and count as zero."""


def least_confidence(posterior: FloatArray) -> FloatArray:
    """Return 1 − max_k p_k of each row of ``posterior``, shape (N, K) → (N,)."""
    return np.asarray(1.0 - _largest(posterior))


def margin(posterior: FloatArray) -> FloatArray:
    """Return 1 − (p₍₁₎ − p₍₂₎), the two largest of each row, shape (N, K) → (N,)."""
    if posterior.shape[1] < 2:
        return least_confidence(posterior)
    two = np.partition(posterior, -2, axis=1)[:, -2:]
    return np.asarray(1.0 - (two[:, 1] - two[:, 0]))


def entropy(posterior: FloatArray) -> FloatArray:
    """Return −Σ_k p_k log p_k of each row, in nats with 0 log 0 = 0, shape (N, K) → (N,)."""
    return np.asarray(np.maximum(-(_xlogx(posterior) @ np.ones(posterior.shape[1])), 0.0))


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
        after += _largest(posterior * row)
    gain = after - _largest(posterior)
    return _beyond_rounding(gain)


def expected_information(posterior: FloatArray, table: FloatArray) -> FloatArray:
    """Return the information that one more answer gives about the label, in nats, shape (N,).

    H(h) − Σ_a p(a) H(h | a), with all answers enumerated. See :func:`expected_error_reduction`; of W tables, shape
    (W, A, K), it is of shape (N, W).
    """
    rows = np.moveaxis(
        table, -2, 0
    )  # with j = p_h t[a, h], Σ_h j log j is Σ_h t p log p + Σ_h p t log t
    remaining = _xlogx(rows @ posterior.T).sum(axis=0) - _xlogx(rows).sum(axis=0) @ posterior.T
    value = (rows.sum(axis=0) - 1) @ _xlogx(posterior).T - remaining
    return _beyond_rounding(value.T)


def of_pairs(name: str, posterior: FloatArray, tables: FloatArray) -> FloatArray:
    """Return a criterion of :data:`VALUE` for each of N tasks and W tables, shape (W, A, K) → (N, W)."""
    value = np.zeros((len(posterior), len(tables)))
    if name == "expected_error_reduction":
        for one, table in zip(value.T, tables, strict=True):
            one[:] = expected_error_reduction(posterior, table)
        return value
    step = max(1, _CACHED // max(posterior.size, 1))
    for at in range(0, len(tables), step):
        value[:, at : at + step] = expected_information(posterior, tables[at : at + step])
    return value


def of_own_tables(name: str, posterior: FloatArray, tables: FloatArray) -> FloatArray:
    """Return a criterion of :data:`VALUE` for N tasks with a table each, shape (N, A, K) → (N,)."""
    joint = posterior[:, None, :] * tables
    if name == "expected_error_reduction":
        worth = joint.max(axis=2).sum(axis=1) - posterior.max(axis=1)
    else:  # Σ_a [Σ_h p_h t log t − q log q], with q = Σ_h p_h t
        worth = np.einsum("nak,nk->n", _xlogx(tables), posterior) - _xlogx(joint.sum(2)).sum(1)
    return _beyond_rounding(worth)


def _beyond_rounding(value: FloatArray) -> FloatArray:
    return np.where(value > _ROUNDING, value, 0.0)


def _largest(values: FloatArray) -> FloatArray:
    """Return the maximum of each row, shape (N,); 0 without columns."""
    if not values.shape[1]:
        return np.zeros(len(values))
    return np.asarray(narrow.largest(values)[:, 0])


def _xlogx(values: FloatArray) -> FloatArray:
    return np.asarray(values * np.log(np.maximum(values, np.finfo(np.float64).tiny)))


UNCERTAINTY = {"least_confidence": least_confidence, "margin": margin, "entropy": entropy}
"""Criteria of the posterior alone."""

VALUE = {
    "expected_error_reduction": expected_error_reduction,
    "expected_information": expected_information,
}
"""Criteria that need the table of whoever answers next."""

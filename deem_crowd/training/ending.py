"""How good a fit is, whether it has converged, and whether it is worth continuing."""

from __future__ import annotations

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.rows import row_max

TOLERANCE = 1e-4
"""Stop where the probabilities of a task change by less, in the mean over tasks of the largest change."""
_SAMPLE = 8192
"""Tasks that say whether a fit is far from its end."""


def rests(design: DesignMatrix, after: torch.Tensor, before: torch.Tensor) -> bool:
    """Tell whether probabilities, shape (N, S), change by less than :data:`TOLERANCE`.

    Of many tasks a sample is asked first, and all only where it is not twice as far from that.
    """
    stride = design.n_tasks_in_all // _SAMPLE
    if stride > 1:
        some = _largest_change(after[::stride], before[::stride])
        size = some.new_tensor(float(len(some)))
        total, n = design.reduce(torch.stack([some.sum(), size]).to("cpu", torch.float64))
        if total > 2 * TOLERANCE * n:
            return False
    return design.mean(_largest_change(after, before)) < TOLERANCE


def _largest_change(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return the largest change of a probability in each row, shape (n,): of two, both change by as much."""
    if after.shape[1] == 2:
        after, before = after[:, :1], before[:, :1]
    return row_max((after - before).abs_())


def falls_short(bounds: list[float], beat: float, n_passes: int, dear: bool = False) -> bool:
    """Tell whether so many passes more would leave a bound below another.

    Each is taken to gain twice the mean of the last two or, of dear passes whose gains become less, as much as the
    last.
    """
    before, last = bounds[-2] - bounds[-3], bounds[-1] - bounds[-2]
    gain = max(last if dear and last < before else before + last, 0.0)
    return bounds[-1] + n_passes * gain < beat


def entropy_of(
    counts: torch.Tensor,
    tasks: torch.Tensor,
    log_likelihood: float,
    weight: torch.Tensor,
    bias: torch.Tensor,
) -> float:
    """Return the entropy, in nats, of the states that :func:`expect` has found.

    − Σ_n Σ_s q_n(s) log q_n(s), with log q_n(s) = b_s + Σ_i W[i, x_ni, s] − log Σ_s exp(…): the sums of W and b over
    tasks are sums over tables.

    Parameters
    ----------
    counts : float64, shape (D, K, S)
        Expected counts of the states.
    tasks : float64, shape (S,)
        Expected tasks in each state.
    log_likelihood : float
        Σ_n log Σ_s exp(…).
    weight, bias : shapes (D, K, S) and (S,)
    """
    value = log_likelihood - float((counts * weight).sum())
    return value - float((tasks * bias).sum())

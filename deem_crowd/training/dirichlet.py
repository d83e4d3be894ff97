r"""Dirichlet priors of tables, learned from all workers' counts, and what these counts are worth under them.

Given a column's Dirichlet prior α the answers of worker i, C[i, :, k] expected ones, have the marginal likelihood

    DM(C[i, :, k]; α) = Γ(A) / Γ(n + A) · Π_l Γ(C[i, l, k] + α_l) / Γ(α_l),    n = Σ_l C[i, l, k],  A = Σ_l α_l,

for answers in a given sequence. The α that maximises its product over workers, times a Gamma prior, is climbed to by a
fixed point or by Newton's method, both in Minka, *Estimating a Dirichlet distribution* (2000).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from deem_crowd.model.tables import label_total
from deem_crowd.training.digamma import DigammaSum, log_gamma

STRENGTH = 2.0
"""How firmly pseudo-answers are held to those before anything is learned: shape of their Gamma prior, less 1."""

Sum = Callable[[torch.Tensor], torch.Tensor]
"""Σ_i [ψ(C_i + α) − ψ(α)], as a function of α."""


def log_marginal(counts: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Return log DM of each worker's columns, in nats, shape (D, S).

    ``counts`` has shape (D, K, S), ``alpha`` the same or (K, S). Cells without counts have no part in the sum.
    """
    gained = log_gamma(counts + alpha).sub_(log_gamma(alpha))
    totals = label_total(counts)
    sums = label_total(alpha if alpha.ndim == 3 else alpha[None])
    lost = log_gamma(totals + sums).sub_(log_gamma(sums))
    return label_total(gained).sub_(lost)


def fixed_point(
    alpha: torch.Tensor,
    gained: Sum,
    lost: Sum,
    shape: float | torch.Tensor,
    rate: float | torch.Tensor,
) -> torch.Tensor:
    """Return α, shape (K, S), one step of the fixed point further.

    Parameters
    ----------
    alpha : shape (K, S)
    gained, lost : callable
        Sums over counts, shape (D, K, S), and over their totals, shape (D, S).
    shape, rate : float or shape (K, S)
        The prior on each α is Gamma(1 + shape, rate).
    """
    return (shape + alpha * gained(alpha)) / (rate + lost(alpha.sum(0)))


def newton(
    alpha: torch.Tensor, gained: DigammaSum, lost: DigammaSum, rate: torch.Tensor
) -> torch.Tensor:
    """Return α, shape (K, S), one Newton step further, under Gamma(2, rate) priors.

    The Hessian of a column is a diagonal plus a matrix of rank one. Where the step would leave the positive numbers, or
    go far, it is one of :func:`fixed_point`. So it is where the Hessian is not negative definite, as beyond the maximum
    where workers differ by nothing but chance: Newton's step may then lead away from it.
    """
    total = alpha.sum(0)
    gain, loss = gained(alpha), lost(total)
    slope = gain - loss + 1 / alpha - rate
    curve = gained.slope(alpha) - alpha.square().reciprocal()  # negative
    joint = -lost.slope(total)
    # positive where the Hessian is negative definite
    room = 1 / joint.clamp_min(1e-300) + (1 / curve).sum(0)
    moved = alpha - (slope - (slope / curve).sum(0) / room) / curve
    sound = (torch.isfinite(moved) & (moved > 0.2 * alpha) & (moved < 5 * alpha)).all(0)
    sound &= room > 0
    return torch.where(sound, moved, (alpha * gain + 1) / (loss + rate))


def learned_pseudo_answers(
    counts: torch.Tensor, alpha: torch.Tensor, base: torch.Tensor
) -> torch.Tensor:
    """Move α, shape (K, S), towards the maximum of the evidence of all workers' counts, shape (D, K, S).

    The prior on each is a Gamma distribution with its mode at ``base``, shape (K, S).
    """
    gained, lost, rate = DigammaSum(counts), DigammaSum(label_total(counts)), STRENGTH / base
    for _ in range(3):
        alpha = fixed_point(alpha, gained, lost, STRENGTH, rate).clamp_(1e-2, 1e4)
    return alpha

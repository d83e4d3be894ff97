"""The inner problem of HUME: a linear classifier fitted by gradient descent, and the gradient through all its steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class LinearFit(torch.autograd.Function):
    """D steps of gradient descent on the cross-entropy between softmax(Φ w) and soft labels, for R labelings at once.

    Backward runs through the steps from the last to the first. It needs the weights of each step; the softmax is
    computed again, so that memory does not grow with the rows times the steps.
    """

    @staticmethod
    def forward(
        ctx: Any, tau: Tensor, phi: Tensor, start: Tensor, rate: float, steps: int
    ) -> Tensor:
        """Return the weights, shape (R, d, K).

        Parameters
        ----------
        tau : shape (R, n, K)
            Soft labels.
        phi : shape (n, d)
        start : shape (R, d, K)
        rate : float
            Of a step, of the mean cross-entropy.
        steps : int
        """
        w, factor = start, rate / len(phi)
        constant = factor * (phi.T @ tau)
        path = []
        for _ in range(steps):
            path.append(w)
            w = w - factor * (phi.T @ torch.softmax(phi @ w, -1)) + constant
        ctx.save_for_backward(phi, torch.stack(path) if path else start[None][:0])
        ctx.factor = factor
        return w

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by the soft labels, and by the start."""
        phi, path = ctx.saved_tensors
        adjoint = grads[0]
        total = torch.zeros_like(adjoint)
        for w in path.flip(0):
            total = total + adjoint
            p = torch.softmax(phi @ w, -1)
            pushed = p * (phi @ adjoint)
            pushed = pushed - p * pushed.sum(-1, keepdim=True)
            adjoint = adjoint - ctx.factor * (phi.T @ pushed)
        return ctx.factor * (phi @ total), None, adjoint, None, None


def largest_rate(phi: Tensor) -> float:
    """Return 1 / L for rows (n, d): the curvature of the mean cross-entropy is at most L = ½ λ_max(ΦᵀΦ / n)."""
    return 2.0 / float(torch.linalg.matrix_norm(phi, 2) ** 2 / len(phi))

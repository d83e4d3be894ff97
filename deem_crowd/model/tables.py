"""Sums and quotients over the short middle axis of tables, which torch's loops over short axes are slow at."""

from __future__ import annotations

import torch

from deem_crowd.model.rows import FEW_COLUMNS


def label_total(counts: torch.Tensor) -> torch.Tensor:
    """Return Σ_l counts[i, l, s], shape (D, S), of counts of shape (D, K, S)."""
    if not 0 < counts.shape[1] <= FEW_COLUMNS:
        return counts.sum(1)
    first, *others = counts.unbind(1)
    total = first.clone()
    for each in others:
        total += each
    return total


def log_tables(cells: torch.Tensor) -> torch.Tensor:
    """Return log p(l | s), shape (D, K, S): the logarithm of cells, of that shape, over their sums over labels."""
    total = label_total(cells)
    if not 0 < cells.shape[1] <= FEW_COLUMNS:
        return torch.log(cells / total.unsqueeze(1))
    shares = torch.empty_like(cells)
    for share, cell in zip(shares.unbind(1), cells.unbind(1), strict=True):
        torch.div(cell, total, out=share)
    return shares.log_()

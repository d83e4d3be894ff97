"""Sums, maxima and the softmax over rows of few columns, which torch's loops over the last axis are slow at."""

from __future__ import annotations

import math

import numpy as np
import torch

from deem_crowd.model.sparse_rows import PIECE, shared_out
from deem_crowd.runtime.threads import each

SAFE = 80.0
"""Logits within ± this neither over- nor underflow as float32 exponentials."""
FEW_COLUMNS = 16
CACHED = 2**19
"""Entries of a posterior that stay in the cache while they are worked on."""
_WIDE = 256
_SHORT_ROW = 48
"""Bytes of a row up to which its maximum is taken column by column."""
_SHORT = 8
"""Columns of rows that are short, up to which a product with ones takes less time than loops over rows."""


def pieces(n: int, size: int) -> list[slice]:
    """Return n rows of so many entries in pieces that stay in the cache."""
    step = max(1, -(-n // max(1, shared_out(-(-n * size // CACHED)))))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def column_total(values: torch.Tensor) -> torch.Tensor:
    """Return the sum over the first axis in float64, on the CPU.

    float32 is summed in pieces first: rounding stays that of a piece, and nothing of the input's size is converted.
    """
    n = len(values)
    if values.dtype != torch.float64 and n > PIECE:
        whole = n // PIECE * PIECE
        by_piece = values[:whole].unflatten(0, (-1, PIECE))
        sums = values.new_empty((whole // PIECE, *values.shape[1:]))

        def add(some: slice) -> None:
            torch.sum(by_piece[some], 1, out=sums[some])

        each(add, pieces(len(sums), PIECE * math.prod(values.shape[1:])))
        total = sums.sum(0, dtype=torch.float64) + values[whole:].sum(0, dtype=torch.float64)
    else:
        total = values.sum(0, dtype=torch.float64)
    return total.cpu()


def add_to_rows(values: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Add a row, shape (S,), to all rows of ``values``, shape (N, S) and contiguous, in place; return them.

    Short rows are added many at a time: torch's loops are over the last axis.
    """
    n, size = values.shape
    many = _WIDE // max(size, 1)
    if many < 2 or n < many:
        return values.add_(row)
    whole = n // many * many
    values[:whole].view(-1, many * size).add_(row.expand(many, -1).reshape(-1))
    values[whole:].add_(row)
    return values


def row_max(values: torch.Tensor) -> torch.Tensor:
    """Return the maximum over the last axis, column by column where these are few: several times as fast."""
    if not 0 < values.shape[-1] * values.itemsize <= _SHORT_ROW or values.device.type != "cpu":
        return values.amax(-1)
    first, *others = values.unbind(-1)
    for column in others:
        first = torch.maximum(first, column)
    return first


def row_sum(values: torch.Tensor) -> torch.Tensor:
    """Return the sum over the last axis, shape (N,): by a product where columns are few, which is faster."""
    if 0 < values.shape[-1] <= FEW_COLUMNS:
        return values @ values.new_ones(values.shape[-1])
    return values.sum(-1)


def shares_of(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return exp(logits) over its row sums, and these, shapes (N, S) and (N,), for safe float32 logits on the CPU.

    In pieces that stay in the cache, with numpy's exponentials, which are faster than torch's.
    """
    n, size = logits.shape
    if logits.stride(0) == 1 and size > 1:
        columns = torch.from_numpy(np.exp(logits.T.numpy()))
        total = columns.sum(0)
        return columns.div_(total).T, total
    shares = torch.empty((n, size), dtype=logits.dtype)
    total = torch.empty(n, dtype=logits.dtype)

    def share(some: slice) -> None:
        here = shares[some]
        np.exp(logits[some].numpy(), out=here.numpy())
        divide_by_sums(here, total[some], torch.empty_like(here))

    each(share, pieces(n, size))
    return shares, total


def divide_by_sums(
    values: torch.Tensor,
    total: torch.Tensor,
    room: torch.Tensor,
    log_weight: torch.Tensor | None = None,
) -> None:
    """Turn rows v, on the CPU, into w v / Σ_s w_s v_s in place, and write these sums, shape (n,), to ``total``.

    Of short rows a product with the matrix w_s / w_t has the sum over w_t for each column t, so that they are divided
    by without loops over short rows; numpy's product takes a third of torch's here.

    Parameters
    ----------
    values : float32, shape (n, S), contiguous
    room : of the shape of ``values``
        Is overwritten.
    log_weight : shape (S,), optional
        log w, zeros if omitted.
    """
    size = values.shape[1]
    weight = (values.new_zeros(size) if log_weight is None else log_weight).to("cpu", torch.float32)
    if size > _SHORT:
        if log_weight is not None:
            values.mul_(weight.exp())
        values /= torch.mv(values, values.new_ones(size), out=total).unsqueeze(1)
        return
    ratio = (weight[:, None] - weight).exp()
    np.matmul(values.numpy(), ratio.numpy(), out=room.numpy())
    torch.mul(room[:, 0], float(weight[0].exp()), out=total)
    values.div_(room)


def softmax(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``softmax(logits, -1)``, shape (N, S), and ``logsumexp(logits, -1)``, shape (N,).

    Written out because torch's own softmax is several times slower where the last axis is short.
    """
    if logits.shape[-1] == 0 or logits.numel() == 0:
        return logits, logits.new_full(logits.shape[:-1], -torch.inf)
    if logits.dtype == torch.float32:
        low, high = torch.aminmax(logits)
        if bool(low > -SAFE) and bool(high < SAFE):  # nothing over- or underflows: no need to shift
            if logits.ndim == 2 and logits.shape[1] <= FEW_COLUMNS and logits.device.type == "cpu":
                weights, total = shares_of(logits)
            else:
                weights = logits.exp()
                total = row_sum(weights)
                weights /= total.unsqueeze(-1)
            return weights, total.log_()
    top = row_max(logits).unsqueeze(-1).clamp_min(torch.finfo(logits.dtype).min)
    weights = (logits - top).exp_()
    total = weights.sum(-1, keepdim=True)
    weights /= total
    return weights, (total.log_() + top).squeeze(-1)

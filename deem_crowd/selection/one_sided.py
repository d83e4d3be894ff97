"""Sources that speak for one class, as labelling functions do, and are silent on all others."""

from __future__ import annotations

import torch

_ONE_SIDED = 0.95
"""Share of a source's answers for one class from which it speaks for that class."""
_MOST = 0.5
"""Share of the sources that can be told from which they are most."""
_LEVEL = 0.05
"""A source can be told to be one-sided where as many answers, drawn from the shares of all, would name its class alone
less often than this."""


def are_most(named: torch.Tensor) -> bool:
    """Tell whether most sources speak for one class, and not all of these for the same.

    A source that names one class alone counts if it did so often enough: where its answers are few, or nearly all
    answers of all sources name that class, it would do so by chance, and is counted on neither side.

    Parameters
    ----------
    named : float64, shape (D, K)
        Answers, as :meth:`DesignMatrix.answers_named` returns them.
    """
    given = named.sum(1)
    shares = named.sum(0) / given.sum().clamp_min(1)
    most, own = named.max(1)
    alone = (given > 0) & (most >= _ONE_SIDED * given)
    telling = alone & (shares[own] ** given < _LEVEL)
    others = (given > 0) & ~alone
    if len(own[telling].unique()) < 2:
        return False
    return int(telling.sum()) >= _MOST * int((telling | others).sum())

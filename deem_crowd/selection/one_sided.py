"""Sources that speak for one class, as labelling functions do, and are silent on all others."""

from __future__ import annotations

import torch

from deem_crowd.model.design import DesignMatrix

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
    alone, own = _alone(named), named.argmax(1)
    telling = alone & (shares[own] ** given < _LEVEL)
    others = (given > 0) & ~alone
    if len(own[telling].unique()) < 2:
        return False
    return int(telling.sum()) >= _MOST * int((telling | others).sum())


def skills(design: DesignMatrix, posterior: torch.Tensor, by_tables: torch.Tensor) -> torch.Tensor:
    """Return skills, float64, shape (D,): of sources that speak for one class, where most do, the precision.

    By its table such a source is right as often as its class occurs, which says nothing of it.

    Parameters
    ----------
    design : DesignMatrix
        N tasks, D workers, K classes.
    posterior : shape (N, K)
    by_tables : float64, shape (D,)
        The skills of all others.
    """
    named = design.answers_named()
    if not are_most(named):
        return by_tables
    return torch.where(_alone(named), precision(design, posterior), by_tables)


def precision(design: DesignMatrix, posterior: torch.Tensor) -> torch.Tensor:
    """Return the share of each worker's answers that is right by a posterior, shape (N, K): float64, shape (D,).

    A worker without answers is an average one.
    """
    counts = design.expected_counts(posterior).cpu()
    right, given = torch.diagonal(counts, dim1=1, dim2=2).sum(1), counts.sum((1, 2))
    return torch.where(given > 0, right / given, right.sum() / given.sum())


def spoken_for(named: torch.Tensor) -> torch.Tensor:
    """Return the class that each source speaks for, int64, shape (D,): −1 where it names several or none."""
    return torch.where(_alone(named), named.argmax(1), -1)


def _alone(named: torch.Tensor) -> torch.Tensor:
    """Tell of each worker whether nearly all its answers name one class, shape (D,)."""
    given = named.sum(1)
    return (given > 0) & (named.max(1).values >= _ONE_SIDED * given)

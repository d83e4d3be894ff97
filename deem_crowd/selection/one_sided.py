"""Sources that speak for one class, as labelling functions do, and are silent on all others."""

from __future__ import annotations

import torch

from deem_crowd.model.design import DesignMatrix

_ONE_SIDED = 0.95
"""Share of a source's answers for one class from which it speaks for that class."""
_MOST = 0.5
_LEVEL = 0.05
"""A source can be told to be one-sided if answers drawn from the shares of all would all be the same less often."""


def answers_named(design: DesignMatrix) -> torch.Tensor:
    """Return how often each source named each class, shape (D, K)."""
    return design.expected_counts(torch.ones_like(design.votes[:, :1])).cpu()[:, :, 0]


def are_most(named: torch.Tensor) -> bool:
    """Tell whether most sources speak for one class.

    A source counts if it gave enough answers to tell: where they are few, or nearly all answers name one class, all of
    them agree by chance.

    Parameters
    ----------
    named : shape (D, K)
        As :func:`answers_named` returns it.
    """
    given = named.sum(1)
    shares = named.sum(0) / given.sum().clamp_min(1)
    by_chance = (shares ** given[:, None]).sum(1)
    telling = (given > 0) & (by_chance < _LEVEL)
    if named.shape[1] < 2 or not bool(telling.any()):
        return False
    one_sided = named.amax(1)[telling] >= _ONE_SIDED * given[telling]
    return float(one_sided.double().mean()) >= _MOST

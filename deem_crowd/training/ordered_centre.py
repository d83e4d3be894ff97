"""What tables of ordered classes are drawn around: a bias and a noise of each worker on the scale."""

from __future__ import annotations

import functools
import math

import torch

from deem_crowd.training.grid_centre import GridCentre

_SMALLEST = 1e-6
_MOST_BIAS, _BIAS_STEP = 1.5, 0.25
"""The largest bias, and the distance between biases, on a scale of up to 11 steps."""
_NOISES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0)
_SHORT_SCALE = 10
"""The largest K − 1 with these biases and noises; on longer scales they grow with the scale."""


class OrderedCentre(GridCentre):
    r"""Ordered classes 0 < 1 < … < K − 1: a worker sees the class with a bias and with noise, and rounds.

        P_{b,τ}[l, k] = Φ((l + ½ − k − b) / τ) − Φ((l − ½ − k − b) / τ)

    (the ends take what lies beyond them): the cumulative probit of ordinal regression with even thresholds (McCullagh,
    JRSS B 42, 1980). Bias and noise of a worker are integrated over a grid whose prior is learned from all workers
    (nonparametric empirical Bayes; Laird, JASA 73, 1978); one point of the grid stands for answers at
    random. m_i is the posterior mean of the grid's tables.

    Parameters
    ----------
    n_classes : int
        K.
    place : integers, shape (K,), optional
        The place of each class on the scale, where that is not its number.
    """

    def __init__(self, n_classes: int, place: torch.Tensor | None = None) -> None:
        self.place = place
        grid = _tables(n_classes)
        if place is not None:
            grid = grid[:, place][:, :, place]
        self._grid = grid / grid.sum(1, keepdim=True)
        super().__init__(torch.full((len(grid),), -math.log(len(grid)), dtype=torch.float64))

    def update(self, counts: torch.Tensor, strength: float) -> torch.Tensor:
        """See :class:`Centre`."""
        answers = counts.sum(1, keepdim=True)
        effective = counts * ((1 + strength) / (answers + strength))
        log_grid = self._grid.log().flatten(1)
        joint = effective.flatten(1) @ log_grid.T + self._log_prior
        marginal = joint.logsumexp(1)
        point = torch.softmax(joint, 1)
        seen = answers.sum((1, 2)) > 0
        centre = (point @ self._grid.flatten(1)).view_as(counts)
        plug_in = (effective * centre.log()).sum((1, 2))
        self._gain = float((marginal - plug_in)[seen].sum())
        prior = (point[seen].sum(0) + 0.1).log()
        self._log_prior = prior - prior.logsumexp(0)
        return centre


@functools.lru_cache(maxsize=16)
def _tables(n_classes: int) -> torch.Tensor:
    """Return the tables of all pairs of a noise and a bias, and one table of equal probabilities, shape (G, K, K)."""
    level = torch.arange(n_classes, dtype=torch.float64)
    edge = level[:-1] + 0.5
    tables = []
    for noise, bias in _grid(n_classes):
        below = torch.special.ndtr((edge[:, None] - level - bias) / noise)
        ends = torch.zeros(1, n_classes, dtype=torch.float64)
        tables.append(torch.cat([below, ends + 1]) - torch.cat([ends, below]))
    tables.append(torch.full((n_classes, n_classes), 1 / n_classes, dtype=torch.float64))
    return torch.stack(tables).clamp_min(_SMALLEST)


def _grid(n_classes: int) -> list[tuple[float, float]]:
    """Return pairs of a noise and a bias, in steps of the scale.

    On a scale of more than 11 steps, noises continue up to half of the scale, and biases up to 15 % of it.
    """
    unit = max(1.0, (n_classes - 1) / _SHORT_SCALE)
    noises = list(_NOISES)
    while noises[-1] < unit * _NOISES[-1]:
        noises.append(1.5 * noises[-1])
    most = int(_MOST_BIAS / _BIAS_STEP)
    return [(noise, unit * _BIAS_STEP * j) for noise in noises for j in range(-most, most + 1)]

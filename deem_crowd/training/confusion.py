r"""One table a worker, its columns drawn from Dirichlet distributions that all workers share.

p(x_i = l | s) = (C[i, l, s] + α[l, s]) / Σ_l (…), the mean under a Dirichlet(α) whose parameters are learned from all
workers. With one state a class the energy is the mean over EM's path; with two a class, easy and hard tasks,
π[k, m] = π_k ρ_m, it is the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.tables import log_tables
from deem_crowd.model.votes import diagonal
from deem_crowd.training.dirichlet import learned_pseudo_answers, log_marginal
from deem_crowd.training.em import PASSES, Member, Tables, WarmStart, class_log_prior, climb

RIGHT, WRONG = 2.0, 0.8
"""Pseudo-answers of a worker before anything is learned: for the label itself, for all others together."""


class LearnedPrior:
    """What M-steps share that learn α and carry it from pass to pass.

    Parameters
    ----------
    base : Tensor
        α before anything is learned, of the step's own shape.
    warm_start : WarmStart, optional
        Whose α to go on from.
    """

    def __init__(self, base: torch.Tensor, warm_start: WarmStart | None) -> None:
        self._base, self._continued = base, warm_start is not None
        begin = base if warm_start is None else warm_start.pseudo_answers
        self.pseudo_answers = begin.clone()

    def _learns(self, number: int) -> bool:
        """Tell whether a pass learns α: of the votes alone it is not learned."""
        return number > 1 or self._continued

    @property
    def carried(self) -> Mapping[str, Any]:
        """See :class:`deem_crowd.training.em.MStep`."""
        return {"alpha": self.pseudo_answers}

    def resume(self, carried: Mapping[str, Any]) -> None:
        """See :class:`deem_crowd.training.em.MStep`."""
        self.pseudo_answers = carried["alpha"]


class ConfusionTables(LearnedPrior):
    """A table a worker; see :class:`deem_crowd.training.em.MStep`.

    Parameters
    ----------
    n_classes, n_subtypes : int
        K and M.
    warm_start : WarmStart, optional
        Whose α to go on from.
    """

    bounded = True

    def __init__(self, n_classes: int, n_subtypes: int, warm_start: WarmStart | None) -> None:
        self.n_classes, self.n_subtypes = n_classes, n_subtypes
        self._own = diagonal(n_classes, n_subtypes).bool()
        wrong = torch.full(self._own.shape, WRONG / max(n_classes - 1, 1), dtype=torch.float64)
        super().__init__(wrong.masked_fill(self._own, RIGHT), warm_start)

    def update(self, counts: torch.Tensor, tasks: torch.Tensor, number: int) -> Tables:
        """See :class:`deem_crowd.training.em.MStep`."""
        if self._learns(number):
            learned = learned_pseudo_answers(counts, self.pseudo_answers, self._base)
            self.pseudo_answers = own_label_first(learned, self._own)
        weight = log_tables(counts + self.pseudo_answers)
        return Tables(weight, class_log_prior(tasks, self.n_classes, self.n_subtypes))

    def log_evidence(self, counts: torch.Tensor, tasks: torch.Tensor) -> float:
        """See :class:`deem_crowd.training.em.MStep`."""
        k, m = self.n_classes, self.n_subtypes
        value = log_marginal(counts, self.pseudo_answers).sum()
        share = torch.tensor(1.0 / m, dtype=torch.float64)
        value += math.lgamma(k) - k * m * torch.lgamma(share)
        value += torch.lgamma(tasks + share).sum() - torch.lgamma(tasks.sum() + k)
        return float(value)


def fit_confusion(
    design: DesignMatrix,
    start: torch.Tensor,
    n_subtypes: int = 1,
    power: torch.Tensor | None = None,
    gold: torch.Tensor | None = None,
    n_passes: int = PASSES,
    progress: Callable[[int, float], None] | None = None,
    average: bool = True,
    beat: float | None = None,
    warm_start: WarmStart | None = None,
    first: torch.Tensor | None = None,
) -> Member:
    """Fit one table a worker (M = 1) or one for easy and one for hard tasks (M = 2).

    Parameters are those of :func:`deem_crowd.training.em.climb`, and ``n_subtypes``, M: with one the energy is the mean
    over the path (unless ``average`` is False), with more the last.
    """
    m_step = ConfusionTables(design.n_classes, n_subtypes, warm_start)
    one = n_subtypes == 1
    return climb(
        design, start, m_step, power=power, gold=gold, n_passes=n_passes, progress=progress,
        average=average and one, noted=one, beat=beat, warm_start=warm_start, first=first,
    )  # fmt: skip


def own_label_first(alpha: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Keep the label itself the average worker's likeliest answer: it is what the names of labels mean.

    Without it a class that is rarely answered can be taken over by tasks of another class, since a table of its own for
    them is likelier than a few wrong answers.
    """
    others = torch.where(own, torch.zeros_like(alpha), alpha).amax(0)
    return torch.where(own, torch.maximum(alpha, others), alpha)

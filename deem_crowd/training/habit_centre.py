"""What tables of workers are drawn around who either know a task's class or answer by habit."""

from __future__ import annotations

import functools

import torch

from deem_crowd.training.dirichlet import log_marginal
from deem_crowd.training.grid_centre import GridCentre

_KNOWN = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96, 0.99)
"""How often a worker knows the class."""
_ONE_CLASS = (0.5, 0.9, 0.99)
"""How often a habit names its class, instead of a class by the shares of all answers."""
_PRIOR_WORKERS = 4.0
"""What the prior of the grid counts beside the workers, in workers."""
_SMALLEST = 1e-6
_STRENGTHS = tuple(4.0**j for j in range(6))
_ROUNDS = 20
"""Of learning how frequent habits are, where nobody knows anything."""


class HabitCentre(GridCentre):
    r"""A worker knows the class of a task, or else answers by habit, whatever the class.

        m_i[l, k] = λ_i [l = k] + (1 − λ_i) r_i[l]

    (Hovy, Berg-Kirkpatrick, Vaswani and Hovy, *Learning whom to trust with MACE*, NAACL 2013.) How often a worker knows
    the class, λ_i, and the habit r_i are integrated over a grid whose prior is learned from all workers (nonparametric
    empirical Bayes; Laird, JASA 73, 1978). Habits of the grid are even, or the shares of all answers, or name one class
    most of the time. m_i is the posterior mean of the grid's tables.

    Parameters
    ----------
    n_classes : int
        K.
    """

    def __init__(self, n_classes: int) -> None:
        n_of_class = len(_ONE_CLASS) * n_classes
        habits = torch.tensor([1.0, 1.0] + n_of_class * [2 / n_of_class], dtype=torch.float64)
        self._base = (habits / habits.sum() / len(_KNOWN)).repeat(len(_KNOWN))
        super().__init__(self._base.log())

    @property
    def n_points(self) -> int:
        """G, of the grid."""
        return len(self._base)

    def update(self, counts: torch.Tensor, strength: float) -> torch.Tensor:
        """See :class:`~deem_crowd.training.hierarchical.Centre`."""
        k = counts.shape[1]
        answers = counts.sum(1, keepdim=True)
        effective = counts * ((1 + strength) / (answers + strength))
        right = torch.diagonal(effective, dim1=1, dim2=2)
        cells = torch.cat([right, effective.sum(2) - right], 1)  # right and wrong answers l
        shares = counts.sum((0, 2)) + 1.0
        known, own, as_all = _grid(k)
        by_habit = own + as_all * (shares / shares.sum())
        table = torch.cat([by_habit + known, by_habit], 1).clamp_min(_SMALLEST)
        joint = cells @ table.log().T + self._log_prior
        marginal, point = joint.logsumexp(1), torch.softmax(joint, 1)
        habit, knows = point @ by_habit, point @ known
        plug_in = cells * torch.cat([habit + knows, habit], 1).clamp_min(_SMALLEST).log()
        seen = answers.sum((1, 2)) > 0
        self._gain = float((marginal - plug_in.sum(1))[seen].sum())
        prior = (point[seen].sum(0) + _PRIOR_WORKERS * self._base).log()
        self._log_prior = prior - prior.logsumexp(0)
        centre = habit[:, :, None] + knows[:, :, None] * torch.eye(k, dtype=torch.float64)
        return centre.clamp_min(_SMALLEST)


def evidence_without_knowledge(answers: torch.Tensor) -> float:
    """Return the log evidence, in nats, of habits alone: nobody knows the class of any task.

    A worker's answers are draws from a Dirichlet around one of the grid's habits; how frequent these are, and the
    strength of the Dirichlet, is learned from all workers.

    Parameters
    ----------
    answers : float64, shape (D, K)
        How often each worker named each class; D workers with answers.
    """
    k = answers.shape[1]
    shares = answers.sum(0) + 1.0
    _, own, as_all = _grid(k)
    n_habits = len(own) // len(_KNOWN)  # nobody knows anything in the first ones
    habits = (own + as_all * (shares / shares.sum()))[:n_habits].clamp_min(_SMALLEST)
    counts = answers[:, :, None].expand(-1, -1, n_habits)
    base = HabitCentre(k)._base[:n_habits] * len(_KNOWN)
    found = []
    for strength in _STRENGTHS:
        likelihood, prior = log_marginal(counts, strength * habits.T), base
        for _ in range(_ROUNDS):
            share = torch.softmax(likelihood + prior.log(), 1)
            prior = (share.sum(0) + _PRIOR_WORKERS * base) / (len(answers) + _PRIOR_WORKERS)
        found.append(float((likelihood + prior.log()).logsumexp(1).sum()))
    return max(found)


@functools.lru_cache(maxsize=16)
def _grid(k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the grid's points: how often a worker knows, names a class by habit, and answers as all do.

    Shapes (G, 1), (G, K) and (G, 1); each point's numbers sum to 1. Not to be changed.
    """
    one_class = torch.tensor(_ONE_CLASS, dtype=torch.float64)
    of_class = one_class[:, None, None] * torch.eye(k, dtype=torch.float64)
    even = torch.full((1, k), 1 / k, dtype=torch.float64)
    own = torch.cat([even, 0 * even, of_class.flatten(0, 1)])
    as_all = 1 - own.sum(1, keepdim=True)
    known = torch.tensor(_KNOWN, dtype=torch.float64)[:, None, None]
    points = [(known + 0 * as_all), (1 - known) * own, (1 - known) * as_all]
    flat = [point.flatten(0, 1) for point in points]
    return flat[0], flat[1], flat[2]

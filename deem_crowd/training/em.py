r"""Expectation maximisation of models of one hidden unit, from the votes: the loop, and what its fits share.

Each pass goes from expected counts to log-tables and a bias (the M-step, which is what models differ in) and from these
to the probabilities of each task's states (the E-step, :mod:`deem_crowd.model.expectation`). Its M-steps:

- :class:`deem_crowd.training.confusion.ConfusionTables`: a table a worker, for each class, or for easy and hard tasks.
- :class:`deem_crowd.training.one_coin.OneCoin`: one accuracy a worker.
- :class:`deem_crowd.training.hierarchical.CentredTables`: a table a worker, drawn around a centre of few numbers.
- :mod:`deem_crowd.selection.presence`: sources whose silence says something.

The energy may be the mean over EM's path of the energies met on the way, with weights 1/pass: a logarithmic pool of the
models on the path, which leads from the votes to the maximum; the class prior is the last one. Where sources err
together the maximum is further from the truth than the way there. (For averages over iterates: Polyak and Juditsky,
SIAM J. Control Optim. 30, 1992.)

A worker's answers may count less than one each (``power``): log-tables are multiplied by it.

The exact maximum of one likelihood, with extrapolated steps, is :mod:`deem_crowd.training.one_unit`; tables that hold
the cells seen only, on a layout of their own, :mod:`deem_crowd.training.sparse_fit`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.expectation import Expected, counts_of
from deem_crowd.model.expectation import expect as expect_free
from deem_crowd.model.group import ALONE
from deem_crowd.model.rows import row_max, row_sum
from deem_crowd.model.tables import label_total
from deem_crowd.runtime.progress import due
from deem_crowd.training.ending import entropy_of, falls_short, rests

PASSES = 60
LEAST_PASSES = 5
_CONTINUED_PASSES = 5
"""The most passes of a fit that continues an earlier one."""
_DEAR = 2**19
"""Answers × states from which a pass takes time worth saving."""


class Tables(NamedTuple):
    """What an M-step yields."""

    weight: torch.Tensor
    """Log-tables, shape (D, K, S)."""
    bias: torch.Tensor
    """Shape (S,)."""


class MStep(Protocol):
    """What makes tables of expected counts.

    It may keep numbers of its own, such as priors, which follow from sums over tasks alone.
    """

    n_subtypes: int
    """M, states a class."""

    def update(self, counts: torch.Tensor, tasks: torch.Tensor, number: int) -> Tables:
        """Return the tables for expected counts, shape (D, K, S), and expected tasks in each state, shape (S,).

        ``number`` is that of the pass, from 1.
        """

    bounded: bool
    """Whether :meth:`log_evidence` is known."""

    def log_evidence(self, counts: torch.Tensor, tasks: torch.Tensor) -> float:
        """Return the variational bound of the log evidence, less the entropy of the states, in nats.

        Tables and class prior are integrated out, for answers in a given sequence.
        """

    @property
    def pseudo_answers(self) -> torch.Tensor:
        """α that the last update used; its shape is the step's own."""

    @property
    def carried(self) -> Mapping[str, Any]:
        """What one update carries to the next, tensors and numbers by name."""

    def resume(self, carried: Mapping[str, Any]) -> None:
        """Go on from there."""


@dataclass(frozen=True)
class WarmStart:
    """Where training stopped, for a fit of more answers to go on from.

    Attributes
    ----------
    energy : Energy
        Over D workers.
    pseudo_answers : Tensor
        α.
    """

    energy: Energy
    pseudo_answers: torch.Tensor

    def widened(self, n_workers: int) -> WarmStart:
        """Return the same for more workers, the new ones average."""
        return WarmStart(self.energy.widened(n_workers), self.pseudo_answers)


@dataclass
class Member:
    """A fitted member of a pool."""

    energy: Energy
    pseudo_answers: torch.Tensor
    """α, shape (K, S)."""
    bound: float
    """Variational lower bound of the log evidence, in nats: tables and prior integrated out. NaN where not taken."""
    n_passes: int
    states: torch.Tensor
    """p(s | x_n) at the end of the path, shape (N, S)."""
    task_log_likelihood: torch.Tensor
    """Of each task's answers at the end of the path, in nats, shape (N,)."""
    log_likelihood: list[float] = field(default_factory=list)
    """The mean over tasks, at each pass; of models with one state a class."""
    counts: torch.Tensor | None = None
    """Expected counts of the states, shape (D, K, S), where they were taken."""
    settled: bool = False
    """Whether the states are what the energy says."""

    def warm_start(self) -> WarmStart:
        """Return where a fit of more answers may go on from."""
        return WarmStart(self.energy, self.pseudo_answers)


class Clamp:
    """Known classes: the rows of a posterior that are settled.

    Attributes
    ----------
    rows : integers, shape (n,)
        The tasks whose classes are known.
    barred : shape (n, S)
        What is added to the logits of their states: −∞ to those of other classes, and 0.
    """

    def __init__(
        self, design: DesignMatrix, gold: torch.Tensor | None, n_subtypes: int = 1
    ) -> None:
        known = torch.full((0,), -1) if gold is None else gold
        rows = torch.nonzero(known >= 0).squeeze(1)
        label = torch.arange(design.n_classes * n_subtypes) // n_subtypes
        barred = torch.where(label[None, :] == known[rows].cpu()[:, None], 0.0, -torch.inf)
        self.rows = rows.to(design.device)
        self.barred = barred.to(design.device, design.dtype)

    @property
    def settles(self) -> bool:
        """Whether any class is known."""
        return len(self.rows) > 0

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Bar, in place, the states that gold rules out; ``logits`` has shape (N, S)."""
        if self.settles:
            logits[self.rows] += self.barred
        return logits


def climb(
    design: DesignMatrix,
    start: torch.Tensor,
    m_step: MStep,
    *,
    power: torch.Tensor | None = None,
    gold: torch.Tensor | None = None,
    n_passes: int = PASSES,
    progress: Callable[[int, float], None] | None = None,
    average: bool = False,
    noted: bool = False,
    beat: float | None = None,
    warm_start: WarmStart | None = None,
    first: torch.Tensor | None = None,
) -> Member:
    """Fit a model by EM.

    Parameters
    ----------
    design : DesignMatrix
        N tasks, D workers, K classes.
    start : shape (N, S)
        Probabilities of the states to begin with.
    m_step : MStep
        Changed in place.
    power : float64, shape (D,), optional
        What an answer of each worker counts.
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown.
    n_passes : int
        At most.
    progress : callable, optional
        Called with (passes so far, log-likelihood per task) after each pass.
    average : bool
        Whether the energy is the mean over the path, instead of the last.
    noted : bool
        Whether the log-likelihood of each pass is noted.
    beat : float, optional
        Give up early where the bound is not on its way to exceed this
        (:func:`deem_crowd.training.ending.falls_short`).
    warm_start : WarmStart, optional
        Where a fit of some of these answers stopped; it goes before ``start``.
    first : shape (D, K, S), optional
        Expected counts of ``start``.
    """
    k, m = design.n_classes, m_step.n_subtypes
    clamp = Clamp(design, gold, m)
    least = LEAST_PASSES
    if warm_start is not None:
        n_passes, least = min(n_passes, _CONTINUED_PASSES), 1
    nothing = torch.zeros((), dtype=torch.float64)
    at = design.group.loop(
        weight=nothing, bias=nothing, path=nothing, history=[], bounds=[], **m_step.carried
    )
    states = start
    if at.number:
        m_step.resume({name: getattr(at, name) for name in m_step.carried})
        expected = expect(design, weighted(at.weight, power), at.bias, clamp)
        states = expected.states
    elif warm_start is not None:
        states = expect(design, warm_start.energy.weight, warm_start.energy.bias, clamp).states
    counts = first if states is start else None
    tasks = design.total(states)

    def reached(counts: torch.Tensor) -> float:
        table = weighted(at.weight, power)
        entropy = entropy_of(counts, tasks, expected.summed(design), table, at.bias)
        return m_step.log_evidence(counts, tasks) + entropy

    dear = design.n_answers_in_all * k * m > _DEAR
    for number in at.passes(max(n_passes, 1)):
        if counts is None:
            counts = counts_of(design, states)
        at.weight, at.bias = m_step.update(counts, tasks, number)
        expected = expect(design, weighted(at.weight, power), at.bias, clamp)
        if noted:
            at.history = [*at.history, expected.mean(design)]
        _tell(progress, number, expected, design)
        at.done = number >= least and rests(design, expected.states, states)
        states = expected.states
        counts, tasks = None, design.total(states)
        if average:
            at.path = at.path + (1.0 / number) * at.weight
        if beat is not None and not at.done and number > LEAST_PASSES - 3:
            counts = counts_of(design, states)
            at.bounds = [*at.bounds[-2:], reached(counts)]
            at.done = number >= LEAST_PASSES and falls_short(
                at.bounds, beat, n_passes - number, dear
            )
        for name, value in m_step.carried.items():  # a bound may have moved them
            setattr(at, name, value)
    weight = at.weight
    if average:  # the rest of the path would have stood still
        rest = sum(1.0 / i for i in range(at.number + 1, n_passes + 1))
        weight = (at.path + rest * weight) / (sum(1.0 / i for i in range(1, at.number + 1)) + rest)
    weight = weighted(weight, power)
    energy = Energy(at.bias, weight, log_average_table(weight, design), m)
    bound = math.nan
    if m_step.bounded:
        counts = counts_of(design, states) if counts is None else counts
        bound = reached(counts)
    ended = expected.task_log_likelihood
    return Member(
        energy, m_step.pseudo_answers, bound, at.number, states, ended, at.history, counts,
        settled=not average,
    )  # fmt: skip


def _tell(
    progress: Callable[[int, float], None] | None,
    number: int,
    expected: Expected,
    design: DesignMatrix,
) -> None:
    """Say how far a fit is. The log-likelihood takes a pass over the posterior, and is NaN where nobody reads it."""
    if progress is not None:
        read = design.group is not ALONE or due(progress)  # all processes make the same calls
        progress(number, expected.mean(design) if read else math.nan)


def vote_start(design: DesignMatrix) -> torch.Tensor:
    """Return each task's shares of votes, shape (N, K), even where there are no answers."""
    votes = design.votes
    total = row_sum(votes).unsqueeze(1)
    if bool((total > 0).all()):
        return votes / total
    even = torch.full_like(votes, 1.0 / max(design.n_classes, 1))
    return torch.where(total > 0, votes / total.clamp_min(1e-30), even)


def margin_start(design: DesignMatrix, start: torch.Tensor) -> torch.Tensor:
    """Split probabilities, shape (N, K), into easy and hard, shape (N, 2·K): easy as far as the votes agree."""
    votes = design.votes
    easy = ((row_max(votes) + 0.5) / (row_sum(votes) + 1)).unsqueeze(1)
    both = torch.stack([(start * easy).T, (start * (1 - easy)).T], 1).flatten(0, 1).T
    return both if start.stride(0) == 1 else both.contiguous()


def chance_corrected_skills(design: DesignMatrix, member: Member) -> npt.NDArray[np.float64]:
    """Return each worker's agreement with the labels of a member beyond chance, shape (D,)."""
    counts = counts_of(design, member.states) if member.counts is None else member.counts
    total = counts.sum((1, 2)).clamp_min(1)
    agreed = torch.diagonal(counts, dim1=1, dim2=2).sum(1) / total
    chance = (label_total(counts) * counts.sum(2)).sum(1) / total**2
    skills: npt.NDArray[np.float64]
    skills = ((agreed - chance) / (1 - chance).clamp_min(1e-3)).numpy()
    return skills


def expect(
    design: DesignMatrix, weight: torch.Tensor, bias: torch.Tensor, clamp: Clamp
) -> Expected:
    """Return what is expected of the tasks where some classes are known."""
    return expect_free(design, weight, bias, clamp if clamp.settles else None)


def weighted(weight: torch.Tensor, power: torch.Tensor | None) -> torch.Tensor:
    """Let a worker's answers count ``power``, shape (D,), instead of one each: log-tables times it."""
    return weight if power is None else weight * power[:, None, None]


def class_log_prior(expected: torch.Tensor, k: int, m: int) -> torch.Tensor:
    """Return log π, shape (K·M,): π[k, m] = π_k ρ_m from expected tasks a state with one pseudo-task a class."""
    expected = expected + 1.0 / m
    if m > 1:
        table = expected.reshape(k, m)
        expected = (table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()).ravel()
    return torch.log(expected / expected.sum())


def log_average_table(weight: torch.Tensor, design: DesignMatrix) -> torch.Tensor:
    """Return the log-table of the average worker, shape (K, S)."""
    seen = weight if bool(design.answered.all()) else weight[design.answered]
    if len(seen) == 0:
        return weight.new_zeros(weight.shape[1:])
    return torch.log_softmax(seen, 1).exp().mean(0).clamp_min(1e-30).log()

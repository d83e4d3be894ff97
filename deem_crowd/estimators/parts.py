"""Energies and what they were learned from, as :mod:`deem_crowd.estimators.growth` moves them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.grown import Addition
from deem_crowd.model.rows import softmax
from deem_crowd.model.tables import log_tables
from deem_crowd.training.em import Member, class_log_prior, log_average_table
from deem_crowd.training.hierarchical import Centre, Hierarchical
from deem_crowd.training.likelihood import SMALLEST
from deem_crowd.training.one_coin import one_coin_table

_ROUNDS = 2
_AHEAD = 0.5
"""How much further than the M-step tables move: what the tasks without new answers, whose states follow them, will add.

EM closes in on its end by a factor of a third a step where a third of what the answers would say is missing with the
labels; 1 / (1 − ⅓) is one and a half.
"""

_A_FEW = 1024
"""Tasks of which torch's own softmax takes less time."""
_FEW_CELLS = 4096
"""Cells of tables that are divided by their sums in one call rather than label by label."""

Table = Callable[[torch.Tensor], torch.Tensor]
"""An M-step: log-tables from expected counts, both of shape (D, K, S)."""


@dataclass(frozen=True, eq=False)
class Part:
    """An energy, and what it was learned from.

    Attributes
    ----------
    energy : Energy
    counts : float64, shape (D, K, S)
        C.
    expected : float64, shape (S,)
        Tasks in each state.
    pseudo_tasks : float, or None
        Of each state, in the class prior of a plain model, whose tables sum to 1; None for a member of a pool.
    table : Table
    tables : shape (D, K, S), optional
        What it says of the counts, where that is known; pickles do not hold it.
    """

    energy: Energy
    counts: torch.Tensor
    expected: torch.Tensor
    pseudo_tasks: float | None
    table: Table
    tables: torch.Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: nothing that follows from the rest."""
        return {**self.__dict__, "tables": None}

    def widened(self, n_workers: int) -> Part:
        """Return the same over more workers, the new ones average and without counts."""
        more = n_workers - len(self.counts)
        if not more:
            return self
        none = self.counts.new_zeros((more, *self.counts.shape[1:]))
        return replace(
            self,
            energy=self.energy.widened(n_workers),
            counts=torch.cat([self.counts, none]),
            tables=None,
        )

    def grown(self, new: Addition, touched: Addition, known: int) -> Part:
        """Return the part after an addition, with the average worker as before it.

        ``touched`` holds all answers to its tasks; those numbered ``known`` or more are new. Of the others the earlier
        answers' counts go with the states, too. Tables of a plain model move further than the M-step by
        :data:`_AHEAD`.
        """
        energy, rows = self.energy, touched.workers
        who: torch.Tensor | slice = slice(None)
        if not isinstance(self.table, Dirichlet):  # the tables of all change with those of a few
            rows, who = torch.arange(len(self.counts)), touched.workers
        before, weights = self.counts[rows], energy.weight[rows]
        tables = self.table(before) if self.tables is None else self.tables
        earlier = before.sum((1, 2))[:, None, None]
        # nothing but their answers says where the tables of the new are
        if self.pseudo_tasks is not None:
            tables = torch.where(earlier > 0, tables, weights)
        weight, bias = weights, energy.bias
        logits = touched.design.logits(weights[who])
        old, others = torch.zeros_like(logits[:1]), before
        if int(touched.tasks[0]) < known:
            given = new.design.logits(energy.weight[new.workers])
            old = _states(logits - given, bias)
            old[touched.tasks >= known] = 0.0
            among = torch.searchsorted(rows, new.workers)
            others = before.index_add(0, among, new.design.expected_counts(old).cpu())
        for number in range(_ROUNDS):
            if number:
                logits = touched.design.logits(weight[who])
            change = _states(logits, bias) - old
            counts = others.clone()
            counts[who] += touched.design.expected_counts(change).cpu()
            counts.clamp_min_(0)
            after = self.table(counts)
            weight = weights + after - tables
            tasks = self.expected + change.sum(0, dtype=torch.float64)
            tasks.clamp_min_(0)
            bias = self._log_prior(tasks)
        if self.pseudo_tasks is not None:
            answers = counts.sum((1, 2)).clamp_min_(SMALLEST)[:, None, None]
            ahead = _AHEAD * (earlier / answers).clamp_max_(1)
            weight = torch.log_softmax(weight + ahead * (weight - weights), 1)
            bias = torch.log_softmax(bias + _AHEAD * (bias - energy.bias), 0)
        if isinstance(self.table, Dirichlet):
            weight = energy.weight.index_copy(0, rows, weight)
            return self._moved(weight, bias, self.counts.index_copy(0, rows, counts), tasks, None)
        return self._moved(weight, bias, counts, tasks, after)

    def _moved(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        counts: torch.Tensor,
        tasks: torch.Tensor,
        tables: torch.Tensor | None,
    ) -> Part:
        energy = replace(self.energy, weight=weight, bias=bias)
        return replace(self, energy=energy, counts=counts, expected=tasks, tables=tables)

    def averaged(self, design: DesignMatrix) -> Part:
        """Return the part with the average worker that its tables say."""
        normalised = self.pseudo_tasks is not None
        average = log_average_table(self.energy.weight, design, normalised)
        return replace(self, energy=replace(self.energy, population=average))

    def _log_prior(self, expected: torch.Tensor) -> torch.Tensor:
        if self.pseudo_tasks is None:
            m = self.energy.n_subtypes
            return class_log_prior(expected, len(expected) // m, m)
        states = expected + self.pseudo_tasks + SMALLEST
        return torch.log(states / states.sum())


def _states(logits: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return p(s | x) of logits without the bias, shape (n, S); of few tasks in one call."""
    logits = logits + bias.to(logits.dtype)
    return torch.softmax(logits, 1) if len(logits) <= _A_FEW else softmax(logits)[0]


@dataclass(frozen=True, eq=False)
class Dirichlet:
    """Tables with the same pseudo-answers for all workers."""

    alpha: torch.Tensor

    def __call__(self, counts: torch.Tensor) -> torch.Tensor:
        """Return log-tables from expected counts, both of shape (D, K, S)."""
        cells = counts + self.alpha
        if cells.numel() <= _FEW_CELLS:
            return torch.log(cells / cells.sum(1, keepdim=True))
        return log_tables(cells)


@dataclass(frozen=True, eq=False)
class _Around:
    """Tables around a centre."""

    centre: Centre
    strength: float

    def __call__(self, counts: torch.Tensor) -> torch.Tensor:
        # an update gives the centre other tensors, and leaves those that it has as they are
        middle = copy.copy(self.centre).update(counts, self.strength)
        return Dirichlet(self.strength * middle)(counts)


@dataclass(frozen=True, eq=False)
class _OneCoin:
    """One accuracy a worker."""

    alpha: torch.Tensor

    def __call__(self, counts: torch.Tensor) -> torch.Tensor:
        return one_coin_table(counts, self.alpha)


def part_of(member: Member, design: DesignMatrix) -> Part:
    """Return a member of a pool as a part."""
    if isinstance(member, Hierarchical):
        table: Table = _Around(member.centre, member.strength)
    elif member.pseudo_answers.ndim == 1:
        table = _OneCoin(member.pseudo_answers)
    else:
        table = Dirichlet(member.pseudo_answers)
    counts = design.expected_counts(member.states).cpu()
    return Part(member.energy, counts, design.total(member.states), None, table)


def single_part(
    energy: Energy,
    alpha: torch.Tensor,
    pseudo_tasks: float,
    design: DesignMatrix,
    states: torch.Tensor,
) -> Part:
    """Return the one energy of a plain model, of which ``states``, shape (N, S), is the posterior, as a part."""
    counts = design.expected_counts(states).cpu()
    return Part(energy, counts, design.total(states), pseudo_tasks, Dirichlet(alpha + SMALLEST))

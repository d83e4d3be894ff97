"""Energies and what they were learned from, as :mod:`deem_crowd.estimators.incremental.growth` moves them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.grown import Addition
from deem_crowd.model.rows import softmax
from deem_crowd.model.tables import log_tables
from deem_crowd.selection.selected import settle
from deem_crowd.training.em import Member, class_log_prior
from deem_crowd.training.hierarchical import Centre, Hierarchical
from deem_crowd.training.likelihood import SMALLEST
from deem_crowd.training.one_coin import one_coin_table

_ROUNDS = 2
"""Steps in which tasks with new answers and the tables of their workers follow each other, where one is not enough."""
_LITTLE = 0.05
"""Share of further answers, of those a worker had, up to which the tables say nearly the same after one step.

What another step changes is of second order in that share: labels of generated crowds do not show it.
"""
_AHEAD = 0.5
"""How much further than the M-step tables move: what the tasks without new answers, whose states follow, will add.

Each step of EM leaves a share of the way to its end: the share of information that is missing because labels are not
known. Where that is a third, the whole way is 1 / (1 − ⅓) times the first step, half as far again.
"""

_A_FEW = 1024
"""Up to this many tasks torch's own softmax takes less time."""
_FEW_CELLS = 4096
"""Tables of up to this many cells are divided by their sums in one call rather than label by label."""

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]
Table = Callable[[torch.Tensor], torch.Tensor]
"""An M-step: log-tables from expected counts, both of shape (D, K, S)."""


@dataclass(frozen=True, eq=False)
class Known:
    """Which classes of n tasks are known.

    Attributes
    ----------
    before, now : integers, shape (n,)
        Before and after an addition, −1 where unknown.
    """

    before: IntArray
    now: IntArray

    def settle(self, posterior: torch.Tensor) -> None:
        """Put the labels that are known now into a posterior, shape (n, K), in place."""
        if (self.now >= 0).any():
            settle(posterior, torch.from_numpy(self.now))


@dataclass(frozen=True, eq=False)
class Fixed:
    """An energy that was learned from known labels, and stays as it is when answers are added."""

    energy: Energy

    def widened(self, n_workers: int) -> Fixed:
        """Return the same over more workers, the new ones average."""
        return replace(self, energy=self.energy.widened(n_workers))

    def grown(self, new: Addition, touched: Addition, n_tasks: int, known: Known) -> Fixed:
        """Return the same after an addition."""
        return self

    def averaged(self, answered: npt.NDArray[np.bool_]) -> Fixed:
        """Return the same: its average worker stays, too."""
        return self

    def posterior(self, some: Addition, known: Known) -> torch.Tensor:
        """Return p(label | x_n) of some tasks, shape (n, K)."""
        return _posterior(self.energy, some, None)


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
    clamped : bool
        Whether known labels clamp its states.
    tables : shape (D, K, S), optional
        What it says of the counts, where that is known; pickles do not hold it.
    """

    energy: Energy
    counts: torch.Tensor
    expected: torch.Tensor
    pseudo_tasks: float | None
    table: Table
    clamped: bool = True
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

    def grown(self, new: Addition, touched: Addition, n_tasks: int, known: Known) -> Part:
        """Return the part after an addition; its average worker stays as before.

        ``touched`` holds all answers to the tasks of ``new``. Tasks numbered ``n_tasks`` or more are new. Earlier
        answers to the others are counted anew, under the states that these tasks now have. Tables of a plain model move
        further than the M-step by :data:`_AHEAD`.
        """
        # arrays: torch takes several times as long to begin with few numbers
        all_counts, all_weights = self.counts.numpy(), self.energy.weight.numpy()
        known_tables = (self.table(self.counts) if self.tables is None else self.tables).numpy()
        own, rows, energy = isinstance(self.table, Dirichlet), touched.workers, self.energy
        who: slice | IntArray
        if own:
            before, weights = all_counts.take(rows, axis=0), all_weights.take(rows, axis=0)
            who, given = slice(None), np.searchsorted(rows, new.workers)
        else:  # the tables of all change with those of a few
            before, weights, who, given = all_counts, all_weights, rows, new.workers
        tables = known_tables.take(rows, axis=0) if own else known_tables
        plain = self.pseudo_tasks is not None
        earlier = _answers_of(before)
        if plain:  # nothing but their answers says where the tables of the new are
            tables = np.where(earlier > 0, tables, weights)
        weight, bias = weights, energy.bias.numpy()
        logits = touched.design.sums(weights[who])
        old, others = np.zeros_like(logits[:1]), before
        was, now = self._barred(known.before), self._barred(known.now)
        if touched.tasks[0] < n_tasks:
            old = _states(logits - new.design.sums(weights[given]), bias, was)
            old[touched.tasks >= n_tasks] = 0.0
            others = before.copy()
            others[given] += new.design.counts(old)
        more = new.design.n_given.numpy() > _LITTLE * earlier[given].ravel()
        for number in range(_ROUNDS if more.any() else 1):
            if number:
                logits = touched.design.sums(weight[who])
            change = _states(logits, bias, now) - old
            counts = others.copy()
            counts[who] += touched.design.counts(change)
            after = self.table(_tensor(np.maximum(counts, 0, out=counts))).numpy()
            weight = weights + after - tables
            tasks = np.maximum(self.expected.numpy() + change.sum(0, dtype=np.float64), 0)
            bias = self._bias(tasks)
        if plain:
            ahead = _AHEAD * np.minimum(earlier / np.maximum(_answers_of(counts), SMALLEST), 1)
            weight = _normalised(weight + ahead * (weight - weights), 1)
            bias = _normalised(bias + _AHEAD * (bias - energy.bias.numpy()), 0)
        if own:
            weight = _with_rows(all_weights, rows, weight)
            counts = _with_rows(all_counts, rows, counts)
            after = _with_rows(known_tables, rows, after)
        moved = replace(energy, weight=_tensor(weight), bias=_tensor(bias))
        return replace(
            self,
            energy=moved,
            counts=_tensor(counts),
            expected=_tensor(tasks),
            tables=_tensor(after),
        )

    def averaged(self, answered: npt.NDArray[np.bool_]) -> Part:
        """Return the part with the average of its tables over those who answered, a mask of shape (D,)."""
        weight = self.energy.weight.numpy()
        if self.pseudo_tasks is None:
            weight = _normalised(weight - weight.max(1, keepdims=True), 1)
        average = average_of(np.exp(weight), answered)
        return replace(self, energy=replace(self.energy, population=_tensor(average)))

    def posterior(self, some: Addition, known: Known) -> torch.Tensor:
        """Return p(label | x_n) of some tasks, shape (n, K)."""
        return _posterior(self.energy, some, self._barred(known.now))

    def _barred(self, label: IntArray) -> FloatArray | None:
        """Return −∞ for the states that known classes rule out, else 0, shape (n, S); None where none are known."""
        if not self.clamped or not (label >= 0).any():
            return None
        of_state = np.arange(len(self.energy.bias)) // self.energy.n_subtypes
        possible = (label[:, None] == of_state) | (label[:, None] < 0)
        return np.where(possible, np.float32(0), np.float32(-np.inf))

    def _bias(self, expected: FloatArray) -> FloatArray:
        """Return the bias for expected tasks in each state, shape (S,): in a pool it moves as its M-step does."""
        after = self._log_prior(expected)
        if self.pseudo_tasks is not None:
            return after
        before = self._log_prior(self.expected.numpy())
        return _normalised(self.energy.bias.numpy() + after - before, 0)

    def _log_prior(self, expected: FloatArray) -> FloatArray:
        if self.pseudo_tasks is None:
            m = self.energy.n_subtypes
            found: FloatArray = class_log_prior(_tensor(expected), len(expected) // m, m).numpy()
            return found
        states = expected + (self.pseudo_tasks + SMALLEST)
        return np.log(states / states.sum())


def _tensor(values: FloatArray) -> torch.Tensor:
    return torch.from_numpy(values)


def _answers_of(counts: FloatArray) -> FloatArray:
    """Return how many answers of each worker the counts hold, shape (D, 1, 1)."""
    total: FloatArray = counts.reshape(len(counts), -1).sum(1)[:, None, None]
    return total


def _normalised(logs: FloatArray, axis: int) -> FloatArray:
    """Return logarithms shifted so that what they stand for sums to one along an axis; none may be large."""
    total: FloatArray = np.log(np.exp(logs).sum(axis, keepdims=True))
    return logs - total


def average_of(tables: FloatArray, answered: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the log-table of the average of those who answered, shape (K, S), from tables, (D, K, S), and (D,)."""
    seen = tables if answered.all() else tables[answered]
    if not len(seen):
        return np.zeros(tables.shape[1:])
    return np.log(np.maximum(seen.mean(0), 1e-30))


def _with_rows(values: FloatArray, rows: IntArray, others: FloatArray) -> FloatArray:
    """Return a copy in which some rows are others."""
    values = values.copy()
    values[rows] = others
    return values


def _posterior(energy: Energy, some: Addition, barred: FloatArray | None) -> torch.Tensor:
    weight = energy.weight.numpy().take(some.workers, axis=0)
    return energy.fold(_tensor(_states(some.design.sums(weight), energy.bias.numpy(), barred)))


def _states(logits: FloatArray, bias: FloatArray, barred: FloatArray | None) -> FloatArray:
    """Return p(s | x), shape (n, S), from a bias and logits that do not hold it; for few tasks in one call."""
    logits = logits + bias.astype(logits.dtype)
    moved = _tensor(logits if barred is None else logits + barred)
    states = torch.softmax(moved, 1) if len(logits) <= _A_FEW else softmax(moved)[0]
    found: FloatArray = states.numpy()
    return found


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


def part_of(member: Member, design: DesignMatrix, clamped: bool) -> Part:
    """Return a member of a pool as a part."""
    if isinstance(member, Hierarchical):
        table: Table = _Around(member.centre, member.strength)
    elif member.pseudo_answers.ndim == 1:
        table = _OneCoin(member.pseudo_answers)
    else:
        table = Dirichlet(member.pseudo_answers)
    counts = design.expected_counts(member.states).cpu()
    return Part(member.energy, counts, design.total(member.states), None, table, clamped)


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

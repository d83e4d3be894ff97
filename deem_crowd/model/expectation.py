"""The E-step: from tables to what is expected of each task, and back to expected counts.

Large hard matrices on the CPU, in float32, are gone through in pieces of tasks that stay in the processor's cache, with
numpy's exponentials. Of few states the log-odds of all but the first are enough, column by column: a matrix times a
vector for each, and for two states a sigmoid instead of a softmax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.rows import SAFE, add_to_rows, column_total, divide_by_sums, pieces, softmax
from deem_crowd.model.sparse_rows import Block, SparseRows
from deem_crowd.runtime.cached import cached_property
from deem_crowd.runtime.threads import each, gathered

MOST_CLASSES, MOST_STATES = 3, 4
"""Classes and states up to which columns one by one take less time than all together."""

WIDEST = 32
"""States up to which the E-step goes through pieces of tasks."""

_SOUND = 1e-30
"""Probabilities of at least this much can be divided by."""


class Clamp(Protocol):
    """Known classes of some tasks."""

    rows: torch.Tensor
    """The n tasks, shape (n,)."""
    barred: torch.Tensor
    """Shape (n, S): 0 for states of the known class, −∞ for others."""

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Bar, in place, the states of logits, shape (N, S), that known classes rule out."""


@dataclass
class Expected:
    """What is expected of the tasks of one process.

    Attributes
    ----------
    states : shape (N, S)
        p(s | x_n). Its columns may be what is contiguous.
    """

    states: torch.Tensor
    _total: Callable[[], float]
    _by_task: Callable[[], torch.Tensor]

    @cached_property
    def total(self) -> float:
        """Σ_n log Σ_s exp(b_s + Σ_i W[i, x_ni, s]) over the tasks of this process, in nats."""
        return self._total()

    @cached_property
    def task_log_likelihood(self) -> torch.Tensor:
        """log Σ_s exp(…) of each task, shape (N,), in nats."""
        return self._by_task()

    def mean(self, design: DesignMatrix) -> float:
        """Return the log-likelihood per task of all processes."""
        return self.summed(design) / max(design.n_tasks_in_all, 1)

    def summed(self, design: DesignMatrix) -> float:
        """Return the log-likelihood of the tasks of all processes."""
        return float(design.reduce(torch.tensor(self.total, dtype=torch.float64)))


def expect(
    design: DesignMatrix, weight: torch.Tensor, bias: torch.Tensor, clamp: Clamp | None = None
) -> Expected:
    """Return what is expected under log-tables and a bias.

    Parameters
    ----------
    design : DesignMatrix
        N tasks, D workers, K classes.
    weight : shape (D, K, S)
    bias : shape (S,)
    clamp : Clamp, optional
        Known classes.
    """
    found = _in_pieces(design, weight, bias)
    if found is not None:
        found = found if clamp is None else _with_known(found, clamp)
    if found is not None:
        return found
    logits = design.logits(weight.to(design.device))
    logits = add_to_rows(logits, bias.to(design.device, design.dtype))
    states, log_sum = softmax(logits if clamp is None else clamp(logits))
    return Expected(states, lambda: float(column_total(log_sum)), lambda: log_sum)


def _in_pieces(design: DesignMatrix, weight: torch.Tensor, bias: torch.Tensor) -> Expected | None:
    """Return what is expected where the tasks can be gone through in pieces without overflow, else None."""
    rows = _rows(design)
    if rows is None or not 1 < weight.shape[-1] <= WIDEST:
        return None
    reach = rows.longest * float(weight.abs().max()) + 2 * float(bias.abs().max())
    if reach >= SAFE:
        return None
    if weight.shape[-1] == 2:
        leads = float((weight[..., 1] - weight[..., 0]).abs().max())
        if rows.longest * leads + float((bias[1] - bias[0]).abs()) < SAFE:
            return _of_two(design, weight, bias)
    few = design.n_classes <= MOST_CLASSES and weight.shape[-1] <= MOST_STATES
    if few and design.adds_up and 2 * reach < SAFE:
        return _of_columns(design, weight, bias)
    return _of_few(design, weight, bias)


def _with_known(free: Expected, clamp: Clamp) -> Expected | None:
    """Return what is expected with known classes, given what is without; None where these are all but ruled out."""
    rows, possible = clamp.rows, clamp.barred == 0
    known = free.states[rows] * possible
    mass = known.sum(1, keepdim=True)
    if bool((mass < _SOUND).any()):
        return None
    states = free.states.clone()
    states[rows] = known / mass
    gained = torch.log(mass.squeeze(1))

    def by_task() -> torch.Tensor:
        return free.task_log_likelihood.index_add(0, rows, gained)

    return Expected(states, lambda: free.total + float(gained.double().sum()), by_task)


def counts_of(design: DesignMatrix, states: torch.Tensor) -> torch.Tensor:
    """Return the expected counts, float64 on the CPU, shape (D, K, S), of states, (N, S), whose rows sum to one."""
    size = states.shape[1]
    if size < 2 or _rows(design) is None or states.stride(0) != 1 or states.dtype != torch.float32:
        return design.expected_counts(states).cpu()
    if design.adds_up and size <= MOST_STATES:
        others = design.add_up(states[:, 1:])
    elif size == 2:
        others = [design.by_code.times(states[:, 1]).double()]
    else:
        return design.expected_counts(states).cpu()
    first = design.given - others[0]
    for column in others[1:]:
        first -= column
    counts = torch.stack([first.clamp_min_(0), *others], 1)
    return design.reduce(counts.view(design.n_workers, design.n_classes, size))


def of_logits(
    design: DesignMatrix,
    table: torch.Tensor,
    work: Callable[[slice, torch.Tensor], torch.Tensor],
) -> list[torch.Tensor]:
    """Return what ``work`` makes of tasks and their sums of rows of ``table``, shape (n, S), for some at a time.

    They are as many as stay in the cache where that pays. ``table`` has shape (D, K, S).
    """
    rows = _rows(design)
    if rows is None:
        return [work(slice(0, design.n_tasks), design.logits(table))]
    size = table.shape[-1]
    flat = table.reshape(-1, size).to(torch.float32)
    return gathered(lambda tasks: work(tasks, rows.part(tasks, flat)), pieces(design.n_tasks, size))


def _rows(design: DesignMatrix) -> SparseRows | None:
    """Return the answers by task of a matrix that is worth the special treatment."""
    if type(design) is not DesignMatrix or design.dtype != torch.float32:
        return None
    rows = design.by_task
    return rows if rows.weightless and rows.whole else None


def _of_two(design: DesignMatrix, weight: torch.Tensor, bias: torch.Tensor) -> Expected:
    rows = design.by_task
    first, second = weight.reshape(-1, 2).unbind(1)
    lead = np.float32(bias[1] - bias[0])
    odds = torch.empty(design.n_tasks, dtype=torch.float32)
    states = torch.empty((2, design.n_tasks), dtype=torch.float32)
    values = (second - first).to(torch.float32).numpy()

    def compare(block: Block) -> None:
        tasks = block.rows
        here = torch.from_numpy(np.add(block.ones @ values, lead, out=odds[tasks].numpy()))
        torch.sigmoid(here, out=states[1, tasks])
        torch.sigmoid(
            -here, out=states[0, tasks]
        )  # 1 − the other would be 0 where the other is nearly 1

    each(compare, rows.blocks)

    def less() -> torch.Tensor:  # log (1 + exp(odds)), the other way about
        return torch.from_numpy(np.log(states[0].numpy()))

    def total() -> float:
        of_first = float(torch.dot(design.given, first)) + len(odds) * float(bias[0])
        return of_first - float(column_total(less()))

    def by_task() -> torch.Tensor:
        return -less() + rows.times(first.to(torch.float32)).add_(float(bias[0]))

    return Expected(states.T, total, by_task)


def _of_columns(design: DesignMatrix, weight: torch.Tensor, bias: torch.Tensor) -> Expected:
    rows = design.by_task
    first, *others = weight.reshape(-1, len(bias)).unbind(1)
    states = torch.empty((len(bias), design.n_tasks), dtype=torch.float32)
    total = torch.empty(design.n_tasks, dtype=torch.float32)
    values = [(column - first).to(torch.float32).numpy() for column in others]
    leads = (bias[1:] - bias[0]).to(torch.float32).numpy()

    def compare(block: Block) -> None:
        tasks = block.rows
        for state, column, lead in zip(states[1:, tasks].numpy(), values, leads, strict=True):
            odds = block.ones @ column
            odds += lead
            np.exp(odds, out=state)
        torch.sum(states[1:, tasks], 0, out=total[tasks]).add_(1)
        torch.reciprocal(total[tasks], out=states[0, tasks])
        states[1:, tasks].mul_(states[0, tasks])

    each(compare, rows.blocks)

    def log_total() -> torch.Tensor:
        return torch.from_numpy(np.log(total.numpy()))

    def summed() -> float:
        of_first = float(torch.dot(design.given, first)) + len(total) * float(bias[0])
        return of_first + float(column_total(log_total()))

    def by_task() -> torch.Tensor:
        return log_total() + rows.times(first.to(torch.float32)).add_(float(bias[0]))

    return Expected(states.T, summed, by_task)


def _of_few(design: DesignMatrix, weight: torch.Tensor, bias: torch.Tensor) -> Expected:
    size = weight.shape[-1]
    states = torch.empty((design.n_tasks, size), dtype=torch.float32)
    sums = torch.empty(design.n_tasks, dtype=torch.float32)
    flat = weight.reshape(-1, size).to(torch.float32)

    def weigh(tasks: slice) -> None:
        logits, here = design.by_task.part(tasks, flat), states[tasks]
        np.exp(logits.numpy(), out=here.numpy())
        divide_by_sums(here, sums[tasks], logits, bias)

    each(weigh, pieces(design.n_tasks, size))

    def by_task() -> torch.Tensor:
        return torch.from_numpy(np.log(sums.numpy()))

    return Expected(states, lambda: float(column_total(by_task())), by_task)

"""Tables for many classes, :mod:`deem_crowd.training.sparse_tables`, fitted by EM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import gammaln

from deem_crowd.model.named_classes import FloatArray, NamedClasses, summed
from deem_crowd.training.dirichlet import learned_pseudo_answers
from deem_crowd.training.em import LEAST_PASSES
from deem_crowd.training.ending import TOLERANCE
from deem_crowd.training.hierarchical import STRENGTHS
from deem_crowd.training.one_coin import ERROR_CONCENTRATIONS
from deem_crowd.training.sparse_tables import SparseTables, posterior_of

CONCENTRATIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, *ERROR_CONCENTRATIONS)
"""Of the prior on the errors' confusion, a class; beyond those of few classes there are small ones."""
ALL_STRENGTHS = (*STRENGTHS, np.inf)
"""s is one of these; infinite where the evidence says that all columns of a worker follow its accuracy."""
_LEARNED_AT = frozenset((2, 4, 7, 12, 20, 35))
"""Passes at which s and the concentration are chosen anew."""
_PRIOR_TASKS = (1.0, 3.0, 10.0, 30.0, 100.0, np.inf)
"""Pseudo-tasks of a class, of which the evidence chooses; with a task or two a class, shares are noise."""
_BETA = (2.0, 0.8)
"""Right and wrong pseudo-answers of a worker before anything is learned."""
_FIRST_STRENGTH = 8.0


@dataclass
class SparseMember:
    """A fit.

    Attributes
    ----------
    tables : SparseTables
    beta : shape (2,)
        Right and wrong pseudo-answers of a worker, learned from all.
    prior_tasks : float
        Pseudo-tasks of a class.
    share, rest : shapes (P,) and (N,)
        p(label | answers, gold) of the pairs and of all other classes, by ``tables``.
    task_log_likelihood : shape (N,)
        At the end of the path, in nats.
    log_likelihood : list of float
        The mean over tasks at each pass.
    n_passes : int
    converged : bool
    """

    tables: SparseTables
    beta: FloatArray
    prior_tasks: float
    share: FloatArray
    rest: FloatArray
    task_log_likelihood: FloatArray
    log_likelihood: list[float] = field(default_factory=list)
    n_passes: int = 0
    converged: bool = False


class _Counts(NamedTuple):
    """What an E-step counts: cells, shape (Q,), errors, shape (G,), right answers and those to the rest, shape (D,)."""

    cells: FloatArray
    errors: FloatArray
    right: FloatArray
    rest: FloatArray

    def plus(self, other: _Counts, weight: float) -> _Counts:
        return _Counts(*(a + weight * b for a, b in zip(self, other, strict=True)))

    def divided(self, by: float) -> _Counts:
        return _Counts(*(a / by for a in self))


class _Fit:
    """The M-step and the E-step of one set of answers."""

    def __init__(self, layout: NamedClasses, one_coin: bool) -> None:
        self.layout, self.one_coin = layout, one_coin
        k = layout.n_classes
        self.wrong = np.flatnonzero(~layout.right)
        self.right = np.flatnonzero(layout.right)
        self.error, self.error_key = layout.error
        none = np.zeros(0, dtype=np.int64)
        self.column_key = self.cell_key = self.cell_column = none
        if not one_coin:
            _, self.column_key = layout.column
            _, self.cell_key = layout.cell
            self.cell_column, answer = np.divmod(self.cell_key, k)
            self.cell_worker, label = np.divmod(self.column_key[self.cell_column], k)
            self.cell_right = answer == label
            self.wrong_cell = np.flatnonzero(~self.cell_right)
            key = (answer * k + label)[self.wrong_cell]
            self.cell_error = np.searchsorted(self.error_key, key)
            self.column_worker = self.column_key // k
        self.strength = np.inf if one_coin else _FIRST_STRENGTH
        self.concentration, self.prior_tasks = 1.0, 1.0
        self.beta = np.array(_BETA)
        self._passes = 0

    def counts(self, share: FloatArray, rest: FloatArray) -> _Counts:
        layout = self.layout
        at = share[layout.pair]
        errors = layout.reduce(summed(self.error, at[self.wrong], len(self.error_key)))
        right = layout.reduce(summed(layout.worker[self.right], at[self.right], layout.n_workers))
        cells = np.zeros(0)
        if not self.one_coin:
            cells = layout.reduce(summed(layout.cell[0], at, len(self.cell_key)))
        return _Counts(cells, errors, right, layout.by_worker_of_task(rest))

    def tables(self, counts: _Counts, share: FloatArray, rest: FloatArray) -> SparseTables:
        """Return the tables that follow from expected counts."""
        layout, k = self.layout, self.layout.n_classes
        right, errors = counts.right, counts.errors
        wrong = np.maximum(layout.answers_of_worker - right, 0.0)
        columns = summed(self.cell_column, counts.cells, len(self.column_key))
        if not self.one_coin:  # n answers of a column are worth n (1 + s) / (n + s) of the centre's
            effective = self._effective(columns)
            cells = counts.cells * effective[self.cell_column]
            right = summed(
                self.cell_worker[self.cell_right], cells[self.cell_right], layout.n_workers
            )
            total = summed(self.column_worker, columns * effective, layout.n_workers)
            wrong = np.maximum(total - right, 0.0) + counts.rest
            errors = summed(self.cell_error, cells[self.wrong_cell], len(self.error_key))
        self._learn_beta(right, wrong)
        accuracy = (self.beta[0] + right) / (self.beta.sum() + right + wrong)
        accuracy = np.clip(accuracy, 1e-4, 1 - 1e-4)
        total = summed(self.error_key % max(k, 1), errors, k)
        self._learn_concentration(errors, total)
        answered = layout.answers_of_worker > 0
        tables = SparseTables(
            accuracy=accuracy,
            average=float(accuracy[answered].mean()) if answered.any() else 0.5,
            prior=self._prior(share, rest),
            strength=self.strength,
            concentration=self.concentration,
            error_key=self.error_key,
            error_count=errors,
            error_total=total,
            column_key=self.column_key,
            column_count=columns,
            cell_key=self.cell_key,
            cell_count=counts.cells,
        )
        return self._with_strength(tables)

    def posterior(self, tables: SparseTables) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As :meth:`SparseTables.posterior`, without looking anything up."""
        layout, k = self.layout, self.layout.n_classes
        if self.one_coin:
            log_table = np.empty(len(layout.pair))
            log_table[self.right] = np.log(tables.accuracy)[layout.worker[self.right]]
            log_error = np.log(self._errors(tables))
            missed = np.log(1 - tables.accuracy)[layout.worker[self.wrong]]
            log_table[self.wrong] = missed + log_error[self.error]
        else:
            centre = self._centre(tables)
            if np.isfinite(tables.strength):
                total = tables.column_count[self.cell_column] + tables.strength
                centre = (tables.cell_count + tables.strength * centre) / total
            log_table = np.log(centre)[layout.cell[0]]
        assert k == tables.n_classes
        return posterior_of(layout, log_table, tables, tables.accuracy)

    def _effective(self, columns: FloatArray) -> FloatArray:
        """Return what an answer of each column says of the centre."""
        if not np.isfinite(self.strength):
            return np.ones(len(columns))
        return np.asarray((1 + self.strength) / (columns + self.strength))

    def step(self, number: int) -> None:
        """Say which pass it is: strength and concentration are learned at some."""
        self._passes = number

    def _errors(self, tables: SparseTables) -> FloatArray:
        """Return e of all errors seen, shape (G,)."""
        k = self.layout.n_classes
        total = tables.error_total[self.error_key % k] + tables.concentration * (k - 1)
        return (tables.error_count + tables.concentration) / total

    def _centre(self, tables: SparseTables) -> FloatArray:
        """Return m of all cells, shape (Q,)."""
        centre = tables.accuracy[self.cell_worker]
        errors = self._errors(tables)[self.cell_error]
        centre[self.wrong_cell] = (1 - centre[self.wrong_cell]) * errors
        return centre

    def _prior(self, share: FloatArray, rest: FloatArray) -> FloatArray:
        """Return π from expected tasks of each class and pseudo-tasks, learned from all classes."""
        layout, k = self.layout, self.layout.n_classes
        expected = layout.reduce(summed(layout.pair_label, share, k) + rest.sum() / k)

        def evidence(v: float) -> float:
            if not np.isfinite(v):
                return -float(expected.sum()) * np.log(max(k, 1))
            gained = gammaln(expected + v) - gammaln(v)
            return float(gained.sum() - gammaln(expected.sum() + k * v) + gammaln(k * v))

        if self._passes == 1 or self._passes in _LEARNED_AT:
            self.prior_tasks = max(_PRIOR_TASKS, key=evidence)
        if not np.isfinite(self.prior_tasks):
            return np.full(k, 1 / max(k, 1))
        return (expected + self.prior_tasks) / (expected.sum() + k * self.prior_tasks)

    def _learn_beta(self, right: FloatArray, wrong: FloatArray) -> None:
        if self._passes < 2:
            return
        pairs = torch.from_numpy(np.stack([right, wrong], 1)[:, :, None])
        base = torch.tensor(_BETA, dtype=torch.float64)[:, None]
        beta = torch.from_numpy(self.beta)[:, None]
        self.beta = learned_pseudo_answers(pairs, beta, base).ravel().numpy()

    def _learn_concentration(self, errors: FloatArray, total: FloatArray) -> None:
        if self._passes not in _LEARNED_AT:
            return
        others = self.layout.n_classes - 1
        told = errors > 1e-6

        def evidence(v: float) -> float:
            gained = gammaln(errors[told] + v) - gammaln(v)
            lost = gammaln(total + v * others) - gammaln(v * others)
            return float(gained.sum() - lost.sum())

        self.concentration = max(CONCENTRATIONS, key=evidence)

    def _with_strength(self, tables: SparseTables) -> SparseTables:
        """Climb to the s of :data:`ALL_STRENGTHS` at a maximum of the evidence of all workers' columns."""
        if self.one_coin or self._passes not in _LEARNED_AT:
            return tables
        told = np.flatnonzero(tables.cell_count > 1e-6)
        counts, centre = tables.cell_count[told], self._centre(tables)[told]

        def evidence(s: float) -> float:
            if not np.isfinite(s):
                return float((counts * np.log(centre)).sum())
            gained = gammaln(counts + s * centre) - gammaln(s * centre)
            lost = gammaln(tables.column_count + s) - gammaln(s)
            return float(gained.sum() - lost.sum())

        place = ALL_STRENGTHS.index(self.strength)
        known = {place: evidence(self.strength)}
        while True:
            for neighbour in (place + 1, place - 1):
                if 0 <= neighbour < len(ALL_STRENGTHS) and neighbour not in known:
                    known[neighbour] = evidence(ALL_STRENGTHS[neighbour])
            best = max(known, key=lambda j: (known[j], -j))
            if best == place:
                break
            place = best
        self.strength = ALL_STRENGTHS[place]
        return replace(tables, strength=self.strength)


def fit_sparse_tables(
    layout: NamedClasses,
    *,
    one_coin: bool,
    average: bool,
    n_passes: int,
    progress: Callable[[int, float], None] | None = None,
) -> SparseMember:
    """Fit tables by EM, from the shares of the votes.

    Parameters
    ----------
    layout : NamedClasses
        N tasks, D workers, K classes.
    one_coin : bool
        Whether all columns of a worker follow its accuracy.
    average : bool
        Whether the counts are the mean over EM's path, with weights 1/pass, instead of the last.
    n_passes : int
        At most.
    progress : callable, optional
        Called with (passes so far, log-likelihood per task) after each pass.
    """
    fit = _Fit(layout, one_coin)
    share, rest = layout.vote_shares()
    path: _Counts | None = None
    weights, number, converged = 0.0, 0, False
    history: list[float] = []
    log_likelihood = np.zeros(layout.n_tasks)
    for number in range(1, max(n_passes, 1) + 1):
        counts = fit.counts(share, rest)
        fit.step(number)
        tables = fit.tables(counts, share, rest)
        found, left, log_likelihood = fit.posterior(tables)
        history.append(layout.mean(log_likelihood))
        if progress is not None:
            progress(number, history[-1])
        moved = np.abs(left - rest)
        np.maximum.at(moved, layout.pair_task, np.abs(found - share))
        share, rest = found, left
        path = counts.divided(number) if path is None else path.plus(counts, 1.0 / number)
        weights += 1.0 / number
        if layout.mean(moved) < TOLERANCE and number >= LEAST_PASSES:
            converged = True
            break
    fit.step(0)  # what was learned stays
    if average and path is not None:  # the rest of the path would have stood still
        still = sum(1.0 / j for j in range(number + 1, n_passes + 1))
        mean = path.plus(counts, still).divided(weights + still)
        tables = fit.tables(mean, share, rest)
        share, rest, log_likelihood = fit.posterior(tables)
    return SparseMember(
        tables, fit.beta, fit.prior_tasks, share, rest, log_likelihood, history, number, converged
    )


def read_off(
    layout: NamedClasses, share: FloatArray, rest: FloatArray, like: SparseMember
) -> SparseTables:
    """Return the tables that follow from a posterior, (P,) and (N,), with the priors of a member."""
    fit = _Fit(layout, not np.isfinite(like.tables.strength))
    fit.strength, fit.concentration = like.tables.strength, like.tables.concentration
    fit.beta, fit.prior_tasks = like.beta, like.prior_tasks
    return fit.tables(fit.counts(share, rest), share, rest)

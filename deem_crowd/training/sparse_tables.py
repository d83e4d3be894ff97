r"""Workers' tables for many classes: a diagonal, what all workers share, and the cells that were seen.

As in :mod:`deem_crowd.training.hierarchical` the columns of a worker's table are drawn around a centre,

    T_i[l, k] = (C_i[l, k] + s · m_i[l, k]) / (Σ_l C_i[l, k] + s),
    m_i[k, k] = a_i,        m_i[l, k] = (1 − a_i) · e[l, k]   for l ≠ k,

with C_i the expected counts, a_i the worker's accuracy and e one confusion of errors that all share. C and e are stored
where an answer met a class that its task names (:mod:`deem_crowd.model.named_classes`); everywhere else they are zero,
and the table follows from a_i, s and the concentration of e. With s = ∞ it is one coin a worker. For classes that a
task does not name, the rest, every answer is an error like any other: (1 − a_i) / (K − 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deem_crowd.model.named_classes import FloatArray, IntArray, NamedClasses


@dataclass(frozen=True, eq=False)
class SparseTables:
    """Tables of D workers over K classes.

    Attributes
    ----------
    accuracy : shape (D,)
        a; what they follow where nothing else was seen.
    average : float
        The mean accuracy of the workers with answers: that of workers not known.
    prior : shape (K,)
        π.
    strength : float
        s; infinite for one coin a worker.
    concentration : float
        Of the errors, in pseudo-answers a class.
    error_key, error_count : shape (G,)
        ``answer · K + label``, sorted, and how often that error is counted.
    error_total : shape (K,)
        Its sums by label.
    column_key, column_count : shape (Q',)
        ``worker · K + label``, sorted, and how many answers are counted there; empty for one coin a worker.
    cell_key, cell_count : shape (Q,)
        ``column · K + answer``, sorted, and the counts C.
    """

    accuracy: FloatArray
    average: float
    prior: FloatArray
    strength: float
    concentration: float
    error_key: IntArray
    error_count: FloatArray
    error_total: FloatArray
    column_key: IntArray
    column_count: FloatArray
    cell_key: IntArray
    cell_count: FloatArray

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.prior)

    def errors(self, answer: IntArray, label: IntArray) -> FloatArray:
        """Return e[answer, label] of pairs that differ, shape (n,)."""
        if self.n_classes**2 <= answer.size:
            return self._all_errors()[answer, label]
        count = _looked_up(self.error_key, self.error_count, answer * self.n_classes + label)
        total = self.error_total[label] + self.concentration * (self.n_classes - 1)
        return (count + self.concentration) / total

    def probability(self, worker: IntArray, answer: IntArray, label: IntArray) -> FloatArray:
        """Return T_worker[answer, label], shape (n,); a worker numbered D or more is the average one."""
        known = worker < len(self.accuracy)
        accuracy = np.append(self.accuracy, self.average)[
            np.where(known, worker, len(self.accuracy))
        ]
        centre = np.where(answer == label, accuracy, (1 - accuracy) * self.errors(answer, label))
        if not np.isfinite(self.strength) or not len(self.column_key):
            return centre
        key = np.where(known, worker * self.n_classes + label, -1)
        column = np.minimum(np.searchsorted(self.column_key, key), len(self.column_key) - 1)
        seen = self.column_key[column] == key
        total = np.where(seen, self.column_count[column], 0.0)
        cell = np.where(seen, column * self.n_classes + answer, -1)
        count = _looked_up(self.cell_key, self.cell_count, cell)
        return (count + self.strength * centre) / (total + self.strength)

    # ------------------------------------------------ as deem_crowd.model.worker_tables.WorkerTables

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, K, K)."""
        return len(self.accuracy), self.n_classes, self.n_classes

    def of(self, workers: IntArray) -> FloatArray:
        """Return T of some workers, shape (n, K, K) as [worker, answer, label]."""
        errors = self._all_errors()
        tables = np.empty((len(workers), *errors.shape))
        for worker, table in zip(workers.tolist(), tables, strict=True):
            kept, columns = self._kept(worker)
            np.multiply(errors, (1 - self.accuracy[worker]) * kept, out=table)
            np.fill_diagonal(table, self.accuracy[worker] * kept)
            self._add_cells(table, columns, 1.0)
        return tables

    def cells(self, worker: IntArray, answer: IntArray, label: IntArray) -> FloatArray:
        """Return T_worker[answer, label]; arguments of a common shape, or broadcast to one."""
        return self.probability(*np.broadcast_arrays(worker, answer, label))

    def mean(self, weights: FloatArray) -> FloatArray:
        """Return the weighted mean of the workers' tables, shape (K, K); the weights, shape (D,), need not sum to 1."""
        k, weights = self.n_classes, weights / weights.sum()
        right, wrong = np.zeros(k), np.zeros(k)
        for worker in np.flatnonzero(weights).tolist():
            kept, _ = self._kept(worker)
            right += weights[worker] * self.accuracy[worker] * kept
            wrong += weights[worker] * (1 - self.accuracy[worker]) * kept
        table = self._all_errors() * wrong
        np.fill_diagonal(table, right)
        self._add_cells(table, slice(0, len(self.column_key)), weights)
        return table

    def chance(self, prior: FloatArray) -> FloatArray:
        """Return Σ_l π_l Σ_a π_a T[a, l] of each worker, shape (D,), with the class prior π, shape (K,)."""
        k = self.n_classes
        answer, label = self.error_key // max(k, 1), self.error_key % max(k, 1)
        wrong = self.concentration * (prior.sum() - prior)
        wrong += np.bincount(label, prior[answer] * self.error_count, minlength=k)
        wrong /= self.error_total + self.concentration * max(k - 1, 1)
        found = self.accuracy * (prior @ prior) + (1 - self.accuracy) * (prior @ wrong)
        if not self._has_columns:
            return found
        worker, label = self.column_key // k, self.column_key % k
        centre = self.accuracy[worker] * prior[label] + (1 - self.accuracy[worker]) * wrong[label]
        column, answer = self.cell_key // k, self.cell_key % k
        seen = np.bincount(column, self.cell_count * prior[answer], minlength=len(worker))
        moved = (seen - self.column_count * centre) / (self.column_count + self.strength)
        return found + np.bincount(worker, prior[label] * moved, minlength=len(found))

    @property
    def _has_columns(self) -> bool:
        return bool(np.isfinite(self.strength)) and len(self.column_key) > 0

    def _all_errors(self) -> FloatArray:
        """Return e, shape (K, K) as [answer, label], zero on the diagonal."""
        k = self.n_classes
        errors = np.full((k, k), self.concentration)
        errors[self.error_key // max(k, 1), self.error_key % max(k, 1)] += self.error_count
        errors /= self.error_total + self.concentration * max(k - 1, 1)
        np.fill_diagonal(errors, 0.0)
        return errors

    def _kept(self, worker: int) -> tuple[FloatArray, slice]:
        """Return what the centre counts in each column of a worker, s / (n + s), shape (K,), and where these are."""
        k = self.n_classes
        kept = np.ones(k)
        if not self._has_columns:
            return kept, slice(0, 0)
        columns = slice(*np.searchsorted(self.column_key, [worker * k, (worker + 1) * k]))
        count = self.column_count[columns]
        kept[self.column_key[columns] - worker * k] = self.strength / (count + self.strength)
        return kept, columns

    def _add_cells(self, table: FloatArray, columns: slice, weights: FloatArray | float) -> None:
        """Add C / (n + s) of some columns, each by the weight of its worker."""
        k = self.n_classes
        if not self._has_columns or columns.start == columns.stop:
            return
        cells = slice(*np.searchsorted(self.cell_key, [columns.start * k, columns.stop * k]))
        column, answer = self.cell_key[cells] // k, self.cell_key[cells] % k
        worker, label = self.column_key[column] // k, self.column_key[column] % k
        share = self.cell_count[cells] / (self.column_count[column] + self.strength)
        np.add.at(
            table, (answer, label), np.broadcast_to(weights, len(self.accuracy))[worker] * share
        )

    def posterior(self, layout: NamedClasses) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return p(label | answers) of pairs and rest, (P,) and (N,), and each task's log-likelihood, (N,)."""
        label = layout.pair_label[layout.pair]
        table = self.probability(layout.worker, layout.answer, label)
        average = np.full(max(layout.n_workers - len(self.accuracy), 0), self.average)
        return posterior_of(layout, np.log(table), self, np.append(self.accuracy, average))


def _looked_up(keys: IntArray, values: FloatArray, wanted: IntArray) -> FloatArray:
    """Return the values of sorted keys, zero for keys that are not there."""
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)


def posterior_of(
    layout: NamedClasses, log_table: FloatArray, tables: SparseTables, accuracy: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return probabilities of pairs and rest and log-likelihoods, given log T at the entries, shape (E,)."""
    with np.errstate(divide="ignore"):
        log_prior = np.log(tables.prior)
        logit = layout.by_pair(log_table) + log_prior[layout.pair_label]
        left = layout.remainder(tables.prior[layout.pair_label])
        wrong = np.log((1 - accuracy) / max(tables.n_classes - 1, 1))
        rest = np.log(left) + layout.by_task_of_worker(wrong)
    return layout.normalised(logit, rest)


def even_tables(layout: NamedClasses, accuracy: float) -> SparseTables:
    """Return the tables of workers who all have one accuracy, and of whose errors nothing is known."""
    k, none = layout.n_classes, np.zeros(0, dtype=np.int64)
    empty = np.zeros(0)
    return SparseTables(
        accuracy=np.full(layout.n_workers, accuracy),
        average=accuracy,
        prior=np.full(k, 1 / max(k, 1)),
        strength=np.inf,
        concentration=1.0,
        error_key=none,
        error_count=empty,
        error_total=np.zeros(k),
        column_key=none,
        column_count=empty,
        cell_key=none,
        cell_count=empty,
    )

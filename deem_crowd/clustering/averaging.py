r"""Consensus of many partitions with squared loss, for clusterings that share mistakes.

A partition z, with the shares T of each source's own names within its classes, minimises

    Σ_n Σ_{i ∈ O(n)} w_i ‖e(x_ni) − T_i[·, z_n]‖²        e(a) the unit vector of own name a

which is k-means where every source answered every task (the quadratic mutual information of Topchy, Jain, Punch, TPAMI
2005). A source adds 2 w_i a task at most, so that sources that share mistakes cannot outvote the rest as they do in the
likelihood. The loss has many local minima; their consensus, by the same loss, varies less than the lowest of them.
Sources are then weighted by how far they agree with that consensus,

    w_i ∝ NMI(x_i, z)

and both steps are repeated with these weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.special import xlogy

from deem_crowd.clustering.latent import source_sums
from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames

_RUNS, _OF_RUNS, _ROUNDS = 40, 10, 3
"""Local minima in each round, starts of their consensus, and rounds, the first of them with equal weights."""
_PASSES = 40
_CELLS = 2**24
"""Most tasks × classes × minima held in memory at a time."""


@dataclass(frozen=True)
class _Sources:
    """Indicator of own names, shape (N, C); who answered, (N, D); which names are of which source, (D, C)."""

    indicator: sparse.csr_matrix
    given: sparse.csr_matrix
    by_source: sparse.csr_matrix

    @classmethod
    def of(cls, indicator: sparse.csr_matrix, by_source: sparse.csr_matrix) -> _Sources:
        """Return them with who answered."""
        return cls(indicator, (indicator @ by_source.T).tocsr(), by_source)

    def losses(self, tables: FloatArray, weight: FloatArray) -> FloatArray:
        """Return the loss of each task in each class, shape (N, classes), up to a constant of the task."""
        each = weight @ self.by_source
        right = self.indicator @ (-2 * each[:, None] * tables)
        return np.asarray(right + self.given @ (weight[:, None] * (self.by_source @ tables**2)))


def averaged(own: OwnNames, part: OwnNames, k: int, rng: np.random.Generator) -> FloatArray:
    """Return the consensus of the minima as a distribution for each task, rows summing to 1, shape (N, K).

    Entries are 1 − half the mean loss of a class, normalised; the largest is the class of the consensus.

    Parameters
    ----------
    own : OwnNames
        N tasks.
    part : OwnNames
        The same sources and own names; the tasks that minima are found from.
    k : int
        K.
    rng : Generator
        Draws the starts.
    """
    by_source = source_sums(own)
    some = _Sources.of(part.indicator, by_source)
    weight, partition = np.ones(by_source.shape[0]), None
    for _ in range(_ROUNDS):
        if partition is not None:
            weight = _agreement(some, partition, k)
        tables, label = _minima(some, weight, k, _RUNS, rng)
        minima = _of_partitions(label, k)
        of_minima, found = _minima(minima, np.ones(_RUNS), k, _OF_RUNS, rng)
        partition, of_minima = found[:, 0], of_minima[:, :k]
    whole = some if part is own else _Sources.of(own.indicator, by_source)
    out = np.zeros((own.answers.n_tasks, k))
    step = max(1, _CELLS // tables.shape[1])
    for start in range(0, len(out), step):
        rows = slice(start, start + step)
        these = _Sources(whole.indicator[rows], whole.given[rows], by_source)
        label = these.losses(tables, weight).reshape(-1, _RUNS, k).argmin(2)
        loss = 1 + _of_partitions(label, k).losses(of_minima, np.ones(_RUNS)) / _RUNS
        out[rows] = np.maximum(1 - loss / 2, 1e-12)
    shares: FloatArray = out / out.sum(1, keepdims=True)
    return shares


def exchanged(posterior: FloatArray, partition: FloatArray) -> FloatArray:
    """Return probabilities whose likeliest labels are those of another partition.

    Where the two differ on a task, the probabilities of its old and its new label are exchanged.

    Parameters
    ----------
    posterior, partition : shape (N, K)
        Classes of the partition are matched one to one to those of the posterior.
    """
    label = partition.argmax(1)
    member = np.eye(posterior.shape[1])[label]
    _, classes = linear_sum_assignment(member.T @ posterior, maximize=True)
    task, old, new = np.arange(len(label)), posterior.argmax(1), classes[label]
    out = posterior.copy()
    out[task, new], out[task, old] = posterior[task, old], posterior[task, new]
    return out


def _minima(
    sources: _Sources, weight: FloatArray, k: int, runs: int, rng: np.random.Generator
) -> tuple[FloatArray, IntArray]:
    """Return tables, shape (C, runs · K), and partitions, (N, runs), of minima, the lowest first."""
    x, xt = sources.indicator, sources.indicator.T.tocsr()
    n = x.shape[0]
    total = np.asarray(x.sum(0)).ravel()
    answers = np.maximum(sources.by_source @ total, 1.0)
    usual = total / (answers @ sources.by_source)
    tables = _seeds(sources, usual, weight, k, runs, rng).reshape(-1, runs, k)
    label, lowest, moving = np.full((n, runs), -1), np.zeros(runs), np.arange(runs)
    for _ in range(_PASSES):
        these = tables[:, moving].reshape(len(tables), -1)
        losses = sources.losses(these, weight).reshape(n, -1, k)
        updated = losses.argmin(2)
        lowest[moving] = losses.min(2).sum(0)
        moved = (updated != label[:, moving]).any(0)
        label[:, moving] = updated
        moving = moving[moved]
        if not len(moving):
            break
        member = _of_partitions(label[:, moving], k).indicator
        counts = np.asarray((xt @ member).todense())
        given = sources.by_source.T @ (sources.by_source @ counts)
        shares = np.where(given > 0, counts / np.maximum(given, 1.0), usual[:, None])
        tables[:, moving] = shares.reshape(len(tables), -1, k)
    order = np.argsort(lowest, kind="stable")
    return tables[:, order].reshape(len(tables), -1), label[:, order]


def _seeds(
    sources: _Sources,
    usual: FloatArray,
    weight: FloatArray,
    k: int,
    runs: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Return tables to start from, shape (C, runs · K): answers of tasks that are far apart (k-means++).

    Arthur and Vassilvitskii, SODA 2007. Where a source left the task out, its usual shares stand in.
    """
    x = sources.indicator
    n, c = x.shape
    tables = np.empty((c, runs, k))
    constant = sources.given @ weight
    nearest = np.broadcast_to(np.maximum(constant, 1e-12)[:, None], (n, runs)).copy()
    for number in range(k):
        below = nearest.cumsum(0)
        chosen = (below < rng.random(runs) * below[-1]).sum(0).clip(0, n - 1)
        said = np.asarray(sources.given[chosen].todense()) @ sources.by_source
        tables[:, :, number] = np.where(said > 0, np.asarray(x[chosen].todense()), usual).T
        loss = sources.losses(tables[:, :, number], weight) + constant[:, None]
        nearest = loss if not number else np.minimum(nearest, loss)
        nearest = np.maximum(nearest, 1e-12)
    return tables.reshape(c, -1)


def _of_partitions(label: IntArray, k: int) -> _Sources:
    """Return partitions of K classes, shape (N, runs), as sources."""
    n, runs = label.shape
    place = (label + k * np.arange(runs)).ravel()
    shape = (n, runs * k)
    x = sparse.csr_matrix((np.ones(n * runs), place, runs * np.arange(n + 1)), shape=shape)
    return _Sources.of(x, sparse.csr_matrix(np.kron(np.eye(runs), np.ones(k))))


def _agreement(sources: _Sources, partition: IntArray, k: int) -> FloatArray:
    """Return the normalised mutual information of each source and a partition, shape (D,), with mean 1."""
    member = np.eye(k)[partition]
    joint = np.asarray(sources.indicator.T @ member)
    sizes = np.maximum(np.asarray(sources.by_source @ joint), 0.0)
    n = np.maximum(sizes.sum(1), 1.0)

    def entropy(counts: FloatArray) -> FloatArray:
        return np.asarray(np.log(n) - xlogy(counts, counts).sum(1) / n)

    of_names = np.log(n) - np.asarray(sources.by_source @ xlogy(joint.sum(1), joint.sum(1))) / n
    together = np.log(n) - np.asarray(sources.by_source @ xlogy(joint, joint).sum(1)) / n
    of_classes = entropy(sizes)
    shared = np.maximum(of_names + of_classes - together, 0.0)
    weight = 2 * shared / np.maximum(of_names + of_classes, 1e-12)
    return np.asarray(weight / weight.mean()) if weight.any() else np.ones(len(weight))

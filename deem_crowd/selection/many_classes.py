"""The default model of many classes: the voices of :mod:`deem_crowd.selection.select` that many classes leave.

One accuracy a worker, tables drawn around it, and the votes, each over the classes that a task names and the rest, are
pooled by the rules of :mod:`deem_crowd.selection.opinion_pool`, and tempered by those of
:mod:`deem_crowd.model.calibration`.
Tables for easy and hard tasks, and copies among sources, are not asked for: K² numbers a worker tell of neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deem_crowd.model.calibration import APART, MOST, NEARLY, TIE, design_effect, share_of_votes
from deem_crowd.model.named_classes import FloatArray, NamedClasses
from deem_crowd.runtime.progress import Progress, only_stage
from deem_crowd.selection import candidates as rows
from deem_crowd.selection.candidates import Candidate
from deem_crowd.selection.null_model import skill_from_agreement
from deem_crowd.selection.opinion_pool import weights_from_products
from deem_crowd.selection.pairs import MIN_COMMON
from deem_crowd.training.em import PASSES
from deem_crowd.training.sparse_fit import SparseMember, fit_sparse_tables, read_off
from deem_crowd.training.sparse_tables import SparseTables, even_tables

Shares = tuple[FloatArray, FloatArray]
"""Probabilities of pairs, shape (P,), and of the rest, shape (N,)."""


@dataclass(frozen=True, eq=False)
class SparsePool:
    """Members and what each counts, as :class:`deem_crowd.selection.opinion_pool.OpinionPool` has them.

    Attributes
    ----------
    members : tuple of SparseTables
    weights : tuple of float
    floor : float
        What the votes count.
    correlation : float
        ρ of the answers to a task given its label.
    caution : float
        What the votes count besides, as far as labels stay.
    """

    members: tuple[SparseTables, ...]
    weights: tuple[float, ...]
    floor: float = 0.0
    correlation: float = 0.0
    caution: float = 0.0

    def posterior(self, layout: NamedClasses) -> Shares:
        """Return p(label | answers)."""
        posteriors = [tables.posterior(layout)[:2] for tables in self.members]
        return self.joined(layout, posteriors)

    def joined(self, layout: NamedClasses, posteriors: Sequence[Shares]) -> Shares:
        """Return the posterior from those of the members."""
        mixed = _with_floor(layout, self.mean(posteriors), self.floor)
        scaled = _scaled(layout, mixed, self._effect(layout))
        return layout.clamped(*_with_votes(layout, scaled, self.caution))

    def evidence(self, layout: NamedClasses) -> Shares:
        """Return the members' mean without the votes, each discounted, as in :meth:`OpinionPool.evidence`."""
        whole = 1 + (np.maximum(layout.answers_of_task, 1) - 1) * self.correlation
        posteriors = [tables.posterior(layout)[:2] for tables in self.members]
        return self.mean([_scaled(layout, one, whole) for one in posteriors])

    def mean(self, posteriors: Sequence[Shares]) -> Shares:
        """Return the weighted mean of the members' posteriors."""
        pairs = sum(w * share for w, (share, _) in zip(self.weights, posteriors, strict=True))
        rest = sum(w * left for w, (_, left) in zip(self.weights, posteriors, strict=True))
        return np.asarray(pairs), np.asarray(rest)

    def prior(self) -> FloatArray:
        """Return the members' mean class prior, shape (K,)."""
        return np.asarray(sum(w * t.prior for w, t in zip(self.weights, self.members, strict=True)))

    def _effect(self, layout: NamedClasses) -> FloatArray:
        answers = np.maximum(layout.answers_of_task, 1).astype(np.float64)
        return np.asarray(design_effect(answers, self.correlation))


@dataclass(frozen=True)
class Chosen:
    """What was fitted.

    Attributes
    ----------
    pool : SparsePool
    tables : SparseTables
        What the posterior says of workers; skills and confusion matrices are read off it.
    share, rest : shapes (P,) and (N,)
        The posterior.
    candidates : tuple of Candidate
    log_likelihood : list of float
        Per task, pass by pass.
    n_passes : int
    converged : bool
    uninformed : bool
        Whether the answers say nothing about a label, so that all workers share one skill.
    """

    pool: SparsePool
    tables: SparseTables
    share: FloatArray
    rest: FloatArray
    candidates: tuple[Candidate, ...]
    log_likelihood: list[float]
    n_passes: int
    converged: bool
    uninformed: bool = False


def plain(layout: NamedClasses, n_iter: int, progress: Progress | None = None) -> Chosen:
    """Fit tables alone, to the end of EM's path."""
    fitted = fit_sparse_tables(
        layout,
        one_coin=False,
        average=False,
        n_passes=n_iter,
        progress=only_stage(progress, n_iter),
    )
    if not _shows_label(layout):
        return _one_skill(layout, fitted, ())
    return Chosen(
        SparsePool((fitted.tables,), (1.0,)),
        fitted.tables,
        fitted.share,
        fitted.rest,
        (),
        fitted.log_likelihood,
        fitted.n_passes,
        fitted.converged,
    )


def select(layout: NamedClasses, n_iter: int, progress: Progress | None = None) -> Chosen:
    """Fit the voices and pool them."""
    n_passes = min(PASSES, n_iter)
    if progress is not None:
        progress.expect(2 * n_passes)

    def fitted(one_coin: bool) -> SparseMember:
        report = None if progress is None else progress.stage(n_passes)
        return fit_sparse_tables(
            layout, one_coin=one_coin, average=not one_coin, n_passes=n_passes, progress=report
        )

    tables, coin = fitted(one_coin=False), fitted(one_coin=True)
    described = [(rows.ONE_COIN, coin), (rows.HIERARCHY, tables)]
    if not _shows_label(layout):
        considered = tuple(_candidate(layout, n, m, tables, "overruled") for n, m in described)
        return _one_skill(layout, tables, tuple(rows.fallen_back(considered)))
    # where workers follow their accuracies one coin a worker says the same; see select
    best = tables if np.isfinite(tables.tables.strength) else coin
    voices = [coin, tables, best]
    heard = [(v.share, v.rest) for v in voices] + [_smoothed_votes(layout)]
    products = [[_mean_product(layout, a, b) for b in heard] for a in heard]
    weights, agreed = weights_from_products(products)
    of_coin = weights[0] + (weights[2] if best is coin else 0.0)
    by_votes = weights[3]
    shares = (of_coin / (1 - by_votes), 1 - of_coin / (1 - by_votes))
    pool = SparsePool((coin.tables, tables.tables), shares, by_votes)
    posteriors = [(coin.share, coin.rest), (tables.share, tables.rest)]
    mean = pool.mean(posteriors)
    shown = read_off(layout, *layout.clamped(*mean), tables)
    correlation = _correlation(layout, layout.clamped(*mean), shown)
    caution = share_of_votes(correlation, layout.n_tasks_in_all)
    pool = replace(pool, correlation=correlation, caution=caution)
    share, rest = pool.joined(layout, posteriors)
    apart = (1 - caution) * (1 - by_votes)
    found = [
        _candidate(layout, n, m, tables, "always a member", agreed[i], apart * shares[i])
        for i, (n, m) in enumerate(described)
    ]
    why = f"always a voice, and counts {caution:.2g} at least"
    found.append(rows.without_likelihood(rows.VOTES, 1 - apart, why, agreed[3]))
    return Chosen(
        pool,
        shown,
        share,
        rest,
        tuple(found),
        tables.log_likelihood,
        tables.n_passes,
        True,
    )


def _shows_label(layout: NamedClasses) -> bool:
    """Whether two answers to a task agree more often than by chance, by two standard errors; gold is a label, too."""
    if layout.gold is not None:
        return True
    agreed, chance, pairs = layout.pair_agreement()
    return pairs > 0 and agreed > chance + 2 * float(np.sqrt(chance * (1 - chance) / pairs))


def _one_skill(
    layout: NamedClasses, found: SparseMember, candidates: tuple[Candidate, ...]
) -> Chosen:
    skill = skill_from_agreement(*layout.pair_agreement(), layout.n_classes)
    tables = even_tables(layout, skill)
    pool = SparsePool((tables,), (1.0,))
    share, rest = pool.posterior(layout)
    # the more careful of two; see opinion_pool.without_label
    if layout.n_tasks_in_all >= MIN_COMMON:
        by_votes = replace(pool, floor=1.0)
        shares = by_votes.posterior(layout)
        if _mean_top(layout, shares) < _mean_top(layout, (share, rest)):
            pool, (share, rest) = by_votes, shares
    return Chosen(
        pool,
        tables,
        share,
        rest,
        candidates,
        found.log_likelihood,
        found.n_passes,
        True,
        uninformed=True,
    )


def _candidate(
    layout: NamedClasses,
    name: str,
    member: SparseMember,
    reference: SparseMember,
    why: str,
    agreement: float = float("nan"),
    weight: float = 0.0,
) -> Candidate:
    gap = member.task_log_likelihood - reference.task_log_likelihood
    n, mean = layout.n_tasks_in_all, layout.mean(gap)
    squares = layout.sum(float(((gap - mean) ** 2).sum()))
    return Candidate(
        name,
        float("nan"),
        mean if n else float("nan"),
        (squares / (n - 1) / n) ** 0.5 if n > 1 else float("nan"),
        agreement,
        weight,
        why,
    )


def _mean_product(layout: NamedClasses, a: Shares, b: Shares) -> float:
    """Return the mean over tasks of Σ_k a(k) b(k), the rest spread evenly."""
    others = np.maximum(layout.n_classes - layout.n_named, 1)
    total = float(a[0] @ b[0]) + float((a[1] * b[1] / others).sum())
    return layout.sum(total) / max(layout.n_tasks_in_all, 1)


def _smoothed_votes(layout: NamedClasses) -> Shares:
    """Return (votes + 1/K) / (m + 1)."""
    k, size = max(layout.n_classes, 1), layout.answers_of_task + 1.0
    share = (layout.votes + 1 / k) / size[layout.pair_task]
    return share, layout.remainder(share)


def _with_floor(layout: NamedClasses, mean: Shares, floor: float) -> Shares:
    """Mix in a share of smoothed votes; tasks without answers stay as they are."""
    if floor <= 0:
        return mean
    votes = _smoothed_votes(layout)
    mixed = tuple((1 - floor) * a + floor * b for a, b in zip(mean, votes, strict=True))
    told = layout.answers_of_task > 0
    return (
        np.where(told[layout.pair_task], mixed[0], mean[0]),
        np.where(told, mixed[1], mean[1]),
    )


def _tops(layout: NamedClasses, shares: Shares) -> FloatArray:
    """Return the largest probability of each task, shape (N,)."""
    top = shares[1] / np.maximum(layout.n_classes - layout.n_named, 1)
    np.maximum.at(top, layout.pair_task, shares[0])
    return top


def _mean_top(layout: NamedClasses, shares: Shares) -> float:
    return layout.mean(_tops(layout, shares))


def _with_votes(layout: NamedClasses, shares: Shares, caution: float) -> Shares:
    """Mix in shares of the votes as far as no label changes; see :func:`deem_crowd.model.calibration.with_votes`."""
    if caution <= 0:
        return shares
    votes, task = _smoothed_votes(layout), layout.pair_task
    best = _tops(layout, shares)[task]
    named = np.zeros(layout.n_tasks)
    tied = shares[0] >= best - TIE
    np.maximum.at(named, task[tied], votes[0][tied])
    lead, against = best - shares[0], votes[0] - named[task]
    limit = np.full(layout.n_tasks, np.inf)
    more = against > 0
    far = np.maximum(lead[more] - APART, 0) / np.maximum(lead[more] + against[more], TIE)
    np.minimum.at(limit, task[more], far)
    most = np.where(layout.answers_of_task > 0, min(caution, MOST), 0.0)
    moved = np.minimum(NEARLY * limit, most)
    of_pair = moved[task]
    return (
        (1 - of_pair) * shares[0] + of_pair * votes[0],
        (1 - moved) * shares[1] + moved * votes[1],
    )


def _scaled(layout: NamedClasses, shares: Shares, by: FloatArray) -> Shares:
    """Return probabilities with the logarithms of each task's divided by a number, shape (N,)."""
    if (by == 1).all():
        return shares
    others = np.maximum(layout.n_classes - layout.n_named, 1e-300)
    log_share = np.log(np.maximum(shares[0], 1e-300)) / by[layout.pair_task]
    with np.errstate(divide="ignore"):
        each = np.log(np.maximum(shares[1], 0) / others) / by
    share, rest, _ = layout.normalised(log_share, each + np.log(others))
    return share, rest


def _correlation(layout: NamedClasses, shares: Shares, tables: SparseTables) -> float:
    """Return ρ over the classes that are named; see :mod:`deem_crowd.model.calibration`."""
    label = layout.pair_label[layout.pair]
    right = tables.probability(layout.worker, label, label)
    square = layout.right * (1 - 2 * right) + right**2
    product = (layout.votes - layout.by_pair(right)) ** 2 - layout.by_pair(square)
    deviation = np.sqrt(right * (1 - right))
    possible = layout.by_pair(deviation) ** 2 - layout.by_pair(deviation**2)
    total = layout.sum(float(shares[0] @ possible))
    explained = layout.sum(float(shares[0] @ product))
    return min(max(explained / total, 0.0), 1.0) if total > 1e-9 else 0.0

"""Pairs of workers: how often they agree, how often by chance, and how much more than their skills explain."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers
from deem_crowd.model.worker_tables import WorkerTables
from deem_crowd.selection import pairs
from deem_crowd.selection.pairs import LEAST_COMMON, Pairs
from deem_crowd.selection.shared_errors import dependence

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_WORKERS = pairs.MAX_SOURCES
"""Of more workers, those with most answers are compared in pairs."""
MIN_COMMON = 10
"""Tasks that two workers have to share for their pair to be listed."""
_SIGNIFICANT = 3.0
REPEATS = 0.3
"""The excess agreement from which two workers are said to repeat one another."""
MOST_CELLS = 5e7
"""Of more entries in all confusion tables, the tables do not enter what skills explain, and nothing is said after a
fit: it would cost more than the fit."""


def count_pairs(answers: Answers, max_workers: int = MAX_WORKERS) -> Pairs:
    """Compare workers in pairs; of more than ``max_workers`` those with most answers.

    Soft answers count by the chance that draws from the two distributions agree.
    """
    n_answers = ids.tally(answers.worker, answers.n_workers).astype(np.float64)
    return pairs.count(answers, pairs.most_active(n_answers, max_workers), least=0)


@dataclass(frozen=True)
class Excess:
    """How far pairs agree beyond what skills explain.

    Attributes
    ----------
    explained : shape (n, n)
        Chance-corrected agreement that the two skills explain; NaN where neither answers nor a model tell.
    excess : shape (n, n)
        (κ − explained) / (1 − explained): 0 for workers who err independently, 1 for copies.
    tail : shape (n, n)
        Probability that two workers with these skills, who err independently, agree at least so often; 1 where it is
        not known.
    """

    explained: FloatArray
    excess: FloatArray
    tail: FloatArray

    @property
    def significant(self) -> npt.NDArray[np.bool_]:
        """Whether they agree more often than explained, at the level of three standard errors, shape (n, n)."""
        return np.asarray(self.tail < special.ndtr(-_SIGNIFICANT))

    @property
    def shared(self) -> FloatArray:
        """The excess where it is significant, within [0, 1]; zero elsewhere and on the diagonal."""
        shared = np.where(self.significant, np.clip(self.excess, 0, 1), 0.0)
        np.fill_diagonal(shared, 0.0)
        return shared


def excess_agreement(
    counts: Pairs, confusion: FloatArray | None, priors: FloatArray, group: IntArray | None = None
) -> Excess:
    """Compare κ of each pair with what the skills of the two explain.

    Workers with enough partners have a skill by agreement alone
    (:mod:`deem_crowd.selection.shared_errors.dependence`), which no clique that the model has followed can bend. For
    other pairs the model's tables tell how often two independent workers would agree. Pairs within a group that is
    known to share errors say nothing of skills.

    Parameters
    ----------
    counts : Pairs
        Of n workers.
    confusion : shape (n, K, K) as [worker, answer, label], optional
        Of the same workers.
    priors : shape (K,)
    group : integers, shape (n,), optional
        The group of each worker that the user named, −1 for none.
    """
    kappa = counts.kappa
    listed = (counts.common >= MIN_COMMON) & np.isfinite(kappa)
    np.fill_diagonal(listed, False)
    explained = np.full(kappa.shape, np.nan)
    if confusion is not None and listed.any():
        expected = np.zeros(kappa.shape)
        for label, prior in enumerate(priors):
            expected += prior * (confusion[:, :, label] @ confusion[:, :, label].T)
        said = confusion @ priors
        by_chance = said @ said.T
        explained = (expected - by_chance) / np.maximum(1 - by_chance, 1e-3)
    if group is None:
        skill = dependence.skills_from_pairs(counts)
    else:
        skill = dependence.skills_by(counts, (counts.common >= MIN_COMMON) & ~_together(group))
    both = np.isfinite(skill)[:, None] & np.isfinite(skill)[None, :]
    explained = np.where(both, np.outer(skill, skill), explained)
    explained = np.where(listed, np.clip(explained, 0, 0.98), np.nan)
    excess = (kappa - explained) / (1 - explained)
    return Excess(explained, excess, _tail(counts, explained, skill, listed))


def _together(group: IntArray) -> Mask:
    """Return which workers are in one group, and each with itself, shape (n, n)."""
    same = (group[:, None] == group) & (group >= 0)
    np.fill_diagonal(same, True)
    return np.asarray(same)


def _tail(counts: Pairs, explained: FloatArray, skill: FloatArray, listed: Mask) -> FloatArray:
    """Return the binomial chance of so many agreements, shape (n, n); 1 for pairs that are not listed.

    Near full agreement a standard error at the share observed is too small by far. A skill of the model's tables is
    itself a share of the worker's answers: m common tasks then count as m / (1 + v) of them, where v is the variance of
    what is explained as a multiple of that of κ.
    """
    product = np.where(listed, explained, 0.0)
    number = np.maximum(np.diag(counts.common), 1)
    known = np.isfinite(skill)
    of_tables = product * counts.common * (1 / number[:, None] + 1 / number)
    share = 1 / (1 + np.where(np.outer(known, known), 0.0, of_tables))
    agreed, common = counts.agreed * counts.common * share, counts.common * share
    rate = counts.chance + (1 - counts.chance) * product
    tail = special.betainc(np.maximum(agreed, 1e-9), np.maximum(common - agreed, 0) + 1, rate)
    return np.asarray(np.where(listed, tail, 1.0))


@dataclass(frozen=True)
class Panel:
    """D workers in pairs, and what follows for the panel.

    Attributes
    ----------
    counts : Pairs
    excess : Excess
    n_workers : int
        Workers with answers, whether compared or not.
    named : integers, shape (n,), or None
        The group of each worker compared that the user named, −1 for none.
    """

    counts: Pairs
    excess: Excess
    n_workers: int
    named: IntArray | None = None

    @classmethod
    def without_pairs(cls) -> Panel:
        """Return a panel of which no pair is known."""
        none = np.zeros((0, 0))
        counts = Pairs(np.zeros(0, dtype=np.intp), none, none, none)
        return cls(counts, Excess(none, none, none), 0)

    def all_explained(self) -> Panel:
        """Return the same where the model says of every pair how often it agrees."""
        kappa = np.where(np.isfinite(self.excess.explained), self.counts.kappa, np.nan)
        none = np.where(np.isfinite(kappa), 0.0, np.nan)
        excess = Excess(kappa, none, np.ones(kappa.shape))
        return replace(self, excess=excess)

    @property
    def left_out(self) -> int:
        """Workers with answers that are not compared, because others have more."""
        return self.n_workers - len(self.counts.sources)

    @property
    def repeats(self) -> npt.NDArray[np.bool_]:
        """Which pairs repeat one another, shape (n, n).

        They have 20 common tasks or more: with fewer, good workers agree by luck. Their excess is 0.3 or more, and
        they agree so often that one such pair in a hundred panels of independent workers is expected (Bonferroni over
        the pairs; see :attr:`Excess.tail`).
        """
        often = np.isfinite(self.excess.explained) & (self.counts.common >= LEAST_COMMON)
        level = 0.01 / max(int(often.sum()) // 2, 1)
        beyond = self.excess.significant & (self.excess.tail < level)
        return often & beyond & (self.excess.excess >= REPEATS)

    @property
    def groups(self) -> list[IntArray]:
        """Workers that repeat one another, as positions 0..D-1: connected groups of two or more, largest first."""
        if not self.repeats.any():
            return []
        from scipy.sparse import csgraph  # brings scipy.linalg

        n_groups, group = csgraph.connected_components(
            sparse.csr_array(self.repeats), directed=False
        )
        order = np.argsort(group, kind="stable")
        sizes = np.bincount(group, minlength=n_groups)
        members = np.split(self.counts.sources[order], np.cumsum(sizes)[:-1]) if n_groups else []
        return sorted((m for m in members if len(m) > 1), key=lambda m: (-len(m), m[0]))

    def is_named(self, group: IntArray) -> bool:
        """Tell whether workers, as positions 0..D-1, are all in one group that the user named."""
        if self.named is None:
            return False
        number = self.named[np.searchsorted(self.counts.sources, group)]
        return bool(number[0] >= 0 and (number == number[0]).all())

    def power(self, n_workers: int) -> FloatArray:
        """Return what an answer counts, shape (D,): 1 / (1 + Σ_j e_ij), so that c copies count as one worker."""
        power = np.ones(n_workers)
        power[self.counts.sources] = 1 / (1 + self.excess.shared.sum(axis=1))
        return power

    @property
    def effective_sources(self) -> float:
        """Kish's effective number of independent sources, D² / Σ_ij e_ij with e_ii = 1.

        It is D / (1 + (D − 1) ē), the effective sample size under a mean intraclass correlation ē (Kish, Survey
        Sampling, 1965): D where all err independently, 1 where all repeat one. Pairs of which nothing is known count
        as independent.
        """
        d = self.n_workers
        return d**2 / (d + float(self.excess.shared.sum())) if d else 0.0


def compare_workers(
    answers: Answers,
    tables: WorkerTables,
    priors: FloatArray,
    counts: Pairs | None = None,
    group: IntArray | None = None,
) -> Panel:
    """Compare workers in pairs, next to a model's tables.

    Parameters
    ----------
    answers : Answers
        By D workers.
    tables : WorkerTables
        Of D workers over K classes.
    priors : shape (K,)
    counts : Pairs, optional
        What the answers say of pairs, where that is known.
    group : integers, shape (D,), optional
        The group of each worker that the user named, −1 for none.
    """
    if counts is None:
        counts = count_pairs(answers)
    few = len(counts.sources) * answers.n_classes**2 <= MOST_CELLS
    confusion = tables.of(counts.sources) if few else None  # else pairs' own agreement tells skills
    named = None if group is None else group[counts.sources]
    excess = excess_agreement(counts, confusion, priors, named)
    n_active = int((ids.tally(answers.worker, answers.n_workers) > 0).sum())
    return Panel(counts, excess, n_active, named)

"""Pairs of workers: how often they agree, how often by chance, and how much more than their skills explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats
from scipy.sparse import csgraph

from deem_crowd.data.answers import Answers
from deem_crowd.selection import dependence

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_WORKERS = 500
"""Of more workers, those with most answers are compared in pairs."""
MIN_COMMON = 10
"""Tasks that two workers have to share for their pair to be listed."""
ENOUGH_COMMON = 20
"""Tasks that two workers have to share before they are said to repeat one another."""
_DENSE_CELLS, _DENSE_GAIN = 2e7, 30.0
_SIGNIFICANT = 3.0
REPEATS = 0.3
"""The excess agreement from which two workers are said to repeat one another."""
_MOST_CELLS = 5e7
"""Of more entries in all confusion tables, the tables do not enter what skills explain."""


@dataclass(frozen=True)
class PairCounts:
    """What the answers say of n workers in pairs.

    Attributes
    ----------
    chosen : integers, shape (n,)
        Which workers, ascending.
    common : shape (n, n)
        Tasks that both answered.
    agreed, chance : shape (n, n)
        The share of those on which their labels are the same, and the share expected if each kept to the frequencies
        that their labels have on the common tasks (Cohen's chance). Zero where nothing is in common.
    """

    chosen: IntArray
    common: FloatArray
    agreed: FloatArray
    chance: FloatArray

    @property
    def kappa(self) -> FloatArray:
        """Cohen's κ, shape (n, n); NaN where two workers share no task or say one and the same label only."""
        room = 1 - self.chance
        defined = (self.common > 0) & (room > 1e-12)
        return np.where(defined, (self.agreed - self.chance) / np.where(defined, room, 1), np.nan)

    def standard_error(self, kappa: FloatArray) -> FloatArray:
        """Return the standard error of κ: √(p (1 − p)) / ((1 − chance) √n), with one agreement and one not added.

        Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969) in the form that takes chance for known.
        """
        rate = (self.agreed * self.common + 1) / (self.common + 2)
        room = np.maximum(1 - self.chance, 1e-3)
        return np.sqrt(rate * (1 - rate) / (self.common + 2)) / room


def count_pairs(answers: Answers, max_workers: int = MAX_WORKERS) -> PairCounts:
    """Compare workers in pairs; of more than ``max_workers`` those with most answers.

    Soft answers count by the chance that draws from the two distributions agree.
    """
    n_answers = np.bincount(answers.worker, minlength=answers.n_workers)
    chosen = np.flatnonzero(n_answers > 0)
    if len(chosen) > max_workers:
        chosen = np.sort(chosen[np.argsort(-n_answers[chosen], kind="stable")[:max_workers]])
    n = len(chosen)
    place = np.full(answers.n_workers, -1)
    place[chosen] = np.arange(n)
    worker = place[answers.worker]
    kept = worker >= 0
    task, worker = answers.task[kept], worker[kept]
    shape = (answers.n_tasks, n)
    met = float((np.bincount(task, minlength=answers.n_tasks).astype(np.float64) ** 2).sum())
    # what the two ways multiply; dense products are faster by far for each
    dense_work = float(answers.n_classes) * shape[0] * n**2
    dense = shape[0] * n <= _DENSE_CELLS and dense_work <= _DENSE_GAIN * met

    def matrix(mass: FloatArray, rows: npt.NDArray[np.bool_] | slice) -> sparse.csr_array:
        built = sparse.csr_array((mass, (task[rows], worker[rows])), shape=shape)
        return built.toarray() if dense else built

    def product(left: sparse.csr_array, right: sparse.csr_array) -> FloatArray:
        found = left.T @ right
        return np.asarray(found if dense else found.toarray(), dtype=np.float64)

    given = matrix(np.ones(len(task)), slice(None))
    common = product(given, given)
    agreed, chance = np.zeros((n, n)), np.zeros((n, n))
    for label in range(answers.n_classes):
        if answers.soft is not None:
            mass = answers.soft[kept, label]
        else:
            mass = (answers.hard_label[kept] == label).astype(np.float64)
        rows = mass > 0
        if not rows.any():
            continue
        one = matrix(mass[rows], rows)
        agreed += product(one, one)
        share = product(one, given) / np.maximum(common, 1)
        chance += share * share.T
    return PairCounts(chosen, common, agreed / np.maximum(common, 1), chance)


@dataclass(frozen=True)
class Excess:
    """How far pairs agree beyond what skills explain.

    Attributes
    ----------
    explained : shape (n, n)
        Chance-corrected agreement that the two skills explain; NaN where neither answers nor a model tell.
    excess : shape (n, n)
        (κ − explained) / (1 − explained): 0 for workers who err independently, 1 for copies.
    significant : booleans, shape (n, n)
        Whether κ is more than three standard errors above what is explained.
    """

    explained: FloatArray
    excess: FloatArray
    significant: npt.NDArray[np.bool_]

    @property
    def shared(self) -> FloatArray:
        """The excess where it is significant, within [0, 1]; zero elsewhere and on the diagonal."""
        shared = np.where(self.significant, np.clip(self.excess, 0, 1), 0.0)
        np.fill_diagonal(shared, 0.0)
        return shared


def excess_agreement(
    counts: PairCounts, confusion: FloatArray | None, priors: FloatArray
) -> Excess:
    """Compare κ of each pair with what the skills of the two explain.

    Workers with enough partners have a skill by agreement alone (:mod:`deem_crowd.selection.dependence`), which no
    clique that the model has followed can bend. For other pairs the model's tables tell how often two independent
    workers would agree.

    Parameters
    ----------
    counts : PairCounts
        Of n workers.
    confusion : shape (n, K, K) as [worker, answer, label], optional
        Of the same workers.
    priors : shape (K,)
    """
    kappa = counts.kappa
    error = counts.standard_error(kappa)
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
    skill = dependence.skills_from_pairs(counts.common, np.where(listed, kappa, 0.0))
    both = np.isfinite(skill)[:, None] & np.isfinite(skill)[None, :]
    explained = np.where(both, np.outer(skill, skill), explained)
    explained = np.where(listed, np.clip(explained, 0, 0.98), np.nan)
    excess = (kappa - explained) / (1 - explained)
    return Excess(explained, excess, listed & (kappa - explained > _SIGNIFICANT * error))


@dataclass(frozen=True)
class Panel:
    """D workers in pairs, and what follows for the panel.

    Attributes
    ----------
    counts : PairCounts
    excess : Excess
    n_workers : int
        Workers with answers, whether compared or not.
    """

    counts: PairCounts
    excess: Excess
    n_workers: int

    @property
    def left_out(self) -> int:
        """Workers with answers that are not compared, because others have more."""
        return self.n_workers - len(self.counts.chosen)

    @property
    def repeats(self) -> npt.NDArray[np.bool_]:
        """Which pairs repeat one another, shape (n, n).

        They have 20 common tasks or more: with fewer, good workers agree by luck. Their excess is 0.3 or more, and so
        far beyond its standard error that one such pair in a hundred panels of independent workers is expected
        (Bonferroni over the pairs).
        """
        kappa = self.counts.kappa
        explained = self.excess.explained
        compared = np.isfinite(explained)
        n_pairs = max(int(compared.sum()) // 2, 1)
        needed = max(_SIGNIFICANT, float(stats.norm.isf(0.01 / n_pairs)))
        beyond = kappa - explained > needed * self.counts.standard_error(kappa)
        often = self.counts.common >= ENOUGH_COMMON
        return compared & often & beyond & (self.excess.excess >= REPEATS)

    @property
    def groups(self) -> list[IntArray]:
        """Workers that repeat one another, as positions 0..D-1: connected groups of two or more, largest first."""
        n_groups, group = csgraph.connected_components(
            sparse.csr_array(self.repeats), directed=False
        )
        order = np.argsort(group, kind="stable")
        sizes = np.bincount(group, minlength=n_groups)
        members = np.split(self.counts.chosen[order], np.cumsum(sizes)[:-1]) if n_groups else []
        return sorted((m for m in members if len(m) > 1), key=lambda m: (-len(m), m[0]))

    def power(self, n_workers: int) -> FloatArray:
        """Return what an answer counts, shape (D,): 1 / (1 + Σ_j e_ij), so that c copies count as one worker."""
        power = np.ones(n_workers)
        power[self.counts.chosen] = 1 / (1 + self.excess.shared.sum(axis=1))
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
    answers: Answers, confusion: FloatArray, priors: FloatArray, max_workers: int = MAX_WORKERS
) -> Panel:
    """Compare workers in pairs, next to a model's tables.

    Parameters
    ----------
    answers : Answers
        By D workers.
    confusion : shape (D, K, K) as [worker, answer, label]
    priors : shape (K,)
    max_workers : int
        Of more workers, those with most answers are compared.
    """
    counts = count_pairs(answers, max_workers)
    tables = confusion[counts.chosen]
    if tables.size > _MOST_CELLS:  # the pairs' own agreement tells the skills
        excess = excess_agreement(counts, None, priors)
    else:
        excess = excess_agreement(counts, tables, priors)
    return Panel(counts, excess, len(np.unique(answers.worker)))

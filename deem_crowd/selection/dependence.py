r"""Do sources repeat one another? Found from how often pairs of them agree, without a label.

If sources err independently given the label, the agreement of two beyond chance is a product of two skills,
r_ij ≈ λ_i λ_j (the rank-one structure behind Parisi et al., PNAS 111, 2014). The λ are fitted to log r_ij by medians
over partners, so that a minority of dependent pairs does not move them; what a pair agrees beyond the product,
relative to what it could,

    e_ij = (r_ij − λ_i λ_j) / (1 − λ_i λ_j)        where it is more than three standard errors,

is dependence. An answer of source i then counts power 1 / (1 + Σ_j e_ij): c exact copies count as one source together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from deem_crowd.data.answers import Answers

FloatArray = npt.NDArray[np.float64]

MIN_COMMON = 30
"""Tasks that two sources have to share before their agreement says anything."""
MAX_SOURCES = 500
"""Of more than so many, those with most answers are looked at."""
MIN_PARTNERS = 3
_SIGNIFICANT, _EXCESS = 2.0, 3.0
_LEAST_POWER, _LEAST_CORRELATION = 0.9, 0.0
"""See :func:`Dependence.contradicts`."""


@dataclass(frozen=True)
class Dependence:
    """What agreement between pairs says of D sources.

    Attributes
    ----------
    power : shape (D,)
        What an answer of each source should count; 1 where nothing speaks against it.
    skill : shape (D,)
        λ: chance-corrected skill from agreement alone; NaN where too few partners are known.
    n_answers : shape (D,)
    """

    power: FloatArray
    skill: FloatArray
    n_answers: FloatArray

    @property
    def mean_power(self) -> float:
        """The mean over answers."""
        total = self.n_answers.sum()
        return float((self.n_answers * self.power).sum() / total) if total else 1.0

    def correlation(self, skills: FloatArray) -> float:
        """Return the correlation of λ with a model's skills, shape (D,), weighted by answers; 1 if unknown."""
        known = np.isfinite(self.skill)
        if known.sum() <= MIN_PARTNERS:
            return 1.0
        weight = self.n_answers[known] / self.n_answers[known].sum()
        x, y = self.skill[known], skills[known]
        x, y = x - (weight * x).sum(), y - (weight * y).sum()
        scale = np.sqrt((weight * x * x).sum() * (weight * y * y).sum())
        return float((weight * x * y).sum() / scale) if scale > 1e-9 else 1.0

    def contradicts(self, skills: FloatArray) -> bool:
        """Tell whether a model with these skills, shape (D,), has taken a group of dependent sources for the truth.

        Dependence alone is no reason to distrust a model: on most ensembles sources depend a little, and are best where
        they agree. A model that follows a clique, however, holds its members for the best of all and everybody else for
        worse than agreement between pairs says.
        """
        return self.mean_power < _LEAST_POWER and self.correlation(skills) < _LEAST_CORRELATION


def measure(answers: Answers) -> Dependence:
    """Compare how often pairs of sources agree with how often independent ones would.

    Parameters
    ----------
    answers : Answers
        Hard or soft; of soft ones the chance that two draws agree counts.
    """
    n_answers = np.bincount(answers.worker, minlength=answers.n_workers).astype(np.float64)
    none = Dependence(np.ones(len(n_answers)), np.full(len(n_answers), np.nan), n_answers)
    chosen = np.flatnonzero(n_answers >= MIN_COMMON)
    if len(chosen) > MAX_SOURCES:
        chosen = np.sort(chosen[np.argsort(-n_answers[chosen], kind="stable")[:MAX_SOURCES]])
    if len(chosen) <= MIN_PARTNERS:
        return none
    common, agreed, chance = _pairs(answers, chosen)
    beyond = (agreed - chance) / np.maximum(1 - chance, 1e-3)
    told, scatter = _telling(common, beyond)
    known = np.flatnonzero(told.any(1))
    if len(known) <= MIN_PARTNERS:
        return none
    part = np.ix_(known, known)
    skill = _one_factor(beyond[part], told[part])
    product = np.outer(skill, skill)
    excess = (beyond[part] - product) / np.maximum(1 - product, 0.02)
    counted = told[part] & (beyond[part] - product > _EXCESS * scatter[part])
    shared = np.where(counted, np.clip(excess, 0, 1), 0).sum(1)
    none.power[chosen[known]] = 1 / (1 + shared)
    none.skill[chosen[known]] = skill
    return none


def skills_from_pairs(common: FloatArray, beyond: FloatArray) -> FloatArray:
    """Return λ, shape (n,), of n sources: chance-corrected skill from agreement alone; NaN where it cannot be told.

    Parameters
    ----------
    common : shape (n, n)
        Tasks that both answered.
    beyond : shape (n, n)
        Agreement beyond chance, relative to what it could be.
    """
    skill = np.full(len(common), np.nan)
    told, _ = _telling(common, beyond)
    known = np.flatnonzero(told.any(1))
    if len(known) > MIN_PARTNERS:
        part = np.ix_(known, known)
        skill[known] = _one_factor(beyond[part], told[part])
    return skill


def _telling(common: FloatArray, beyond: FloatArray) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Return which pairs say something about skills, and the standard error of their agreement, (n, n) each."""
    scatter = np.sqrt(np.maximum(1 - np.clip(beyond, 0, 0.99) ** 2, 0.02) / np.maximum(common, 1))
    told = (common >= MIN_COMMON) & (beyond > _SIGNIFICANT * scatter)
    np.fill_diagonal(told, False)
    return _with_partners(told), scatter


def departure(answers: Answers) -> float:
    """Return by how many standard deviations pairs of sources agree otherwise than by chance; 0 for soft answers.

    Without a label the number of agreements of a pair is binomial, with the chance that the sources' shares of answers
    give, and the squares of its standardised deviations have mean 1. Of more than :data:`MAX_SOURCES` sources those
    with most answers are asked.
    """
    if answers.soft is not None:
        return 0.0
    n_answers = np.bincount(answers.worker, minlength=answers.n_workers)
    chosen = np.sort(np.argsort(-n_answers, kind="stable")[:MAX_SOURCES])
    chosen = chosen[n_answers[chosen] > 0]
    given, by_label = _indicators(answers, chosen)
    common = (given.T @ given).toarray()
    agreed = np.zeros_like(common)
    shares = np.zeros((len(chosen), answers.n_classes))
    for label, named in by_label:
        agreed += (named.T @ named).toarray()
        shares[:, label] = np.asarray(named.sum(0)).ravel()
    shares /= shares.sum(1, keepdims=True)
    chance = shares @ shares.T
    variance = common * chance * (1 - chance)
    pairs = np.triu(variance > 1e-9, 1)
    if not pairs.any():
        return 0.0
    squares = (agreed - common * chance)[pairs] ** 2 / variance[pairs]
    p = chance[pairs]
    # the variance of the square, by the fourth moment of a binomial: 2 + (1 − 6 p (1 − p)) / (n p (1 − p))
    spread = 2 + (1 - 6 * p * (1 - p)) / variance[pairs]
    return float((squares.sum() - len(squares)) / np.sqrt(max(spread.sum(), 1e-9)))


def _indicators(
    answers: Answers, chosen: npt.NDArray[np.intp]
) -> tuple[sparse.csr_matrix, Iterator[tuple[int, sparse.csr_matrix]]]:
    """Return who of n chosen sources answered which task, shape (N, n), and with what mass each label was named.

    Labels that nobody named are left out of the second.
    """
    place = np.full(answers.n_workers, -1)
    place[chosen] = np.arange(len(chosen))
    source = place[answers.worker]
    asked = source >= 0
    source, task = source[asked], answers.task[asked]
    shape = (answers.n_tasks, len(chosen))

    def by_label() -> Iterator[tuple[int, sparse.csr_matrix]]:
        for label in range(answers.n_classes):
            if answers.soft is not None:
                mass = answers.soft[asked, label]
                rows = mass > 0
            else:
                rows = answers.hard_label[asked] == label
                mass = np.ones(len(task))
            if rows.any():
                yield (
                    label,
                    sparse.csr_matrix((mass[rows], (task[rows], source[rows])), shape=shape),
                )

    given = sparse.csr_matrix((np.ones(len(task)), (task, source)), shape=shape)
    return given, by_label()


def _pairs(
    answers: Answers, chosen: npt.NDArray[np.intp]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return for pairs of chosen sources: common tasks, share of agreement, share expected by chance, (n, n) each."""
    n = len(chosen)
    given, by_label = _indicators(answers, chosen)
    common = (given.T @ given).toarray()
    agreed, chance = np.zeros((n, n)), np.zeros((n, n))
    if (common >= MIN_COMMON).sum() == n:  # each with itself alone
        return common, agreed, chance
    for _, named in by_label:
        agreed += (named.T @ named).toarray()
        # how often i says it on the tasks that i shares with j
        share = (named.T @ given).toarray() / np.maximum(common, 1)
        chance += share * share.T
    return common, agreed / np.maximum(common, 1), chance


def _with_partners(told: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep the sources that have enough partners among those that are kept."""
    while True:
        enough = told.sum(1) >= MIN_PARTNERS
        kept = told & enough[:, None] & enough[None, :]
        if (kept == told).all():
            return kept
        told = kept


def _one_factor(beyond: FloatArray, told: npt.NDArray[np.bool_]) -> FloatArray:
    """Return λ, shape (n,), with λ_i λ_j ≈ r_ij for most partners: log λ_i = median_j (log r_ij − log λ_j)."""
    logs = np.where(told, np.log(np.clip(beyond, 1e-3, 0.999)), np.nan)
    found = np.minimum(0.5 * np.nanmedian(logs, axis=1), -0.005)
    for _ in range(60):
        moved = np.minimum(np.nanmedian(logs - found[None, :], axis=1), -0.005)
        if np.abs(moved - found).max() < 1e-4:
            break
        found = 0.5 * (found + moved)
    return np.asarray(np.exp(found))

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

from deem_crowd.selection.pairs import MIN_COMMON, FloatArray, Pairs

MIN_PARTNERS = 3
_SIGNIFICANT, EXCESS = 2.0, 3.0
_MOST_ROUNDS = 40
_MANY_PAIRS = 2**14
"""Pairs from which medians are looked for near those of the round before."""
_REACH, _LEAST_REACH, _FEW_OF = 2.0, 1e-3, 4
"""How far from them, in changes of the round before, and at least; and of how many values there may be one so near."""
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
    support : float
        By how many standard deviations the pairs that do not repeat one another agree more than by chance.
    """

    power: FloatArray
    skill: FloatArray
    n_answers: FloatArray
    support: float = 0.0

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
        worse than agreement between pairs says. Where the other pairs agree no more than by chance there is no second
        label that the model could have missed: a few good sources among guessers look like a clique, too.
        """
        return (
            self.mean_power < _LEAST_POWER
            and self.support > EXCESS
            and self.correlation(skills) < _LEAST_CORRELATION
        )


def measure(counted: Pairs, n_answers: FloatArray) -> tuple[Dependence, Dependence]:
    """Compare how often pairs of sources agree with how often independent ones would, by two estimates of λ.

    The first is by the pairs that agree significantly more than by chance, on the scale of logarithms: it holds for
    many sources, most of which may repeat others. The second is by all pairs (:func:`robust_factor`), so that pairs of
    independent sources count as well where there are few tasks and their agreement is not significant. It takes all
    sources for no worse than chance, and says nothing where one is: where sources are in two camps that contradict each
    other, agreement does not say which of them is right.

    Parameters
    ----------
    counted : Pairs
        Among n of the D sources.
    n_answers : shape (D,)
        Answers of each source.
    """
    none = Dependence(np.ones(len(n_answers)), np.full(len(n_answers), np.nan), n_answers)
    enough = n_answers[counted.sources] >= MIN_COMMON
    if enough.sum() <= MIN_PARTNERS:
        return none, none
    often = counted.common >= MIN_COMMON
    np.fill_diagonal(often, False)
    if not with_partners(often).any():  # both ask such pairs alone
        return none, none
    asked = counted if enough.all() else counted.among(enough)
    return _by_telling_pairs(asked, none), _by_all_pairs(asked, none)


def _by_telling_pairs(counted: Pairs, none: Dependence) -> Dependence:
    beyond = counted.beyond
    told, scatter = _telling(counted.common, beyond)
    skill = skills_from_telling_pairs(counted)
    known = np.isfinite(skill)
    if not known.any():
        return none
    part = np.ix_(known, known)
    return _shared(none, counted.among(known), skill[known], told[part], scatter[part])


def _by_all_pairs(counted: Pairs, none: Dependence) -> Dependence:
    skill = skills_from_pairs(counted)
    known = np.isfinite(skill)
    if not known.any():
        return none
    part, skill = counted.among(known), skill[known]
    asked = part.common >= MIN_COMMON
    np.fill_diagonal(asked, False)
    by_chance = expected_scatter(part.common, part.chance, np.zeros_like(part.common))
    if _below_chance(part, skill, asked, by_chance):
        return none
    scatter = expected_scatter(part.common, part.chance, np.outer(skill, skill))
    return _shared(none, part, skill, asked, scatter)


def _shared(
    none: Dependence,
    counted: Pairs,
    skill: FloatArray,
    asked: npt.NDArray[np.bool_],
    scatter: FloatArray,
) -> Dependence:
    """Return the dependence that follows from λ of n sources, shape (n,), and the pairs that are asked, (n, n)."""
    product, beyond = np.outer(skill, skill), counted.beyond
    excess = (beyond - product) / np.maximum(1 - product, 0.02)
    repeated = asked & (beyond - product > EXCESS * scatter)
    shared = np.where(repeated, np.clip(excess, 0, 1), 0).sum(1)
    power, skills = none.power.copy(), none.skill.copy()
    power[counted.sources], skills[counted.sources] = 1 / (1 + shared), skill
    return Dependence(power, skills, none.n_answers, support_of(counted, ~repeated))


def _below_chance(
    counted: Pairs, skill: FloatArray, asked: npt.NDArray[np.bool_], scatter: FloatArray
) -> bool:
    """Tell whether a source agrees with all others, weighed by their skills, less than by chance: by three errors."""
    precision = np.where(asked, 1 / scatter**2, 0.0)
    together = (precision * counted.beyond) @ skill
    return bool((together < -EXCESS * np.sqrt(precision @ skill**2)).any())


def support_of(counted: Pairs, chosen: npt.NDArray[np.bool_]) -> float:
    """Return by how many standard deviations chosen pairs, shape (n, n), agree more than by chance, all together."""
    pairs = np.triu(chosen & (counted.common >= MIN_COMMON), 1)
    by_chance = expected_scatter(counted.common, counted.chance, np.zeros_like(counted.common))
    deviations = (counted.beyond / by_chance)[pairs]
    return float(deviations.sum() / np.sqrt(len(deviations))) if len(deviations) else 0.0


def skills_from_telling_pairs(counted: Pairs) -> FloatArray:
    """Return λ, shape (n,), from the pairs that agree significantly; NaN where a source has too few of them."""
    told, _ = _telling(counted.common, counted.beyond)
    known = np.flatnonzero(told.any(1))
    skill = np.full(len(told), np.nan)
    if len(known) > MIN_PARTNERS:
        part = np.ix_(known, known)
        skill[known] = _one_factor(counted.beyond[part], told[part])
    return skill


def skills_from_pairs(counted: Pairs) -> FloatArray:
    """Return λ, shape (n,): chance-corrected skill of n sources from agreement alone; NaN where it cannot be told.

    It is fitted to all pairs with enough tasks in common (:func:`robust_factor`). Not to be changed.
    """
    if "skill" not in counted.known:
        asked = counted.common >= MIN_COMMON
        np.fill_diagonal(asked, False)
        counted.known["skill"] = skills_by(counted, asked)
    return counted.known["skill"]


def skills_by(counted: Pairs, asked: npt.NDArray[np.bool_]) -> FloatArray:
    """Return λ, shape (n,), from those of the pairs asked, shape (n, n), whose sources have enough partners."""
    asked = with_partners(asked)
    known = np.flatnonzero(asked.any(1))
    skill = np.full(len(asked), np.nan)
    if len(known) > MIN_PARTNERS:
        part = np.ix_(known, known)
        skill[known] = robust_factor(
            counted.common[part], counted.chance[part], counted.beyond[part], asked[part]
        )
    return skill


def _telling(common: FloatArray, beyond: FloatArray) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Return which pairs say something about skills, and the standard error of their agreement, (n, n) each."""
    scatter = np.sqrt(np.maximum(1 - np.clip(beyond, 0, 0.99) ** 2, 0.02) / np.maximum(common, 1))
    told = (common >= MIN_COMMON) & (beyond > _SIGNIFICANT * scatter)
    np.fill_diagonal(told, False)
    return with_partners(told), scatter


def with_partners(told: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which pairs, shape (n, n), are of sources that have enough partners among those that are kept."""
    while True:
        enough = told.sum(1) >= MIN_PARTNERS
        kept = told & enough[:, None] & enough[None, :]
        if (kept == told).all():
            return kept
        told = kept


def _one_factor(beyond: FloatArray, told: npt.NDArray[np.bool_]) -> FloatArray:
    """Return λ, shape (n,), with λ_i λ_j ≈ r_ij for most partners: log λ_i = median_j (log r_ij − log λ_j)."""
    logs = np.where(told, np.log(np.clip(beyond, 1e-3, 0.999)), np.nan)
    log_share = np.minimum(0.5 * _known_medians(logs), -0.005)
    for _ in range(60):
        moved = np.minimum(_known_medians(logs - log_share[None, :]), -0.005)
        if np.abs(moved - log_share).max() < 1e-4:
            break
        log_share = 0.5 * (log_share + moved)
    return np.asarray(np.exp(log_share))


def _known_medians(values: FloatArray) -> FloatArray:
    """Return the median of the numbers of each row, shape (n,), of which each has some: in less time than numpy's."""
    number = np.isfinite(values).sum(1)
    order, row = np.sort(values, axis=1), np.arange(len(values))  # NaN stand last
    middle: FloatArray = (order[row, (number - 1) // 2] + order[row, number // 2]) / 2
    return middle


def robust_factor(
    common: FloatArray, chance: FloatArray, beyond: FloatArray, asked: npt.NDArray[np.bool_]
) -> FloatArray:
    """Return λ, shape (n,), with λ_i λ_j ≈ r_ij for most of the pairs asked: λ_i = median_j r_ij / λ_j.

    Medians are weighted by λ_j² and the number of common tasks, the inverse variance of r_ij / λ_j. The descent starts
    from means over the pairs without those that agree most, a quarter or a half of them, which may be copies; of the
    two ends the one counts whose squared standardised residuals, cut off at 9, have the smaller sum. All arrays have
    shape (n, n); sources without a pair asked get the smallest λ.
    """
    agreement = np.clip(beyond, -0.3, 0.999)
    best, least = np.zeros(len(common)), np.inf
    for start in _starts(agreement, asked):
        skill = _by_medians(agreement, np.where(asked, common, 0.0), start)
        residual = agreement - np.outer(skill, skill)
        scatter = expected_scatter(common, chance, np.outer(skill, skill))
        misfit = np.minimum((residual / scatter)[asked] ** 2, EXCESS**2).sum()
        if misfit < least:
            best, least = skill, misfit
    return best


def expected_scatter(common: FloatArray, chance: FloatArray, product: FloatArray) -> FloatArray:
    """Return the standard error of pairs' agreement beyond chance where it is λ_i λ_j, shape (n, n)."""
    agreed = chance + (1 - chance) * product
    variance = np.clip(agreed * (1 - agreed), 0.01, None) / np.maximum(common, 1)
    return np.asarray(np.sqrt(variance) / np.maximum(1 - chance, 1e-3))


def _starts(agreement: FloatArray, asked: npt.NDArray[np.bool_]) -> Iterator[FloatArray]:
    for share in (0.75, 0.5):
        kept = asked & (agreement <= np.quantile(agreement[asked], share))
        mean = np.where(kept, np.clip(agreement, 0, 1), 0).sum(1) / np.maximum(kept.sum(1), 1)
        yield np.clip(mean / np.sqrt(max(mean.mean(), 1e-3)), 0.02, 0.99)


def _by_medians(agreement: FloatArray, weight: FloatArray, skill: FloatArray) -> FloatArray:
    middle, reach = np.zeros(len(skill)), np.full(len(skill), np.inf)
    for _ in range(_MOST_ROUNDS):
        found = weighted_medians(agreement / skill, weight * skill**2, middle, reach)
        reach = _REACH * np.abs(found - middle) + _LEAST_REACH
        middle = found
        moved = np.clip(middle, 0.005, 0.995)
        if np.abs(moved - skill).max() < 1e-4:
            break
        skill = (skill + moved) / 2
    return skill


def weighted_medians(
    values: FloatArray, weight: FloatArray, guess: FloatArray, reach: FloatArray
) -> FloatArray:
    """Return the weighted median of each row, shape (n,): the least value up to which half of the weight lies.

    Where the median lies within ``reach`` of a guess, shape (n,) each, the few values there are put in order only.
    ``values`` and ``weight`` have shape (n, m).
    """
    half, nothing = weight.sum(1) / 2, np.zeros(len(values))
    if values.size < _MANY_PAIRS or not np.isfinite(reach).all():
        return _medians(values, weight, nothing, half)
    below = values <= (guess - reach)[:, None]
    near = (values <= (guess + reach)[:, None]) & ~below & (weight > 0)
    before, number = (weight * below).sum(1), near.sum(1)
    there = (before < half) & (number <= values.shape[1] // _FEW_OF)
    near &= there[:, None]
    number[~there] = 0
    row, column = np.nonzero(near)
    place = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    shape = len(values), int(number.max(initial=0)) + 1
    some, counts = np.full(shape, np.inf), np.zeros(shape)
    some[row, place], counts[row, place] = values[row, column], weight[row, column]
    there &= half <= before + counts.sum(1)
    found = _medians(some, counts, before, half)
    far = ~there
    found[far] = _medians(values[far], weight[far], nothing[far], half[far])
    return found


def _medians(
    values: FloatArray, weight: FloatArray, before: FloatArray, half: FloatArray
) -> FloatArray:
    """Return the least value of each row up to which, with the weight ``before`` it, half of the weight lies."""
    order = np.argsort(values, axis=1)  # in which order equal values stand makes no difference
    mass = np.take_along_axis(weight, order, 1).cumsum(1) + before[:, None]
    row = np.arange(len(order))
    middle: FloatArray = values[row, order[row, (mass >= half[:, None]).argmax(1)]]
    return middle

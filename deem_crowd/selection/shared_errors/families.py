r"""Families: sources that share errors, such as variants of one model or prompts of one judge, found from pairs alone.

A table a worker takes sources that agree closely for good ones. Where they agree because they share errors, the model
follows them: of two copies and three independent judges the copies are right, it says, whatever the three say. Here
that is noticed in five steps.

1. *Partitions* into families and single sources. Residuals of an additive fit of pairs' agreement, of one factor
   fitted to all pairs, and of one fitted to those that agree most, are joined by average linkage; then skills are
   fitted to the pairs across families, and what is left is joined anew, three times at most. Each family of the
   first start alone, with everybody else single, is tried as well.
2. *Skills across*. λ_i λ_j ≈ r_ij over the pairs across families only (:func:`dependence.robust_factor`). A partition
   explains the answers where the mean squared standardised residual of these pairs, cut off at 9, is below 1, and
   where they agree more than by chance, all together: a few good sources among guessers are no family.
3. *Flattery*. A model that has followed a family F rates it higher, compared with all others, than λ does:

       mean of (s_i − λ_i) over F  −  mean of (s_i − λ_i) over all others  >  0.1,  by two standard errors,

   with the model's chance-corrected skills s. Where the model has found the label, λ of copies is too large if
   anything, and the difference is not above zero.
4. *What is left over*. Skills of sources that confuse different classes are no single factor, so that independent
   sources may look like families. But then the model's own tables, from its posterior, say how often pairs agree. A
   model that has followed a family cannot say why the pairs outside it agree: with z the deviation of such a pair from
   what the tables say, Σ z / √M over the M pairs is above 3.
5. *Which side is right* cannot be told from the answers: c sources that agree closely and m that agree loosely look
   the same whether the c repeat one another, or the m share errors and the c are good. What is likelier beforehand
   decides. A family is one only if it is no larger than the number of other families and single sources; if its
   members are, by their agreement with others, no better than the best of these, less its standard error; and if no
   other partition explains the answers with fewer pairs inside families and does not contradict the model.

The families then count as if the user had named them (:mod:`deem_crowd.selection.shared_errors.groups`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deem_crowd.selection.pairs import MIN_COMMON, FloatArray, Pairs
from deem_crowd.selection.shared_errors import dependence, linkage
from deem_crowd.selection.shared_errors.dependence import MIN_PARTNERS

IntArray = npt.NDArray[np.int64]

MOST_SOURCES = 50
"""Among more sources that share enough tasks some seem to be a family by chance, and joining them takes long."""
_JOINED, _ERRORS = 3.0, 2.0
"""Standard errors: of residuals that are joined, and of flattery."""
_MISFIT, _CUT = 1.0, 9.0
_FLATTERED, _ALIKE = 0.1, 0.05
_ROUNDS = 3
_LITTLE = 1e-3


@dataclass(frozen=True)
class Partition:
    """Families among n sources.

    Attributes
    ----------
    family : shape (n,)
        Number of the family, −1 for single sources.
    skill, error : shape (n,)
        λ from the pairs across families, and its standard error.
    support : float
        By how many standard deviations these pairs agree more than by chance.
    misfit : float
        Squared standardised residuals of these pairs, cut off at 9: the mean.
    """

    family: IntArray
    skill: FloatArray
    error: FloatArray
    support: float
    misfit: float

    @property
    def sizes(self) -> IntArray:
        """Members of each family."""
        return np.bincount(self.family[self.family >= 0])

    @property
    def n_inside(self) -> int:
        """Pairs inside families."""
        return int((self.sizes * (self.sizes - 1) // 2).sum())

    def explains(self, counts: FloatArray) -> bool:
        """Whether pairs across families fit and say something, and none is larger than the number of the others.

        ``counts``, shape (n,), says how many sources each single one stands for among the others; their sum is rounded.
        """
        others = len(self.sizes) + round(float(counts[self.family < 0].sum())) - 1
        fits = self.misfit < _MISFIT and self.support > dependence.EXCESS
        return fits and 0 < self.sizes.max(initial=0) <= others


class _Flattery(NamedTuple):
    """By how much a model rates a family higher than pairs do, and its lower bound."""

    difference: float
    least: float


_NONE = _Flattery(-np.inf, -np.inf)


def find(counted: Pairs, skills: FloatArray, power: FloatArray | None = None) -> IntArray | None:
    """Return the number of each worker's family, shape (D,), −1 for none; None where the model flatters no family.

    Parameters
    ----------
    counted : Pairs
        Among n of the D workers.
    skills : shape (D,)
        Chance-corrected skills by the model.
    power : shape (D,), optional
        What an answer of each worker counts in the model, and how many sources the worker stands for; 1 if omitted.
        Where groups are known, ``counted`` has no common tasks for pairs inside them.
    """
    part = asked(counted)
    if part is None:
        return None
    n_answers, by_model = np.diag(part.common), skills[part.sources]
    counts = np.ones(len(by_model)) if power is None else power[part.sources]
    known = [one for one in partitions(part) if one.explains(counts)]
    flattered = [(one, _flattery(one, by_model, n_answers)) for one in known]
    against = [(one, by) for one, by in flattered if by.least > _FLATTERED]
    if not against:
        return None
    simplest = min(one.n_inside for one, _ in against)
    if any(one.n_inside < simplest for one, by in flattered if by.least <= _FLATTERED):
        return None
    most = max(by.difference for _, by in against)
    chosen = min(
        (one for one, by in against if by.difference > most - _ALIKE), key=lambda one: one.misfit
    )
    family = np.full(len(skills), -1)
    family[part.sources] = chosen.family
    return family


def left_over(counted: Pairs, family: IntArray, counts: FloatArray, priors: FloatArray) -> float:
    """Return by how many standard deviations pairs outside families agree more than a model's tables say, in total.

    Parameters
    ----------
    counted : Pairs
        Among n of the D workers.
    family : shape (D,)
    counts : shape (D, K, K)
        Expected answers of each worker by label under the model's posterior, [worker, answer, label].
    priors : shape (K,)
        Shares of the classes under it.
    """
    table = counts[counted.sources] + _LITTLE
    table = table / table.sum(1, keepdims=True)
    n = len(table)
    agreed = (table * priors).reshape(n, -1) @ table.reshape(n, -1).T
    spread = np.sqrt(np.maximum(agreed * (1 - agreed), 1e-4) / np.maximum(counted.common, 1))
    asked = np.triu(_enough(counted) & ~linkage.together(family[counted.sources]), 1)
    deviations = ((counted.agreed - agreed) / spread)[asked]
    return float(deviations.sum() / np.sqrt(len(deviations))) if len(deviations) else 0.0


def described(family: IntArray) -> str:
    """Say how many families there are, and how large they are."""
    found, several = counted_sizes(family)
    followed = "one of them" if several else "it"
    agree = "agree" if several else "agrees"
    return (
        f"as {found} {agree} more often than skills explain, and the model had followed {followed}"
    )


def counted_sizes(family: IntArray) -> tuple[str, bool]:
    """Say how many families there are, and how large; and whether there are several."""
    sizes = sorted(np.bincount(family[family >= 0]).tolist(), reverse=True)
    number = f"{len(sizes)} families" if len(sizes) > 1 else "one family"
    return f"{number} (of {', '.join(map(str, sizes))})", len(sizes) > 1


def partitions(part: Pairs) -> list[Partition]:
    """Return partitions into families that pairs suggest, each of them once."""
    found: dict[bytes, Partition] = {}
    for start in _starts(part):
        family = start
        for _ in range(_ROUNDS):
            if family.tobytes() in found:
                break
            one = _across(part, family)
            if one is None:
                break
            found[family.tobytes()] = one
            family = _joined(part, one.skill)
    return list(found.values())


def asked(counted: Pairs, most: int = MOST_SOURCES) -> Pairs | None:
    """Return the pairs among the sources that share enough tasks with enough others; None for too few or too many."""
    known = np.asarray(dependence.with_partners(_enough(counted)).any(1))
    return counted.among(known) if MIN_PARTNERS < known.sum() <= most else None


def _starts(part: Pairs) -> Iterator[IntArray]:
    enough = _enough(part)
    weight = np.where(enough, 1 / part.standard_error() ** 2, 0.0)
    agreement = np.clip(part.beyond, -0.5, 0.999)
    additive = linkage.joined(linkage.centred(agreement, weight), weight, _ERRORS)
    starts = [numbers(additive, len(enough)), np.full(len(enough), -1)]
    skill = dependence.skills_from_telling_pairs(part)
    if np.isfinite(skill).all():
        starts.append(_joined(part, skill))
    yield from starts
    if starts[0].max() > 0:
        yield from (np.where(starts[0] == number, 0, -1) for number in range(starts[0].max() + 1))


def _enough(part: Pairs) -> npt.NDArray[np.bool_]:
    asked = part.common >= MIN_COMMON
    np.fill_diagonal(asked, False)
    return asked


def numbers(groups: list[list[int]], n: int) -> IntArray:
    """Return the number of each source's group, shape (n,), −1 for groups of one."""
    family = np.full(n, -1)
    for number, members in enumerate(one for one in groups if len(one) > 1):
        family[members] = number
    return family


def _joined(part: Pairs, skill: FloatArray) -> IntArray:
    """Return the families that what pairs agree beyond λ_i λ_j suggests, shape (n,)."""
    product = np.outer(skill, skill)
    scatter = dependence.expected_scatter(part.common, part.chance, product)
    weight = np.where(_enough(part), 1 / scatter**2, 0.0)
    return numbers(linkage.joined(part.beyond - product, weight, _JOINED), len(skill))


def _across(part: Pairs, family: IntArray) -> Partition | None:
    """Fit λ to the pairs across families; None where a source has too few partners there."""
    across = dependence.with_partners(_enough(part) & ~linkage.together(family))
    if not across.any(1).all():
        return None
    skill = dependence.robust_factor(part.common, part.chance, part.beyond, across)
    product = np.outer(skill, skill)
    scatter = dependence.expected_scatter(part.common, part.chance, product)
    residual = ((part.beyond - product) / scatter)[np.triu(across, 1)]
    # a median is 1.25 times as uncertain as a mean, √(π / 2)
    precision = np.where(across, (skill / scatter) ** 2, 0.0).sum(1)
    error = np.sqrt(np.pi / 2 / np.maximum(precision, 1e-9))
    misfit = float(np.minimum(residual**2, _CUT).mean())
    return Partition(family, skill, error, dependence.support_of(part, across), misfit)


def _flattery(one: Partition, by_model: FloatArray, n_answers: FloatArray) -> _Flattery:
    """Return the largest flattery among families that are no better than the best of the others."""
    higher = by_model - one.skill
    variance = one.error**2 + np.maximum(1 - np.clip(by_model, 0, 1) ** 2, 0.02) / n_answers
    largest = _NONE
    for number in range(len(one.sizes)):
        inside = one.family == number
        if one.skill[inside].mean() > (one.skill - one.error)[~inside].max():
            continue
        difference, square = 0.0, 0.0
        for chosen, sign in ((inside, 1), (~inside, -1)):
            share = n_answers[chosen] / n_answers[chosen].sum()
            difference += sign * float(share @ higher[chosen])
            square += float(share**2 @ variance[chosen])
        least = difference - _ERRORS * square**0.5
        if least > largest.least:
            largest = _Flattery(difference, least)
    return largest

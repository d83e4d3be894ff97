r"""Find families of judges whose scores share errors, such as variants of one model, from pairwise correlations alone.

One factor gives r_ij = λ_i λ_j for judges i and j that err independently. Pairs inside a family are correlated beyond
that, and a factor fitted to all pairs follows the largest family. So λ is fitted to the pairs across families only.

Candidate partitions come from average linkage of the residuals of an additive fit of r, and of λ_i λ_j, which joins
from :data:`_JOINED` standard errors on, repeated up to :data:`_ROUNDS` times; having no families is one of them. The
partition is chosen that minimises

    ½ Σ z_ij²  +  log N · (pairs inside families),        z_ij = (r_ij − λ_i λ_j) √n_ij / (1 − λ_i² λ_j²),

where the sum runs over all i ≠ j of different families and n_ij is the number of common tasks: each pair inside has a
number of its own (Schwarz, *Annals of Statistics* 6, 1978, for twice the half-likelihood). No family may be larger than
the number of other families and single judges, the pairs across have to show a label, those among the judges outside
any one family as well (a few good judges beside guessers are no family), and the mean partial correlation inside is
:data:`_SHARED` at least.

A partition whose pairs across show a label, but that fails another of these conditions, is doubtful: its families may
be a few good judges beside others that share errors. Where the mean correlations are a inside a family, b among the
others and c between the two, either has errors in common if a b > c², and nothing else in the correlations says which;
so the others are tried as a family, too. Doubtful partitions with a smaller sum than the best of the rest are returned
beside it, and :mod:`deem_crowd.selection.one_factor` chooses by whether answers then gather around as many points as
there are classes.

m scores of a family with partial correlation ρ given the label are worth m / (1 + (m − 1) ρ) independent ones (Kish,
*Survey Sampling*, 1965). Errors that *all* judges share equally look like the label, and are not seen here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from deem_crowd.selection.pairs import MIN_COMMON, FloatArray
from deem_crowd.selection.shared_errors import groups, linkage
from deem_crowd.selection.shared_errors.families import MOST_SOURCES, IntArray, numbers

LEVEL = 2.33
"""1 % of answers without a label exceed it."""
_SHARED = 0.7
_JOINED, _ROUNDS, _LEAST_LEFT = 3.0, 4, 0.02
_MOST_DOUBTFUL = 8
"""Doubtful partitions that are returned, those with the smallest sums: each is read from all answers."""
_PRIOR_TASKS = 100.0
"""ν: as many common tasks hold each λ near their mean."""
_LARGEST = 0.97
_STEPS, _SETTLED = 100, 1e-7


@dataclass(frozen=True)
class Partition:
    """Judges in families.

    Attributes
    ----------
    family : shape (D,)
        Number of the family, −1 for single judges.
    loading : shape (D,)
        λ, from the pairs across families.
    power : shape (D,)
        What a score of each judge counts.
    doubtful : tuple of Partition
        Partitions that explain the correlations better, but whose families may be a few good judges; best first.
    """

    family: IntArray
    loading: FloatArray
    power: FloatArray
    doubtful: tuple[Partition, ...] = ()


def shows_label(common: FloatArray, product: FloatArray) -> bool:
    """Whether pairs agree more than without a label: common tasks and sums of products, shape (D, D) each."""
    return bool(product.sum() > LEVEL * np.sqrt(2 * common.sum()))


def find(
    common: FloatArray, product: FloatArray, number: FloatArray, given: IntArray | None = None
) -> Partition:
    """Return the families among D judges; none if the evidence does not support any.

    Parameters
    ----------
    common, product : shape (D, D), 0 on the diagonal
        Common tasks of two judges, and the sum over them of products of their standardised scores.
    number : shape (D,)
        Scores of each judge.
    given : shape (D,), optional
        Number of the family that the user names for each judge, −1 for none. If pairs across these families show a
        label, λ and further families come from such pairs alone. Members count less as far as they share errors.
    """
    correlation = product / np.maximum(common, 1)
    price = np.log(max(float(number.max()), 2.0))
    named = np.zeros(common.shape, dtype=bool) if given is None else linkage.together(given)
    apart = np.where(named, 0.0, common)
    if not shows_label(apart, apart * correlation):
        apart = common
    single = np.full(len(common), -1)
    best, least = (single, loadings(apart, apart * correlation)), np.inf
    doubtful: list[tuple[float, IntArray, FloatArray]] = []
    counts = np.ones(len(common))
    if given is not None:
        counts = _power(_told(given, best[1], common, correlation), common, number)
    suggested: Iterable[IntArray] = (single,)
    if len(common) <= MOST_SOURCES:
        suggested = _suggested(apart, correlation)
    for family in suggested:
        inside = linkage.together(family)
        across = np.where(inside, 0.0, apart)
        if not shows_label(across, across * correlation):
            continue
        usual = _may_be(family, counts) and _others_show(family, across, correlation)
        loading = loadings(across, across * correlation)
        z = np.where(inside, 0.0, _deviations(apart, correlation, loading))
        cost = float((z**2).sum() / 2 + price * inside.sum() / 2)
        if not usual or _least_shared(family, _partial(correlation, loading)) < _SHARED:
            doubtful.append((cost, family, loading))
        elif cost < least:
            best, least = (family, loading), cost

    def counted(
        family: IntArray, loading: FloatArray, beside: tuple[Partition, ...] = ()
    ) -> Partition:
        shared = np.where(linkage.together(family), _partial(correlation, loading), 0.0)
        if given is not None:
            shared = np.maximum(shared, _told(given, loading, common, correlation))
        return Partition(family, loading, _power(shared, common, number), beside)

    likelier = sorted((one for one in doubtful if one[0] < least), key=lambda one: one[0])
    return counted(*best, tuple(counted(*one[1:]) for one in likelier[:_MOST_DOUBTFUL]))


def loadings(common: FloatArray, product: FloatArray) -> FloatArray:
    """Return λ, shape (D,), by minimising over one after the other."""
    usual = np.sqrt(min(max(product.sum(), 0.0) / common.sum(), _LARGEST**2))
    loading = np.full(len(common), usual)
    for _ in range(_STEPS):
        before = loading.copy()
        for i in range(len(loading)):
            best = product[i] @ loading + _PRIOR_TASKS * usual
            best /= common[i] @ loading**2 + _PRIOR_TASKS
            loading[i] = min(max(best, 0.0), _LARGEST)
        if np.abs(loading - before).max() < _SETTLED:
            break
    return loading


def _suggested(common: FloatArray, correlation: FloatArray) -> Iterator[IntArray]:
    """Yield partitions, each once, the one without families first."""
    known = np.where(common >= MIN_COMMON, common, 0.0)
    additive = linkage.centred(np.clip(correlation, -0.5, 0.999), known)
    first = numbers(linkage.joined(additive, known, _JOINED), len(common))
    starts = [np.full(len(common), -1), first]
    if first.max() > 0:
        starts += [np.where(first == one, 0, -1) for one in range(first.max() + 1)]
    seen = set()
    for family in starts:
        for _ in range(_ROUNDS):
            if family.tobytes() in seen:
                break
            seen.add(family.tobytes())
            yield family
            # either a single family or the others beside it may be the ones that share errors
            rest = np.where(family < 0, 0, -1)
            if family.max() == 0 and rest.tobytes() not in seen:
                seen.add(rest.tobytes())
                yield rest
            across = np.where(linkage.together(family), 0.0, common)
            if across.sum() == 0:
                break
            loading = loadings(across, across * correlation)
            weight = np.where(known > 0, known / _left(loading) ** 2, 0.0)
            residual = correlation - np.outer(loading, loading)
            family = numbers(linkage.joined(residual, weight, _JOINED), len(common))


def _may_be(family: IntArray, counts: FloatArray) -> bool:
    """Whether no family is larger than the number of the others, of which there are two at least.

    ``counts``, shape (D,), says how many judges each single one stands for among the others; their sum is rounded.
    """
    sizes = np.bincount(family[family >= 0])
    others = len(sizes) + round(float(counts[family < 0].sum())) - 1
    return others >= 2 and int(sizes.max(initial=0)) <= others


def _others_show(family: IntArray, across: FloatArray, correlation: FloatArray) -> bool:
    """Whether the judges outside each family show a label by themselves: beside guessers, good judges are no family."""
    shown = []
    for one in range(family.max() + 1):
        others = np.ix_(family != one, family != one)
        shown.append(shows_label(across[others], (across * correlation)[others]))
    return all(shown)


def _left(loading: FloatArray) -> FloatArray:
    """Return 1 − λ_i² λ_j², shape (D, D): the standard error of a correlation times √n."""
    return np.maximum(1 - np.outer(loading, loading) ** 2, _LEAST_LEFT)


def _deviations(common: FloatArray, correlation: FloatArray, loading: FloatArray) -> FloatArray:
    """Return z, shape (D, D); 0 where two judges have too few tasks in common."""
    residual = (correlation - np.outer(loading, loading)) * np.sqrt(common) / _left(loading)
    return np.asarray(np.where(common >= MIN_COMMON, residual, 0.0))


def _told(
    given: IntArray, loading: FloatArray, common: FloatArray, correlation: FloatArray
) -> FloatArray:
    """Return the correlation given the label, shape (D, D), inside families that the user names, the mean of each.

    What the user says counts as much as in :mod:`deem_crowd.selection.shared_errors.groups`.
    """
    told, partial = np.zeros(common.shape), _unbounded(correlation, loading)
    for one in range(given.max() + 1):
        inside = linkage.together(np.where(given == one, 0, -1))
        tasks, shared = common[inside].sum() / 2, (common * partial)[inside].sum() / 2
        mean = (groups.TOLD * MIN_COMMON + shared) / (MIN_COMMON + tasks)
        told[inside] = min(max(mean, 0.0), 1.0)
    return told


def _power(shared: FloatArray, common: FloatArray, number: FloatArray) -> FloatArray:
    """Return 1 / (1 + c ρ), shape (D,), with c other members a task on average, from ρ of pairs, shape (D, D)."""
    return np.asarray(1 / (1 + (common * shared).sum(1) / np.maximum(number, 1)))


def _partial(correlation: FloatArray, loading: FloatArray) -> FloatArray:
    """Return the correlation given the label, shape (D, D), in [0, 1]."""
    return np.clip(_unbounded(correlation, loading), 0, 1)


def _unbounded(correlation: FloatArray, loading: FloatArray) -> FloatArray:
    within = np.sqrt(np.outer(1 - loading**2, 1 - loading**2))
    return np.asarray((correlation - np.outer(loading, loading)) / within)


def _least_shared(family: IntArray, partial: FloatArray) -> float:
    """Return the least mean partial correlation of a family; 1 where there is none."""
    inside = linkage.together(family)
    each = [partial[inside & (family == one)[:, None]].mean() for one in range(family.max() + 1)]
    return float(min(each, default=1.0))

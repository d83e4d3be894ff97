r"""Namings that the default model confirms, and the mean over them.

A naming of the sources comes from a partition; the default model labels under it, and its labels say how each source's
names match. A naming is settled where that changes nothing. Several may be: each counts

    w ∝ exp(R · bound),        R answers, bound of the evidence in nats per answer

(Bayesian model averaging, all namings equally likely beforehand). Where a part of the tasks is linked loosely to the
rest, namings under which the sources share errors are tried too, and count by that model's bound if it is the larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from deem_crowd.clustering.averaging import averaged
from deem_crowd.clustering.growing import grown
from deem_crowd.clustering.latent import Fit, source_sums
from deem_crowd.clustering.naming import centred, columns_of, naming_of, relabelled
from deem_crowd.clustering.one_accuracy import one_accuracy
from deem_crowd.clustering.own_names import FloatArray, OwnNames
from deem_crowd.clustering.relinking import relinked
from deem_crowd.clustering.spectrum import typical_names

_SETTLED = 20_000
"""Up to so many answers namings are settled; beyond, the default model labels once under each of a few."""
_CONTENDERS = 4
"""Partitions of either kind: tables around a naming, and, where namings are settled, one accuracy for each source."""
_GROWN, _ROUNDS = 3, 5

Labelled = tuple[FloatArray, float]
"""Probabilities of the default model, and the bound of its evidence in nats per answer."""


def best_named(
    own: OwnNames, fits: Sequence[Fit], compare: bool, rng: np.random.Generator
) -> FloatArray:
    """Return the default model's probabilities under common names, shape (N, K), or those of the best fit.

    Tables are drawn around a naming from each of the fits. With ``compare``, the default model is fitted under the
    namings of several different partitions: of few answers settled ones, also of partitions that grow from a source and
    of those with one accuracy for each source, and their mean is returned; of more, the one with the largest bound of
    its evidence. Sources that merge classes lack names for some, which no naming can express: where a typical
    source does, and the default model has lost a class or has a smaller bound than the first fit, the probabilities are
    those of the fit.

    Parameters
    ----------
    own : OwnNames
        N tasks; no source has more than K names.
    fits : sequence of Fit
        Of the same K, the largest bound first.
    compare : bool
    rng : Generator
        Draws how loosely linked parts may be matched.
    """
    telling, fit = _telling(own, fits[0]), fits[0]
    labelled, n_answers = _named(telling, fits, compare, rng), telling.answers.n_answers
    # a table of one name adds nothing to a bound: that of the fit is of the same answers
    largest = n_answers * max(bound for _, bound in labelled)
    probabilities = mean(labelled, n_answers)
    if typical_names(own) >= fit.posterior.shape[1] or not np.isfinite(largest):
        return probabilities
    lost = _used(probabilities) < _used(fit.posterior)
    return fit.posterior if lost or fit.bound > largest else probabilities


def _telling(own: OwnNames, fit: Fit) -> OwnNames:
    """Leave out sources with one name of which no class has half: they tell nothing apart, and match no class.

    A source with few answers may have met one class only; its name then stands for that class.
    """
    alone = (source_sums(own) @ np.ones(len(own.source)) == 1)[own.source]
    telling = ~(alone & (fit.counts.max(1) < fit.counts.sum(1) / 2))
    if telling.all() or len(np.unique(own.source[telling])) < 2:
        return own
    kept = np.isin(own.answers.worker, own.source[telling])
    return replace(
        own,
        answers=own.answers.select(rows=kept),
        indicator=own.indicator[:, telling],
        source=own.source[telling],
        label=own.label[telling],
    )


def _used(probabilities: FloatArray) -> int:
    """Return the number of classes that are some task's likeliest."""
    return len(np.unique(probabilities.argmax(1)))


def _named(
    own: OwnNames, fits: Sequence[Fit], compare: bool, rng: np.random.Generator
) -> list[Labelled]:
    """Return what the default model says under the namings that count; see :func:`best_named`."""
    drawn = [centred(own, fit.posterior, fit.start) for fit in fits]
    if not compare:
        return [relabelled(own, max(drawn, key=lambda fit: fit.bound).posterior)]
    n_answers, k = own.answers.n_answers, fits[0].posterior.shape[1]
    if n_answers > _SETTLED:
        kept = _best(drawn)
        return [max((relabelled(own, fit.posterior) for fit in kept), key=lambda one: one[1])]
    partitions = grown(own, k, _GROWN)
    drawn += [centred(own, partition, "grown") for partition in partitions]
    starts = [*partitions, *(fit.posterior for fit in fits)]
    even = [one_accuracy(own, start, "one accuracy") for start in starts]
    even = _best(even)
    contenders = [fit.posterior for fit in (*_best(drawn), *even)]
    contenders.append(averaged(own, own, k, rng.spawn(1)[0]))
    settled = _settled(own, contenders)
    linked = _best(relinked(own, even, rng))
    if linked and linked[0].bound > n_answers * max(bound for _, bound in settled):
        settled = [(relabelled(own, fit.posterior)[0], fit.bound / n_answers) for fit in linked]
    return settled


def _best(fits: Sequence[Fit]) -> list[Fit]:
    """Return the fits of the largest bounds that part the tasks differently."""
    kept: list[Fit] = []
    for fit in sorted(fits, key=lambda fit: -fit.bound):
        if len(kept) < _CONTENDERS and not any(_same(fit, other) for other in kept):
            kept.append(fit)
    return kept


def mean(labelled: Sequence[Labelled], n_answers: int) -> FloatArray:
    """Return the weighted mean of probabilities, classes matched one to one to those of the largest bound."""
    bounds = np.array([bound for _, bound in labelled])
    best = int(bounds.argmax())
    if not np.isfinite(bounds[best]):
        return labelled[best][0]
    total = np.zeros_like(labelled[best][0])
    for probabilities, weight in zip(
        (one for one, _ in labelled), np.exp(n_answers * (bounds - bounds[best])), strict=True
    ):
        rows, classes = linear_sum_assignment(probabilities.T @ labelled[best][0], maximize=True)
        total[:, classes] += weight * probabilities[:, rows]
    out: FloatArray = total / total.sum(1, keepdims=True)
    return out


def _settled(own: OwnNames, partitions: Sequence[FloatArray]) -> list[Labelled]:
    """Return what the default model says under each naming that partitions lead to, every naming once."""
    columns = columns_of(own)
    seen: dict[bytes, Labelled] = {}
    ends: dict[bytes, Labelled] = {}

    def names(posterior: FloatArray) -> bytes:
        classes = naming_of(np.asarray(own.indicator.T @ posterior), columns).argmax(1)
        # however classes are numbered, the naming is the same
        _, first, number = np.unique(classes, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[number].tobytes()

    for partition in partitions:
        posterior, key = partition, names(partition)
        for _ in range(_ROUNDS):
            if key not in seen:
                seen[key] = relabelled(own, posterior)
            posterior = seen[key][0]
            following = names(posterior)
            if following == key:
                break
            key = following
        ends.setdefault(key, seen.get(key) or relabelled(own, posterior))
    return list(ends.values())


def _same(one: Fit, other: Fit) -> bool:
    """Tell whether two fits part the tasks alike."""
    a, b = one.posterior.argmax(1), other.posterior.argmax(1)
    pairs = len(np.unique(a * one.posterior.shape[1] + b))
    return pairs == len(np.unique(a)) == len(np.unique(b))

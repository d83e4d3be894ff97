"""How often pairs of sources answered the same tasks, and how often they agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from deem_crowd.data.answers import Answers

FloatArray = npt.NDArray[np.float64]
Positions = npt.NDArray[np.intp]
Indicator = Any  # array or csr_matrix

Reduce = Callable[[npt.NDArray[Any]], FloatArray]
"""Adds the sums of other processes where these hold further tasks: :meth:`DesignMatrix.reduce_array`."""


def alone(values: npt.NDArray[Any]) -> FloatArray:
    """Return the sums as they are: there is one process."""
    return values.astype(np.float64, copy=False)


MIN_COMMON = 30
"""Tasks that two sources have to share before their agreement says anything."""
LEAST_COMMON = 20
"""Tasks that two sources have to share before they are said to repeat one another."""
MAX_SOURCES = 500
"""Of more than so many, those with most answers are looked at."""
_FEW_ANSWERS = 12
_DENSE_CELLS, _DENSE_GAIN = 2e7, 30.0
"""Dense matrices have at most so many cells, and their products take at most so many times the operations of sparse
ones, each of which is slower by about that."""


@dataclass(frozen=True)
class Pairs:
    """What n sources have in common, two by two.

    Attributes
    ----------
    sources : shape (n,)
        Positions among the workers.
    common : shape (n, n)
        Tasks that both answered; on the diagonal, what each answered.
    agreed : shape (n, n)
        Share of these on which they agreed.
    chance : shape (n, n)
        Share on which they would agree by chance.
    known : dict of str to array
        What was worked out from them, so that it is worked out once.
    """

    sources: Positions
    common: FloatArray
    agreed: FloatArray
    chance: FloatArray
    known: dict[str, FloatArray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def beyond(self) -> FloatArray:
        """Agreement beyond chance, relative to what it could be, shape (n, n)."""
        return (self.agreed - self.chance) / np.maximum(1 - self.chance, 1e-3)

    @property
    def kappa(self) -> FloatArray:
        """Cohen's κ, shape (n, n); NaN where two sources share no task or say one and the same label only."""
        room = 1 - self.chance
        defined = (self.common > 0) & (room > 1e-12)
        return np.where(defined, (self.agreed - self.chance) / np.where(defined, room, 1), np.nan)

    def standard_error(self) -> FloatArray:
        """Return the standard error of κ: √(p (1 − p)) / ((1 − chance) √n), with one agreement and one not added.

        Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969) in the form that takes chance for known.
        """
        rate = (self.agreed * self.common + 1) / (self.common + 2)
        room = np.maximum(1 - self.chance, 1e-3)
        return np.sqrt(rate * (1 - rate) / (self.common + 2)) / room

    def among(self, chosen: npt.NDArray[np.bool_]) -> Pairs:
        """Return the pairs among some of the sources, chosen by booleans of shape (n,)."""
        part = np.ix_(chosen, chosen)
        return Pairs(self.sources[chosen], self.common[part], self.agreed[part], self.chance[part])


def most_active(n_answers: FloatArray, most: int = MAX_SOURCES) -> Positions:
    """Return the positions of the sources with answers, ascending; of more than ``most`` those with most answers.

    Parameters
    ----------
    n_answers : shape (D,)
        Answers of each source.
    most : int
    """
    chosen = np.flatnonzero(n_answers > 0)
    if len(chosen) > most:
        chosen = np.sort(chosen[np.argsort(-n_answers[chosen], kind="stable")[:most]])
    return chosen


def departure(answers: Answers, reduce: Reduce = alone) -> float:
    """Return by how many standard deviations pairs of sources agree otherwise than by chance; 0 for soft answers.

    Without a label the number of agreements of a pair is binomial, with the chance that the sources' shares of answers
    give, and the squares of its standardised deviations have mean 1. Of more than :data:`MAX_SOURCES` sources those
    with most answers are asked.
    """
    if answers.soft is not None:
        return 0.0
    chosen = most_active(reduce(np.bincount(answers.worker, minlength=answers.n_workers)))
    given, by_label = _indicators(answers, chosen, reduce)
    common = reduce(_product(given, given))
    agreed = np.zeros_like(common)
    shares = np.zeros((len(chosen), answers.n_classes))
    for label, named in by_label:
        agreed += _product(named, named)
        shares[:, label] = np.asarray(named.sum(0)).ravel()
    agreed, shares = reduce(agreed), reduce(shares)
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


def count(
    answers: Answers, sources: Positions, reduce: Reduce = alone, least: int = MIN_COMMON
) -> Pairs:
    """Return what n chosen sources have in common; of soft answers the chance that two draws agree counts.

    Where no two of them share ``least`` tasks, agreement is not counted, and is 0.
    """
    n = len(sources)
    common = reduce(_in_common(answers, sources))
    agreed, chance = np.zeros((n, n)), np.zeros((n, n))
    if not np.triu(common >= least, 1).any():
        return Pairs(sources, common, agreed, chance)
    given, by_label = _indicators(answers, sources, reduce)
    for _, named in by_label:
        agreed += _product(named, named)
        # how often i says it on the tasks that i shares with j
        share = reduce(_product(named, given)) / np.maximum(common, 1)
        chance += share * share.T
    return Pairs(sources, common, reduce(agreed) / np.maximum(common, 1), chance)


def _of_chosen(
    answers: Answers, chosen: Positions
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int32], npt.NDArray[Any]]:
    """Return the places of the answers of n chosen sources, shape (r,), and the source and the task of each."""
    place = np.full(answers.n_workers, -1, dtype=np.int32)
    place[chosen] = np.arange(len(chosen), dtype=np.int32)
    source = place.take(answers.worker, mode="wrap")  # none lies outside
    asked = np.flatnonzero(source >= 0)
    index = np.int32 if answers.n_tasks < 2**31 else np.int64
    if 8 * len(asked) < len(source):  # of few answers the tasks are looked up
        found = np.searchsorted(answers.task_ptr, asked, side="right") - 1
        return asked, source[asked], found.astype(index)
    task = np.repeat(np.arange(answers.n_tasks, dtype=index), np.diff(answers.task_ptr))
    return asked, source[asked], task[asked]


def _in_common(answers: Answers, chosen: Positions) -> FloatArray:
    """Return how many tasks two of n chosen sources both answered, shape (n, n); on the diagonal, what each answered.

    Answers stand task by task, so that pairs of answers to one task stand at distances 1, 2, …: where tasks have few
    answers, counting these costs a fraction of a product of matrices.
    """
    _, source, task = _of_chosen(answers, chosen)
    n, most = len(chosen), int(np.bincount(task).max(initial=0))
    if most > _FEW_ANSWERS:
        given, _ = _indicators(answers, chosen, alone)
        return _product(given, given)
    codes = [np.zeros(0, dtype=np.int64)]
    first = np.arange(len(task))
    for distance in range(1, most):
        first = first[: np.searchsorted(first, len(task) - distance)]
        first = first[task[first + distance] == task[first]]  # as all between are of the task, too
        codes.append(source[first].astype(np.int64) * n + source[first + distance])
    common = np.bincount(np.concatenate(codes), minlength=n * n).reshape(n, n)
    return (common + common.T + np.diag(np.bincount(source, minlength=n))).astype(np.float64)


def _indicators(
    answers: Answers, chosen: Positions, reduce: Reduce
) -> tuple[Indicator, Iterator[tuple[int, Indicator]]]:
    """Return who of n chosen sources answered which task, shape (N, n), and with what mass each label was named.

    Dense matrices where their products cost less. Labels that nobody named, in any process, are left out of the second.
    """
    asked, source, task = _of_chosen(answers, chosen)
    shape = (answers.n_tasks, len(chosen))
    met = float((np.bincount(task, minlength=shape[0]).astype(np.float64) ** 2).sum())
    cells = shape[0] * shape[1]
    dense = cells <= _DENSE_CELLS and answers.n_classes * cells * shape[1] <= _DENSE_GAIN * met
    if answers.soft is not None:
        mass_of_label = answers.soft[asked].sum(0)
    else:
        named = answers.hard_label[asked]
        mass_of_label = np.bincount(named, minlength=answers.n_classes)

    def indicator(mass: FloatArray, rows: npt.NDArray[np.bool_] | slice) -> Indicator:
        if not dense:
            return sparse.csr_matrix((mass, (task[rows], source[rows])), shape=shape)
        # float32 counts exactly: dense matrices have fewer than 2²⁴ rows
        full = np.zeros(shape, dtype=np.float32 if answers.soft is None else np.float64)
        full[task[rows], source[rows]] = mass
        return full

    def by_label() -> Iterator[tuple[int, Indicator]]:
        for label in np.flatnonzero(reduce(mass_of_label)):
            if answers.soft is not None:
                mass = answers.soft[asked, label]
                rows = mass > 0
                yield int(label), indicator(mass[rows], rows)
            else:
                rows = named == label
                yield int(label), indicator(np.ones(int(rows.sum())), rows)

    return indicator(np.ones(len(task)), slice(None)), by_label()


def _product(left: Indicator, right: Indicator) -> FloatArray:
    product = left.T @ right
    found = product if isinstance(product, np.ndarray) else product.toarray()
    return np.asarray(found, dtype=np.float64)

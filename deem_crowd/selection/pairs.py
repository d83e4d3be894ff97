"""How often pairs of sources answered the same tasks, and how often they agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from deem_crowd.data.answers import Answers

FloatArray = npt.NDArray[np.float64]

Reduce = Callable[[npt.NDArray[Any]], FloatArray]
"""Adds the sums of other processes where these hold further tasks: :meth:`DesignMatrix.reduce_array`."""


def alone(values: npt.NDArray[Any]) -> FloatArray:
    """Return the sums as they are: there is one process."""
    return values.astype(np.float64, copy=False)


MIN_COMMON = 30
"""Tasks that two sources have to share before their agreement says anything."""
MAX_SOURCES = 500
"""Of more than so many, those with most answers are looked at."""


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
    """

    sources: npt.NDArray[np.intp]
    common: FloatArray
    agreed: FloatArray
    chance: FloatArray

    @property
    def beyond(self) -> FloatArray:
        """Agreement beyond chance, relative to what it could be, shape (n, n)."""
        return (self.agreed - self.chance) / np.maximum(1 - self.chance, 1e-3)


def departure(answers: Answers, reduce: Reduce = alone) -> float:
    """Return by how many standard deviations pairs of sources agree otherwise than by chance; 0 for soft answers.

    Without a label the number of agreements of a pair is binomial, with the chance that the sources' shares of answers
    give, and the squares of its standardised deviations have mean 1. Of more than :data:`MAX_SOURCES` sources those
    with most answers are asked.
    """
    if answers.soft is not None:
        return 0.0
    n_answers = reduce(np.bincount(answers.worker, minlength=answers.n_workers))
    chosen = np.sort(np.argsort(-n_answers, kind="stable")[:MAX_SOURCES])
    chosen = chosen[n_answers[chosen] > 0]
    given, by_label = _indicators(answers, chosen, reduce)
    common = reduce((given.T @ given).toarray())
    agreed = np.zeros_like(common)
    shares = np.zeros((len(chosen), answers.n_classes))
    for label, named in by_label:
        agreed += (named.T @ named).toarray()
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


def _indicators(
    answers: Answers, chosen: npt.NDArray[np.intp], reduce: Reduce
) -> tuple[sparse.csr_matrix, Iterator[tuple[int, sparse.csr_matrix]]]:
    """Return who of n chosen sources answered which task, shape (N, n), and with what mass each label was named.

    Labels that nobody named, in any process, are left out of the second.
    """
    place = np.full(answers.n_workers, -1)
    place[chosen] = np.arange(len(chosen))
    source = place[answers.worker]
    asked = source >= 0
    source, task = source[asked], answers.task[asked]
    shape = (answers.n_tasks, len(chosen))
    if answers.soft is not None:
        mass_of_label = answers.soft[asked].sum(0)
    else:
        mass_of_label = np.bincount(answers.hard_label[asked], minlength=answers.n_classes)

    def by_label() -> Iterator[tuple[int, sparse.csr_matrix]]:
        for label in np.flatnonzero(reduce(mass_of_label)):
            if answers.soft is not None:
                mass = answers.soft[asked, label]
                rows = mass > 0
            else:
                rows = answers.hard_label[asked] == label
                mass = np.ones(len(task))
            cells = (task[rows], source[rows])
            yield int(label), sparse.csr_matrix((mass[rows], cells), shape=shape)

    given = sparse.csr_matrix((np.ones(len(task)), (task, source)), shape=shape)
    return given, by_label()


def count(
    answers: Answers,
    sources: npt.NDArray[np.intp],
    reduce: Reduce = alone,
    least: int = MIN_COMMON,
) -> Pairs:
    """Return what n chosen sources have in common; of soft answers the chance that two draws agree counts.

    Where no two of them share ``least`` tasks, agreement is not counted, and is 0.
    """
    n = len(sources)
    given, by_label = _indicators(answers, sources, reduce)
    common = reduce((given.T @ given).toarray())
    agreed, chance = np.zeros((n, n)), np.zeros((n, n))
    if not np.triu(common >= least, 1).any():
        return Pairs(sources, common, agreed, chance)
    for _, named in by_label:
        agreed += (named.T @ named).toarray()
        # how often i says it on the tasks that i shares with j
        share = reduce((named.T @ given).toarray()) / np.maximum(common, 1)
        chance += share * share.T
    return Pairs(sources, common, reduce(agreed) / np.maximum(common, 1), chance)

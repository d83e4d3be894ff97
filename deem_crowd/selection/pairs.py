"""How often pairs of sources answered the same tasks, and how often they agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
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
Meetings = tuple[Positions, Positions]
"""Pairs of answers to one task: the places of those that stand before, and of those that stand after."""
_FEW_ANSWERS = 12
_MOST_MEETINGS = 2**23
"""Pairs of answers to one task that are held at once, some 40 bytes each: products of matrices take less memory."""
_MOST_CELLS = 2**23
"""Sources² × classes that are counted at once."""
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


def of_most_active(answers: Answers, reduce: Reduce = alone) -> tuple[Pairs, FloatArray]:
    """Return how often the most active sources agree in pairs, and how many answers each source gave, shape (D,)."""
    number = reduce(np.bincount(answers.worker, minlength=answers.n_workers))
    return count(answers, most_active(number), reduce, LEAST_COMMON), number


def centred(
    answers: Answers, chosen: Positions, reduce: Reduce = alone
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return how many tasks n chosen sources share, and how far they agree there beyond chance.

    With x the indicator of an answer, shape (K,), and p_i the shares of all answers of source i, agreement beyond
    chance is Σ (x_i − p_i)·(x_j − p_j) over the tasks that i and j share. Answers that do not depend on the task make
    it 0 in the mean, and uncorrelated over pairs.

    Returns
    -------
    common : shape (n, n)
        Tasks that both answered; on the diagonal, what each answered.
    shares : shape (n, K)
        p.
    beyond : shape (n, n)
        Agreement beyond chance.
    """
    by_source, by_label = _indicators(answers, _given(answers, chosen), reduce)
    common = reduce(_product(by_source, by_source))
    shares = np.zeros((len(chosen), answers.n_classes))
    beyond = np.zeros_like(common)
    for label, named in by_label:
        shares[:, label] = reduce(np.asarray(named.sum(0)).ravel()) / np.diag(common)
        said = _product(named, by_source) * shares[:, label]
        beyond += _product(named, named) - said - said.T
    return common, shares, reduce(beyond) + common * (shares @ shares.T)


def count(
    answers: Answers, sources: Positions, reduce: Reduce = alone, least: int = MIN_COMMON
) -> Pairs:
    """Return what n chosen sources have in common; of soft answers the chance that two draws agree counts.

    Where no two of them share ``least`` tasks, agreement is not counted, and is 0.
    """
    n = len(sources)
    given = _given(answers, sources)
    met = given.met()
    common = reduce(_in_common(answers, given, met))
    agreed, chance = np.zeros((n, n)), np.zeros((n, n))
    if not np.triu(common >= least, 1).any():
        return Pairs(sources, common, agreed, chance)
    few = answers.soft is None and n * n * answers.n_classes <= _MOST_CELLS
    if few and met is not None:
        counts = _counts_of_few(answers, given, met, reduce)
    else:
        counts = _counts_by_products(answers, given, reduce)
    for agreements, said in counts:
        agreed += agreements
        share = reduce(said) / np.maximum(common, 1)
        chance += share * share.T
    return Pairs(sources, common, reduce(agreed) / np.maximum(common, 1), chance)


class _Given(NamedTuple):
    """The answers of n chosen sources."""

    n: int
    place: npt.NDArray[np.intp]  # among all answers, shape (r,)
    source: npt.NDArray[np.int32]
    task: npt.NDArray[Any]

    def met(self) -> Meetings | None:
        """Return all pairs of answers to one task, as places among the r; None where a task has more than a few,
        or all have more than :data:`_MOST_MEETINGS`.

        Answers stand task by task, so that pairs of answers to one task stand at distances 1, 2, …
        """
        number = np.bincount(self.task)
        most = int(number.max(initial=0))
        if most > _FEW_ANSWERS or int((number * (number - 1)).sum()) > 2 * _MOST_MEETINGS:
            return None
        before, after = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=np.intp)]
        first = np.arange(len(self.task))
        for distance in range(1, most):
            first = first[: np.searchsorted(first, len(self.task) - distance)]
            # as all between are of the task, too
            first = first[self.task[first + distance] == self.task[first]]
            before.append(first)
            after.append(first + distance)
        return np.concatenate(before), np.concatenate(after)


def _given(answers: Answers, chosen: Positions) -> _Given:
    place = np.full(answers.n_workers, -1, dtype=np.int32)
    place[chosen] = np.arange(len(chosen), dtype=np.int32)
    source = place.take(answers.worker, mode="wrap")  # none lies outside
    asked = np.flatnonzero(source >= 0)
    index = np.int32 if answers.n_tasks < 2**31 else np.int64
    if 8 * len(asked) < len(source):  # of few answers the tasks are looked up
        found = np.searchsorted(answers.task_ptr, asked, side="right") - 1
        return _Given(len(chosen), asked, source[asked], found.astype(index))
    task = np.repeat(np.arange(answers.n_tasks, dtype=index), np.diff(answers.task_ptr))
    return _Given(len(chosen), asked, source[asked], task[asked])


def _in_common(answers: Answers, given: _Given, met: Meetings | None) -> FloatArray:
    """Return how many tasks two of n chosen sources both answered, shape (n, n); on the diagonal, what each answered.

    Where tasks have few answers, counting pairs of these costs a fraction of a product of matrices.
    """
    n = given.n
    if met is None:
        by_source, _ = _indicators(answers, given, alone)
        return _product(by_source, by_source)
    before, after = (given.source[which].astype(np.int64) for which in met)
    common = _tally(before * n + after, n * n).reshape(n, n)
    return common + common.T + np.diag(_tally(given.source, n))


def _tally(codes: npt.NDArray[Any], size: int) -> FloatArray:
    """Return how often each code occurs, shape (size,): torch takes a third of numpy's time."""
    counts: FloatArray = torch.bincount(torch.from_numpy(codes), minlength=size).double().numpy()
    return counts


def _counts_of_few(
    answers: Answers, given: _Given, met: Meetings, reduce: Reduce
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield, label by label, agreements of n sources, and how often i says it on the tasks that it shares with j.

    Where tasks have few hard answers: by counting pairs of these. Shape (n, n) each; all agreements come with the
    first, and labels that nobody named, in any process, are left out.
    """
    n, k = given.n, answers.n_classes
    label = answers.hard_label[given.place].astype(np.int64)
    number = given.source * np.int64(n)
    before, after = met
    same = label[before] == label[after]
    agreed = _tally(number[before[same]] + given.source[after[same]], n * n).reshape(n, n)
    agreed = agreed + agreed.T + np.diag(_tally(given.source, n))
    said = _tally((number[before] + given.source[after]) * k + label[before], n * n * k)
    said += _tally((number[after] + given.source[before]) * k + label[after], n * n * k)
    said += _tally(given.source * np.int64((n + 1) * k) + label, n * n * k)
    by_label = said.reshape(n, n, k)
    for which in np.flatnonzero(reduce(np.bincount(label, minlength=k))):
        yield agreed, by_label[:, :, which]
        agreed = np.zeros_like(agreed)


def _counts_by_products(
    answers: Answers, given: _Given, reduce: Reduce
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the same by products of matrices, soft answers by their mass."""
    by_source, by_label = _indicators(answers, given, reduce)
    for _, named in by_label:
        yield _product(named, named), _product(named, by_source)


def _indicators(
    answers: Answers, given: _Given, reduce: Reduce
) -> tuple[Indicator, Iterator[tuple[int, Indicator]]]:
    """Return who of n chosen sources answered which task, shape (N, n), and with what mass each label was named.

    Dense matrices where their products cost less. Labels that nobody named, in any process, are left out of the second.
    """
    n, asked, source, task = given
    shape = (answers.n_tasks, n)
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

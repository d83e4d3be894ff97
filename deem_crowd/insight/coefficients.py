"""Coefficients of agreement of a whole panel, with bootstrap intervals over tasks.

Both coefficients depend on a task through its vote counts alone, so tasks with equal counts are one pattern. Drawing
tasks with replacement is then drawing how often each pattern occurs, and the cost follows the number of patterns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import FormError

FloatArray = npt.NDArray[np.float64]

MAX_UNITS = 5_000
"""Of more distinct tasks than this the bootstrap draws groups of tasks."""


class Interval(NamedTuple):
    """An estimate with a bootstrap interval; all NaN where the answers do not define it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class VotePatterns:
    """The distinct vote counts of tasks with two answers or more.

    Attributes
    ----------
    votes : sparse, shape (P, K)
        How often each class was answered, pattern by pattern.
    times : integers, shape (P,)
        How many tasks have each pattern.
    """

    votes: sparse.csr_array
    times: npt.NDArray[np.int64]

    @property
    def n_tasks(self) -> int:
        """How many tasks have two answers or more."""
        return int(self.times.sum())

    @property
    def sizes(self) -> FloatArray:
        """Answers to a task of each pattern, shape (P,)."""
        return np.asarray(self.votes.sum(axis=1), dtype=np.float64).ravel()


def vote_counts(answers: Answers) -> sparse.csr_array:
    """Return how often each class was answered, task by task, sparse of shape (N, K).

    Raises
    ------
    FormError
        For soft answers.
    """
    if answers.is_soft:
        raise FormError(
            "agreement compares labels, and these answers are distributions. Turn each into its most probable label "
            "first."
        )
    ones = np.ones(answers.n_answers)
    shape = (answers.n_tasks, answers.n_classes)
    return sparse.csr_array((ones, (answers.task, answers.hard_label)), shape=shape)


def vote_patterns(answers: Answers) -> VotePatterns:
    """Group the tasks with two answers or more by their vote counts."""
    votes = vote_counts(answers)
    votes.sum_duplicates()
    rated = votes[np.diff(answers.task_ptr) >= 2]
    if rated.shape[0] == 0:
        return VotePatterns(rated, np.zeros(0, dtype=np.int64))
    # a random projection in exact integer arithmetic modulo 2^64: equal rows have equal keys
    generator = np.random.default_rng(0)
    salt = generator.integers(1, 2**63, size=(rated.shape[1], 2), dtype=np.uint64)
    row = np.repeat(np.arange(rated.shape[0]), np.diff(rated.indptr))
    key = np.zeros((rated.shape[0], 2), dtype=np.uint64)
    count = rated.data.astype(np.uint64)
    for column in range(2):
        np.add.at(key[:, column], row, salt[rated.indices, column] * count)
    joined = key.view([("first", np.uint64), ("second", np.uint64)]).ravel()
    _, example, times = np.unique(joined, return_index=True, return_counts=True)
    return VotePatterns(rated[example], times.astype(np.int64))


class Coincidences:
    """Krippendorff's coincidence matrix, pattern by pattern: Σ_p times_p · (n_c n_k − [c = k] n_c) / (m − 1)."""

    def __init__(self, patterns: VotePatterns) -> None:
        votes = patterns.votes
        self._n_classes = k = votes.shape[1]
        weight = 1 / np.maximum(patterns.sizes - 1, 1)
        width = np.diff(votes.indptr)
        # every pair of entries of a row: each entry repeated once for each entry of its row
        row = np.repeat(np.arange(votes.shape[0]), width)
        left = np.repeat(np.arange(len(row)), width[row])
        start = np.repeat(votes.indptr[row], width[row])
        within = np.arange(len(left)) - np.repeat(np.cumsum(width[row]) - width[row], width[row])
        right = start + within
        pattern = row[left]
        same = left == right
        value = weight[pattern] * votes.data[left] * (votes.data[right] - same)
        code = votes.indices[left].astype(np.int64) * k + votes.indices[right]
        cells, cell = np.unique(code, return_inverse=True)
        self._row, self._column = cells // max(k, 1), cells % max(k, 1)
        self._used = sparse.csr_array((value, (cell, pattern)), shape=(len(cells), votes.shape[0]))

    def alpha(
        self,
        times: npt.NDArray[np.int64],
        ordinal: bool = False,
        numbers: FloatArray | None = None,
    ) -> float:
        """Return α = 1 − D_o / D_e where each pattern occurs so many times.

        Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). The ordinal distance of two classes is the
        number of answers between them, both halves of the ends included, squared; the interval distance the squared
        difference of their numbers. NaN where no two answers differ or none are in pairs.

        Parameters
        ----------
        times : shape (P,)
        ordinal : bool
            Whether the classes are ordered.
        numbers : shape (K,), optional
            What the classes are, for the interval distance.
        """
        coincidence = self._used @ times
        given = np.bincount(self._row, coincidence, minlength=self._n_classes)
        total = given.sum()
        if total <= 1 or np.count_nonzero(given) < 2:
            return float("nan")
        if ordinal or numbers is not None:
            at = np.cumsum(given) - given / 2 if numbers is None else numbers
            at = at - given @ at / total  # distances stay, and less cancels below
            distance = (at[self._row] - at[self._column]) ** 2
            expected = 2 * (total * (given @ at**2) - (given @ at) ** 2)
        else:
            distance = self._row != self._column
            expected = total**2 - given @ given
        if expected <= 0:
            return float("nan")
        return 1 - float(coincidence @ distance) / float(expected) * (total - 1)


class FleissKappa:
    """Fleiss' κ (Psychological Bulletin 76, 1971); tasks may have any number of answers from two on.

    The observed agreement is the mean over tasks; chance is that of two draws from all answers to these tasks.
    """

    def __init__(self, patterns: VotePatterns) -> None:
        sizes = patterns.sizes
        squares = np.asarray(patterns.votes.power(2).sum(axis=1)).ravel()
        self._agreeing = (squares - sizes) / np.maximum(sizes * (sizes - 1), 1)
        self._votes = patterns.votes.T.tocsr()

    def value(self, times: npt.NDArray[np.int64]) -> float:
        """Return κ where each pattern occurs so many times; NaN without tasks or with one class alone."""
        n_tasks = times.sum()
        if n_tasks == 0:
            return float("nan")
        observed = float(self._agreeing @ times) / n_tasks
        share = self._votes @ times
        chance = float(((share / share.sum()) ** 2).sum())
        return (observed - chance) / (1 - chance) if chance < 1 else float("nan")


def panel_coefficients(
    patterns: VotePatterns,
    ordinal: bool,
    n_resamples: int,
    level: float,
    generator: np.random.Generator,
    numbers: FloatArray | None = None,
) -> dict[str, Interval]:
    """Return α and Fleiss' κ with percentile bootstrap intervals over tasks.

    α is nominal, ordinal if asked for, and interval where classes are ``numbers``, shape (K,).
    """
    coincidences, fleiss = Coincidences(patterns), FleissKappa(patterns)
    if numbers is not None:  # the unit does not matter, and no square overflows
        numbers = numbers / (np.abs(numbers).max() or 1.0)

    def all_of(times: npt.NDArray[np.int64]) -> list[float]:
        alpha, nan = coincidences.alpha, float("nan")
        ordered = alpha(times, ordinal=True) if ordinal else nan
        interval = nan if numbers is None else alpha(times, numbers=numbers)
        return [alpha(times), ordered, interval, fleiss.value(times)]

    values = all_of(patterns.times)
    resamples = np.full((n_resamples, len(values)), np.nan)
    if patterns.n_tasks > 1:
        draw = _resampler(patterns.times, generator)
        for resample in resamples:
            resample[:] = all_of(draw())
    names = ("alpha_nominal", "alpha_ordinal", "alpha_interval", "fleiss_kappa")
    return {
        name: Interval(float(value), *_percentiles(column, level))
        for name, value, column in zip(names, values, resamples.T, strict=True)
    }


def _resampler(
    times: npt.NDArray[np.int64], generator: np.random.Generator
) -> Callable[[], npt.NDArray[np.int64]]:
    """Return what draws how often each pattern occurs among as many tasks, drawn with replacement.

    Where there are many patterns, tasks are put into random groups of one size, and groups are drawn: the variance is
    the same, and costs a small part of the time.
    """
    n_tasks = int(times.sum())
    if len(times) <= MAX_UNITS:
        share = times / n_tasks
        return lambda: generator.multinomial(n_tasks, share)
    pattern = generator.permutation(np.repeat(np.arange(len(times)), times))
    group = np.arange(n_tasks) % MAX_UNITS
    ones = np.ones(n_tasks, dtype=np.int64)
    membership = sparse.csr_array((ones, (pattern, group)), shape=(len(times), MAX_UNITS))
    share = np.full(MAX_UNITS, 1 / MAX_UNITS)
    return lambda: membership @ generator.multinomial(MAX_UNITS, share)


def _percentiles(values: FloatArray, level: float) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if len(defined) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

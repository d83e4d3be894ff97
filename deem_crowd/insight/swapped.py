"""Workers whose labels stand for one another: somebody swapped two buttons, or counts classes in another order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from deem_crowd.data.answers import Answers
from deem_crowd.insight.results import IntArray, Results, hard_answer
from deem_crowd.model.matching import best_matching

_ENOUGH = 10
"""Answers that a label needs before anything is said of it."""
_MOST_CLASSES = 100
_AT_ONCE = 2**22
"""Answers that are counted together, or as many as there are cells."""


@dataclass(frozen=True)
class Swap:
    """Labels that a worker uses in a circle.

    Attributes
    ----------
    worker : int
        Position.
    given, meant : integers, shape (length of the circle,)
        Classes: what the worker answers, and what the tasks are.
    n_answers : int
        Answers of the worker with these labels to tasks of these classes.
    n_moved : int
        Those among them that become right when the labels are renamed.
    """

    worker: int
    given: IntArray
    meant: IntArray
    n_answers: int
    n_moved: int


def swapped_labels(results: Results) -> list[Swap]:
    """Return the circles of labels that workers use for one another, the most answers first.

    Each worker's labels are matched one to one to the classes of the tasks they were given to (Hungarian algorithm on
    the counts). A circle counts where, for each of its labels, answers mean the other class rather than the label's
    own more often than not, at a level that one panel in a hundred misses by chance.

    Parameters
    ----------
    results : Results
        N tasks, D workers, K classes.
    """
    answers = results.answers
    k = answers.n_classes
    if not 2 <= k <= _MOST_CLASSES or not answers.n_answers:
        return []
    level, counts = _tables(*_counted(results), answers.n_workers, k)
    swaps = [swap for worker, table in counts.items() for swap in _circles(worker, table, level)]
    return sorted(swaps, key=lambda swap: -swap.n_moved)


def _counted(results: Results) -> tuple[IntArray, IntArray]:
    """Return which (worker, answer, class of the task) there are, coded in this order, and how often each."""
    answers = results.answers
    k = answers.n_classes
    n_cells = answers.n_workers * k * k

    def codes(part: Answers, label: IntArray) -> IntArray:
        meant = np.repeat(label, np.diff(part.task_ptr))
        code: IntArray = part.worker.astype(np.int32 if n_cells < 2**31 else np.int64)
        for digit in (hard_answer(part), meant):
            code *= k
            code += digit
        return code if label.min(initial=0) >= 0 else code[meant >= 0]

    if n_cells > answers.n_answers:
        kinds, times = np.unique(codes(answers, results.label), return_counts=True)
        return kinds, times
    # some at a time: codes of all take many times the memory of the answers
    cells = np.zeros(n_cells, dtype=np.int64)
    ends = np.arange(0, answers.n_answers, max(n_cells, _AT_ONCE))
    cuts = np.unique([*np.searchsorted(answers.task_ptr, ends), answers.n_tasks])
    for begin, end in itertools.pairwise(cuts.tolist()):
        part = answers.select(tasks=slice(begin, end))
        cells += np.bincount(codes(part, results.label[begin:end]), minlength=n_cells)
    kinds = np.flatnonzero(cells)
    return kinds, cells[kinds]


def _tables(
    kinds: IntArray, times: IntArray, n_workers: int, k: int
) -> tuple[float, dict[int, IntArray]]:
    """Return the level of a test, and answers × classes of those who may have a circle, by position."""
    size = k * k
    number = np.bincount(kinds // size, weights=times, minlength=n_workers)
    off = kinds // k % k != kinds % k
    moved = np.bincount(kinds[off] // size, weights=times[off], minlength=n_workers)
    # a circle needs two labels that are wrong more often than right
    judged = (number >= 2 * _ENOUGH) & (moved >= _ENOUGH)
    level = 0.01 / max(int(judged.sum()) * k, 1)
    tables: dict[int, IntArray] = {}
    begins = np.flatnonzero(np.diff(kinds // k, prepend=-1))
    if not len(begins):
        return level, tables
    # in a circle two labels at least are given mostly to tasks of one other class, beyond chance
    own = np.add.reduceat(np.where(off, 0, times), begins)
    elsewhere = np.maximum.reduceat(np.where(off, times, 0), begins)
    moves = np.zeros(len(begins), dtype=bool)
    asked = np.flatnonzero((elsewhere > own) & (elsewhere + own >= _ENOUGH))
    moves[asked] = _chance(elsewhere[asked], own[asked]) < level
    n_moves = np.bincount(kinds[begins] // size, weights=moves, minlength=n_workers)
    for worker in np.flatnonzero(judged & (n_moves >= 2)):
        begin, end = np.searchsorted(kinds, [worker * size, (worker + 1) * size])
        table = np.zeros(size, dtype=np.int64)
        table[kinds[begin:end] - worker * size] = times[begin:end]
        tables[int(worker)] = table.reshape(k, k)
    return level, tables


def _chance(moved: IntArray, kept: IntArray) -> npt.NDArray[np.float64]:
    """Return the chance of ``moved`` or more among ``moved + kept``, shape (n,), of a fair coin: a sign test."""
    chance: npt.NDArray[np.float64] = special.bdtrc(moved - 1, moved + kept, 0.5)
    return chance


def _circles(worker: int, table: IntArray, level: float) -> list[Swap]:
    target = best_matching(table)
    swaps = []
    seen: set[int] = set()
    for begin in range(len(table)):
        circle = [int(begin)]
        while (following := int(target[circle[-1]])) != begin:
            circle.append(following)
        if len(circle) < 2 or seen & set(circle):
            continue
        seen |= set(circle)
        given = np.array(circle)
        meant = target[given]
        moved, kept = table[given, meant], table[given, given]
        both = moved + kept
        if (both < _ENOUGH).any():
            continue
        if (_chance(moved, kept) < level).all():
            total = int(table[np.ix_(given, given)].sum())
            swaps.append(Swap(worker, given, meant, total, int(moved.sum())))
    return swaps

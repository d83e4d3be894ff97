"""Workers whose labels stand for one another: somebody swapped two buttons, or counts classes in another order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from deem_crowd.data.answers import Answers
from deem_crowd.insight.results import IntArray, Results
from deem_crowd.model.matching import best_matchings

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
    own more often than not, and tasks of that class are given this label rather than any third one, both at a level
    that chance reaches in one panel in a hundred; and where the label is given to that class at least twice as often,
    per task, as to any others. A worker who is wrong on purpose, whatever the class, has swapped nothing.

    Parameters
    ----------
    results : Results
        N tasks, D workers, K classes.
    """
    answers = results.answers
    k = answers.n_classes
    if not 2 <= k <= _MOST_CLASSES or not answers.n_answers:
        return []
    swaps = _swaps(*_tables(*_counted(results), answers.n_workers, k))
    return sorted(swaps, key=lambda swap: -swap.n_moved)


def _counted(results: Results) -> tuple[IntArray, IntArray]:
    """Return which (worker, answer, class of the task) there are, coded in this order, and how often each."""
    answers = results.answers
    k = answers.n_classes
    n_cells = answers.n_workers * k * k
    index = np.int32 if n_cells < 2**31 else np.int64

    def codes(part: Answers, label: IntArray) -> IntArray:
        meant = np.repeat(label.astype(index), np.diff(part.task_ptr))
        said = part.hard_label if part.soft is None else part.soft.argmax(axis=1)
        code: IntArray = part.worker * index(k)
        code += said.astype(index, copy=False)
        code *= k
        code += meant
        return code if label.min(initial=0) >= 0 else code[meant >= 0]

    if n_cells > answers.n_answers:
        kinds, times = np.unique(codes(answers, results.label), return_counts=True)
        return kinds, times
    # some at a time: codes of all take many times the memory of the answers
    cells = torch.zeros(n_cells, dtype=torch.int64, device="cpu")
    ends = np.arange(0, answers.n_answers, max(n_cells, _AT_ONCE))
    cuts = np.unique([*np.searchsorted(answers.task_ptr, ends), answers.n_tasks])
    for begin, end in itertools.pairwise(cuts.tolist()):
        part = answers if len(cuts) == 2 else answers.select(tasks=slice(begin, end))
        code = torch.from_numpy(codes(part, results.label[begin:end]))
        # in a third of the time that numpy's takes
        cells += torch.bincount(code, minlength=n_cells)
    times = cells.numpy()
    kinds = np.flatnonzero(times)
    return kinds, times[kinds]


def _tables(
    kinds: IntArray, times: IntArray, n_workers: int, k: int
) -> tuple[IntArray, IntArray, float]:
    """Return the m workers who may have a circle, their answers × classes, shape (m, K, K), and the level of a test."""
    size = k * k
    number = np.bincount(kinds // size, weights=times, minlength=n_workers)
    off = kinds // k % k != kinds % k
    moved = np.bincount(kinds[off] // size, weights=times[off], minlength=n_workers)
    # a circle needs two labels that are wrong more often than right
    judged = (number >= 2 * _ENOUGH) & (moved >= _ENOUGH)
    level = 0.01 / max(int(judged.sum()) * k, 1)
    begins = np.flatnonzero(np.diff(kinds // k, prepend=-1))
    if not len(begins):
        return np.zeros(0, dtype=np.int64), np.zeros((0, k, k), dtype=np.int64), level
    # in a circle two labels at least are given mostly to tasks of one other class, beyond chance
    own = np.add.reduceat(np.where(off, 0, times), begins)
    elsewhere = np.maximum.reduceat(np.where(off, times, 0), begins)
    moves = np.zeros(len(begins), dtype=bool)
    asked = np.flatnonzero((elsewhere > own) & (elsewhere + own >= _ENOUGH))
    moves[asked] = _chance(elsewhere[asked], own[asked]) < level
    n_moves = np.bincount(kinds[begins] // size, weights=moves, minlength=n_workers)
    workers = np.flatnonzero(judged & (n_moves >= 2))
    tables = np.zeros((len(workers), size), dtype=np.int64)
    bounds = np.searchsorted(kinds, [workers * size, (workers + 1) * size])
    for worker, table, begin, end in zip(workers * size, tables, *bounds, strict=True):
        table[kinds[begin:end] - worker] = times[begin:end]
    return workers, tables.reshape(-1, k, k), level


def _chance(moved: IntArray, kept: IntArray) -> npt.NDArray[np.float64]:
    """Return the chance of ``moved`` or more among ``moved + kept``, shape (n,), of a fair coin: a sign test."""
    chance: npt.NDArray[np.float64] = special.bdtrc(moved - 1, moved + kept, 0.5)
    return chance


def _rival(tables: IntArray, given: IntArray, meant: IntArray) -> IntArray:
    """Return how often the class meant was given the most frequent label beside it and ``given``, shape (n,).

    Parameters
    ----------
    tables : shape (n, K, K)
        Answers × classes.
    given, meant : shape (n,)
    """
    place = np.arange(len(given))
    further = tables[place, :, meant]
    further[place, given] = further[place, meant] = 0
    rival: IntArray = further.max(1)
    return rival


def _specific(tables: IntArray, given: IntArray, meant: IntArray) -> npt.NDArray[np.bool_]:
    """Tell where a label is given to the class meant at least twice as often as to further classes, shape (n,).

    Rates are per task, so that a rare further class counts by the tasks it has; where there is none, this holds.
    """
    place = np.arange(len(given))
    others = np.ones(tables.shape[::2], dtype=bool)
    others[place, given] = others[place, meant] = False
    size = tables.sum(1)
    moved, elsewhere = tables[place, given, meant], (tables[place, given] * others).sum(1)
    of_class, of_others = size[place, meant], (size * others).sum(1)
    twice: npt.NDArray[np.bool_] = 2 * elsewhere * of_class <= moved * of_others
    return twice


def _swaps(workers: IntArray, tables: IntArray, level: float) -> list[Swap]:
    """Return the circles of some workers that are beyond chance; see :func:`_tables`."""
    circles = [
        (place, circle)
        for place, target in enumerate(best_matchings(tables).tolist())
        for circle in _circles(target)
    ]
    if not circles:
        return []
    length = [len(circle) for _, circle in circles]
    begins = np.cumsum([0, *length[:-1]])
    row = np.repeat([place for place, _ in circles], length)
    given = np.array([label for _, circle in circles for label in circle])
    meant = np.array([label for _, circle in circles for label in [*circle[1:], circle[0]]])
    moved, kept = tables[row, given, meant], tables[row, given, given]
    enough = moved + kept >= _ENOUGH
    beyond = np.zeros(len(row), dtype=bool)
    beyond[enough] = _chance(moved[enough], kept[enough]) < level
    beyond &= _chance(moved, _rival(tables[row], given, meant)) < level
    beyond &= _specific(tables[row], given, meant)
    n_moved = np.add.reduceat(moved, begins).tolist()
    swaps = []
    for i in np.flatnonzero(np.logical_and.reduceat(beyond, begins)).tolist():
        part = slice(begins[i], begins[i] + length[i])
        place = circles[i][0]
        n_answers = int(tables[place, given[part][:, None], given[part]].sum())
        swap = Swap(int(workers[place]), given[part], meant[part], n_answers, n_moved[i])
        swaps.append(swap)
    return swaps


def _circles(target: list[int]) -> list[list[int]]:
    """Return the circles of two and more of a permutation, each label followed by what it goes to."""
    circles, seen = [], set()
    for begin, following in enumerate(target):
        if begin == following or begin in seen:
            continue
        circle = [begin]
        while following != begin:
            circle.append(following)
            following = target[following]
        seen.update(circle)
        circles.append(circle)
    return circles

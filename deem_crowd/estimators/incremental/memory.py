"""What partial_fit remembers between calls."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index
from deem_crowd.data.answers import Answers, Duplicates
from deem_crowd.data.lookup import as_index
from deem_crowd.data.places import Places, is_plain
from deem_crowd.exceptions import ParameterError
from deem_crowd.runtime.cached import cached_property
from deem_crowd.runtime.fork import in_every_fork

IntArray = npt.NDArray[np.int64]

MEMORY = "_memory"
"""The attribute that holds it."""
FITTED_ON = "_fitted_on"
"""The attribute that holds the same after any fit, for tables of the answers; files of models leave it out."""


_LOCKS: list[threading.Lock] = []


@in_every_fork
def _renew() -> None:
    """Make the locks: a forked process must not wait for threads that only its parent has."""
    _LOCKS[:] = [threading.Lock() for _ in range(64)]


_renew()


def exclusive(estimator: Any) -> threading.Lock:
    """Return the lock of an object, so that calls of ``partial_fit`` from several threads come one after the other.

    It stands beside the object, which can then be copied and pickled; two objects may share one.
    """
    return _LOCKS[id(estimator) // 16 % len(_LOCKS)]


Rows = tuple[IntArray, IntArray, npt.NDArray[np.int32]]
"""Answers by their numbers of task, worker and label in the whole, shape (r,) each."""


@dataclass(frozen=True, eq=False)
class Additional:
    """A few answers, found among those that are remembered.

    Attributes
    ----------
    new : Rows
    tasks : integers, shape (n,)
        The numbers of the tasks that came with them, and of those whose labels are known only now, ascending.
    touched : Rows
        All answers to these n tasks; ``new`` itself where none had answers before.
    """

    new: Rows
    tasks: IntArray
    touched: Rows


@dataclass(frozen=True, eq=False)
class Settled:
    """Tasks whose labels are known.

    Attributes
    ----------
    tasks : integers, shape (n,)
        Their numbers, ascending.
    classes : integers, shape (n,)
    """

    tasks: IntArray
    classes: IntArray

    @classmethod
    def of(cls, tasks: IntArray, classes: IntArray) -> Settled:
        """Sort tasks by their numbers; those that are negative or repeated are left out."""
        tasks, first = np.unique(tasks, return_index=True)
        first = first[tasks >= 0]
        return cls(tasks[tasks >= 0], classes[first])

    def at(self, tasks: IntArray) -> IntArray:
        """Return the known classes of tasks, −1 where unknown, shape (m,)."""
        if not len(self.tasks):
            return np.full(len(tasks), -1)
        place = np.minimum(np.searchsorted(self.tasks, tasks), len(self.tasks) - 1)
        return np.where(self.tasks[place] == tasks, self.classes[place], -1)


@dataclass(frozen=True, eq=False)
class Memory:
    """The answers of all calls so far, and what is known of their labels.

    Answers that were added a few at a time are put in order when they are asked for.

    Attributes
    ----------
    base : Answers
    known : DataFrame of (task, label), or integers of shape (N,), −1 where unknown; None if nothing is
    later_tasks, later_workers : Index, optional
        Ids that came with ``pieces``.
    pieces : tuple
    first_ids : tuple of two Places, optional
        Where the tasks and the workers of ``base`` stand, as the calls before have worked it out.
    """

    base: Answers
    known: Any = None
    later_tasks: pd.Index | None = None
    later_workers: pd.Index | None = None
    pieces: tuple[Rows, ...] = ()
    first_ids: tuple[Places, Places] | None = None

    @cached_property
    def answers(self) -> Answers:
        """All of them."""
        if not self.pieces:
            return self.base
        base = self.base
        task, worker, label = self.later
        task, worker = np.concatenate([base.task, task]), np.concatenate([base.worker, worker])
        label = np.concatenate([base.hard_label, label])
        classes = self.base.classes
        return Answers.from_codes(
            (task, self.tasks),
            (worker, self.workers),
            (label, classes),
            classes=classes,
        )

    @cached_property
    def tasks(self) -> pd.Index:
        """Ids of all tasks, length N."""
        return _joined(self.base.tasks, self.later_tasks)

    @cached_property
    def workers(self) -> pd.Index:
        """Ids of all workers, length D."""
        return _joined(self.base.workers, self.later_workers)

    @property
    def n_tasks(self) -> int:
        """N."""
        return self.base.n_tasks + (0 if self.later_tasks is None else len(self.later_tasks))

    @property
    def n_workers(self) -> int:
        """D."""
        return self.base.n_workers + (0 if self.later_workers is None else len(self.later_workers))

    @cached_property
    def later(self) -> Rows:
        """The answers in all pieces, of which there is one at least."""
        return _together(self.pieces)

    @cached_property
    def settled(self) -> Settled:
        """The tasks whose labels are known, if these are known by (task, label) pairs or not at all."""
        if self.known is None:
            return Settled.of(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        given = self.known[self.known["label"].notna()]
        return Settled.of(self.numbers(given["task"]), self._classes(given["label"]))

    def numbers(self, tasks: pd.Series) -> IntArray:
        """Return the numbers of tasks, −1 for those that are not among the answers, shape (m,)."""
        wanted = as_index(tasks)
        place = self._places[0].of(wanted)
        if self.later_tasks is not None:
            later = Places(self.later_tasks).of(wanted)
            place = np.where(later >= 0, len(self.base.tasks) + later, place)
        return place

    @cached_property
    def _places(self) -> tuple[Places, Places]:
        return self.first_ids or (Places(self.base.tasks), Places(self.base.workers))

    def _classes(self, labels: pd.Series) -> IntArray:
        """Return the numbers of labels, −1 for those that nobody gave, shape (m,)."""
        named = as_index(labels)
        return index.class_places(self.base.classes, named).astype(np.int64, copy=False)

    def plus(
        self, new: Answers, known: pd.DataFrame | None = None
    ) -> tuple[Memory, Additional] | None:
        """Return this and a few answers more, without a pass over the first answers; None where a merge is needed.

        That is where answers are soft, name new classes, repeat or change what was answered, or where ids or classes
        are of another dtype than before, or are objects other than text; and where known labels have changed.

        Parameters
        ----------
        new : Answers
        known : DataFrame of (task, label), optional
            All labels that are known now.
        """
        base = self.base
        pairs = ((base.tasks, new.tasks), (base.workers, new.workers), (base.classes, new.classes))
        if base.is_soft or new.is_soft or any(a.dtype != b.dtype for a, b in pairs):
            return None
        first_ids = self._places
        plain = all(ids.are_plain for ids in first_ids) and is_plain(base.classes)
        if not plain or not all(is_plain(later) for _, later in pairs):
            return None
        label = np.arange(new.n_classes)
        if not base.classes.equals(new.classes):
            label = base.classes.get_indexer(new.classes)
            if (label < 0).any():
                return None
        task, later_tasks = _numbered(first_ids[0], self.later_tasks, new.tasks)
        worker, later_workers = _numbered(first_ids[1], self.later_workers, new.workers)
        rows = task[new.task], worker[new.worker], label.astype(np.int32)[new.hard_label]
        pieces = (self.later, rows) if self.pieces else (rows,)
        grown = Memory(base, known, later_tasks, later_workers, pieces, first_ids)
        if (task[1:] < task[:-1]).any():
            task = np.sort(task)
        if known is not None:
            told = self._told(grown)
            if told is None:
                return None
            task = np.union1d(task, told) if len(told) else task
        before = self._answers_to(task)
        if not len(before[0]):
            return grown, Additional(rows, task, rows)
        given, again = (one[0] * grown.n_workers + one[1] for one in (before, rows))
        both = np.sort(np.concatenate([given, again]))
        if (both[1:] == both[:-1]).any():
            return None
        return grown, Additional(rows, task, _together((before, rows)))

    def _told(self, grown: Memory) -> IntArray | None:
        """Return the tasks whose labels are known in ``grown`` and not here; None where labels are not as they were."""
        given = grown.known[grown.known["label"].notna()]
        if not (is_plain(given["task"]) and is_plain(given["label"])):
            return None
        tasks, classes = grown.numbers(given["task"]), grown._classes(given["label"])
        here, before, now = tasks >= 0, self.settled, grown.settled
        as_before = np.array_equal(now.at(before.tasks), before.classes)
        strange = (classes[here] < 0).any()
        if not as_before or strange or (now.at(tasks[here]) != classes[here]).any():
            return None
        return now.tasks[before.at(now.tasks) < 0]

    def _answers_to(self, task: IntArray) -> Rows:
        """Return the answers to some tasks, ascending, so far."""
        base = self.base
        old = task[: np.searchsorted(task, base.n_tasks)]
        begins, ends = base.task_ptr[old].astype(np.int64), base.task_ptr[old + 1]
        lengths = ends - begins
        rows = np.repeat(ends - np.cumsum(lengths), lengths)
        rows += np.arange(len(rows))
        first = np.repeat(old, lengths), base.worker[rows].astype(np.int64), base.hard_label[rows]
        if not self.pieces:
            return first
        later = self.later
        # new tasks follow those that are there
        asked = np.zeros(self.n_tasks + len(task), dtype=bool)
        asked[task] = True
        there = asked[later[0]]
        return _together((first, (later[0][there], later[1][there], later[2][there])))

    @classmethod
    def before(cls, state: dict[str, Any]) -> Memory | None:
        """Return what an object has seen; None before its first fit.

        Raises
        ------
        ParameterError
            If it has a model whose answers it does not remember.
        """
        if "_fitted" in state and MEMORY not in state:
            raise ParameterError(
                "partial_fit continues only from partial_fit: fit and load keep no answers. Begin with "
                "partial_fit, or fit with all answers."
            )
        seen: Memory | None = state.get(MEMORY)
        return seen

    def with_pairs(
        self, new: Answers, known: pd.DataFrame | None, duplicates: Duplicates
    ) -> Memory:
        """Return this and more; all labels that are known now come by (task, label) pairs."""
        added = self.plus(new) if self.pieces else None
        if added is not None:  # all are put in order once
            return Memory(added[0].answers, known)
        return Memory(self.answers.extended(new, duplicates=duplicates), known)

    def with_vector(self, new: Answers, known: npt.NDArray[np.int64] | None) -> Memory:
        """Return this and more; labels are known by class, one entry a task of ``new``."""
        answers = self.answers.extended(new)
        if self.known is None and known is None:
            return Memory(answers)
        together = np.full(answers.n_tasks, -1, dtype=np.int64)
        if self.known is not None:
            together[: len(self.known)] = _renumbered(self.known, self.answers, answers)
        if known is not None:
            place = answers.tasks.get_indexer(new.tasks)
            together[place[known >= 0]] = _renumbered(known, new, answers)[known >= 0]
        return Memory(answers, together)


def _together(pieces: Sequence[Rows]) -> Rows:
    task, worker, label = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return task, worker, label


def _renumbered(known: IntArray, answers: Answers, whole: Answers) -> IntArray:
    """Return known classes, −1 where unknown, by their places in the whole: an order may have come in later."""
    place = whole.classes.get_indexer(answers.classes).astype(np.int64)
    return np.append(place, -1)[known]


def _joined(first: pd.Index, later: pd.Index | None) -> pd.Index:
    return first if later is None else first.append(later).rename(first.name)


def _numbered(
    first: Places, later: pd.Index | None, wanted: pd.Index
) -> tuple[IntArray, pd.Index | None]:
    """Return the number of each id wanted, and the ids that follow the first; new ids are numbered after the known."""
    place = first.of(wanted)
    strange = np.flatnonzero(place < 0)
    if not len(strange):
        return place, later
    ids = wanted.take(strange)
    if later is None:
        place[strange] = len(first.ids) + np.arange(len(ids))
        return place, ids
    among = Places(later).of(ids)
    new = np.flatnonzero(among < 0)
    among[new] = len(later) + np.arange(len(new))
    place[strange] = len(first.ids) + among
    return place, _followed(later, ids.take(new)) if len(new) else later


def _followed(ids: pd.Index, others: pd.Index) -> pd.Index:
    """Return ids followed by others of their dtype; for int64 without the checks that pandas makes first."""
    if ids.dtype != np.int64:
        return ids.append(others)
    return pd.Index(np.concatenate([ids.to_numpy(), others.to_numpy()]), name=ids.name)

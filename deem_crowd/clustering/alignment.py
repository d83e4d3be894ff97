"""One vocabulary for all sources: which of a source's own names stands for which common one."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import ParameterError, first_few

_ROUNDS = 50
MOST_CANDIDATES = 100
"""Of more sources, the medoid is one of those with most answers."""


@dataclass(frozen=True)
class SourceAlignment:
    """The map of every source's own names onto common ones.

    Attributes
    ----------
    mapping : DataFrame
        Index (``worker``, ``label``); columns ``name`` (the common one), ``probability`` (share of the tasks that were
        given this own name on which the consensus has that common one) and ``n_tasks`` (tasks that tell).
    reference : hashable
        The source whose names are the common ones.
    answers : Answers
        The same answers under common names.
    n_rounds : int
        Rounds until nothing changed.
    """

    mapping: pd.DataFrame
    reference: Hashable
    answers: Answers
    n_rounds: int


def align_sources(data: Any, reference: Hashable = "medoid") -> SourceAlignment:
    """Match every source's names to those of one source, then to the consensus, until nothing changes.

    Names are matched by the Hungarian algorithm on the table of common tasks; of a source with more names than the
    reference has, each name left over goes to the common one that it meets most often. Renaming the labels of a source
    changes its part of ``mapping`` and nothing else.

    Parameters
    ----------
    data : DataFrame, Answers or integers of shape (N, D)
        Long format (task, worker, label), or a matrix with −1 for missing. A label means something within its source.
    reference : hashable, default 'medoid'
        A worker's id, or ``'medoid'``: of the sources with two names or more, that which agrees most with the others
        once names are matched.

    Returns
    -------
    SourceAlignment

    Raises
    ------
    DataError
        If fewer than two sources answered, or sources fall into parts without a common task.
    ParameterError
        If the reference is no source that answered.

    Warns
    -----
    DataWarning
        Where all labels are distinct.

    Examples
    --------
    >>> import numpy as np
    >>> from deem_crowd.clustering import align_sources
    >>> aligned = align_sources(np.array([[0, 1], [0, 1], [1, 0], [2, 2]]), reference=0)
    >>> aligned.mapping["name"].to_dict()
    {(0, 0): 0, (0, 1): 1, (0, 2): 2, (1, 0): 1, (1, 1): 0, (1, 2): 2}
    """
    own = OwnNames.of(data)
    own.require_connected()
    own.warn_of_distinct_labels()
    columns = [np.flatnonzero(own.source == i) for i in range(own.answers.n_workers)]
    chosen = _medoid(own, columns) if reference == "medoid" else _named(own, columns, reference)
    common = own.label[columns[chosen]]
    target = np.full(len(own.source), -1, dtype=np.int64)
    target[columns[chosen]] = np.arange(len(common))
    n_rounds = 0
    while n_rounds < _ROUNDS:
        n_rounds += 1
        consensus = _consensus(own, target, len(common))
        table = np.asarray(own.indicator.T @ consensus)
        moved = np.concatenate([_matched(table[c], target[c]) for c in columns])
        order = np.concatenate(columns)
        updated = np.empty_like(target)
        updated[order] = moved
        if (updated == target).all():
            break
        target = updated
    return _described(own, target, common, chosen, n_rounds)


def _named(own: OwnNames, columns: list[IntArray], reference: Hashable) -> int:
    answered = [i for i, c in enumerate(columns) if len(c)]
    place = own.answers.workers.get_indexer(pd.Index([reference]))[0]
    if place not in answered:
        raise ParameterError(
            f"reference={reference!r} is no source that answered; there are {len(answered)}: "
            f"{first_few(own.answers.workers.take(np.array(answered)))}. Name one of them, or 'medoid'."
        )
    return int(place)


def _medoid(own: OwnNames, columns: list[IntArray]) -> int:
    """Return the source with the highest mean accuracy against others, names matched, over its common tasks.

    Sources with one name, which agree with one another whatever the task, are left out if there are others.
    """
    size = np.array([own.indicator[:, c].nnz for c in columns])
    several = np.array([len(c) > 1 for c in columns])
    if several.any():
        size[~several] = 0
    candidates = np.sort(np.argsort(-size, kind="stable")[:MOST_CANDIDATES])
    candidates = candidates[size[candidates] > 0]
    chosen = np.concatenate([columns[i] for i in candidates])
    part = own.indicator[:, chosen]
    table = np.asarray((part.T @ part).todense())
    bounds = np.cumsum([0, *(len(columns[i]) for i in candidates)])
    best, place = -1.0, int(candidates[0])
    for a, i in enumerate(candidates):
        right = total = 0.0
        for b in range(len(candidates)):
            if a == b:
                continue
            block = table[bounds[a] : bounds[a + 1], bounds[b] : bounds[b + 1]]
            rows, cols = linear_sum_assignment(block, maximize=True)
            right, total = right + block[rows, cols].sum(), total + block.sum()
        if total and right / total > best + 1e-12:
            best, place = right / total, int(i)
    return place


def _consensus(own: OwnNames, target: IntArray, n_names: int) -> FloatArray:
    """Return shares of the common names among the answers that are mapped already, shape (N, n_names)."""
    mapped = np.flatnonzero(target >= 0)
    shape = (len(target), n_names)
    rename = sparse.csr_matrix((np.ones(len(mapped)), (mapped, target[mapped])), shape=shape)
    votes = np.asarray((own.indicator @ rename).todense())
    total = votes.sum(1, keepdims=True)
    return np.asarray(votes / np.maximum(total, 1))


def _matched(table: FloatArray, before: IntArray) -> IntArray:
    """Return the common name of each own one, given how much they meet; −1 where nothing tells yet."""
    if not len(table):
        return before
    moved = table.argmax(1)
    rows, cols = linear_sum_assignment(table, maximize=True)
    moved[rows] = cols
    moved[table.sum(1) == 0] = -1
    return np.asarray(moved, dtype=np.int64)


def _described(
    own: OwnNames, target: IntArray, common: IntArray, chosen: int, rounds: int
) -> SourceAlignment:
    table = np.asarray(own.indicator.T @ _consensus(own, target, len(common)))
    names = own.answers.classes.take(common[target])
    index = pd.MultiIndex.from_arrays(
        [own.answers.workers.take(own.source), own.answers.classes.take(own.label)],
        names=["worker", "label"],
    )
    n_tasks = np.asarray(own.indicator.sum(0)).ravel().astype(np.int64)
    met = table[np.arange(len(target)), target]
    mapping = pd.DataFrame(
        {"name": names, "probability": met / n_tasks, "n_tasks": n_tasks}, index=index
    ).iloc[np.lexsort((own.label, own.source))]
    answers = own.answers
    by_code = np.full((answers.n_workers, answers.n_classes), -1, dtype=np.int32)
    kept = np.unique(common)
    if (
        answers.classes.dtype.kind in "iu"
        and (answers.classes == np.arange(len(answers.classes))).all()
    ):
        kept = np.arange(kept[-1] + 1)  # a name is the number of its class
    by_code[own.source, own.label] = np.searchsorted(kept, common[target])
    label = by_code[answers.worker, answers.hard_label]
    renamed = replace(answers, label=label, classes=answers.classes.take(kept))
    return SourceAlignment(mapping, answers.workers[chosen], renamed, rounds)

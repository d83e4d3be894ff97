"""Tasks with known labels, those of all processes together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from deem_crowd.data.answers import Answers
from deem_crowd.model.group import ALONE, Group
from deem_crowd.selection.known_labels.regression import FloatArray, IntArray, indicators

_DECIMALS = 4
_PRIME = 2**31 - 1
LEAST_CHANCE = 1e-6


@dataclass(frozen=True)
class Known:
    """The n tasks with known labels, those of one process after those of another.

    Attributes
    ----------
    features : sparse matrix, shape (n, D·K)
        The (worker, answer) pairs of each.
    label : integers, shape (n,)
    sizes : shape (n,)
        Answers to each.
    mine : slice
        Those of this process.
    places : integers
        Where these are among the tasks of this process.
    group : Group
    """

    features: sparse.csr_matrix
    label: IntArray
    sizes: FloatArray
    mine: slice
    places: npt.NDArray[np.intp]
    group: Group

    @classmethod
    def of(cls, answers: Answers, gold: IntArray, group: Group = ALONE) -> Known:
        """Return those of all processes; ``gold``, shape (N,), of this one is −1 where a label is unknown."""
        places = np.flatnonzero(gold >= 0)
        own = indicators(answers, places)
        sizes = np.diff(answers.task_ptr)[places]
        about = np.stack([gold[places], sizes, np.diff(own.indptr)], 1).astype(np.int64)
        every, begin = group.gathered(torch.from_numpy(about))
        label, of_all, lengths = every.numpy().T
        column, mass = (
            group.gathered(torch.from_numpy(values))[0].numpy()
            for values in (own.indices.astype(np.int64), own.data.astype(np.float64))
        )
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        features = sparse.csr_matrix(
            (mass, column, pointers), shape=(len(label), own.shape[1]), copy=True
        )
        mine = slice(begin, begin + len(places))
        return cls(features, label, of_all.astype(np.float64), mine, places, group)

    def chances(self, posterior: FloatArray, drawn: FloatArray | None = None) -> FloatArray:
        """Return the probabilities of all n known labels, shape (n,), by this process's posterior, shape (N, K).

        ``drawn``, shape (K,), is the logarithm of the rate at which tasks of a class were chosen for gold, up to a
        constant. The probabilities are then those of tasks that were chosen at these rates.
        """
        here = posterior[self.places]
        if drawn is not None:
            here = here * np.exp(drawn)
            here = here / here.sum(1, keepdims=True).clip(1e-300)
        own = here[np.arange(len(here)), self.label[self.mine]]
        chances: FloatArray = self.group.gathered(torch.from_numpy(own))[0].numpy()
        return chances

    def of_some(self, n_tasks: int, rows: npt.NDArray[np.intp]) -> IntArray:
        """Return known labels of this process's N tasks, shape (N,), with −1 for all but the given rows of the n."""
        part = np.full(n_tasks, -1, dtype=np.int64)
        kept = np.isin(np.arange(self.mine.start, self.mine.stop), rows)
        part[self.places[kept]] = self.label[self.mine][kept]
        return part


def logs(chances: FloatArray) -> FloatArray:
    """Return the logarithms of chances, those of very small ones cut off."""
    return np.asarray(np.log(np.maximum(chances, LEAST_CHANCE)))


def in_order(
    features: sparse.csr_matrix,
    known: IntArray,
    sizes: FloatArray,
    told: FloatArray,
    free: FloatArray,
    k: int,
) -> npt.NDArray[np.intp]:
    """Return the order, (n,), of n known labels by their probabilities in the fit without gold.

    It does not depend on the order of rows. Ties, within rounding, are broken by the number of answers, then by the
    probabilities in the clamped fit, and then by who answered.
    """
    of_label = features.T @ np.eye(k)[known]
    same = (features @ of_label)[np.arange(len(known)), known]
    keys = (_marks(features, same, k), told, sizes, free)
    return np.lexsort([np.round(key, _DECIMALS) for key in keys])


def _marks(features: sparse.csr_matrix, start: FloatArray, k: int) -> IntArray:
    """Return numbers, shape (n,), that tell tasks apart by what they share with others, without the use of names.

    An answer's number is made from those of the tasks with this answer and those of its worker's other answers, and a
    task's number from those of its answers, three times over (Weisfeiler and Leman's refinement, 1968). Sums of
    integers are exact in any order.
    """
    cells = features.astype(np.float64)
    cells.data = np.rint(cells.data * 10**_DECIMALS)
    cells = cells.astype(np.int64)
    mark = np.rint(start * 10**_DECIMALS).astype(np.int64)
    for _ in range(3):
        of_answer = cells.T @ mark % _PRIME
        of_answer = (
            of_answer + 7 * np.repeat((of_answer**2 % _PRIME).reshape(-1, k).sum(1), k)
        ) % _PRIME
        mark = (31 * mark + cells @ (of_answer * of_answer % _PRIME)) % _PRIME
    return mark

"""What partial_fit remembers between calls."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.answers import Answers, Duplicates
from deem_crowd.exceptions import ParameterError

MEMORY = "_memory"
"""The attribute that holds it."""
FITTED_ON = "_fitted_on"
"""The attribute that holds the same after any fit, for tables of the answers; files of models leave it out."""


_LOCKS = tuple(threading.Lock() for _ in range(64))


def exclusive(estimator: Any) -> threading.Lock:
    """Return the lock of an object, so that calls of ``partial_fit`` from several threads come one after the other.

    It stands beside the object, which can then be copied and pickled; two objects may share one.
    """
    return _LOCKS[id(estimator) // 16 % len(_LOCKS)]


@dataclass(frozen=True)
class Memory:
    """The answers of all calls so far, and what is known of their labels.

    Attributes
    ----------
    answers : Answers
    known : DataFrame of (task, label), or integers of shape (N,), −1 where unknown; None if nothing is
    """

    answers: Answers
    known: Any = None

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
                "partial_fit goes on from partial_fit alone: fit and load remember no answers. Begin with "
                "partial_fit, or fit with all answers."
            )
        seen: Memory | None = state.get(MEMORY)
        return seen

    def with_pairs(
        self, new: Answers, known: pd.DataFrame | None, duplicates: Duplicates
    ) -> Memory:
        """Return this and more; labels are known by (task, label) pairs."""
        frames = [frame for frame in (self.known, known) if frame is not None]
        together = pd.concat(frames, ignore_index=True) if frames else None
        return Memory(self.answers.extended(new, duplicates=duplicates), together)

    def with_vector(self, new: Answers, known: npt.NDArray[np.int64] | None) -> Memory:
        """Return this and more; labels are known by class, one entry a task of ``new``."""
        answers = self.answers.extended(new)
        if self.known is None and known is None:
            return Memory(answers)
        together = np.full(answers.n_tasks, -1, dtype=np.int64)
        if self.known is not None:
            together[: len(self.known)] = self.known
        if known is not None:
            place = answers.tasks.get_indexer(new.tasks)
            together[place[known >= 0]] = known[known >= 0]
        return Memory(answers, together)

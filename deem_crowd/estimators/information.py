"""What each worker's answers say about their skill: the effective number of answers behind its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import counts_of
from deem_crowd.model.group import ALONE
from deem_crowd.model.grown import SmallDesign
from deem_crowd.runtime.cached import cached_property

FloatArray = npt.NDArray[np.float64]


def worth_of(design: DesignMatrix, p: torch.Tensor) -> torch.Tensor:
    """Return answers of each worker, and the sums of the chance that each is right and of its square, (3, D)."""
    parts = counts_of(design, p), design.expected_counts(p * p).cpu()
    right, squared = (torch.diagonal(each, dim1=1, dim2=2).sum(1) for each in parts)
    return torch.stack([design.n_given.cpu(), right, squared])


def worth_of_few(design: SmallDesign, p: torch.Tensor) -> torch.Tensor:
    """Return :func:`worth_of` of a few answers, one by one."""
    worker, label = np.divmod(design.code, design.n_classes)
    right = p.numpy()[design.task, label].astype(np.float64)
    worth = [np.bincount(worker, of, design.n_workers) for of in (None, right, right * right)]
    return torch.from_numpy(np.stack(worth).astype(np.float64, copy=False))


def information(worth: torch.Tensor) -> FloatArray:
    """Return what each worker's answers are worth; see :meth:`FittedModel.skill_intervals`."""
    n, right, squared = worth.numpy()
    mean = right / np.maximum(n, 1)
    spread = np.maximum(squared - n * mean**2, 0)
    n_effective: FloatArray = np.minimum(spread / np.maximum(mean * (1 - mean), 1e-9), n)
    return n_effective


def answer_information(design: DesignMatrix, posterior: torch.Tensor) -> FloatArray:
    """Return what each worker's answers are worth; see :meth:`FittedModel.skill_intervals`."""
    return information(worth_of(design, posterior.to(design.device, design.dtype)))


@dataclass(frozen=True, eq=False)
class InformationToCome:
    """What each worker's answers are worth, shape (D,), computed when it is first read as an array.

    Pickles and copies hold the array.

    Attributes
    ----------
    answers : Answers
        About N tasks, by D workers, over K classes.
    posterior : float32 or float64, shape (N, K)
        p(label | answers).
    """

    answers: Answers
    posterior: npt.NDArray[np.floating[Any]]

    @cached_property
    def _value(self) -> FloatArray:
        answers, d = self.answers, self.answers.n_workers
        if answers.soft is None:
            right = self.posterior[answers.task, answers.hard_label].astype(np.float64)
            squared = right * right
        else:
            found = self.posterior[answers.task].astype(np.float64)
            right = (answers.soft * found).sum(1)
            squared = (answers.soft * found * found).sum(1)
        worth = [np.bincount(answers.worker, of, d) for of in (None, right, squared)]
        return information(torch.from_numpy(np.stack(worth).astype(np.float64)))

    def renamed(self, order: npt.NDArray[np.int64]) -> InformationToCome:
        """Return the same where class k is what class ``order[k]`` was, shape (K,)."""
        return InformationToCome(self.answers, self.posterior[:, order])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        """Return the array."""
        return np.array(self._value, dtype=dtype) if copy else np.asarray(self._value, dtype=dtype)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[FloatArray]]:
        """Leave the answers and the posterior out of pickles and copies."""
        return np.asarray, (self._value,)


def information_of(
    answers: Answers, design: DesignMatrix, states: torch.Tensor, class_map: npt.NDArray[np.int64]
) -> FloatArray | InformationToCome:
    """Return what each worker's answers are worth, or what says so; other processes cannot be asked later.

    ``states``, shape (N, K), is the posterior, and ``class_map``, shape (K,), the class of each state.
    """
    posterior = states
    renamed = not np.array_equal(class_map, np.arange(len(class_map)))
    # Callers may change what they get in place: of double precision that is these numbers, else a copy of them.
    if renamed or states.dtype == torch.float64:
        order = torch.from_numpy(np.argsort(class_map)).to(states.device)
        posterior = states.index_select(1, order)
    if design.group is ALONE:
        return InformationToCome(answers, posterior.cpu().numpy())
    return answer_information(design, posterior)

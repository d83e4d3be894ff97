"""Answers laid out for mini-batches: B tasks with T places each, and who stands in which place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deem_crowd.data.answers import Answers

# Where at least this share of all (task, worker) pairs is answered, place t is simply worker t.
_DENSE_FROM = 0.5


@dataclass(frozen=True)
class Batch:
    """B tasks.

    Attributes
    ----------
    tasks : LongTensor, shape (B,)
    worker : LongTensor, shape (B, T), or None
        Who stands in each place; None if place t is worker t throughout.
    answers : Tensor, shape (B, T, K)
        One-hot, or distributions; zero where no answer exists.
    mask : BoolTensor, shape (B, T)
        Which answers exist.
    index : LongTensor, shape (B, T)
        The number of each answer among all R; 0 where there is none.
    """

    tasks: Tensor
    worker: Tensor | None
    answers: Tensor
    mask: Tensor
    index: Tensor

    def labels(self, every: Tensor) -> Tensor:
        """Return ``every`` answer's label, shape (..., R), as a state, shape (..., B, T), −1 where none exists."""
        return torch.where(self.mask, every[..., self.index], -1)


class Batches:
    """Cuts answers into batches of any size.

    Parameters
    ----------
    answers : Answers
    device : torch.device
    dtype : torch.dtype
    dense : bool, optional
        Whether place t is worker t; decided by how many pairs are answered if omitted.
    """

    def __init__(
        self,
        answers: Answers,
        device: torch.device,
        dtype: torch.dtype,
        dense: bool | None = None,
    ) -> None:
        self.n_tasks, self.n_workers = answers.n_tasks, answers.n_workers
        self.n_classes, self.n_answers = answers.n_classes, answers.n_answers
        self.device, self.dtype = device, dtype
        if dense is None:
            dense = answers.n_answers >= _DENSE_FROM * answers.n_tasks * answers.n_workers
        self.dense, self.soft = dense, answers.is_soft
        self._start = torch.from_numpy(answers.task_ptr.astype(np.int64)).to(device)
        self._worker = torch.from_numpy(answers.worker.astype(np.int64)).to(device)
        self._soft = (
            None if answers.soft is None else torch.from_numpy(answers.soft).to(device, dtype)
        )
        self._label = (
            None
            if answers.label is None
            else torch.from_numpy(answers.label.astype(np.int64)).to(device)
        )

    def first_labels(self, generator: torch.Generator, drawn: bool) -> Tensor:
        """Return a label for every answer, shape (R,): as given; of soft ones, drawn from them or the likeliest."""
        if self._label is not None:
            return self._label.clone()
        assert self._soft is not None
        if not drawn or len(self._soft) == 0:
            return self._soft.argmax(-1)
        return torch.multinomial(self._soft.double(), 1, generator=generator).squeeze(-1)

    def get(self, tasks: Tensor) -> Batch:
        """Return the batch of ``tasks``, shape (B,)."""
        start, size = self._start[tasks], self._start[tasks + 1] - self._start[tasks]
        width = int(size.max()) if len(tasks) else 0
        place = torch.arange(width, device=self.device)
        mask = place < size[:, None]
        index = torch.where(mask, start[:, None] + place, 0)
        worker = self._worker[index] if self.n_answers else index.new_zeros((len(tasks), width))
        if self.dense:
            mask, index = self._by_worker(mask, index, worker)
        shown = None if self.dense else worker
        return Batch(tasks, shown, self._answers(mask, index), mask, index)

    def _by_worker(self, mask: Tensor, index: Tensor, worker: Tensor) -> tuple[Tensor, Tensor]:
        """Move every answer to the place of its worker; one more place takes what does not exist."""
        shape = (len(mask), self.n_workers + 1)
        place = torch.where(mask, worker, self.n_workers)
        wide_mask = torch.zeros(shape, dtype=torch.bool, device=self.device).scatter(1, place, mask)
        wide_index = torch.zeros(shape, dtype=torch.int64, device=self.device)
        wide_index = wide_index.scatter(1, place, index)
        return wide_mask[:, :-1], wide_index[:, :-1]

    def _answers(self, mask: Tensor, index: Tensor) -> Tensor:
        if self.n_answers == 0:
            return torch.zeros((*mask.shape, self.n_classes), device=self.device, dtype=self.dtype)
        if self._soft is not None:
            coded = self._soft[index]
        else:
            assert self._label is not None
            coded = torch.nn.functional.one_hot(self._label[index], self.n_classes).to(self.dtype)
        return coded * mask[..., None]

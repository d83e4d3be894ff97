"""DesignMatrix over answers that do not fit on the device: laid out in the host's memory, sent there batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix

BATCH = 10**8
"""Answers that are on the device together."""


class OffloadedDesign(DesignMatrix):
    """What :class:`DesignMatrix` does, with the answers in the host's memory and the sums on the device.

    Parameters
    ----------
    answers, device, dtype
        As for :class:`deem_crowd.model.design.DesignMatrix`.
    batch : int
        Answers of a batch; a task is never cut.
    """

    def __init__(
        self,
        answers: Answers,
        device: torch.device,
        dtype: torch.dtype,
        portable: bool = False,
        batch: int = BATCH,
    ) -> None:
        self.n_tasks, self.n_workers = answers.n_tasks, answers.n_workers
        self.n_tasks_in_all, self.n_answers_in_all = answers.n_tasks, answers.n_answers
        self.n_classes, self.n_answers = answers.n_classes, answers.n_answers
        self.device, self.dtype = device, dtype
        self.answered = torch.from_numpy(np.bincount(answers.worker, minlength=self.n_workers) > 0)
        self._batches: list[tuple[slice, DesignMatrix]] = []
        host, start = torch.device("cpu"), 0
        while start < answers.n_tasks:
            reach = np.searchsorted(answers.task_ptr, answers.task_ptr[start] + batch, side="right")
            end = min(max(int(reach) - 1, start + 1), answers.n_tasks)
            part = DesignMatrix(_tasks(answers, start, end), host, dtype, portable=True)
            self._batches.append((slice(start, end), part))
            start = end

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """See :meth:`deem_crowd.model.design.DesignMatrix.logits`."""
        table = table.to(self.device, self.dtype)
        shape = (self.n_tasks, table.shape[-1])
        found = torch.empty(shape, dtype=self.dtype, device=self.device)
        for place, part in self._sent():
            found[place] = part.logits(table)
        return found

    def expected_counts(self, posterior: torch.Tensor) -> torch.Tensor:
        """See :meth:`deem_crowd.model.design.DesignMatrix.counts`."""
        shape = (self.n_workers, self.n_classes, posterior.shape[1])
        found = torch.zeros(shape, dtype=torch.float64, device=self.device)
        for place, part in self._sent():
            found += part.expected_counts(posterior[place])
        return found

    def _sent(self) -> Iterator[tuple[slice, DesignMatrix]]:
        for place, part in self._batches:
            yield place, part.to(self.device)


def _tasks(answers: Answers, start: int, end: int) -> Answers:
    """Return the answers to tasks start:end; workers and classes stay."""
    first, last = int(answers.task_ptr[start]), int(answers.task_ptr[end])
    return Answers(
        answers.task_ptr[start : end + 1] - answers.task_ptr[start],
        answers.worker[first:last],
        None if answers.label is None else answers.label[first:last],
        None if answers.soft is None else answers.soft[first:last],
        answers.tasks[start:end],
        answers.workers,
        answers.classes,
    )

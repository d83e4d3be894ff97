"""What answers look like: how many there are, as tensors, and as a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.memory import require
from deem_crowd.exceptions import FormError, counted

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False, repr=False)
class Views:
    """The fields of :class:`deem_crowd.Answers`, which says what they are, and what they show."""

    task_ptr: npt.NDArray[np.integer[Any]]
    worker: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32] | None
    soft: npt.NDArray[np.float64] | None
    tasks: pd.Index
    workers: pd.Index
    classes: pd.Index

    @property
    def n_tasks(self) -> int:
        """N."""
        return len(self.tasks)

    @property
    def n_workers(self) -> int:
        """D."""
        return len(self.workers)

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.classes)

    @property
    def n_answers(self) -> int:
        """R."""
        return len(self.worker)

    @property
    def is_soft(self) -> bool:
        """Whether answers are distributions over the classes."""
        return self.soft is not None

    @property
    def squares(self) -> float:
        """Σ p² of all answers and classes: how many would agree with another draw from themselves; R if hard."""
        return float(
            self.n_answers if self.soft is None else np.square(self.soft, dtype=float).sum()
        )

    @property
    def hard_label(self) -> npt.NDArray[np.int32]:
        """The labels, shape (R,), of answers that are not soft.

        Raises
        ------
        FormError
            If the answers are soft.
        """
        if self.label is None:
            raise FormError("soft answers have no labels; use one_hot() or soft.")
        return self.label

    @property
    def task(self) -> npt.NDArray[np.int32]:
        """The task of each answer, shape (R,)."""
        return np.repeat(np.arange(self.n_tasks, dtype=np.int32), np.diff(self.task_ptr))

    def __repr__(self) -> str:
        kind = "soft answer" if self.is_soft else "answer"
        said = [
            counted(self.n_answers, kind, f"{kind}s"),
            counted(self.n_tasks, "task"),
            counted(self.n_workers, "worker"),
            counted(self.n_classes, "class", "classes"),
        ]
        return f"Answers({', '.join(said)})"

    def dense(self) -> torch.Tensor:
        """Return the (N, D) int64 tensor of labels with −1 for missing.

        Raises
        ------
        FormError
            If the answers are soft: use :meth:`one_hot`.
        MemoryNeedError
            If N·D entries do not fit: this view is for models that need it, nothing here does.
        """
        import torch

        label = self.hard_label
        require(
            self.n_tasks * self.n_workers * 8,
            f"a dense matrix of {self.n_tasks:,} tasks × {self.n_workers:,} workers",
            "Work on the answers themselves (task_ptr, worker, label).",
        )
        matrix = torch.full((self.n_tasks, self.n_workers), -1, dtype=torch.int64)
        cells = self.task.astype(np.int64) * self.n_workers + self.worker
        matrix.view(-1)[torch.from_numpy(cells)] = torch.from_numpy(label.astype(np.int64))
        return matrix

    def one_hot(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Return the (N, K, D) tensor of answers, zeros for missing; soft answers as they are.

        Parameters
        ----------
        dtype : torch dtype, optional
            float32 if omitted.

        Raises
        ------
        MemoryNeedError
        """
        import torch

        kind = torch.float32 if dtype is None else dtype
        n, k, d = self.n_tasks, self.n_classes, self.n_workers
        require(
            n * k * d * kind.itemsize,
            f"a dense tensor of {n:,} tasks × {k:,} classes × {d:,} workers",
            "Work on the answers themselves (task_ptr, worker, label).",
        )
        array = torch.zeros((n, k, d), dtype=kind)
        task, worker = torch.from_numpy(self.task).long(), torch.from_numpy(self.worker).long()
        if self.soft is not None:
            array[task, :, worker] = torch.from_numpy(self.soft).to(kind)
        else:
            array[task, torch.from_numpy(self.hard_label).long(), worker] = 1
        return array

    def to_frame(self) -> pd.DataFrame:
        """Return the long format, R rows by task: ``task``, ``worker`` and ``label``.

        Soft answers give one probability column per class instead of ``label``. Tasks and workers without
        answers have no row.
        """
        ids_ = {
            "task": self.tasks.take(self.task),
            "worker": self.workers.take(self.worker),
        }
        if self.label is not None:
            return pd.DataFrame({**ids_, "label": self.classes.take(self.label)})
        frame = pd.DataFrame(ids_)
        soft = pd.DataFrame(self.soft, columns=pd.Index(list(self.classes), tupleize_cols=False))
        return pd.concat([frame, soft], axis=1)

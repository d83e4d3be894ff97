"""The two passes over the answers on which everything rests, and nothing else that costs O(answers).

Forward, by task: ``logits[n] = Σ_{i∈O(n)} table[i, x_ni]``. Backward, by worker and label:
``counts[i, l] = Σ_{n: x_ni = l} posterior[n]``. Both are one sparse matrix of ones (of weights, for soft answers),
read by rows and by columns, times a dense one with S columns: the S hidden states.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch.nn.functional import embedding_bag

from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import ParameterError

# Rows longer than this are summed in pieces: it bounds float32 rounding and shares the work among threads.
_PIECE = 1024
# Below this many answers × states float64 costs no time worth having.
_FLOAT64_UP_TO = 2**19


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the torch device for ``device``; 'auto' is CUDA where there is one.

    Raises
    ------
    ParameterError
        If the device is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ParameterError(
            f"device={device!r} is no torch device; use 'auto', 'cpu' or 'cuda'."
        ) from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ParameterError(
            f"device={device!r}: torch sees no CUDA device here; use 'auto' or 'cpu'."
        )
    return chosen


def resolve_dtype(dtype: str, n_answers: int, n_states: int) -> torch.dtype:
    """Return the floating dtype of the passes: float64 for small problems under 'auto', else float32."""
    if dtype == "auto":
        return torch.float64 if n_answers * n_states <= _FLOAT64_UP_TO else torch.float32
    return {"float32": torch.float32, "float64": torch.float64}[dtype]


class _Rows:
    """A sparse matrix in row form: ``self @ dense`` sums rows of ``dense``, in pieces where a row is long."""

    def __init__(
        self,
        pointers: npt.NDArray[Any],
        columns: npt.NDArray[Any],
        values: npt.NDArray[Any] | None,
        n_columns: int,
        device: torch.device,
        dtype: torch.dtype,
        portable: bool = False,
    ) -> None:
        self.n_rows = len(pointers) - 1
        self.device, self.dtype = device, dtype
        lengths = np.diff(pointers)
        pieces = np.maximum(1, -(-lengths // _PIECE))
        self._outer: npt.NDArray[Any] | None = None
        if (pieces > 1).any():
            self._outer = np.concatenate([[0], np.cumsum(pieces)]).astype(pointers.dtype)
            within = np.arange(self._outer[-1]) - np.repeat(self._outer[:-1], pieces)
            starts = np.repeat(pointers[:-1], pieces) + within * _PIECE
            pointers = np.append(starts, pointers[-1]).astype(pointers.dtype)
        # scipy's kernel is the fast one for float64 on the CPU, torch's for float32 and for other devices.
        self._scipy = device.type == "cpu" and dtype == torch.float64 and not portable
        if self._scipy:
            ones = np.ones(len(columns)) if values is None else values.astype(np.float64)
            shape = (len(pointers) - 1, n_columns)
            self._matrix = sparse.csr_array((ones, columns, pointers), shape=shape)
        else:
            self._columns = torch.from_numpy(np.ascontiguousarray(columns)).to(device)
            self._pointers = torch.from_numpy(np.ascontiguousarray(pointers)).to(device)
            self._values = None if values is None else torch.from_numpy(values).to(device, dtype)
        if self._outer is not None:
            index = np.arange(len(pointers) - 1, dtype=pointers.dtype)
            self._sum_pieces = _Rows.of_pieces(self._outer, index, device, portable)

    def to(self, device: torch.device) -> _Rows:
        """Return the same rows, which have to be portable, on another device."""
        moved = copy.copy(self)
        moved.device = device
        moved._columns, moved._pointers = self._columns.to(device), self._pointers.to(device)
        moved._values = None if self._values is None else self._values.to(device)
        if self._outer is not None:
            moved._sum_pieces = self._sum_pieces.to(device)
        return moved

    @classmethod
    def of_pieces(
        cls,
        pointers: npt.NDArray[Any],
        columns: npt.NDArray[Any],
        device: torch.device,
        portable: bool = False,
    ) -> _Rows:
        """Second level: adds up the pieces of each row, in float64."""
        rows = cls.__new__(cls)
        rows.n_rows, rows.device, rows.dtype = len(pointers) - 1, device, torch.float64
        rows._outer = None
        rows._scipy = device.type == "cpu" and not portable
        if rows._scipy:
            shape = (rows.n_rows, len(columns))
            rows._matrix = sparse.csr_array((np.ones(len(columns)), columns, pointers), shape=shape)
        else:
            rows._columns = torch.from_numpy(columns).to(device)
            rows._pointers = torch.from_numpy(pointers).to(device)
            rows._values = None
        return rows

    def __matmul__(self, dense: torch.Tensor) -> torch.Tensor:
        """Return ``(n_rows, S)`` for ``dense`` of shape (n_columns, S)."""
        dense = dense.to(self.device, self.dtype)
        if self._scipy:
            partial = torch.from_numpy(self._matrix @ dense.contiguous().numpy())
        elif len(self._columns) == 0:
            partial = dense.new_zeros((len(self._pointers) - 1, dense.shape[1]))
        else:
            partial = embedding_bag(
                self._columns,
                dense.contiguous(),
                self._pointers,
                mode="sum",
                per_sample_weights=self._values,
                include_last_offset=True,
            )
        if self._outer is None:
            return partial
        return self._sum_pieces @ partial.to(torch.float64)


class DesignMatrix:
    """Answers laid out on a device for sums by task and sums by (worker, label).

    Parameters
    ----------
    answers : Answers
        N tasks, D workers, K classes, R answers, hard or soft.
    device : torch.device
    dtype : torch.dtype
        Of the passes, float32 or float64. Sums over long rows are carried in float64 either way.
    portable : bool
        Whether :meth:`to` can bring them to another device; costs speed for float64 on the CPU.

    Notes
    -----
    Memory: two copies of the answers' indices, 8 bytes an answer each with int32 (and as much again for weights
    where answers are soft or the dtype is float64 on the CPU).
    """

    def __init__(
        self, answers: Answers, device: torch.device, dtype: torch.dtype, portable: bool = False
    ) -> None:
        self.n_tasks, self.n_workers = answers.n_tasks, answers.n_workers
        #: What the likelihood is about; more than ``n_tasks`` where others hold tasks, too.
        self.n_tasks_in_all, self.n_answers_in_all = answers.n_tasks, answers.n_answers
        self.n_classes, self.n_answers = answers.n_classes, answers.n_answers
        self.device, self.dtype = device, dtype
        #: Whether each worker gave any answer, shape (D,).
        self.answered = torch.from_numpy(np.bincount(answers.worker, minlength=self.n_workers) > 0)
        n_codes = self.n_workers * self.n_classes
        index = np.int32 if max(n_codes, self.n_answers) < 2**31 - 1 else np.int64
        pointers = answers.task_ptr.astype(index)
        code, weight = _codes(answers, index)
        if answers.is_soft:
            # a soft answer is as many weighted ones as it has classes with mass
            pointers = (pointers * self.n_classes).astype(index)
        by_code, order = ids.counting_sort(code, n_codes)
        task = np.repeat(np.arange(self.n_tasks, dtype=index), np.diff(pointers).astype(np.int64))[
            order
        ]
        self._by_task = _Rows(pointers, code, weight, n_codes, device, dtype, portable)
        by_code = by_code.astype(index)
        weight = None if weight is None else weight[order]
        self._by_code = _Rows(by_code, task, weight, self.n_tasks, device, dtype, portable)

    def to(self, device: torch.device) -> DesignMatrix:
        """Return the same passes, which have to be ``portable``, with their data on another device."""
        moved = copy.copy(self)
        moved.device = device
        moved._by_task, moved._by_code = self._by_task.to(device), self._by_code.to(device)
        return moved

    def reduce(self, value: torch.Tensor) -> torch.Tensor:
        """Return a sum over tasks with what others hold of them added: here nothing, these are all.

        Every sum over tasks that enters a fit goes through here, for :mod:`deem_crowd.distributed`.
        """
        return value

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over tasks, the first axis, in float64 on the CPU."""
        return self.reduce(column_total(values))

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """Sum by task.

        Parameters
        ----------
        table : shape (D, K, S)

        Returns
        -------
        Tensor, shape (N, S)
            ``Σ_{i∈O(n)} table[i, x_ni, :]``, in the dtype of the passes.
        """
        return (self._by_task @ table.reshape(self.n_workers * self.n_classes, table.shape[-1])).to(
            self.dtype
        )

    def expected_counts(self, posterior: torch.Tensor) -> torch.Tensor:
        """Sum by worker and label.

        Parameters
        ----------
        posterior : shape (N, S)

        Returns
        -------
        Tensor, float64, shape (D, K, S)
            ``Σ_{n: x_ni = l} posterior[n, :]``.
        """
        summed = (self._by_code @ posterior).to(torch.float64)
        return self.reduce(summed.view(self.n_workers, self.n_classes, posterior.shape[1]))


def _codes(answers: Answers, index: type) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return the code ``worker · K + label`` of each answer and, for soft ones, the weights."""
    base = answers.worker.astype(index) * index(answers.n_classes)
    if answers.soft is None:
        return base + answers.hard_label.astype(index, copy=False), None
    codes = base[:, None] + np.arange(answers.n_classes, dtype=index)
    return codes.reshape(-1), answers.soft.reshape(-1)


def column_total(values: torch.Tensor) -> torch.Tensor:
    """Return the sum over the first axis in float64, on the CPU.

    float32 is summed in pieces first: rounding stays that of a piece, and nothing of the input's size is converted.
    """
    n = len(values)
    if values.dtype != torch.float64 and n > _PIECE:
        whole = n // _PIECE * _PIECE
        pieces = values[:whole].unflatten(0, (-1, _PIECE)).sum(1)
        found = pieces.sum(0, dtype=torch.float64) + values[whole:].sum(0, dtype=torch.float64)
    else:
        found = values.sum(0, dtype=torch.float64)
    return found.cpu()


def softmax(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``softmax(logits, -1)``, shape (N, S), and ``logsumexp(logits, -1)``, shape (N,).

    Written out because torch's own softmax is several times slower where the last axis is short.
    """
    if logits.shape[-1] == 0:
        return logits, logits.new_full(logits.shape[:-1], -torch.inf)
    top = logits.amax(-1, keepdim=True).clamp_min(torch.finfo(logits.dtype).min)
    weights = (logits - top).exp_()
    total = weights.sum(-1, keepdim=True)
    weights /= total
    return weights, (total.log_() + top).squeeze(-1)

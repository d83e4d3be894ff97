"""The sparse one-hot matrix of the answers. Its two products are all in a fit that costs O(answers).

Forward, by task: ``logits[n] = Σ_{i∈O(n)} table[i, x_ni]``. Backward, by worker and label:
``counts[i, l] = Σ_{n: x_ni = l} posterior[n]``. Both are one sparse matrix of ones (of weights, for soft answers),
read by rows and by columns, times a dense one with S columns: the S hidden states.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.data.memory import require
from deem_crowd.exceptions import ParameterError
from deem_crowd.model.blocked_rows import BlockedRows, blocked
from deem_crowd.model.group import ALONE, Group
from deem_crowd.model.rows import column_total
from deem_crowd.model.sparse_rows import PIECE, SparseRows, by_column
from deem_crowd.runtime.cached import cached_property

# Below this many answers × states float64 costs no time worth having.
_FLOAT64_UP_TO = 2**19
_COLUMNS = 3
"""Columns of tasks up to which a matrix times each of them takes less time than one times all together."""
_LONGEST = 8 * PIECE
"""Answers of a worker with one label up to which sums may be added up task by task: more are few workers' answers."""
_FOLLOWS = frozenset(("by_task", "by_code", "given", "votes", "adds_up", "_longest"))
"""Attributes that are computed where they are asked for."""
BATCH = 10**8
"""Answers that an :class:`OffloadedDesign` sends to the device at a time."""


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
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:  # NotImplementedError is one
        why = f"torch sees no {str(chosen).upper()} device here; use 'auto' or 'cpu'."
        raise ParameterError(f"device={device!r}: {why}") from error
    return chosen


def resolve_dtype(dtype: str, n_answers: int, n_states: int) -> torch.dtype:
    """Return the floating dtype of logits and posteriors: float64 for small problems under 'auto', else float32."""
    if dtype == "auto":
        return torch.float64 if n_answers * n_states <= _FLOAT64_UP_TO else torch.float32
    return {"float32": torch.float32, "float64": torch.float64}[dtype]


class DesignMatrix:
    """Answers laid out on a device for sums by task and sums by (worker, label).

    Parameters
    ----------
    answers : Answers
        N tasks, D workers, K classes, R answers, hard or soft.
    device : torch.device
    dtype : torch.dtype
        float32 or float64. Sums over long rows are carried in float64 either way.
    portable : bool
        Whether :meth:`to` can bring the matrix to another device; costs speed for float64 on the CPU.
    group : Group
        The processes that hold further tasks of the same workers and classes; all make the same calls in the same
        order, and sums over tasks are sums over the tasks of all.

    Notes
    -----
    Memory: two copies of the answers' indices, 8 bytes an answer each with int32 (and as much again for weights
    where answers are soft or the dtype is float64 on the CPU).
    """

    def __init__(
        self,
        answers: Answers,
        device: torch.device,
        dtype: torch.dtype,
        portable: bool = False,
        group: Group = ALONE,
    ) -> None:
        self.n_tasks, self.n_workers, self.group = answers.n_tasks, answers.n_workers, group
        sizes = torch.tensor([answers.n_tasks, answers.n_answers], dtype=torch.float64)
        #: What the likelihood covers: more than ``n_tasks`` where other processes hold further tasks.
        self.n_tasks_in_all, self.n_answers_in_all = (int(n) for n in group.reduce(sizes))
        self.n_classes, self.n_answers = answers.n_classes, answers.n_answers
        self.device, self.dtype, self.squares = device, dtype, answers.squares
        self._lay_out(answers, portable)
        #: How many answers each worker gave, in all processes, float64, shape (D,).
        self.n_given = group.reduce(self._n_answers_of_workers(answers))
        #: Whether each worker gave any answer, shape (D,).
        self.answered = self.n_given > 0

    def _lay_out(self, answers: Answers, portable: bool) -> None:
        n_codes = self.n_workers * self.n_classes
        index = np.int32 if max(n_codes, self.n_answers) < 2**31 - 1 else np.int64
        pointers = answers.task_ptr.astype(index)
        code, weight = _codes(answers, index)
        if answers.is_soft:
            # a soft answer is as many weighted ones as it has classes with mass
            pointers = (pointers * self.n_classes).astype(index)
        self._parts = pointers, code, weight, portable

    @cached_property
    def by_task(self) -> SparseRows:
        """The matrix by rows: a row a task."""
        pointers, code, weight, portable = self._parts
        n_codes = self.n_workers * self.n_classes
        return SparseRows(pointers, code, weight, n_codes, self.device, self.dtype, portable)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: the answers' codes once, and nothing that follows from them."""
        return {name: value for name, value in self.__dict__.items() if name not in _FOLLOWS}

    def __copy__(self) -> DesignMatrix:
        """Return a copy with what follows from the codes."""
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    @cached_property
    def by_code(self) -> SparseRows | BlockedRows:
        """The transpose of ``by_task``: a row a worker and label."""
        pointers, code, weight, portable = self._parts
        n_codes = self.n_workers * self.n_classes
        if self.by_task.weightless and not portable:
            blocks = blocked(pointers, code, n_codes, self.n_classes)
            if blocks is not None:
                return blocks
        return by_column(pointers, code, weight, n_codes, self.device, self.dtype, portable)

    @cached_property
    def adds_up(self) -> bool:
        """Whether sums by worker and label of one number a task are best taken task by task; see :meth:`add_up`."""
        rows = self.by_task
        portable = self._parts[3]
        if portable or not (type(self) is DesignMatrix and rows.weightless and rows.whole):
            return False
        return rows.n_columns <= rows.n_rows and self._longest <= _LONGEST

    @cached_property
    def _longest(self) -> int:
        return int(self.given.max()) if len(self.given) else 0

    def add_up(self, values: torch.Tensor) -> list[torch.Tensor]:
        """Return Σ_{n: x_ni = l} of each column of ``values``, (N, S), here: float64, (D · K,); for :attr:`adds_up`."""
        return self.by_task.add_up(values, self._longest)

    def _n_answers_of_workers(self, answers: Answers) -> torch.Tensor:
        """Return how many answers of this process each worker gave, float64, shape (D,)."""
        if answers.soft is None and self.n_classes:
            return self.given.view(self.n_workers, self.n_classes).sum(1)
        return torch.from_numpy(np.bincount(answers.worker, minlength=self.n_workers)).double()

    def to(self, device: torch.device) -> DesignMatrix:
        """Return the same matrix, which has to be ``portable``, with its data on another device."""
        moved = copy.copy(self)
        moved.device = device
        for name in ("votes", "adds_up"):  # of the device where they were asked for
            moved.__dict__.pop(name, None)
        by_code = self.by_code
        assert isinstance(by_code, SparseRows)
        moved.__dict__["by_task"] = self.by_task.to(device)
        moved.__dict__["by_code"] = by_code.to(device)
        return moved

    def reduce(self, value: torch.Tensor) -> torch.Tensor:
        """Return a sum over tasks with those of other processes added: each that enters a fit goes through here."""
        return self.group.reduce(value)

    def mean(self, values: torch.Tensor) -> float:
        """Return the mean over the tasks of all processes of one value a task, shape (N,); 0 without tasks."""
        return float(self.total(values)) / max(self.n_tasks_in_all, 1)

    def anywhere(self, here: bool) -> bool:
        """Return whether something holds in any process."""
        return float(self.reduce(torch.tensor(float(here), dtype=torch.float64))) > 0

    def reduce_array(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return :meth:`reduce` of a numpy array, as float64."""
        found: npt.NDArray[np.float64] = self.reduce(torch.from_numpy(values).double()).numpy()
        return found

    @cached_property
    def votes(self) -> torch.Tensor:
        """How many answers each class got, shape (N, K); soft answers count by their mass. Not to be changed.

        Its columns may be what is contiguous.
        """
        k = self.n_classes
        table = torch.eye(k, dtype=self.dtype, device=self.device)
        if type(self) is DesignMatrix and 1 < k <= _COLUMNS and self.adds_up:
            others = [self.by_task.times(row.repeat(self.n_workers)) for row in table[1:]]
            first = torch.from_numpy(self.by_task.lengths()).to(self.dtype)
            for column in others:
                first -= column
            return torch.stack([first, *others]).T
        return self.logits(table.expand(self.n_workers, k, k))

    @cached_property
    def given(self) -> torch.Tensor:
        """How many hard answers of this process each worker gave with each label, float64, shape (D · K,)."""
        code = torch.from_numpy(np.require(self._parts[1], requirements="W"))
        return torch.bincount(code, minlength=self.n_workers * self.n_classes).double()

    def answers_named(self) -> torch.Tensor:
        """Return how often each worker named each label in all processes, float64, shape (D, K); soft ones by mass."""
        if type(self) is DesignMatrix and self._parts[2] is None:
            return self.reduce(self.given.clone()).view(self.n_workers, self.n_classes)
        ones = torch.ones((self.n_tasks, 1), dtype=self.dtype, device=self.device)
        return self.expected_counts(ones).cpu()[:, :, 0]

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
            ``Σ_{i∈O(n)} table[i, x_ni, :]``, in the matrix's dtype.
        """
        return (self.by_task @ table.reshape(self.n_workers * self.n_classes, table.shape[-1])).to(
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
        few = 0 < posterior.shape[1] <= _COLUMNS and posterior.stride(0) == 1
        if few and posterior.dtype == torch.float32 and self.adds_up:
            summed = torch.stack(self.add_up(posterior), 1)
        else:
            summed = (self.by_code @ posterior).to(torch.float64)
        return self.reduce(summed.view(self.n_workers, self.n_classes, posterior.shape[1]))


class OffloadedDesign(DesignMatrix):
    """A design matrix in the host's memory, for answers that do not fit on the device: it is sent there in batches.

    Parameters
    ----------
    answers, device, dtype
        As for :class:`DesignMatrix`.
    batch : int
        Answers of a batch; a task is never cut.
    group : Group
        As for :class:`DesignMatrix`.
    """

    def __init__(
        self,
        answers: Answers,
        device: torch.device,
        dtype: torch.dtype,
        batch: int = BATCH,
        group: Group = ALONE,
    ) -> None:
        self._batch = batch
        super().__init__(answers, device, dtype, group=group)

    def _lay_out(self, answers: Answers, portable: bool) -> None:
        self._batches: list[tuple[slice, DesignMatrix]] = []
        start = 0
        while start < answers.n_tasks:
            reach = answers.task_ptr[start] + self._batch
            end = int(np.searchsorted(answers.task_ptr, reach, side="right")) - 1
            end = min(max(end, start + 1), answers.n_tasks)
            part = answers.select(tasks=slice(start, end))
            host = DesignMatrix(part, torch.device("cpu"), self.dtype, portable=True)
            self._batches.append((slice(start, end), host))
            start = end

    def _n_answers_of_workers(self, answers: Answers) -> torch.Tensor:
        return torch.from_numpy(np.bincount(answers.worker, minlength=self.n_workers)).double()

    def logits(self, table: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.logits`."""
        table = table.to(self.device, self.dtype)
        shape = (self.n_tasks, table.shape[-1])
        logits = torch.empty(shape, dtype=self.dtype, device=self.device)
        for tasks, part in self._sent():
            logits[tasks] = part.logits(table)
        return logits

    def expected_counts(self, posterior: torch.Tensor) -> torch.Tensor:
        """See :meth:`DesignMatrix.expected_counts`."""
        shape = (self.n_workers, self.n_classes, posterior.shape[1])
        counts = torch.zeros(shape, dtype=torch.float64, device=self.device)
        for tasks, part in self._sent():
            counts += part.expected_counts(posterior[tasks])
        return self.reduce(counts)

    def _sent(self) -> Iterator[tuple[slice, DesignMatrix]]:
        for tasks, part in self._batches:
            yield tasks, part.to(self.device)


def placement(
    answers: Answers, device: str | torch.device, dtype: str, n_states: int, group: Group = ALONE
) -> tuple[torch.device, torch.dtype]:
    """Return the device and the dtype of a design matrix for tables of S states; the dtype is that of all processes.

    Raises
    ------
    MemoryNeedError
        Before anything is allocated, if tables and posteriors would not fit.
    ParameterError
        If the device is unknown or absent.
    """
    place = resolve_device(device)
    n_entries = _n_entries(answers)
    in_all = int(group.reduce(torch.tensor(float(n_entries), dtype=torch.float64)))
    precision = resolve_dtype(dtype, in_all, n_states)
    group.told(
        lambda: require(
            _table_bytes(answers, n_states, precision) + 24 * n_entries,
            f"the model of {answers.n_workers:,} workers × {answers.n_classes:,} answers × {n_states:,} states "
            f"over {answers.n_tasks:,} tasks",
            "Merge rare labels or leave out workers with few answers.",
        )
    )
    return place, precision


def make_design(
    answers: Answers, device: str | torch.device, dtype: str, n_states: int, group: Group = ALONE
) -> DesignMatrix:
    """Return the design matrix for tables of S states, offloaded where it does not fit on the GPU beside them.

    Raises
    ------
    MemoryNeedError, ParameterError
        As :func:`placement`.
    """
    place, precision = placement(answers, device, dtype, n_states, group)
    work = _table_bytes(answers, n_states, precision)
    if place.type == "cuda" and not _fits(place, _n_entries(answers), work):
        return OffloadedDesign(answers, place, precision, group=group)
    return DesignMatrix(answers, place, precision, group=group)


def _fits(device: torch.device, n_entries: int, work: int) -> bool:
    """Return whether the matrix fits on a GPU beside ``work`` bytes of tables and posteriors, with room to spare."""
    free, _ = torch.cuda.mem_get_info(device)
    return 24 * n_entries + work < 0.8 * free


def _n_entries(answers: Answers) -> int:
    """Return how many nonzero entries the matrix has; each takes 24 bytes in its two orders."""
    return answers.n_answers * (answers.n_classes if answers.is_soft else 1)


def _table_bytes(answers: Answers, n_states: int, precision: torch.dtype) -> int:
    """Return the bytes of the tables and posteriors of a fit."""
    tables = 8 * answers.n_workers * answers.n_classes * n_states
    return 8 * tables + 3 * precision.itemsize * answers.n_tasks * n_states


def _codes(answers: Answers, index: type) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return the code ``worker · K + label`` of each answer and, for soft ones, the weights."""
    base = answers.worker.astype(index) * index(answers.n_classes)
    if answers.soft is None:
        return base + answers.hard_label.astype(index, copy=False), None
    codes = base[:, None] + np.arange(answers.n_classes, dtype=index)
    return codes.reshape(-1), answers.soft.reshape(-1)

"""The answers of one process, numbered as in all; what would make a fit wrong is refused in every process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch.distributed as dist

from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.data.batches import LongTable
from deem_crowd.data.hashing import hashed_text
from deem_crowd.distributed import collectives
from deem_crowd.exceptions import DataError, FormError, counted, first_few

_MANY_IDS = 10**6
"""Ids of all processes together from which each is sent to one process first."""


def answers_from_batches(
    batches: Iterable[pa.RecordBatch],
    names: Mapping[str, str] | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    schema: pa.Schema | None = None,
) -> Answers:
    """Return the answers of Arrow batches in the long format; ``schema`` is for when there may be no batch.

    Raises
    ------
    MissingColumnError, FormError, DataError
    """
    table = LongTable(names)
    if schema is not None:
        table.expect(schema)
    for batch in batches:
        table.expect(batch.schema)
        table.add(batch)
    task, worker, label = table.coded()
    return Answers.from_codes(task, worker, label, missing=missing, duplicates=duplicates)


def united(answers: Answers, partitioned: bool = False) -> Answers:
    """Return the same answers, with workers and classes numbered as in all processes.

    Parameters
    ----------
    answers : Answers
        What this process holds: its own tasks, with its own numbering of workers and classes.
    partitioned : bool
        Whether somebody else has seen to it that a task is in one process only; else that is checked.

    Raises
    ------
    DataError
        If a task has answers in two processes, or ids of one could be mistaken for ids of another. In every process.
    FormError
        If answers are soft.
    """
    soft = [part == "soft" for part in collectives.gather_text("soft" if answers.is_soft else "")]
    if any(soft):
        raise FormError(
            f"processes {first_few(np.flatnonzero(soft))} hold soft answers, which cannot be shared among processes. "
            "Pass labels."
        )
    _refuse_other_kinds(answers.tasks, "task")
    if not partitioned:
        _refuse_torn_tasks(answers.tasks)
    workers = _united(answers.workers, "worker")
    classes = _united(answers.classes, "label")
    return answers.select(
        workers=(ids.places(answers.workers, workers), workers),
        classes=(ids.places(answers.classes, classes), classes),
    )


def _united(own: pd.Index, column: str) -> pd.Index:
    """Return the ids of all processes, each once, in canonical order: the same in every process."""
    _refuse_other_kinds(own, column)
    parts = [part for part in collectives.gather_ids(_looked_after(own)) if len(part)]
    if not parts:
        return own
    if len({str(part.dtype) for part in parts}) > 1 or any(
        part.dtype != parts[0].dtype for part in parts
    ):
        parts = [_values(part) for part in parts]
    found, *others = parts
    for part in others:
        ids.refuse_collisions(found, part, column)
        found = found.append(part[~part.isin(found)])
    return found.take(ids.sorted_order(found)).rename(column)


def _looked_after(own: pd.Index) -> pd.Index:
    """Return ids of which this process looks after: each id of all processes in one of them, so that it is sent once.

    Where a worker answers in every process, each would else send its id to all.
    """
    n_ids = sum(int(n) for n in collectives.gather_text(str(len(own))))
    if n_ids < _MANY_IDS or any(collectives.gather_text(_special(own))):
        return own
    size = np.uint64(dist.get_world_size())
    first, *others = collectives.share_out_ids(own, (hashed(own) % size).astype(np.int64))
    for part in others:
        first = first.append(part[~part.isin(first)])
    return first


def _special(own: pd.Index) -> str:
    """Name what keeps ids from being told apart by hashes alone; nothing for plain numbers and text."""
    plain = isinstance(own.dtype, pd.StringDtype) or (
        isinstance(own.dtype, np.dtype) and own.dtype.kind in "iu"
    )
    return "" if plain or not len(own) else str(own.dtype)


def _values(part: pd.Index) -> pd.Index:
    """Return ids without their categories, which differ from part to part."""
    if not isinstance(part, pd.CategoricalIndex):
        return part
    if part.ordered:
        raise DataError(
            "ordered categories of the labels differ between processes: write all partitions with one order."
        )
    return pd.Index(part.astype(part.categories.dtype))


def _kind(own: pd.Index) -> str:
    """Name what ids are to Python, nothing for no ids."""
    if not len(own):
        return ""
    values = own.categories if isinstance(own, pd.CategoricalIndex) else own
    return str(pd.api.types.infer_dtype(values, skipna=True))


def _refuse_other_kinds(own: pd.Index, column: str) -> None:
    """Raise in every process if ids are of one kind in one process and of another in the next."""
    kinds = collectives.gather_text(_kind(own))
    first: dict[str, int] = {}
    for rank, kind in enumerate(kinds):
        if kind and not kind.startswith("mixed"):
            first.setdefault(kind, rank)
    if len(first) > 1:
        told = ", ".join(f"{kind} in process {rank}" for kind, rank in first.items())
        raise DataError(
            f"column '{column}' is not of one type in all partitions: {told}. Convert the column to one type first."
        )


def _refuse_torn_tasks(tasks: pd.Index) -> None:
    """Raise in every process if a task is in two of them.

    Told by 64-bit hashes of the ids, each of which goes to one process that looks for it twice: 8 bytes a task.
    """
    keys = hashed(tasks)
    size = dist.get_world_size()
    came = np.sort(collectives.exchanged(keys, (keys % np.uint64(size)).astype(np.int64)))
    twice = np.unique(came[1:][came[1:] == came[:-1]])
    n_torn = sum(int(n) for n in collectives.gather_text(str(len(twice))))
    if not n_torn:
        return
    some = b"".join(collectives.gather_bytes(twice[:5].tobytes()))
    here = tasks[np.isin(keys, np.frombuffer(some, dtype=np.uint64))]
    named = collectives.gather_ids(here[:5])
    examples = dict.fromkeys(task for part in named for task in part)
    raise DataError(
        f"answers to {counted(n_torn, 'task')} are in different processes ({first_few(examples)}): give all answers "
        "to a task to one process."
    )


def hashed(values: pd.Index) -> npt.NDArray[np.uint64]:
    """Return 64-bit hashes of ids, shape (n,): the same in every process and run, whatever width or form they have."""
    if pd.api.types.is_integer_dtype(values.dtype):
        kind = "uint64" if pd.api.types.is_unsigned_integer_dtype(values.dtype) else "int64"
        return pd.util.hash_array(values.to_numpy(dtype=kind).view("uint64"))
    return hashed_text(_as_text(values))


def _as_text(values: pd.Index) -> pa.Array:
    """Return ids as text in Arrow; text that is stored there is not touched."""
    own: Any = values.array
    if not isinstance(values.dtype, pd.StringDtype):
        own = values.to_numpy(dtype=object)
        if pd.api.types.infer_dtype(own) != "string":
            own = [str(value) for value in own]
    try:
        text = pa.array(
            own, None if isinstance(values.dtype, pd.StringDtype) else pa.large_string()
        )
    except UnicodeEncodeError:  # half of a surrogate pair
        return pa.array(
            [value.encode("utf-8", "surrogatepass") for value in own], pa.large_binary()
        )
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text

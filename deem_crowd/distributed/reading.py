"""Parquet files → each process's own tasks: row groups are shared out, and rows go to the process of their task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.distributed as dist

from deem_crowd.data import datasets
from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.data.arrow import series
from deem_crowd.data.batches import LongTable, refuse_missing, require_columns, require_text
from deem_crowd.data.hashing import hashed_text
from deem_crowd.data.parquet import ROWS, Paths
from deem_crowd.distributed import collectives
from deem_crowd.distributed.collectives import told
from deem_crowd.distributed.parts import hashed
from deem_crowd.exceptions import DataError

Share = tuple[datasets.DataFile, list[int], int]
"""A file, those of its row groups that a process reads, next to one another, and the rows before them."""


def read(
    paths: Paths,
    names: Mapping[str, str] | None = None,
    missing: Missing = "error",
    duplicates: Duplicates = "last",
    rows: int = ROWS,
) -> Answers:
    """Return the answers about this process's tasks; every process of the default group calls this together.

    A task belongs to the process that a hash of its id names, so its answers may stand in any file. Each process reads
    consecutive row groups, about as many rows as the others, and sends them, ``rows`` at a time, to where they belong.

    Parameters
    ----------
    paths : path, URI, or list of these
        The same in every process.
    names : mapping, optional
        What the columns ``task``, ``worker`` and ``label`` are called.
    missing, duplicates
        As in :meth:`Answers.from_parquet`; of duplicates, the files' order says which is the last.
    rows : int

    Raises
    ------
    DataError, OSError
        In every process, whichever of them it happened in.
    """
    table = LongTable(names)
    files = told(lambda: datasets.files_of(paths))
    footers = _footers(files, table)
    told(lambda: _announce(files, footers, table))
    own = _batches(_share(files, footers), table, rows)
    origins: list[npt.NDArray[np.int32]] = []
    while True:
        batch = told(lambda: next(own, None))
        there_is_more = collectives.summed(torch.tensor([int(batch is not None)]))
        if not int(there_is_more):
            break
        for rank, part in enumerate(collectives.exchange_bytes(_split(batch, table))):
            for came in _opened(part):
                table.add(came)
                origins.append(np.full(len(came), rank, dtype=np.int32))
    return told(lambda: _answers(table, origins, missing, duplicates))


def _answers(
    table: LongTable,
    origins: list[npt.NDArray[np.int32]],
    missing: Missing,
    duplicates: Duplicates,
) -> Answers:
    """Return the answers in the order of the files: that of the ranks that read them, and of each one's rows."""
    origin = np.concatenate(origins) if origins else np.zeros(0, dtype=np.int32)
    order = np.argsort(origin, kind="stable")
    task, worker, label = ((codes[order], ids) for codes, ids in table.coded())
    return Answers.from_codes(task, worker, label, missing=missing, duplicates=duplicates)


@dataclass(frozen=True)
class Footer:
    """What is known of a file before it is read: its path, its columns as text, and the rows of each row group."""

    path: str
    schema: str
    rows: list[int]


def _footers(files: list[datasets.DataFile], table: LongTable) -> list[Footer]:
    """Return the footers of all files; each process looks at some of them and tells the others.

    Raises
    ------
    DataError
        In every process; also if they see different files.
    """
    rank, size = dist.get_rank(), dist.get_world_size()
    own = told(lambda: [_footer(file, table) for file in files[rank::size]])
    every = [
        json.loads(text) for text in collectives.gather_text(json.dumps(list(map(asdict, own))))
    ]
    numbers = [len(part) for part in every]
    if numbers != [len(range(number, sum(numbers), size)) for number in range(size)]:
        raise DataError(
            "processes see different files: they looked at "
            f"{', '.join(f'{number} ({rank})' for rank, number in enumerate(numbers))} of them (by rank). Give "
            "all of them one folder that does not change."
        )
    return [Footer(**every[number % size][number // size]) for number in range(sum(numbers))]


def read_gold(path: str, names: Mapping[str, str] | None) -> pd.DataFrame:
    """Return known labels, columns ``task`` and ``label``, from a parquet file.

    Raises
    ------
    MissingColumnError, DataError, OSError
    """
    (file,) = datasets.files_of(path)
    there = {part: (names or {}).get(part, part) for part in ("task", "label")}
    require_columns(file.schema(file.fragment()), there.values(), path)
    table = pa.Table.from_batches(list(file.batches(list(there.values()))))
    return pd.DataFrame({part: series(table.column(name)) for part, name in there.items()})


def _footer(file: datasets.DataFile, table: LongTable) -> Footer:
    fragment = file.fragment()
    schema = file.schema(fragment)
    require_columns(schema, table.columns, file.path)
    kept = pa.schema([schema.field(name) for name in table.columns])
    rows = [group.num_rows for group in fragment.row_groups]
    return Footer(file.path, kept.serialize().to_pybytes().hex(), rows)


def _announce(files: list[datasets.DataFile], footers: list[Footer], table: LongTable) -> None:
    """Tell the table what columns all files have."""
    if [file.path for file in files] != [footer.path for footer in footers]:
        raise DataError(
            "this process sees other files than the others: give all of them one folder."
        )
    for footer in footers:
        schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(footer.schema)))
        table.expect(schema, footer.path)


def _share(files: list[datasets.DataFile], footers: list[Footer]) -> list[Share]:
    """Return what this process reads: row groups next to one another, with about as many rows as the others'."""
    rank, size = dist.get_rank(), dist.get_world_size()
    groups = [
        (number, group)
        for number, footer in enumerate(footers)
        for group in range(len(footer.rows))
    ]
    counts = np.array([footers[number].rows[group] for number, group in groups], dtype=np.int64)
    # a row group is read by the process in whose share of all rows its middle lies
    middle = np.cumsum(counts) - counts / 2
    owner = np.minimum((middle * size / max(counts.sum(), 1)).astype(np.int64), size - 1)
    shares: dict[int, list[int]] = {}
    for (number, group), of in zip(groups, owner.tolist(), strict=True):
        if of == rank:
            shares.setdefault(number, []).append(group)
    return [
        (files[number], share, sum(footers[number].rows[: share[0]]))
        for number, share in shares.items()
    ]


def _batches(shares: list[Share], table: LongTable, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows that this process reads, whose ids are there and whose text is text."""
    for file, groups, n_before in shares:
        for batch in file.batches(table.columns, None, rows, groups):
            for name in table.columns:
                require_text(batch.column(name), name, file.path)
            for part in ("task", "worker"):
                refuse_missing(
                    batch.column(table.names[part]), table.names[part], n_before, file.path
                )
            n_before += len(batch)
            yield batch


def _split(batch: pa.RecordBatch | None, table: LongTable) -> list[bytes]:
    """Return the rows of a batch that go to each process, as Arrow streams."""
    size = dist.get_world_size()
    if batch is None:
        return [b""] * size
    name = table.names["task"]
    column = batch.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    to = _owner(column.cast(table.kind("task")), size)
    order = np.argsort(to, kind="stable")
    ends = np.cumsum(np.bincount(to, minlength=size))
    sorted_ = batch.take(pa.array(order))
    return [
        collectives.streamed(sorted_.slice(begin, end - begin)) if end > begin else b""
        for begin, end in zip(
            (ends - np.diff(ends, prepend=0)).tolist(), ends.tolist(), strict=True
        )
    ]


def _owner(tasks: pa.Array, size: int) -> npt.NDArray[np.int64]:
    """Return the rank of the process that each task belongs to, shape (R,)."""
    if pa.types.is_integer(tasks.type):
        keys = hashed(pd.Index(tasks.to_numpy(zero_copy_only=False)))
    elif tasks.type in (pa.string(), pa.large_string()):
        keys = hashed_text(tasks)
    else:
        encoded = pc.dictionary_encode(tasks)
        keys = hashed(pd.Index(encoded.dictionary.to_pandas()))
        keys = keys[encoded.indices.to_numpy(zero_copy_only=False)]
    return (keys % np.uint64(size)).astype(np.int64)


def _opened(content: bytes) -> Iterator[pa.RecordBatch]:
    if content:
        yield from pa.ipc.open_stream(pa.py_buffer(content))

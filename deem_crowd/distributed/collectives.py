"""What processes tell one another: sums, ids, bytes and words; never pickles."""

from __future__ import annotations

import builtins
import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.distributed as dist

from deem_crowd import exceptions
from deem_crowd.exceptions import DataError, DeemCrowdError, ProcessLostError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
_PATIENCE: ContextVar[float | None] = ContextVar("deem_crowd_patience", default=None)

_SIGNS = ("gloo", "nccl", "connection", "timed out", "timeout", "peer", "socket", "aborted")
"""Words by which errors of torch tell that another process is gone."""


@contextmanager
def together() -> Iterator[None]:
    """Turn torch's error that another process is gone into one that says so.

    Raises
    ------
    ProcessLostError
    """
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _SIGNS):
            raise
        said = str(error).strip().splitlines()[0][:300]
        if "timed out" in said.lower() or "timeout" in said.lower():
            raise ProcessLostError(
                f"process {dist.get_rank()} waited in vain for the others: one of them hangs, or needs longer "
                f"than the timeout. If it is only slow, raise timeout= (--timeout in the shell) ({said})."
            ) from error
        raise ProcessLostError(
            f"process {dist.get_rank()} lost touch with the others: one of them is gone, or does not answer ({said})."
        ) from error


@contextmanager
def waiting(seconds: float | None) -> Iterator[None]:
    """Have this process wait for others so many seconds at most in an exchange; if None, as long as its group does."""
    before = _PATIENCE.set(seconds)
    try:
        yield
    finally:
        _PATIENCE.reset(before)


def _done(exchange: Callable[..., Any], *values: Any) -> None:
    """Make an exchange and wait for its end.

    Raises
    ------
    ProcessLostError
    """
    seconds = _PATIENCE.get()
    with together():
        work = exchange(*values, async_op=True)
        if seconds is None:
            work.wait()
        else:
            work.wait(datetime.timedelta(seconds=seconds))


def barrier() -> None:
    """Wait until all processes are here.

    Raises
    ------
    ProcessLostError
    """
    summed(torch.zeros(1))


def place() -> str:
    """Return the device that the default group's backend sends from."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def summed(value: torch.Tensor) -> torch.Tensor:
    """Return the sum of all processes' tensors, on the device of this one's."""
    shared = value.to(place(), copy=True).contiguous()
    _done(dist.all_reduce, shared)
    return shared.to(value.device)


def gather_bytes(content: bytes) -> list[bytes]:
    """Return what each process of the default group gives, in the order of their ranks."""
    size = torch.tensor([len(content)], dtype=torch.int64, device=place())
    sizes = [torch.zeros_like(size) for _ in range(dist.get_world_size())]
    _done(dist.all_gather, sizes, size)
    padded = torch.zeros(max(*(int(s) for s in sizes), 1), dtype=torch.uint8)
    padded[: len(content)] = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[
        : len(content)
    ]
    padded = padded.to(place())
    parts = [torch.zeros_like(padded) for _ in sizes]
    _done(dist.all_gather, parts, padded)
    return [part[: int(s)].cpu().numpy().tobytes() for part, s in zip(parts, sizes, strict=True)]


def first_says(content: bytes) -> bytes:
    """Return what the first process gives, in every process."""
    size = torch.tensor([len(content)], dtype=torch.int64, device=place())
    _done(dist.broadcast, size, 0)
    sent = torch.zeros(max(int(size), 1), dtype=torch.uint8)
    if dist.get_rank() == 0 and content:
        sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    sent = sent.to(place())
    _done(dist.broadcast, sent, 0)
    return sent[: int(size)].cpu().numpy().tobytes()


def gather_text(text: str) -> list[str]:
    """Return the text that each process gives."""
    return [part.decode() for part in gather_bytes(text.encode())]


def exchanged(values: npt.NDArray[np.uint64], to: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Send each number to the process of that rank; return those that came here. Both have shape (n,)."""
    size = dist.get_world_size()
    order = np.argsort(to, kind="stable")
    going = torch.from_numpy(np.bincount(to, minlength=size).astype(np.int64)).to(place())
    coming = torch.zeros_like(going)
    sent = torch.from_numpy(values[order].view(np.int64)).to(place())
    _done(dist.all_to_all_single, coming, going)
    found = torch.zeros(int(coming.sum()), dtype=torch.int64, device=place())
    _done(dist.all_to_all_single, found, sent, coming.tolist(), going.tolist())
    return found.cpu().numpy().view(np.uint64)


def exchange_bytes(parts: list[bytes]) -> list[bytes]:
    """Send ``parts[r]`` to the process of rank r; return what each process sent here, in the order of their ranks."""
    going = torch.tensor([len(part) for part in parts], dtype=torch.int64, device=place())
    coming = torch.zeros_like(going)
    sent = torch.frombuffer(bytearray(b"".join(parts) or b"\0"), dtype=torch.uint8)
    sent = sent[: int(going.sum())].to(place())
    _done(dist.all_to_all_single, coming, going)
    came = torch.zeros(int(coming.sum()), dtype=torch.uint8, device=place())
    _done(dist.all_to_all_single, came, sent, coming.tolist(), going.tolist())
    content = came.cpu().numpy().tobytes()
    ends = coming.cumsum(0).tolist()
    return [content[end - size : end] for end, size in zip(ends, coming.tolist(), strict=True)]


def gather_ids(index: pd.Index) -> list[pd.Index]:
    """Return the ids that each process gives, by way of Arrow.

    Raises
    ------
    pyarrow.ArrowInvalid
        For ids of kinds that Arrow does not hold.
    """
    return [_read_ids(part, index) for part in gather_bytes(_written_ids(index))]


def share_out_ids(index: pd.Index, to: npt.NDArray[np.int64]) -> list[pd.Index]:
    """Send each id to the process of that rank, ``to`` of shape (n,); return those that came, by who sent them."""
    parts = [_written_ids(index[to == rank]) for rank in range(dist.get_world_size())]
    return [_read_ids(part, index) for part in exchange_bytes(parts)]


def _written_ids(index: pd.Index) -> bytes:
    import pyarrow as pa

    return streamed(pa.table({"ids": pa.array(index)}))


def streamed(rows: pa.Table | pa.RecordBatch) -> bytes:
    """Return rows as a stream of Arrow."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write(rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _read_ids(content: bytes, like: pd.Index) -> pd.Index:
    import pyarrow as pa

    values = pa.ipc.open_stream(content).read_all().column("ids").to_pandas()
    return pd.Index(values, name=like.name)


def agree(error: BaseException | None) -> None:
    """Raise an error of one process in all of them, of the same kind where all have one kind.

    Raises
    ------
    DeemCrowdError, OSError
        Says the ranks and what each has to say; the same in every process.
    """
    said = "" if error is None else f"{type(error).__name__}:process {dist.get_rank()}: {error}"
    wrong = [part.split(":", 1) for part in gather_text(said) if part]
    if wrong:
        kinds = {kind for kind, _ in wrong}
        raise kind_of(kinds.pop() if len(kinds) == 1 else "")(
            "; ".join(words for _, words in wrong)
        ) from error


def told(work: Callable[[], T]) -> T:
    """Do something that may fail and tells other processes nothing; what goes wrong in one is raised in all."""
    result: list[T] = []
    error: Exception | None = None
    try:
        result.append(work())
    except (DeemCrowdError, OSError) as failure:
        error = failure
    agree(error)
    return result[0]


def kind_of(name: str) -> type[Exception]:
    """Return the class of that name, if it is one of our errors or an OSError; DataError for any other name."""
    found = getattr(exceptions, name, None) or getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, DeemCrowdError | OSError):
        return found
    return DataError

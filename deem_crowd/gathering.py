"""What the processes of a group tell one another besides sums: ids, hashes and words, never pickles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.distributed as dist


def everyones_bytes(content: bytes) -> list[bytes]:
    """Return what each process of the default group gives, in the order of their ranks."""
    place = "cuda" if dist.get_backend() == "nccl" else "cpu"
    size = torch.tensor([len(content)], dtype=torch.int64, device=place)
    sizes = [torch.zeros_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    longest = max(int(s) for s in sizes)
    padded = torch.zeros(max(longest, 1), dtype=torch.uint8)
    padded[: len(content)] = torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())
    padded = padded.to(place)
    parts = [torch.zeros_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return [part[: int(s)].cpu().numpy().tobytes() for part, s in zip(parts, sizes, strict=True)]


def everyones_text(text: str) -> list[str]:
    """Return the text that each process gives."""
    return [part.decode() for part in everyones_bytes(text.encode())]


def everyones_hashes(values: npt.NDArray[np.uint64]) -> list[npt.NDArray[np.uint64]]:
    """Return the 64-bit numbers that each process gives, of any count."""
    return [np.frombuffer(part, dtype=np.uint64) for part in everyones_bytes(values.tobytes())]


def everyones_ids(index: pd.Index) -> list[pd.Index]:
    """Return the ids that each process gives, by way of Arrow.

    Raises
    ------
    pyarrow.ArrowInvalid
        For ids of kinds that a parquet file cannot hold.
    """
    import pyarrow as pa

    table = pa.table({"ids": pa.array(index)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found = []
    for part in everyones_bytes(sink.getvalue().to_pybytes()):
        values = pa.ipc.open_stream(part).read_all().column("ids").to_pandas()
        found.append(pd.Index(values, name=index.name))
    return found

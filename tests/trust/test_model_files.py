"""A model file whose content cannot be a model is refused, from its header where that is enough."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from deem_crowd import DEEMAggregator
from deem_crowd.data import memory
from deem_crowd.exceptions import FormError

FRAME = pd.DataFrame(
    [(f"t{n}", w, "xyz"[(n + w * (n % 4 == 0)) % 3]) for n in range(30) for w in range(4)],
    columns=["task", "worker", "label"],
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    DEEMAggregator().fit(FRAME).save(path)
    return path


def header_of(path: Path) -> dict:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def with_header(path: Path, header: bytes) -> None:
    data = path.read_bytes()
    rest = data[8 + int.from_bytes(data[:8], "little") :]
    path.write_bytes(len(header).to_bytes(8, "little") + header + rest)


def changed(path: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(path)
    metadata = header_of(path)["__metadata__"]
    tensors[name] = change(tensors[name]).contiguous()
    save_file(tensors, path, metadata)


SPOILED = [
    *(
        (name, factor)
        for name in ("priors", "confusion", "probas")
        for factor in (1e300, -1.0, 1.5, 0.5)
    ),
    *(("skills", factor) for factor in (1e300, -1.0, 1.5)),
]


@pytest.mark.parametrize(("name", "factor"), SPOILED)
def test_probabilities_that_are_none(model: Path, name: str, factor: float) -> None:
    changed(model, name, lambda t: t * factor)
    with pytest.raises(FormError, match=f"{name} (are no probabilities|do not sum to 1)"):
        DEEMAggregator.load(model)


@pytest.mark.parametrize("name", ["weight", "bias", "population"])
def test_factors_beyond_any_model(model: Path, name: str) -> None:
    changed(model, name, lambda t: t * 1e300 + 1e300)
    with pytest.raises(FormError, match=f"{name} holds factors of"):
        DEEMAggregator.load(model)


def test_a_key_twice_in_the_header(model: Path) -> None:
    header = json.dumps(header_of(model))
    entry = json.dumps(header_of(model)["skills"])
    with_header(model, (header[:-1] + f', "skills": {entry}}}').encode())
    with pytest.raises(FormError, match="its header holds 'skills' twice"):
        DEEMAggregator.load(model)


@pytest.mark.parametrize(
    "dtype", ["S1000000000", "U999999999", "V100000000", "complex128", "Sparse[int64]", 7]
)
def test_ids_of_a_dtype_that_is_never_written(model: Path, dtype: object) -> None:
    header = header_of(model)
    content = json.loads(header["__metadata__"]["content"])
    content["ids"]["task"]["dtype"] = dtype
    header["__metadata__"]["content"] = json.dumps(content)
    with_header(model, json.dumps(header).encode())
    tracemalloc.start()
    try:
        with pytest.raises(FormError, match="task"):
            DEEMAggregator.load(model)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 7, 8, 2**35])
def test_a_huge_sparse_file_is_refused_from_its_header(tmp_path: Path, size: int) -> None:
    path = tmp_path / "m.safetensors"
    with open(path, "wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        with pytest.raises(FormError, match="no model file, or a damaged one"):
            DEEMAggregator.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_a_model_that_goes_on_after_its_end(model: Path) -> None:
    os.truncate(model, model.stat().st_size + 2**34)
    with pytest.raises(FormError, match="its tensors end at byte"):
        DEEMAggregator.load(model)


# ------------------------------------------------------------ memory of a container


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_limits_of_both_kinds_of_containers(tmp_path: Path) -> None:
    new = tree(
        tmp_path / "v2",
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/b/memory.current": "10\n",
            "sys/fs/cgroup/a/memory.max": "1000\n",
            "sys/fs/cgroup/a/memory.current": "300\n",
        },
    )
    assert memory.container_bytes(new) == [700]
    old = tree(
        tmp_path / "v1",
        {
            "proc/self/cgroup": "3:cpu,memory:/c\n1:name=systemd:/\n",
            "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "500\n",
            "sys/fs/cgroup/memory/c/memory.usage_in_bytes": "600\n",
        },
    )
    assert memory.container_bytes(old) == [0]
    assert memory.container_bytes(str(tmp_path / "nothing")) == []
    assert memory.available_bytes() > 0

"""Models on disk: tensors as safetensors, everything else as JSON in the same file; nothing in it is ever executed.

A file is written beside its destination and renamed, so that a crash leaves the old one. Reading checks the format's
version, and of every tensor that it is there, its shape and its dtype, before anything is built from it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from deem_crowd.data import memory
from deem_crowd.exceptions import FormError, OverwriteError, UnsupportedError, first_few
from deem_crowd.runtime.atomic import atomic_write

FORMAT = "deem-crowd"
VERSION = 1
SUFFIX = ".safetensors"
MAX_HEADER = 10**8
"""Bytes; safetensors itself reads no longer header."""


class Reader:
    """The content of a model file, taken out piece by piece, each checked.

    Parameters
    ----------
    path : path
    kind : str
        What the file has to hold.

    Raises
    ------
    OSError
        If it is not there, or cannot be read.
    FormError
        If it is no model file, is damaged, of another kind or version.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no model file {str(self.path)!r}")
        try:
            metadata = self._checked_header()
            # Not safe_open: an interrupt within it comes out as an error of the file.
            self._tensors = load(self.path.read_bytes())
        except (
            SafetensorError,
            AssertionError,
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:
            raise FormError(
                f"{str(self.path)!r} is no model file, or a damaged one ({error}). Only files written by save() are "
                "read: safetensors, never pickles."
            ) from error
        self._content = self._read(metadata, kind)
        self._asked: set[str] = set()

    def _checked_header(self) -> dict[str, str]:
        """Return the texts of the header, before anything else is read.

        Raises
        ------
        ValueError
            If there is no header, it holds a key twice, or the file is longer or shorter than it says.
        MemoryNeedError
            If the tensors are larger than the memory.
        """
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            if not 0 < length <= min(size - 8, MAX_HEADER):
                raise ValueError(f"its header would have {length:,} bytes, the file has {size:,}")
            header = _header(prefix + file.read(length))
        places = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
        last = 8 + length + max((end for _, end in places), default=0)
        if last != size:
            raise ValueError(f"its tensors end at byte {last:,}, the file at {size:,}")
        memory.require(2 * size, f"reading {str(self.path)!r}", "Read it on a larger machine.")
        return dict(header.get("__metadata__") or {})

    def _read(self, metadata: Mapping[str, str], kind: str) -> dict[str, Any]:
        if metadata.get("format") != FORMAT:
            raise FormError(
                f"{str(self.path)!r} is a safetensors file, but no model of deem-crowd's: its metadata lack "
                f"format={FORMAT!r}."
            )
        version, kind_there = (first_few([metadata.get(name)]) for name in ("version", "kind"))
        if metadata.get("version") != str(VERSION):
            raise FormError(
                f"{str(self.path)!r} has version {version} of the format; this release reads version "
                f"{VERSION}. Save the model again with this release."
            )
        if metadata.get("kind") != kind:
            raise FormError(
                f"{str(self.path)!r} holds a {kind_there}, not a {kind!r}: load it with that class."
            )
        try:
            content = json.loads(metadata["content"])
        except (KeyError, ValueError, RecursionError) as error:
            raise self.damaged(f"its JSON part cannot be read: {error!r}") from error
        if not isinstance(content, dict):
            raise self.damaged("its JSON part is no object")
        return content

    def damaged(self, why: str) -> FormError:
        """Return the error to raise for a file whose content does not hold together."""
        return FormError(f"{str(self.path)!r} is damaged: {why}.")

    def get(self, name: str, kind: type | tuple[type, ...], *, optional: bool = False) -> Any:
        """Return an entry of the JSON part, of that type; None if it is ``optional`` and not there.

        Raises
        ------
        FormError
        """
        if name not in self._content:
            if optional:
                return None
            raise self.damaged(f"entry {name!r} is missing")
        value = self._content[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise self.damaged(f"entry {name!r} is a {type(value).__name__}")
        return value

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._tensors

    def dtype_of(self, name: str) -> torch.dtype:
        """Return the dtype of a tensor.

        Raises
        ------
        FormError
        """
        if name not in self._tensors:
            raise self.damaged(f"tensor {name!r} is missing")
        return self._tensors[name].dtype

    def tensor(
        self, name: str, shape: tuple[int | None, ...], dtype: torch.dtype = torch.float64
    ) -> Tensor:
        """Return a tensor of that shape, None standing for any length, and dtype.

        Raises
        ------
        FormError
        """
        if name not in self._tensors:
            raise self.damaged(f"tensor {name!r} is missing")
        tensor = self._tensors[name]
        fits = len(shape) == tensor.ndim and all(
            want is None or want == have for want, have in zip(shape, tensor.shape, strict=True)
        )
        if not fits or tensor.dtype != dtype:
            wanted = tuple("any" if want is None else want for want in shape)
            raise self.damaged(
                f"tensor {name!r} has shape {tuple(tensor.shape)} and dtype {tensor.dtype}, not {wanted} and {dtype}"
            )
        if dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
            raise self.damaged(f"tensor {name!r} holds values that are not finite")
        self._asked.add(name)
        return tensor

    def close(self) -> None:
        """Check that nothing is left over.

        Raises
        ------
        FormError
        """
        strangers = sorted(set(self._tensors) - self._asked)
        if strangers:
            raise self.damaged(f"it holds tensors that belong to no model: {first_few(strangers)}")


def _header(data: bytes) -> dict[str, Any]:
    """Return the header of a safetensors file: its length in 8 bytes, little-endian, then JSON.

    Raises
    ------
    ValueError
        If it is no JSON object from the first byte on, or holds a key twice.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"its header holds {twice!r} twice")
        return entries

    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")], object_pairs_hook=unique)
    if not isinstance(header, dict) or data[8:9] != b"{":
        raise ValueError("its header is no object")
    return header


def _metadata(data: bytes) -> dict[str, str]:
    """Return the texts in the header of a safetensors file."""
    metadata: dict[str, str] = _header(data).get("__metadata__") or {}
    return metadata


def require_replaceable(path: str | os.PathLike[str]) -> None:
    """Check that writing a model to a path destroys nothing but a model.

    Raises
    ------
    OverwriteError
        If a file is there that is neither empty nor a model of deem-crowd, of whatever version.
    """
    target = destination(path)
    if not target.is_file() or not (size := target.stat().st_size):
        return
    with target.open("rb") as file:
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        header = file.read(length) if length < size else b""
    try:
        ours = _metadata(prefix + header).get("format") == FORMAT
    except (ValueError, AttributeError, RecursionError):  # no safetensors header
        ours = False
    if not ours:
        raise OverwriteError(
            f"{str(target)!r} is not a model of deem-crowd and would be lost. Choose another path, or pass "
            "overwrite=True."
        )


def write(
    path: str | os.PathLike[str],
    kind: str,
    content: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> Path:
    """Write a model file and return where.

    Parameters
    ----------
    path : path
        ``.safetensors`` is added where there is no suffix.
    kind : str
    content : mapping
        What JSON can hold.
    tensors : mapping of Tensors

    Raises
    ------
    OSError
        If the folder is missing or cannot be written; what stood there stays.
    """
    target = destination(path)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "kind": kind,
        "content": json.dumps(content, allow_nan=False),
    }
    data = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata)
    with atomic_write(target) as file:
        file.write(data)
    return target


def destination(path: str | os.PathLike[str]) -> Path:
    """Return the file that ``path`` stands for."""
    target = Path(path)
    if not target.name:
        raise FormError(f"{str(path)!r} is a folder: name the file of the model.")
    return target if target.suffix else target.with_suffix(SUFFIX)


# ------------------------------------------------------------------ parameters


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return constructor arguments in a form that JSON holds.

    Raises
    ------
    UnsupportedError
        For an argument that is an object, such as a sampler.
    """
    plain = {}
    for name, value in parameters.items():
        if isinstance(value, torch.device):
            value = str(value)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, tuple | list):
            value = [item.item() if isinstance(item, np.generic) else item for item in value]
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UnsupportedError(
                f"{name}={value!r} cannot be written to a model file. Set it to something JSON can hold before saving, "
                f"a sampler by its registered name: set_params({name}=...)."
            ) from error
        plain[name] = value
    return plain


def known_parameters(reader: Reader, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor arguments in a file.

    Raises
    ------
    FormError
        If there are arguments that this release does not know.
    """
    stored = reader.get("parameters", dict)
    strangers = [name for name in stored if name not in known]
    if strangers:
        raise reader.damaged(f"it sets parameters that there are not: {first_few(strangers)}")
    return dict(stored)

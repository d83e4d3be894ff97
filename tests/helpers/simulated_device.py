"""A torch device named 'sim', which computes on the CPU and refuses what a GPU refuses.

It refuses operations on tensors of two devices, tensors of its own that are handed to NumPy, and generators of another
device. As a plugin of pytest (``-p simulated_device``) it lets ``tests/runtime/test_gpu.py`` run where no GPU is. How
fast a GPU is, what its kernels round, and which of them there are it does not tell.

The device stays in the process that loads this module, and autograd then keeps a thread for it, after which
a fork is not safe: it belongs in a process of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

backend_registration._setup_privateuseone_for_python_backend("sim")

DEVICE = torch.device("sim", 0)
CPU = torch.device("cpu")
BETWEEN = frozenset(("aten::copy_", "aten::_to_copy", "aten::lift_fresh"))
"""Operations that take tensors of both devices."""
INDEXING = frozenset(
    ("aten::index.Tensor", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_")
)
"""Operations whose indices may be on the CPU."""


class SimulatedTensor(torch.Tensor):
    """A tensor on the device; ``held`` has its numbers."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> SimulatedTensor:
        """Put a tensor of the CPU on the device."""
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute where no mode is active, as in the thread of autograd."""
        return compute(func, args, kwargs or {})

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse, as a tensor on a GPU does."""
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")

    def tolist(self) -> Any:
        """Return the numbers, which any tensor does."""
        return self.cpu().tolist()

    def __deepcopy__(self, memo: Any) -> Any:
        made = SimulatedTensor(self.held.clone())
        return (
            torch.nn.Parameter(made, self.requires_grad)
            if isinstance(self, torch.nn.Parameter)
            else made
        )


class Generator(torch.Generator):
    """A generator that says on which device it is, and draws as one on the CPU."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        """Make one on the CPU."""
        return super().__new__(cls, "cpu")

    def __init__(self, device: Any = "cpu") -> None:
        self._simulated = torch.device(device).type == DEVICE.type

    @property
    def device(self) -> torch.device:
        """The device it was made for."""
        return DEVICE if self._simulated else CPU


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """Return what an operation gives; its tensors are on the device if it was asked for, or if those given are."""
    name = func.name()
    given: list[torch.Tensor] = []
    held_args = [_held(value, given) for value in args]
    held_kwargs = {key: _held(value, given) for key, value in kwargs.items()}
    there = [tensor for tensor in given if isinstance(tensor, SimulatedTensor)]
    if there and name not in BETWEEN:
        _refuse_two_devices(name, args, given)
    if kwargs.get("device") is not None:
        on_device = torch.device(kwargs["device"]).type == DEVICE.type
        held_kwargs["device"] = CPU if on_device else kwargs["device"]
        for option in ("pin_memory", "non_blocking"):
            held_kwargs.pop(option, None)
    else:
        on_device = isinstance(args[0], SimulatedTensor) if name == "aten::copy_" else bool(there)
    result = func(*held_args, **held_kwargs)
    if not on_device:
        return result
    if torch.Tag.inplace_view in func.tags:  # the tensor on the device takes the shape, too
        with no_dispatch():
            func(*args, **kwargs)
    # what is changed in place stays the tensor it was
    return _on_device(
        result, {id(tensor.held): tensor for tensor in there} if _writes(func) else {}
    )


@functools.cache
def _writes(func: Any) -> bool:
    """Return whether an operation changes a tensor in place."""
    return any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)


def _held(value: Any, given: list[torch.Tensor]) -> Any:
    """Return a value with the numbers of its tensors, which are added to ``given``."""
    if isinstance(value, torch.Tensor):
        given.append(value)
        return value.held if isinstance(value, SimulatedTensor) else value
    if type(value) in (list, tuple):
        return type(value)(_held(item, given) for item in value)
    return value


def _on_device(value: Any, before: dict[int, SimulatedTensor]) -> Any:
    """Return a value with its tensors on the device."""
    if isinstance(value, torch.Tensor):
        known = before.get(id(value))
        return SimulatedTensor(value) if known is None else known
    if type(value) in (list, tuple):
        return type(value)(_on_device(item, before) for item in value)
    return value


def _refuse_two_devices(name: str, args: Any, given: list[torch.Tensor]) -> None:
    """Raise an error, as CUDA does, if a tensor of the CPU takes part, but for single numbers and indices."""
    for tensor in given:
        index = name in INDEXING and tensor is not args[0]
        values = len(args) > 2 and tensor is args[2]
        number = tensor.dim() == 0 and any(tensor is value for value in args)
        if isinstance(tensor, SimulatedTensor) or number or (index and not values):
            continue
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found two, {DEVICE} and cpu ({name})"
        )


class _Computing(TorchDispatchMode):
    """Every operation goes through :func:`compute`, those that make tensors among them."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports dynamo, which takes ten seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class _Drawing(TorchFunctionMode):
    """A generator is on the device on which it draws."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        generators = [v for v in (*args, *kwargs.values()) if isinstance(v, torch.Generator)]
        for generator in generators:
            tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor)]
            place = torch.device(kwargs.get("device") or (tensors[0].device if tensors else CPU))
            if generator.device.type != place.type:
                raise RuntimeError(
                    f"Expected a '{place.type}' device type for generator but found '{generator.device.type}'"
                )
        return func(*args, **kwargs)


@contextmanager
def simulated_device() -> Iterator[None]:
    """Let tensors and generators be made on the device 'sim'."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with mock.patch.object(torch, "Generator", Generator), _Drawing(), _Computing():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


@pytest.fixture(autouse=True)
def _simulated() -> Iterator[None]:
    with simulated_device():
        yield

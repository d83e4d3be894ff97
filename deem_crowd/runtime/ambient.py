"""What callers may have set in torch for themselves, and what must not change our results or end a fit."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from deem_crowd.runtime.fork import in_every_fork

# A fork has none of its parent's threads, and OpenMP waits for them: one thread is what it has.
in_every_fork(functools.partial(torch.set_num_threads, 1))

P = ParamSpec("P")
T = TypeVar("T")


def undisturbed(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function compute with gradients and on the CPU unless told, whatever the caller's modes are.

    ``torch.no_grad``, ``torch.inference_mode`` and a default device are modes of a thread, and come back when it is
    done. The default dtype belongs to the whole process: it is not touched, and tensors name theirs.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            # the mode costs time at every call of torch
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            return function(*args, **kwargs)

    return guarded

"""What a forked process must not inherit: threads that only its parent has, and locks that only they would release."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[[], object])


def in_every_fork(function: F) -> F:
    """Call a function at the start of each process forked from this one; never where the system has no fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function

"""What a forked process must not take from its parent: threads it has not got, and locks that only they would open."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[[], object])


def in_every_fork(function: F) -> F:
    """Call a function first thing in each process forked from this one; where there is no fork, never."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function

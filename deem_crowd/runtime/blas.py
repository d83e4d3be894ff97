"""The threads of numpy's OpenBLAS, which wait for one another by spinning on the cores that others need."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)
"""How wheels of numpy, and distributions, call what gets and sets the number."""


def number() -> int:
    """Return how many threads numpy's products of matrices use; 0 where that is not OpenBLAS's."""
    functions = _functions()
    return int(functions[0]()) if functions else 0


def use(number: int) -> None:
    """Let numpy's products of matrices use so many threads, in the whole process; 0 leaves it as it is."""
    functions = _functions()
    if functions and number:
        functions[1](number)


@functools.lru_cache(maxsize=1)
def _functions() -> tuple[Any, Any] | None:
    try:
        library = ctypes.CDLL(np.linalg._umath_linalg.__file__)
    except (AttributeError, OSError):
        return None
    for get, set_ in _NAMES:
        if hasattr(library, get) and hasattr(library, set_):
            return getattr(library, get), getattr(library, set_)
    return None

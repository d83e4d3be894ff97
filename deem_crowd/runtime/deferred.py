"""Cheaper imports: heavy packages load only when they are used, and garbage collection waits while others load."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uncollected() -> Iterator[None]:
    """Suspend Python's cyclic garbage collector during heavy imports; enable it again if it was enabled.

    Next to nothing of what modules create is garbage, and looking through it again and again takes a fifth of the time
    that torch, pandas and scipy need to load.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def defer(name: str) -> None:
    """Let modules of a package be imported without all that its ``__init__`` imports.

    Whoever asks the package for a name of its own, by ``from package import name`` or as an attribute, gets what
    ``__init__`` defines, which then runs as it would have at the start. Nothing is done where the package is loaded
    already, or is not there.

    Parameters
    ----------
    name : str
        A package inside another, such as ``crowdkit.aggregation``.
    """
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader = spec.loader
    package = importlib.util.module_from_spec(spec)
    lock, runs = threading.RLock(), False

    def __getattr__(asked: str) -> Any:
        nonlocal runs
        if asked.startswith("__") and asked != "__all__":  # what tools ask of every module
            raise AttributeError(f"module {name!r} has no attribute {asked!r}")
        module = sys.modules.get(f"{name}.{asked}")
        if module is not None:
            return module
        with lock:
            if not runs and "__getattr__" in vars(package):
                runs = True
                try:
                    loader.exec_module(package)
                    del vars(package)["__getattr__"]
                finally:
                    runs = False
            try:
                return vars(package)[asked]
            except KeyError:
                raise AttributeError(f"module {name!r} has no attribute {asked!r}") from None

    vars(package)["__getattr__"] = __getattr__
    sys.modules[name] = package
    parent, _, own = name.rpartition(".")
    if parent:
        setattr(importlib.import_module(parent), own, package)

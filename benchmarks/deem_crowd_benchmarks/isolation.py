"""Run a function in a process of its own, within limits of time and memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

import psutil

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_LOOK = 0.05
"""Seconds between two looks at the memory of a process."""

_PRELOAD = [
    "torch",
    "scipy.stats",
    "sklearn.metrics",
    "crowdkit.aggregation.classification",
    "deem_crowd.estimators.aggregator",
    "deem_crowd_benchmarks.evaluation",
]


class Outcome(NamedTuple):
    """What became of a call."""

    status: str
    """``'ok'``, ``'time'``, ``'memory'`` or ``'crash'``."""
    value: Any = None
    """What the function returned."""
    reason: str = ""
    """Why there is no value."""


class Limits(NamedTuple):
    """What a call may take; None is no limit."""

    seconds: float | None = None
    """From the moment the function calls ``begin``."""
    memory: float | None = None
    """Bytes of the whole process."""


class Stopped(Exception):
    """The call was ended because ``stop`` was set."""


def isolated(
    function: Callable[..., Any],
    *arguments: Any,
    limits: Limits | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Call ``function(begin, *arguments)`` in a process of its own and return what became of it.

    Parameters
    ----------
    function : callable
        It can be imported by name. It calls ``begin()`` when its preparations are done: the time limit counts from
        there, and a memory limit is set on what it takes from there on.
    arguments : anything that can be pickled
    limits : Limits
    stop : Event, optional
        Ends the call when it is set.

    Raises
    ------
    Stopped
        If ``stop`` was set before the call was done.
    Exception
        Whatever ``function`` raises before it calls ``begin``.
    """
    limits = limits or Limits()
    context = _context()
    receiving, sending = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="deem-crowd-") as folder:
        said = Path(folder) / "said"
        said.touch()
        process = context.Process(
            target=_inside, args=(sending, str(said), limits.memory, function, arguments)
        )
        with _hidden_main():
            process.start()
        sending.close()
        try:
            outcome = _watched(process, receiving, limits, stop)
        finally:
            _end(process)
            receiving.close()
        if outcome.status == "crash":
            words = said.read_text(errors="replace").strip().splitlines()
            if words:
                outcome = outcome._replace(reason=f"{outcome.reason}: {words[-1][:300]}")
    return outcome


def _watched(process: Any, receiving: Any, limits: Limits, stop: threading.Event | None) -> Outcome:
    deadline = None
    watched = psutil.Process(process.pid)
    while True:
        ready = connection.wait([receiving, process.sentinel], timeout=_LOOK)
        if receiving in ready:
            try:
                message, value = receiving.recv()
            except EOFError:
                process.join()
                return Outcome("crash", reason=_ending(process.exitcode))
            if message == "begun":
                if limits.seconds is not None:
                    deadline = time.monotonic() + limits.seconds
                continue
            if message == "raised":
                raise value
            return Outcome(*value)
        if process.sentinel in ready:
            process.join()
            return Outcome("crash", reason=_ending(process.exitcode))
        if stop is not None and stop.is_set():
            raise Stopped
        if deadline is not None and time.monotonic() > deadline:
            return Outcome("time", reason=f"not done after {limits.seconds:g} s")
        if limits.memory is not None and _memory(watched) > limits.memory:
            return Outcome("memory", reason=f"took more than {limits.memory / 1e9:g} GB")


def _inside(
    sending: Any, log: str, memory: float | None, function: Callable[..., Any], arguments: Any
) -> None:
    """Run in the new process: the call, and its outcome through the pipe."""
    if hasattr(os, "setsid"):
        os.setsid()  # what the call starts itself ends with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    place = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(place, stream)
    begun = False

    def begin() -> None:
        nonlocal begun
        begun = True
        if memory is not None:
            _limit(memory)
        sending.send(("begun", None))

    try:
        value = function(begin, *arguments)
        sending.send(("done", ("ok", value)))
    except Exception as error:
        if not begun:
            with contextlib.suppress(Exception):
                sending.send(("raised", error))
            return
        if _is_memory(error):
            limit = "" if memory is None else f"the limit is {memory / 1e9:g} GB: "
            sending.send(("done", ("memory", None, f"{limit}{error}")))
        else:
            text = f"{type(error).__name__}: {error}"
            sending.send(("done", ("crash", None, text)))


def _limit(memory: float) -> None:
    """Let allocations fail that would take the process beyond ``memory`` bytes."""
    if resource is None or not sys.platform.startswith("linux"):
        return  # the parent's looks remain
    status = Path("/proc/self/status").read_text().splitlines()
    taken = {line.split(":")[0]: line.split()[1] for line in status if line.startswith("Vm")}
    data, resident = (int(taken[key]) * 1024 for key in ("VmData", "VmRSS"))
    allowed = data + max(int(memory) - resident, 0)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _memory(process: psutil.Process) -> float:
    total = 0
    with contextlib.suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def _end(process: Any) -> None:
    """Kill the process, and whatever it started, if it still lives."""
    if process.is_alive() and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"its process was ended by {name}"


def _context() -> Any:
    """Return how processes are started: forked from a server that has the libraries loaded, where there is such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


_starting = threading.Lock()


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep the new process from running the caller's script again, which multiprocessing would do."""
    main = sys.modules["__main__"]
    with _starting:
        kept = {
            name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)
        }
        try:
            main.__dict__.pop("__file__", None)
            main.__spec__ = None
            yield
        finally:
            main.__dict__.update(kept)

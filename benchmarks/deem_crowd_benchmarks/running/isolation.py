"""Run a function in a process of its own, within limits of time and memory."""

from __future__ import annotations

import contextlib
import ctypes
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
from typing import Any, NamedTuple, NoReturn

import psutil

from deem_crowd.plugins import contract

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_LOOK = 0.05
"""Seconds between two looks at the memory of a process."""
_PATIENCE = 10.0
"""Seconds in which a process has to end what it started."""
_TAIL = 4096
"""Bytes at the end of what a process said that are looked at."""
_PR_SET_CHILD_SUBREAPER = 36

_PRELOAD = [
    "torch",
    "scipy.stats",
    "sklearn.metrics",
    "crowdkit.aggregation.classification",
    "deem_crowd.estimators.aggregator",
    "deem_crowd_benchmarks.running.evaluation",
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
    """From the last moment the function called ``begin``."""
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
        there, and a memory limit is set on what it takes from there on. Called again, it lets the clock start anew.
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
        watched, alive = context.Pipe(
            duplex=False
        )  # alive ends with this process, however that ends
        call = (sending, watched, str(said), limits.memory, function, arguments)
        process = context.Process(target=_inside, args=call)
        with _hidden_main():
            process.start()
        sending.close()
        watched.close()
        try:
            outcome = _watched(process, receiving, limits, stop)
        finally:
            alive.close()
            process.join(_PATIENCE)
            if process.is_alive():
                _kill_below(process.pid)
                process.kill()
                process.join()
            receiving.close()
        if outcome.status == "crash" and (words := _last_words(said)):
            outcome = outcome._replace(reason=f"{outcome.reason}: {words}")
    return outcome


def _last_words(log: Path) -> str:
    """Return the end of the last line of a file, which may be a long one."""
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - _TAIL, 0))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


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
    sending: Any,
    alive: Any,
    log: str,
    memory: float | None,
    function: Callable[..., Any],
    arguments: Any,
) -> None:
    """Run in the new process: the call, in a fork that is watched where there are forks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    place = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(place, stream)
    if hasattr(os, "fork"):
        os.setsid()
        if sys.platform.startswith("linux"):  # whatever the call starts stays below this process
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        worker = os.fork()
        if worker:
            sending.close()
            _guard(worker, alive)
        os.setsid()
    _call(sending, memory, function, arguments)


def _guard(worker: int, alive: Any) -> NoReturn:
    """Wait until a process ends or ``alive`` does; end whatever is left, and then as the process did."""
    status = None
    while status is None and not connection.wait([alive], timeout=_LOOK):
        pid, ended = os.waitpid(worker, os.WNOHANG)
        status = ended if pid else None
    _kill_below(os.getpid())
    code = os.waitstatus_to_exitcode(status or 0)
    if code < 0:
        with contextlib.suppress(OSError):  # nobody handles SIGKILL
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _kill_below(pid: int) -> None:
    """Kill all that a process has started, and what that has started, until nothing is left."""
    while living := list(_living_below(pid)):
        for one in living:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(living, timeout=_LOOK)


def _living_below(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if one.status() != psutil.STATUS_ZOMBIE:
                    yield one


def _call(sending: Any, memory: float | None, function: Callable[..., Any], arguments: Any) -> None:
    """Send the outcome of the call through the pipe."""
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
            sending.send(("done", ("memory", None, f"{limit}{str(error)[:300]}")))
        else:
            text = contract.described(error)
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
        for one in process.children(recursive=True) or [process]:  # not what only watches
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total


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

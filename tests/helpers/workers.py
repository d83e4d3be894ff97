"""Start the workers of pytest-xdist as forks of one process that has collected the tests.

Each worker would import the same libraries and test modules, which takes longer than most modules of tests. The
nursery does that once, as a fork of the server of test programs; a worker is a fork of it that begins as a new
interpreter does. Coverage has to see the imports, so with ``--cov`` workers start as usual. So they do where there are
no forks, and where the nursery has threads, which a fork lacks: ``OMP_NUM_THREADS=1`` is asked for, and no module of
tests may start some when it is imported.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing.forkserver
import os
import shlex
import signal
import socket
import sys
import types
from pathlib import Path
from typing import Any

import processes

LATER = ("torch._dynamo", "torch.distributed.tensor")
"""What torch imports when its optimisers and ``torch.testing`` are used for the first time: seconds each."""
HARMLESS = ("jemalloc_bg_thd", "polars-ooc-clea")
"""Threads that forks do without, or start again."""


def fork_workers(config: Any, specs: list[Any]) -> None:
    """Start a nursery for this run, and tell execnet to have its workers from there."""
    if not hasattr(os, "fork") or len(specs) < 2 or config.getoption("cov_source", None):
        return
    if os.environ.get("OMP_NUM_THREADS") != "1":
        return
    if any(not spec.popen or spec.python or spec.chdir for spec in specs):
        return
    os.environ[processes.ADDRESS] = processes.shared()
    code = f"import sys; sys.path[0] = {os.path.dirname(__file__)!r}; import workers; workers.nurse(*sys.argv[1:])"
    address = processes.shared("-c", code, *config.args)
    for spec in specs:
        spec.python = shlex.join([sys.executable, __file__, address])


def _stand_in(address: str, *options: str) -> None:
    """Hand our streams over to a worker, and end when it does; become one ourselves if there are no forks."""
    with contextlib.suppress(OSError), processes.connect(address) as worker:
        socket.send_fds(worker, [b"streams"], [0, 1, 2])
        if worker.recv(1):
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 0)
            os.dup2(nothing, 1)
            worker.recv(1)
            return
    os.execv(sys.executable, [sys.executable, *options])


def collect(arguments: list[str]) -> bool:
    """Import what the tests import, in silence; tell whether that went well.

    A module that was not imported to its end is found among the modules by who collects next, without tests or error.
    """
    import pytest

    out, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    status = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *arguments])
    sys.stdout.flush()
    os.dup2(out, 1)
    os.close(out)
    os.close(nothing)
    return status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def _threads() -> list[str]:
    """Return the names of threads that a fork would lack; none are known where there is no /proc."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names[1:] if name not in HARMLESS]


def _work(connection: socket.socket) -> None:
    """Do what execnet has a new interpreter do, with the streams that come by a connection."""
    # before there are threads, which forks lack, and before its standard output is a worker's
    multiprocessing.forkserver.set_forkserver_preload([])
    multiprocessing.forkserver.ensure_running()
    _, streams, *_ = socket.recv_fds(connection, 100, 3)
    connection.send(b"+")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["-c"]
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    exec(eval(sys.stdin.readline()), vars(main))


def nurse(*arguments: str) -> None:
    """Collect the tests that arguments name, and fork for each worker that connects to the socket they end with."""
    listener = socket.socket(fileno=int(arguments[-1]))
    collected = collect(list(arguments[:-1]))
    gc.disable()  # what is imported stays
    for name in LATER:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the run ends it
    if not collected or (threads := _threads()):
        why = f"threads ran after collection, {threads}" if collected else "not all were collected"
        sys.stderr.write(f"workers start anew: {why}\n")
        processes.refused(listener)
        return
    connection = processes.forked(listener)
    if connection is not None:
        _work(connection)
        processes.end(0)


if __name__ == "__main__":
    _stand_in(*sys.argv[1:])

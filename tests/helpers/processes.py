"""Run Python programs in new processes without loading the libraries anew each time.

A server loads numpy, pandas, torch, scikit-learn and the command line once. Each program is a fork of it with its own
streams, working folder, environment and ``__main__``, and it ends as a new interpreter would: with a traceback, an exit
status, and flushed streams; only the libraries are not taken down one by one. Tests that concern imports, encodings or
hash seeds start a new interpreter instead. Where several processes run tests, their servers are forks of one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import multiprocessing.forkserver
import multiprocessing.util
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

PRELOADED = (
    "numpy", "pandas", "torch", "pyarrow.parquet", "sklearn.base", "crowdkit.aggregation",
    "deem_crowd.cli.app", "deem_crowd.estimators.aggregator", "deem_crowd.estimators.deem", "deem_crowd_adapters.files",
    # what each command of the shell would load anew
    "deem_crowd.cli.decisions", "deem_crowd.data.consistency", "deem_crowd.data.parquet", "deem_crowd.insight.findings",
    "deem_crowd.plugins.contract", "deem_crowd.plugins.registry", "deem_crowd.report.commands",
    "deem_crowd_adapters.plugin", "deem_crowd_adapters.exports.read", "deem_crowd_adapters.pairwise",
    "deem_crowd_adapters.reading", "deem_crowd_adapters.tables", "deem_crowd_adapters.text",
    "deem_crowd_adapters.writing", "deem_crowd_benchmarks.commands", "deem_crowd_plugins.clustering",
    "deem_crowd_plugins.crowdkit", "deem_crowd_plugins.deem", "pyarrow.csv", "pyarrow.pandas_compat",
)  # fmt: skip
NOT_IN_ALL_VERSIONS = ("typer._adapters",)  # which loads pydantic when the first command is parsed
_AT_FIRST = dict(os.environ)
"""The environment before a test changed it: a server outlives the test that first asks for it."""
ADDRESS = "SERVER_OF_TEST_PROGRAMS"
"""The variable of the environment that tells processes of one run of tests where to have a server."""


class Running:
    """A program that runs in a fork of the server, and what it says, both streams together."""

    def __init__(self, pid: int, said: IO[bytes]) -> None:
        self.pid, self._said = pid, said

    def wait(self) -> tuple[int, str]:
        """Return the exit status, negative for a signal, and all that was said."""
        status = _wait(self.pid)
        with self._said as file:
            file.seek(0)
            return status, file.read().decode("utf-8", errors="replace")


def start(
    *arguments: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdout: int | None = None,
) -> Running:
    """Start ``python arguments``, as :func:`python` runs it, and go on; there have to be forks.

    Standard output goes to the file descriptor ``stdout`` if it is given, and is not waited for.
    """
    said = tempfile.TemporaryFile()  # noqa: SIM115
    with open(os.devnull, "rb") as nothing:
        streams = [nothing.fileno(), said.fileno() if stdout is None else stdout, said.fileno()]
        return Running(_start(arguments, cwd, env, streams), said)


def python(
    *arguments: str,
    cwd: Path | None = None,
    stdin: str = "",
    env: dict[str, str] | None = None,
    interpreter: str = sys.executable,
) -> subprocess.CompletedProcess[str]:
    """Run ``python arguments``, where arguments begin with ``-c code`` or ``-m module``; text is UTF-8."""
    if not hasattr(os, "fork"):
        return subprocess.run(
            [interpreter, *arguments],
            cwd=cwd, env=env, input=stdin, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin.encode())
        given.seek(0)
        streams = [given.fileno(), out.fileno(), err.fileno()]
        status = _wait(_start(arguments, cwd, env, streams, interpreter), interpreter)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors="replace"))
    return subprocess.CompletedProcess([interpreter, *arguments], status, *texts)


def _start(
    arguments: tuple[str, ...],
    cwd: Path | None,
    env: dict[str, str] | None,
    streams: list[int],
    interpreter: str = sys.executable,
) -> int:
    """Return the number of the process that runs the program."""
    job = {
        "arguments": arguments,
        "cwd": str(cwd or Path.cwd()),
        "env": dict(os.environ if env is None else env),
    }
    server = _server(os.getpid(), interpreter)
    socket.send_fds(server, [json.dumps(job).encode()], streams)
    return int(json.loads(server.recv(1000)))


def _wait(pid: int, interpreter: str = sys.executable) -> int:
    server = _server(os.getpid(), interpreter)
    server.send(json.dumps({"wait": pid}).encode())
    return int(json.loads(server.recv(1000)))


@functools.cache
def _server(pid: int, interpreter: str) -> socket.socket:
    """Start the server of process ``pid`` and return the socket to it."""
    if interpreter == sys.executable and ADDRESS in os.environ:
        connection = connect(os.environ[ADDRESS])
        atexit.register(connection.close)  # before the program at that address is waited for
        return connection
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [interpreter, __file__, "server", str(theirs.fileno())],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=_AT_FIRST,
    )  # fmt: skip
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)  # the server ends when its socket does
    return ours


def shared(*program: str) -> str:
    """Start a program that forks for each that connects to it, and ends as we do; return its address.

    It is the server of test programs, or else one of them: its arguments end with the number of the socket.
    """
    folder = tempfile.mkdtemp(prefix="tests-")
    address = os.path.join(folder, "socket")
    given, ours = os.pipe()  # its standard input ends as we close it, and so does the program
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        number = listener.fileno()
        if program:
            wait = functools.partial(_wait, _start(program, None, None, [given, 1, 2, number]))
        else:
            command = [sys.executable, __file__, "shared", str(number)]
            wait = subprocess.Popen(command, pass_fds=[number], stdin=given).wait
    os.close(given)

    def close() -> None:
        os.close(ours)
        wait()
        shutil.rmtree(folder)

    atexit.register(close)
    return address


def connect(address: str) -> socket.socket:
    """Return a connection to a new fork of the program at an address."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(address)
    return connection


def forked(listener: socket.socket) -> socket.socket | None:
    """Fork for each that connects until standard input ends; return the connection in a fork, None at the end."""
    while listener in select.select([listener, 0], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return connection
        connection.close()
    _ended()
    return None


def _ended() -> None:
    """Wait until all forks have ended; kill those that have not after half a minute, whose caller may be gone."""
    for _ in range(300):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.1)
    import psutil

    for child in psutil.Process().children():
        child.kill()


def refused(listener: socket.socket) -> None:
    """Close each connection until standard input ends."""
    while listener in select.select([listener, 0], [], [])[0]:
        listener.accept()[0].close()


def _serve(server: socket.socket) -> dict[str, Any]:
    """Fork for each job; return the job, in the fork alone."""
    while True:
        message, streams, *_ = socket.recv_fds(server, 2**20, 4)
        if not message:
            os._exit(0)
        job = json.loads(message)
        if "wait" in job:
            _, status = os.waitpid(job["wait"], 0)
            server.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            server.close()
            for number, stream in enumerate(streams[:3]):
                os.dup2(stream, number)
                os.close(stream)
            job["arguments"] += map(str, streams[3:])
            return job
        for stream in streams:
            os.close(stream)
        server.send(json.dumps(pid).encode())


_spawn = multiprocessing.util.spawnv_passfds


def fork_servers_of_multiprocessing() -> None:
    """Have this process start the server of multiprocessing's "forkserver" as a fork, too: libraries are loaded."""
    multiprocessing.util.spawnv_passfds = _spawn_or_fork


def _spawn_or_fork(path: bytes, words: Sequence[str], kept: Sequence[int]) -> int:
    if "multiprocessing.forkserver" not in words[-1]:
        return _spawn(path, words, kept)
    return os.fork() or _serve_forks(words[-1], kept)


def _serve_forks(code: str, kept: Sequence[int]) -> NoReturn:
    """Run a server of multiprocessing with nothing open but what it is handed, as in an interpreter of its own."""
    gc.freeze()  # what is garbage here may own numbers of files that are used again
    last = 2
    for number in [*sorted(kept), os.sysconf("SC_OPEN_MAX")]:
        os.closerange(last + 1, number)
        last = number
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    multiprocessing.forkserver._forkserver.__init__()  # its lock is held: the fork was made meanwhile
    try:
        exec(code, {})
    finally:
        os._exit(0)


def _become(job: dict[str, Any]) -> tuple[str, str]:
    """Set up what an interpreter has when it starts; return '-c', '-m' or 'script' and what to run."""
    fork_servers_of_multiprocessing()
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored by tests that run in the background
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )
    kind, program, *rest = job["arguments"]
    sys.argv = ["-c" if kind == "-c" else program, *rest]
    paths = job["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = ["", *(path for path in paths if path and path not in sys.path)]
    return kind, program


def _run(kind: str, program: str) -> int:
    """Run the program and return its exit status; what it raises passes."""
    try:
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        elif kind == "script":
            runpy.run_path(program, run_name="__main__")
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        return end.code or 0
    return 0


def run(job: dict[str, Any], told: socket.socket | None = None) -> None:
    """Run the program of a job, and end; the exit status goes to whoever is to be told."""
    status = _run(*_become(job))
    if told is not None:
        told.send(bytes([status & 0xFF]))
    end(status)


def end(status: int) -> None:
    """Do what an interpreter does last, but leave memory to the system: a fork would first copy all of it."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # the reader is gone, or they are closed: the interpreter says so
        sys.exit(status)
    os._exit(status & 0xFF)


def _load() -> None:
    gc.disable()  # what is imported stays
    import importlib

    import torch

    torch.set_num_threads(1)
    for name in PRELOADED:
        importlib.import_module(name)
    for name in NOT_IN_ALL_VERSIONS:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    gc.enable()
    gc.collect()
    gc.freeze()  # collections in a fork leave alone, and so do not copy, what was loaded here


def _main(kind: str, number: str) -> None:
    connection: socket.socket | None = socket.socket(fileno=int(number))
    assert connection is not None
    if kind == "server":
        _load()
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the run ends it
        ready, _, _ = select.select([connection, 0], [], [])
        if connection in ready:  # nothing is loaded before somebody asks
            _load()
        connection = forked(connection)
    if connection is not None:
        run(_serve(connection))


if __name__ == "__main__":
    _main(*sys.argv[1:])

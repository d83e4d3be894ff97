"""Run Python programs in new processes without loading the libraries anew each time.

A server loads numpy, pandas, torch, scikit-learn and the command line once. Each program is a fork of it with its own
streams, working folder, environment and ``__main__``, and it ends as a new interpreter would: with a traceback, an exit
status, and flushed streams; only the libraries are not taken down one by one. Tests that concern imports, encodings or
hash seeds start a new interpreter instead.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

PRELOADED = (
    "numpy", "pandas", "torch", "pyarrow.parquet", "sklearn.base", "crowdkit.aggregation",
    "deem_crowd.cli.app", "deem_crowd.estimators.aggregator", "deem_crowd.estimators.deem", "deem_crowd_adapters.files",
)  # fmt: skip


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
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [interpreter, __file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)  # the server ends when its socket does
    return ours


def _serve(server: socket.socket) -> dict[str, Any]:
    """Fork for each job; return the job, in the fork alone."""
    while True:
        message, streams, *_ = socket.recv_fds(server, 2**20, 3)
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
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return job
        for stream in streams:
            os.close(stream)
        server.send(json.dumps(pid).encode())


def _become(job: dict[str, Any]) -> tuple[str, str]:
    """Set up what an interpreter has when it starts; return '-c' or '-m' and what to run."""
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
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
        else:
            exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        return end.code or 0
    return 0


def _end(status: int) -> None:
    """Do what an interpreter does last, but leave memory to the system: a fork would first copy all of it."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # the reader is gone, or they are closed: the interpreter says so
        sys.exit(status)
    os._exit(status & 0xFF)


if __name__ == "__main__":
    import importlib

    import torch

    torch.set_num_threads(1)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # collections in a fork leave alone, and so do not copy, what was loaded here
    _end(_run(*_become(_serve(socket.socket(fileno=int(sys.argv[1]))))))

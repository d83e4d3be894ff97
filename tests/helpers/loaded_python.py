"""An executable that engines take for the interpreter: processes that they start with it are forks of a loaded one.

Ray starts nine of them in its tests, and Spark one that forks others. Each would import pandas and torch anew.
"""

from __future__ import annotations

import json
import os
import socket
import sys


def executable(folder: str, *modules: str) -> str:
    """Write the executable into a folder; modules are loaded once, by a fork of the server of test programs."""
    import shlex

    import processes

    here = os.path.dirname(__file__)
    code = f"import sys; sys.path[0] = {here!r}; import loaded_python as python; python.serve(*sys.argv[1:])"
    address = processes.shared("-c", code, *modules)
    path = os.path.join(folder, "python")
    with open(path, "w", encoding="utf-8") as file:
        stand_in = shlex.join([sys.executable, "-S", __file__, address])
        file.write(f'#!/bin/sh\nexec {stand_in} "$@"\n')
    os.chmod(path, 0o700)
    return path


def serve(*arguments: str) -> None:
    """Load modules, and run a program in a fork for each that connects to the socket that arguments end with."""
    import gc
    import importlib
    import signal

    import processes

    gc.disable()  # what is imported stays
    for name in arguments[:-1]:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    # A process that an engine has killed is to be gone when it asks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    connection = processes.forked(socket.socket(fileno=int(arguments[-1])))
    if connection is None:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, *_ = socket.recv_fds(connection, 2**20, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.path.insert(0, "")  # the place of a program's folder, which a new interpreter has first
    processes.run(json.loads(message), connection)


def _stand_in(address: str, *arguments: str) -> int:
    """Have a fork do what the interpreter would, and return its exit status when it ends; 1 if it is killed."""
    if arguments[:2] == ("-u", "-m"):  # nobody reads its streams before it ends
        arguments = arguments[1:]
    if arguments[0] != "-m":
        arguments = ("script", *arguments)
    job = {"arguments": arguments, "cwd": os.getcwd(), "env": dict(os.environ)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(address)
        socket.send_fds(server, [json.dumps(job).encode()], [0, 1, 2])
        return (server.recv(1) or b"\1")[0]


if __name__ == "__main__":
    _, given, *program = sys.argv
    # What else Ray starts, to watch over its processes, it knows by the number of the process.
    if "-m" in program[:2] or program[0].endswith("/default_worker.py"):
        sys.exit(_stand_in(given, *program))
    os.execv(sys.executable, [sys.executable, *program])

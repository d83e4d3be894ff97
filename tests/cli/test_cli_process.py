"""deem-crowd as a process: help, exit statuses, signals, pipes and encodings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import processes
import pytest
from shell_calls import call, csv, folder, really

import deem_crowd

__all__ = ["folder"]


ASCII = """
import sys
for stream in (sys.stdin, sys.stdout, sys.stderr):
    stream.reconfigure(encoding="ascii")  # as an interpreter starts where PYTHONIOENCODING says so
from deem_crowd.cli import main
sys.exit(main())
"""


def test_version_and_help(folder: Path) -> None:
    assert call("--version").stdout == f"deem-crowd {deem_crowd.__version__}\n"
    assert call("--help").exit_code == call("aggregate", "--help").exit_code == 0
    assert call().exit_code == 2
    assert "benchmark" in call("--help").stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['deem-crowd', '--help']\n"
        "from deem_crowd.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'pandas', 'numpy', 'sklearn', 'crowdkit'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_statuses_of_the_real_command(folder: Path) -> None:
    assert really("aggregate", "nowhere.csv").returncode == 1
    assert really("aggregate").returncode == 2
    done = really("--debug", "aggregate", "nowhere.csv")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals and pipes")
def test_an_interrupt_ends_with_130_and_leaves_nothing(folder: Path) -> None:
    command = [sys.executable, "-m", "deem_crowd.cli", "aggregate", "-", "-o", "labels.csv"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, encoding="utf-8", **pipes) as process:  # type: ignore[call-overload]
        assert process.stdin is not None
        process.stdin.write(
            "task,worker,label\n" * 20_000
        )  # more than a pipe holds: it is reading now
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err == "error: interrupted\n"
    assert sorted(path.name for path in folder.iterdir()) == ["answers.csv"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals and pipes")
def test_a_reader_that_leaves_is_no_error(folder: Path) -> None:
    many = pd.DataFrame({"task": range(60_000), "worker": [1, 2] * 30_000})
    many["label"] = ["yes", "no", "no"] * 20_000
    (folder / "answers.csv").write_text(csv(many))
    command = ["-m", "deem_crowd.cli", "aggregate", "answers.csv", "--method", "mv"]
    reading, writing = os.pipe()
    process = processes.start(*command, stdout=writing)
    os.close(writing)
    with open(reading, "rb") as output:
        assert output.readline() == b"task,label\n"
    _, said = process.wait()
    assert said == ""


def test_a_terminal_that_knows_only_ascii(folder: Path) -> None:
    done = processes.python("-c", ASCII, "compare", "answers.csv", "--methods", "mv,gold-mv")
    assert done.returncode == 0, done.stderr

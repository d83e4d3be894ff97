"""Several processes: the result of one, whatever their number; errors in all; nothing that looks complete."""

from __future__ import annotations

import os
import signal
import socket
import sys
import textwrap
import time
from pathlib import Path

import loaded_python
import numpy as np
import pandas as pd
import processes
import psutil
import pyarrow as pa
import pytest
import torch.distributed as dist
import typer
from deem_crowd_benchmarks.sets import laws

from deem_crowd import DataError, DataWarning, DEEMAggregator
from deem_crowd.data import datasets
from deem_crowd.data.batches import LongTable
from deem_crowd.distributed import command, reading

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo and torchrun on POSIX")


def parts(folder: Path, n_parts: int = 5) -> pd.DataFrame:
    """Write a crowd in parts; return the whole.

    The answers to a task are in several parts, some of them twice with another label, the last of which counts.
    """
    rows = laws.heavy_tail(0, 900).answers
    rows = rows.assign(
        task="t" + rows["task"].astype(str),
        worker="w" + rows["worker"].astype(str),
        label=rows["label"].map(dict(enumerate("bacd"))),
    )
    rows = pd.concat([rows.iloc[::9].assign(label="a"), rows])
    folder.mkdir(parents=True, exist_ok=True)
    pieces = np.array_split(np.arange(len(rows)), n_parts)
    for i, piece in enumerate(pieces):
        path = folder / f"part-{i}.parquet"
        rows.iloc[piece].to_parquet(path, index=False, row_group_size=100)
    return rows


def no_text(n: int) -> pd.arrays.ArrowExtensionArray:
    """Return n ids that are called text and are no UTF-8."""
    return pd.arrays.ArrowExtensionArray(pa.array([b"\xff\xfe"] * n).view(pa.string()))


def start(n: int, folder: Path, *what: str, python: str = sys.executable) -> processes.Running:
    """Start torchrun, itself a fork, which starts an interpreter for each process."""
    return processes.start(
        "-m", "torch.distributed.run", f"--nproc-per-node={n}", "--standalone", *what,
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": python},
    )  # fmt: skip


def said(process: processes.Running, status_ok: bool) -> str:
    status, output = process.wait()
    assert (status == 0) == status_ok, output
    return output


def forked(n: int, folder: Path, *arguments: str, status_ok: bool) -> str:
    """Run n processes as torchrun would, but forked from one that has the libraries loaded; return what they say."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(n)}
    running = [
        processes.start(
            "-m", "deem_crowd.distributed", *arguments,
            cwd=folder, env={**os.environ, **place, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(n)
    ]  # fmt: skip
    ends = [process.wait() for process in running]
    output = "".join(words for _, words in ends)
    assert all((status == 0) == status_ok for status, _ in ends), output
    return output


@pytest.mark.parametrize(("n", "n_parts", "torchrun"), [(1, 5, False), (2, 5, True), (3, 1, False)])
def test_the_result_is_that_of_one_process(tmp_path, n, n_parts, torchrun) -> None:
    rows = parts(tmp_path / "in", n_parts)
    if torchrun:
        python = loaded_python.executable(str(tmp_path), "deem_crowd.distributed.command")
        what = ("-m", "deem_crowd.distributed", "in/part-*.parquet", "--output", "out")
        said(start(n, tmp_path, *what, python=python), True)
    else:
        forked(n, tmp_path, "in/part-*.parquet", "--output", "out", status_ok=True)
    found = pd.concat(map(pd.read_parquet, sorted((tmp_path / "out").glob("labels-*.parquet"))))
    assert len(list((tmp_path / "out").glob("labels-*.parquet"))) == n
    with pytest.warns(DataWarning, match="the last one counts"):
        whole = DEEMAggregator().fit(rows)
    assert sorted(found["task"]) == sorted(whole.labels_.index)
    found = found.set_index("task").loc[whole.labels_.index]
    np.testing.assert_allclose(found["confidence"], whole.probas_.max(axis=1), atol=1e-5)
    assert (found["label"].to_numpy() == whole.labels_.to_numpy()).all()
    skills = pd.read_parquet(tmp_path / "out" / "workers.parquet").set_index("worker")["skill"]
    np.testing.assert_allclose(skills.loc[whole.skills_.index], whole.skills_, atol=1e-5)
    assert not (tmp_path / ".out.unfinished").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.drop(columns="label"), "process 1: .*column 'label' is missing"),
        (
            lambda d: d.assign(label=d["label"].where(d.index > d.index[3])),
            r"process [01]: column 'label' is missing in [1-4] of",
        ),
        (
            lambda d: d.assign(worker=np.arange(len(d))),
            "part-1.parquet: column 'worker' is int64, and was (large_)?string in the files before",
        ),
    ],
)
def test_an_error_in_one_process_ends_all(tmp_path, spoil, words) -> None:
    import re

    parts(tmp_path / "in", 2)
    bad = spoil(pd.read_parquet(tmp_path / "in" / "part-1.parquet"))
    bad.to_parquet(tmp_path / "in" / "part-1.parquet", index=False)
    output = forked(2, tmp_path, "in", "--output", "out", status_ok=False)
    assert re.search(f"error: .*({words})", output), output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda d: d.assign(worker=d["worker"].where(d.index < d.index[-1])),
            r"column 'worker' is missing in 1 row \(rows 399 of all\)",
        ),
        (
            lambda d: d.assign(task=no_text(len(d))),
            "column 'task' cannot be read .* Write text as UTF-8",
        ),
    ],
)
def test_what_a_process_cannot_take_is_named_before_it_is_sent(
    monkeypatch, tmp_path, spoil, words
) -> None:
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    rows = parts(tmp_path / "in", 1)[:400].reset_index(drop=True)
    path = tmp_path / "in" / "part-0.parquet"
    spoil(rows).to_parquet(path, index=False, row_group_size=100)
    table = LongTable()
    files = datasets.files_of(path)
    footers = [reading._footer(file, table) for file in files]
    share = reading._share(files, footers)
    assert [(groups, n_before) for _, groups, n_before in share] == [([2, 3], 200)]
    with pytest.raises(DataError, match=words):
        list(reading._batches(share, table, 50))


def test_columns_by_name_and_known_labels(tmp_path) -> None:
    rows = parts(tmp_path / "in", 2)
    names = {"task": "item", "worker": "rater", "label": "answer"}
    for path in (tmp_path / "in").iterdir():
        pd.read_parquet(path).rename(columns=names).to_parquet(path, row_group_size=100)
    known = pd.Series({f"t{n}": "bacd"[n % 4] for n in range(0, 200, 5)}, name="answer")
    known.rename_axis("item").reset_index().to_parquet(tmp_path / "gold.parquet", index=False)
    options = ["--task", "item", "--worker", "rater", "--label", "answer", "--gold", "gold.parquet"]
    forked(2, tmp_path, "in", "--output", "out", "--plain", *options, status_ok=True)
    found = pd.concat(map(pd.read_parquet, sorted((tmp_path / "out").glob("labels-*.parquet"))))
    with pytest.warns(DataWarning, match="the last one counts"):
        whole = DEEMAggregator(auto_hyperparameters=False).fit(rows, known)
    found = found.set_index("task").loc[whole.labels_.index]
    assert (found["label"].to_numpy() == whole.labels_.to_numpy()).all()
    assert (found.loc[known.index, "label"] == known).all()
    np.testing.assert_allclose(
        found.drop(index=known.index)["confidence"],
        whole.probas_.max(axis=1).drop(index=known.index), atol=1e-5,
    )  # fmt: skip


def test_more_processes_than_rows_and_an_output_that_is_there(tmp_path) -> None:
    rows = parts(tmp_path / "all", 1)
    (tmp_path / "in").mkdir()
    rows[rows["task"] == "t3"].to_parquet(tmp_path / "in" / "few.parquet", index=False)
    forked(2, tmp_path, "in", "--output", "out", status_ok=True)
    found = [len(pd.read_parquet(path)) for path in sorted((tmp_path / "out").glob("labels-*"))]
    assert sorted(found) == [0, 1]
    output = forked(1, tmp_path, "in", "--output", "out", status_ok=False)
    assert "out is there already: remove it, or name another folder" in output


DIES = textwrap.dedent("""
    import os, time, typer
    from deem_crowd.distributed import command
    from deem_crowd.model.design import DesignMatrix
    before = DesignMatrix.expected_counts
    calls = []
    def counts(self, posterior):
        calls.append(1)
        if len(calls) == 4 and os.environ["RANK"] == "1":
            open(f"pid-{os.getpid()}", "w").close()
            time.sleep(60)
        return before(self, posterior)
    DesignMatrix.expected_counts = counts
    typer.run(command.main)
""")
"""A program whose second process stops in the middle of a fit."""


def alone(
    rank: int, folder: Path, port: int, *command: str, join: int = 30, timeout: int = 60
) -> processes.Running:
    """Start one of two processes without torchrun."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return processes.start(
        *command, "in", "--output", "out", "--join", str(join), "--timeout", str(timeout),
        cwd=folder, env={**os.environ, **place, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_process_that_waits_for_one_that_never_comes_ends(tmp_path) -> None:
    parts(tmp_path / "in")
    process = alone(0, tmp_path, free_port(), "-m", "deem_crowd.distributed", join=1)
    status, output = process.wait()
    assert status == 1, output
    assert "process 0 waited" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("torchrun", [True, False])
def test_a_process_that_dies_ends_the_run(tmp_path, torchrun) -> None:
    parts(tmp_path / "in")
    port = free_port()
    if torchrun:
        (tmp_path / "program.py").write_text(DIES)
        first, second = start(2, tmp_path, "program.py", "in", "--output", "out"), None
    else:
        first, second = (alone(rank, tmp_path, port, "-c", DIES) for rank in range(2))
    deadline = time.monotonic() + 60
    while not (found := list(tmp_path.glob("pid-*"))):
        assert time.monotonic() < deadline
        assert psutil.Process(first.pid).status() != psutil.STATUS_ZOMBIE
        time.sleep(0.05)
    running = psutil.Process(first.pid).children(recursive=True)
    os.kill(int(found[0].name.split("-")[1]), signal.SIGKILL)
    if second is None:
        output = said(first, False)
        assert not psutil.wait_procs(running, timeout=30)[1]  # no orphan
    else:
        status, output = first.wait()
        assert status == 1, output
        assert second.wait()[0] == -signal.SIGKILL
    assert "process 0 lost touch with the others" in output or "Signal 9" in output
    assert not (tmp_path / "out").exists()


def test_a_process_that_hangs_ends_the_run(tmp_path) -> None:
    """The one that hangs is alive, and its connections are open."""
    parts(tmp_path / "in")
    port = free_port()
    first, second = (alone(rank, tmp_path, port, "-c", DIES, timeout=2) for rank in range(2))
    status, output = first.wait()
    assert status == 1, output
    assert "process 0 waited in vain for the others" in output
    assert not (tmp_path / "out").exists()
    os.kill(second.pid, signal.SIGKILL)
    second.wait()


FAILS = textwrap.dedent("""
    import os, pandas, typer
    from deem_crowd.distributed import command
    before = pandas.DataFrame.to_parquet
    def write(self, *arguments, **options):
        if os.environ["RANK"] == "1":
            raise OSError(28, "No space left on device")
        return before(self, *arguments, **options)
    pandas.DataFrame.to_parquet = write
    typer.run(command.main)
""")
"""A program whose second process cannot write."""


def test_a_process_that_cannot_write_leaves_nothing_half_written(tmp_path) -> None:
    parts(tmp_path / "in")
    port = free_port()
    ends = [
        process.wait()
        for process in [alone(rank, tmp_path, port, "-c", FAILS) for rank in range(2)]
    ]
    assert [status for status, _ in ends] == [1, 1], ends
    assert "error: process 1: [Errno 28] No space left on device" in ends[0][1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_without_torchrun_it_says_how(tmp_path) -> None:
    command = ("-m", "deem_crowd.distributed", "x.parquet", "--output", "out")
    done = processes.python(*command, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 2
    assert "start this with torchrun" in done.stderr


def test_a_timeout_without_end_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="timeout=inf is no number of seconds"):
        command.main([], "out", timeout=float("inf"))


def test_options_that_nothing_would_come_of_are_refused() -> None:
    for options in ({"subtypes": 2}, {"tol": 1e-3}):
        with pytest.raises(typer.BadParameter, match="takes effect only with --plain"):
            command.main([], "out", **options)
    for folder in (".", "..", "/"):
        with pytest.raises(typer.BadParameter, match="is not a folder that can be created"):
            command.main([], folder)

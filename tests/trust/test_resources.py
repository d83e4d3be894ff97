"""Full disks, folders that cannot be written, too little memory: a clear error, and nothing torn."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import processes
import pytest

from deem_crowd import DEEMAggregator
from deem_crowd.runtime.atomic import atomic_write

resource = pytest.importorskip("resource", reason="limits are set by POSIX's setrlimit")


def crowd(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"task": np.repeat(np.arange(n), 3), "worker": rng.integers(20, size=3 * n)}
    )
    rows["label"] = rng.integers(3, size=3 * n)
    return rows.drop_duplicates(["task", "worker"])


def limited(code: str, folder: Path, kind: int, limit: int) -> subprocess.CompletedProcess:
    """Run Python in a process with a limit that begins when libraries are loaded."""
    begin = (
        "import resource, sys, pandas as pd, numpy as np, torch, pyarrow.parquet\n"
        "import deem_crowd.cli.app as cli, deem_crowd_adapters.files, psutil, encodings.utf_8_sig\n"
        "from deem_crowd import DEEM, DEEMAggregator\n"
        "DEEMAggregator().fit(pd.DataFrame({'task': [1, 1], 'worker': [1, 2], 'label': [1, 1]}))\n"
        f"now = psutil.Process().memory_info().vms if {kind} == resource.RLIMIT_AS else 0\n"
        f"resource.setrlimit({kind}, (now + {limit}, now + {limit}))\n"
    )
    return processes.python("-c", begin + code, cwd=folder)


def shell(arguments: str) -> str:
    return f"sys.argv = ['deem-crowd', *{arguments.split()!r}]\ncli.main()\n"


@pytest.mark.parametrize("output", ["o.csv", "o.csv.gz", "o.parquet", "o.jsonl"])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_disk_that_is_full(output, old, tmp_path) -> None:
    crowd(3_000).to_csv(tmp_path / "a.csv", index=False)
    if old:
        (tmp_path / output).write_bytes(old)
    done = limited(shell(f"aggregate a.csv -o {output}"), tmp_path, resource.RLIMIT_FSIZE, 2000)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == f"error: {output}: File too large"
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == sorted(["a.csv", *([output] if old else [])])
    if old:
        assert (tmp_path / output).read_bytes() == old


def test_a_disk_that_is_full_while_a_model_is_saved(tmp_path) -> None:
    model = DEEMAggregator().fit(crowd(5))
    model.save(tmp_path / "m")
    before = (tmp_path / "m.safetensors").read_bytes()
    code = (
        "rng = np.random.default_rng(0)\n"
        "df = pd.DataFrame({'task': range(5000), 'worker': 1, 'label': rng.integers(3, size=5000)})\n"
        "model = DEEMAggregator().fit(df)\n"
        "try:\n    model.save('m')\nexcept OSError as error:\n    print(error.filename, error.strerror)\n"
        "print(len(model.labels_))\n"
    )
    done = limited(code, tmp_path, resource.RLIMIT_FSIZE, 3000)
    assert done.stdout.split("\n")[:2] == ["m.safetensors File too large", "5000"], done.stderr
    assert (tmp_path / "m.safetensors").read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_a_disk_that_is_full_during_a_benchmark(tmp_path) -> None:
    line = "benchmark --data law:copies --methods mv --out b --seeds 2"
    done = limited(shell(line), tmp_path, resource.RLIMIT_FSIZE, 100)
    assert done.returncode == 1
    assert "File too large" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not [name for name in os.listdir(tmp_path / "b") if name.startswith(".")]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_standard_output_that_is_full(tmp_path) -> None:
    crowd(3_000).to_csv(tmp_path / "a.csv", index=False)
    with open("/dev/full", "wb") as full:
        program = ("-m", "deem_crowd.cli", "aggregate", "a.csv")
        status, said = processes.start(*program, cwd=tmp_path, stdout=full.fileno()).wait()
    assert status == 1
    assert said.splitlines()[-1] == "error: No space left on device"
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_written(tmp_path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    crowd(10).to_csv(folder / "a.csv", index=False)
    (folder / "o.csv").write_text("old")
    folder.chmod(0o555)
    for path in folder.parents:  # so that who has no privileges gets there
        if path.owner() == Path.home().owner() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    # once with privileges, since modules are loaded when needed, and then without
    code = (
        f"try:\n    {shell('aggregate a.csv -o ../first.csv').replace(chr(10), '; ')}\n"
        "except SystemExit:\n    pass\n"
        "import os\n"
        "if os.geteuid() == 0:\n    os.setuid(65534)\n"
    ) + shell("aggregate a.csv -o o.csv")
    try:
        done = limited(code, folder, resource.RLIMIT_CORE, 0)
    finally:
        folder.chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: o.csv: Permission denied"
    assert "Traceback" not in done.stderr
    assert (folder / "o.csv").read_text() == "old"
    assert sorted(os.listdir(folder)) == ["a.csv", "o.csv"]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_a_place_where_nobody_can_write() -> None:
    model = DEEMAggregator().fit(crowd(5))
    with pytest.raises(OSError, match="/proc/m.safetensors"):
        model.save("/proc/m.safetensors")


def test_what_would_not_fit_is_refused_early_with_the_bytes(tmp_path) -> None:
    """Tables of 3,000 workers × 600 classes need tens of gigabytes."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"task": np.arange(6000) // 2, "worker": np.arange(6000) % 3000})
    rows.assign(label=rng.integers(600, size=6000)).to_csv(tmp_path / "a.csv", index=False)
    line = shell("aggregate a.csv -o o.csv --set subtypes=2")
    done = limited(line, tmp_path, resource.RLIMIT_AS, 3 * 2**30)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "error: the model of 3,000 workers × 600 answers × 1,200 states over 3,000 tasks would need "
    ), done.stderr
    assert last.endswith("are available. Merge rare labels or leave out workers with few answers.")
    found = re.search(r"need ([\d.]+) GiB, and ([\d.]+) GiB are", last)
    assert found is not None, last
    needed, there = map(float, found.groups())
    assert needed > 100
    assert there <= 3
    assert os.listdir(tmp_path) == ["a.csv"]
    # the default keeps the cells that answers meet, and its labels need no confusion matrices
    done = limited(shell("aggregate a.csv -o o.csv"), tmp_path, resource.RLIMIT_AS, 3 * 2**30)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "o.csv")) == 3000


def test_what_cannot_be_foreseen_says_that_memory_is_short(tmp_path) -> None:
    crowd(400_000).to_csv(tmp_path / "a.csv", index=False)
    line = shell("aggregate a.csv -o o.csv")
    done = limited(line, tmp_path, resource.RLIMIT_AS, 20 * 2**20)
    if done.returncode == -6 and "arrow" in done.stderr:
        pytest.skip("this pyarrow aborts the process where it can start no thread")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: there is not enough memory (")
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 8 MiB"),
        RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9600000 bytes."
        ),
    ],
)
def test_memory_that_runs_out_in_the_fit_is_said(tmp_path, monkeypatch, error, capsys) -> None:
    from deem_crowd import cli
    from deem_crowd.estimators import aggregation

    def short(*_: object, **__: object) -> None:
        raise error

    crowd(5).to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr(aggregation, "trained", short)
    line = ["deem-crowd", "aggregate", str(tmp_path / "a.csv"), "-o", str(tmp_path / "o.csv")]
    monkeypatch.setattr("sys.argv", line)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "error: there is not enough memory (" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["a.csv"]


def test_links_and_permissions_stay(tmp_path) -> None:
    target, link = tmp_path / "t", tmp_path / "l"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    long = tmp_path / ("é" * 120)
    with atomic_write(long) as file:
        file.write(b"x")
    assert long.read_bytes() == b"x"
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path):
        pass
    assert len(os.listdir(tmp_path)) == 3

"""Files that are written: whole or not at all, with the permissions and links that were there."""

from __future__ import annotations

import os
import stat
import threading

import deem_crowd_adapters as adapters
import pandas as pd
import pytest

from deem_crowd.exceptions import DataError, FormError

FRAME = pd.DataFrame({"task": ["t"], "label": ["x"]})


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "csv.gz"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, suffix: str, error) -> None:
    class Bad:
        def __str__(self) -> str:
            raise error("stop")

    path = tmp_path / f"a.{suffix}"
    path.write_text("old")
    frame = pd.DataFrame({"task": [1] * 70_000, "label": [*["x"] * 69_999, Bad()]})
    with pytest.raises(error):
        adapters.write_table(frame, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_pipes_and_devices_are_written_and_never_replaced(tmp_path) -> None:
    """Replacing the target would turn /dev/null into a file for everyone, if root does it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    adapters.write_table(FRAME, pipe, "csv")
    reader.join()
    assert got == [b"task,label\nt,x\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_links_and_permissions_stay(tmp_path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    adapters.write_table(FRAME, link)
    assert link.is_symlink()
    assert target.read_text() == "task,label\nt,x\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_file_left_behind_by_a_killed_run_is_no_obstacle(tmp_path) -> None:
    (tmp_path / f".a.csv.{os.getpid()}.part").touch()
    adapters.write_table(FRAME, tmp_path / "a.csv")
    adapters.write_table(FRAME, tmp_path / ("n" * 250 + ".csv"))


def test_named_indexes_are_written_even_if_a_class_has_their_name(tmp_path, capfdbinary) -> None:
    probas = pd.DataFrame({"task": [0.25], "b": [0.75]}, index=pd.Index(["t"], name="task"))
    adapters.write_table(probas, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "task,task,b\nt,0.25,0.75\n"
    with pytest.raises(FormError, match=r"parquet cannot hold two columns called 'task'"):
        adapters.write_table(probas, tmp_path / "a.parquet")
    labels = pd.Series(["x"], index=pd.Index(["t"], name="task"), name="agg_label")
    adapters.write_table(labels, "-")
    assert capfdbinary.readouterr().out == b"task,agg_label\nt,x\n"


def test_what_a_format_cannot_hold_is_refused(tmp_path) -> None:
    mixed = pd.DataFrame({"label": pd.Series([1, "a"], dtype=object)})
    with pytest.raises(DataError, match=r"parquet cannot hold this table"):
        adapters.write_table(mixed, tmp_path / "a.parquet")
    half = pd.DataFrame({"label": pd.Series(["\ud800"], dtype=object)})
    for suffix in ("csv", "jsonl", "parquet"):
        with pytest.raises(DataError):
            adapters.write_table(half, tmp_path / f"a.{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_equal_tables_make_equal_archives(tmp_path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        adapters.write_table(FRAME, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()

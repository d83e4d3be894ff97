"""Outputs are written all or none, whatever fails or interrupts the writing."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pandas as pd
import pytest
from overwriting import ANSWERS, call, contents, folder, link

from deem_crowd import DEEM
from deem_crowd.runtime import atomic
from deem_crowd.runtime.atomic import all_or_none, atomic_write

__all__ = ["folder"]


def test_several_outputs_are_written_all_or_none(folder: Path, monkeypatch) -> None:
    """Whichever file cannot be finished, the others keep what stood there."""
    for name in ("l.csv", "p.csv", "w.csv"):
        (folder / name).write_text("old")
    before = contents(folder)
    real, done = os.fsync, []
    for failing in range(3):
        done.clear()

        def fsync(handle: int, failing: int = failing) -> None:
            done.append(handle)
            if len(done) > failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        monkeypatch.setattr(atomic.os, "fsync", fsync)
        result = call("aggregate a.csv -o l.csv --proba p.csv --workers w.csv")
        assert result.exit_code == 1
        assert "No space left" in result.stderr
        assert contents(folder) == before


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_replacement_that_fails_is_undone(folder: Path, monkeypatch, failing: int) -> None:
    (folder / "one").write_text("old one")
    (folder / "three").write_text("old three")
    before = contents(folder)
    real, moves = os.replace, []

    def replace(source: str, target: str) -> None:
        if source.endswith(".tmp") and "new" in Path(source).read_text():
            moves.append(target)
            if len(moves) > failing:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(source, target)

    monkeypatch.setattr(atomic.os, "replace", replace)

    def write() -> None:
        with all_or_none():
            for name in ("one", "two", "three"):
                with atomic_write(name) as file:
                    file.write(f"new {name}".encode())

    with pytest.raises(PermissionError) as error:
        write()
    assert error.value.filename == ("one", "two", "three")[failing]
    monkeypatch.undo()
    os.chdir(folder)
    assert contents(folder) == before


def test_an_error_after_the_writing_leaves_all_as_it_was(folder: Path) -> None:
    before = contents(folder)

    def stop() -> None:
        with all_or_none():
            with atomic_write("a.csv") as file:
                file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert contents(folder) == before


def test_nothing_is_replaced_before_the_end(folder: Path) -> None:
    with all_or_none():
        with atomic_write("a.csv") as file:
            file.write(b"new")
        assert Path("a.csv").read_text() == ANSWERS
        with atomic_write("n.csv") as file:
            file.write(b"newer")
        assert not Path("n.csv").exists()
    assert Path("a.csv").read_bytes() == b"new"
    assert Path("n.csv").read_bytes() == b"newer"
    assert not list(folder.glob(".*"))


def test_old_temporaries_of_the_same_name_are_removed(folder: Path) -> None:
    old = time.time() - 2 * 86400
    names = {
        ".a.csv.0123456789ab.tmp": False,  # ours, and old: it goes
        ".b.csv.0123456789ab.tmp": True,  # of another file
        ".a.csv.0123456789.tmp": True,  # not of the form that is written
        ".a.csv.0123456789ab.tmp.kept": True,
        "a.csv.0123456789ab.tmp": True,
    }
    for name in names:
        (folder / name).write_text("left over")
        os.utime(folder / name, (old, old))
    (folder / ".a.csv.ba9876543210.tmp").write_text("somebody writes this now")
    with atomic_write("a.csv") as file:
        file.write(b"new")
    assert {name: (folder / name).exists() for name in names} == names
    assert (folder / ".a.csv.ba9876543210.tmp").exists()


@pytest.mark.usefixtures("few_fits")
def test_a_classifier_and_tables_are_written_all_or_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skops.io")
    features = pd.DataFrame({"task": ["a", "b"] * 10, "x": range(20)}).assign(
        task=[f"t{i}" for i in range(20)]
    )
    features.to_csv("x.csv", index=False)
    rows = [(f"t{i}", f"w{j}", "xy"[(i >= 10) ^ (j == i % 5)]) for i in range(20) for j in range(5)]
    pd.DataFrame(rows, columns=["task", "worker", "label"]).to_csv("many.csv", index=False)
    line = "aggregate many.csv --features x.csv --save-classifier c.skops -o l.csv"
    link("many.csv", "d.skops")
    refused = call(line.replace("c.skops", "d.skops"))
    assert refused.exit_code == 2
    before = contents(folder)

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space", "l.csv")

    with monkeypatch.context() as patch:
        patch.setattr("deem_crowd_adapters.files.write_table", broken)
        assert call(line).exit_code != 0
    assert contents(folder) == before
    assert call(line).exit_code == 0
    assert (folder / "c.skops").exists()


def test_a_group_within_a_group_belongs_to_it(tmp_path: Path) -> None:
    def write_one_and_fail() -> None:
        with all_or_none():
            write_all([tmp_path / "one"])
            assert not (tmp_path / "one").exists()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_one_and_fail()
    assert not list(tmp_path.iterdir())


def write_all(paths: list[Path]) -> None:
    with all_or_none():
        for path in paths:
            with atomic_write(path) as file:
                file.write(b"new")


@pytest.mark.parametrize("n_files", [1, 2, 3])
@pytest.mark.parametrize("stands", [True, False])
def test_an_interrupt_right_after_a_replacement_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_files: int, stands: bool
) -> None:
    """The old content or the new one is there; of several files all are old, or all are new."""
    paths = [tmp_path / f"{i}.csv" for i in range(n_files)]
    for after in range(1, n_files + 1):
        for path in paths:
            path.unlink(missing_ok=True)
            if stands:
                path.write_bytes(b"old")
        moved = []

        def interrupted(source: str, target: str, after=after, moved=moved) -> None:
            os.rename(source, target)
            moved.append(target)
            if len(moved) == after:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "replace", interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_all(paths)
        found = {path.read_bytes() if path.exists() else None for path in paths}
        assert len(found) == 1
        assert found <= ({b"old", b"new"} if stands else {None, b"new"})
        assert set(tmp_path.iterdir()) <= set(paths)


def test_an_interrupted_save_keeps_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = DEEM().fit([[0, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0]])
    path = tmp_path / "m.safetensors"
    model.save(path)

    def interrupted(source: str, target: str) -> None:
        os.rename(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.save(path)
    assert DEEM.load(path).n_classes_ == 2

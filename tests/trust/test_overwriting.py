"""No command destroys what it reads, and none replaces what belongs to somebody else."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from deem_crowd_benchmarks import runs, suites
from typer.testing import CliRunner, Result

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.cli.app import app
from deem_crowd.exceptions import OverwriteError
from deem_crowd.runtime import atomic
from deem_crowd.runtime.atomic import all_or_none, atomic_write

ANSWERS = "task,worker,label\na,1,x\na,2,y\na,3,x\nb,1,y\nb,2,y\nb,3,x\n"
GOLD = "task,label\na,x\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(ANSWERS)
    (tmp_path / "g.csv").write_text(GOLD)
    frame = pd.read_csv(tmp_path / "a.csv")
    (tmp_path / "parts").mkdir()
    for name in ("one", "two"):
        part = frame.assign(worker=frame["worker"].astype(str) + name)
        part.to_parquet(tmp_path / "parts" / f"{name}.parquet")
    return tmp_path


def call(line: str) -> Result:
    return CliRunner().invoke(app, line.split())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def link(old: str, new: str) -> None:
    os.link(old, new)


def symlink(old: str, new: str) -> None:
    os.symlink(os.path.abspath(old), new)


# ------------------------------------------------------- outputs that are inputs


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("a.csv -o a.csv", "--output"),
        ("a.csv -o ./a.csv", "--output"),
        ("a.csv -o parts/../a.csv", "--output"),
        ("a.csv -o l.csv --workers a.csv", "--workers"),
        ("a.csv -o l.csv --proba a.csv", "--proba"),
        ("a.csv --gold g.csv -o g.csv", "--output"),
        ("a.csv --gold g.csv -o l.csv --proba g.csv", "--proba"),
        ("parts -o parts/one.parquet", "--output"),
        ("parts -o parts/labels.parquet", "--output"),
        ("parts -o parts/labels.csv", "--output"),
        ("parts -o l.csv --workers parts/w.csv", "--workers"),
        ("parts/*.parquet -o parts/two.parquet", "--output"),
        ("parts/*.parquet -o parts/three.parquet", "--output"),
        ("parts/one.parquet -o parts/one.parquet", "--output"),
        ("a.csv --adapter csv -o a.csv", "--output"),
    ],
)
def test_an_output_that_is_read_is_refused_before_anything_is_read(
    folder: Path, line: str, option: str
) -> None:
    before = contents(folder)
    result = call(f"aggregate {line}")
    assert result.exit_code == 2, result.output
    assert option in result.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("linked", [link, symlink])
@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("a.csv", "out.csv", "a.csv -o out.csv"),
        ("a.csv", "in.csv", "in.csv -o a.csv"),
        ("a.csv", "w.csv", "a.csv -o out.csv --workers w.csv"),
        ("g.csv", "p.csv", "a.csv --gold g.csv -o out.csv --proba p.csv"),
        ("parts/one.parquet", "out.parquet", "parts -o out.parquet"),
        ("parts/one.parquet", "out.parquet", "parts/*.parquet -o out.parquet"),
    ],
)
def test_a_link_to_an_input_is_refused(folder: Path, linked, old: str, new: str, line: str) -> None:
    linked(old, new)
    before = contents(folder)
    result = call(f"aggregate {line}")
    assert result.exit_code == 2, result.output
    assert "overwrite" in result.stderr
    assert contents(folder) == before


def test_a_link_to_the_folder_that_is_read_is_refused(folder: Path) -> None:
    symlink("parts", "others")
    before = contents(folder)
    assert call("aggregate parts -o others/labels.parquet").exit_code == 2
    assert call("aggregate others -o parts/labels.parquet").exit_code == 2
    assert contents(folder) == before


def test_nothing_is_read_before_the_refusal(folder: Path) -> None:
    (folder / "a.csv").write_bytes(b"\xff\xfe no answers at all")
    assert "overwrite" in call("aggregate a.csv -o a.csv").stderr


def test_standard_input_that_is_the_output_is_refused(folder: Path) -> None:
    import subprocess

    command = [sys.executable, "-m", "deem_crowd.cli", "aggregate", "-", "-o", "a.csv"]
    with open("a.csv") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert (folder / "a.csv").read_text() == ANSWERS


def test_outputs_beside_the_inputs_are_written(folder: Path) -> None:
    assert call("aggregate a.csv -o b.csv").exit_code == 0
    assert call("aggregate parts/one.parquet -o parts/labels.csv").exit_code == 0
    assert call("aggregate parts/one.parquet -o parts/two.parquet").exit_code == 0
    assert (folder / "a.csv").read_text() == ANSWERS


def test_two_names_of_one_output_are_refused(folder: Path) -> None:
    (folder / "one.csv").touch()
    link("one.csv", "two.csv")
    result = call("aggregate a.csv -o one.csv --workers two.csv")
    assert result.exit_code == 2
    assert "--output" in result.stderr


# ------------------------------------------------------------- all or none


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


# ------------------------------------------------------------ leftover files


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


# ---------------------------------------------------------------- model files


@pytest.fixture(scope="module")
def model() -> DEEM:
    return DEEM(epochs=1).fit([[0, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 1]])


@pytest.mark.parametrize(
    "content",
    [
        ANSWERS.encode(),
        b"x",
        b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ",  # safetensors of somebody else's
        b'\x30\x00\x00\x00\x00\x00\x00\x00{"__metadata__":{"format":"pt"}}                ',
        b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
        b"\x02\x00\x00\x00\x00\x00\x00\x00[]",
    ],
)
def test_a_model_does_not_replace_what_is_none(tmp_path: Path, model: DEEM, content: bytes) -> None:
    path = tmp_path / "precious.safetensors"
    path.write_bytes(content)
    with pytest.raises(OverwriteError, match="overwrite=True") as error:
        model.save(path)
    assert "precious.safetensors" in str(error.value)
    assert isinstance(error.value, FileExistsError)
    assert path.read_bytes() == content
    model.save(path, overwrite=True)
    assert DEEM.load(path).get_params() == model.get_params()


def test_a_model_replaces_a_model_and_an_empty_file(tmp_path: Path, model: DEEM) -> None:
    path = tmp_path / "m.safetensors"
    path.touch()
    model.save(path)
    model.save(path)
    other = DEEMAggregator(n_iter=1).fit(pd.read_csv(io.StringIO(ANSWERS)))
    other.save(path)
    assert DEEMAggregator.load(path).probas_.columns.tolist() == ["x", "y"]
    damaged = path.read_bytes()[:-5]
    path.write_bytes(damaged)  # still one of ours
    model.save(path)


# ----------------------------------------------------- folders of the benchmark


def strangers(folder: Path, kind: str) -> None:
    folder.mkdir()
    if kind == "results":
        (folder / "results.jsonl").write_text('{"mine": 1}')  # no final newline
    elif kind == "results with a key":
        (folder / "results.jsonl").write_text('{"key": "mine", "value": 1}\n{"key": "cut sh')
    elif kind == "report":
        (folder / "report.md").write_text("my own report")
    elif kind == "running":
        (folder / "running").write_text("a diary of running")
    elif kind == "running, numbers":
        (folder / "running").write_text("42")
    elif kind == "hits":
        (folder / "hits").mkdir()
        (folder / "hits" / "song.npy").write_text("a hit")
        (folder / "report.html").write_text("mine")
    elif kind == "list":
        (folder / "results.jsonl").write_text("[1, 2]\n")
    else:
        (folder / "notes.txt").write_text("anything")


@pytest.mark.parametrize(
    "kind",
    ["results", "results with a key", "report", "running", "running, numbers", "hits", "list",
     "anything"],
)  # fmt: skip
def test_a_folder_that_is_no_benchmark_s_is_refused(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    strangers(out, kind)
    before = contents(out)
    with pytest.raises(OverwriteError, match="out"):
        suites.benchmark(data="sklearn:wine", methods="mv", out=out)
    with pytest.raises(OverwriteError, match="out"):
        runs.write_rows(out, [{"sampler": "gibbs", "model": "m", "seed": 0}])
    result = call(f"benchmark --data sklearn:wine --methods mv --out {out}")
    assert result.exit_code == 2, result.output
    assert contents(out) == before


def test_a_benchmark_goes_on_in_its_own_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    suites.benchmark(data="sklearn:wine", methods="mv", out=out)
    rows = runs.read_rows(out)
    results = out / runs.RESULTS
    results.write_bytes(results.read_bytes().rstrip(b"\n"))  # an editor took the line end away
    (out / "running").write_text("999999999")
    suites.benchmark(data="sklearn:wine", methods="mv, wawa", out=out)
    assert len(runs.read_rows(out)) == 2
    assert rows[0] in runs.read_rows(out)
    assert results.read_bytes().count(b"\n") == 2


def test_a_benchmark_that_was_stopped_before_its_first_result_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "hits").mkdir(parents=True)
    (out / "running").write_text("999999999")
    (out / "results.jsonl").touch()
    suites.benchmark(data="sklearn:wine", methods="mv", out=out)
    assert len(runs.read_rows(out)) == 1


@pytest.mark.parametrize(
    "output", ["deep/in/one.csv", "deep/in/new.csv", "deep/new.csv", "deep/other/../new.csv"]
)
def test_a_file_of_a_folder_in_the_folder_that_is_read(folder: Path, output: str) -> None:
    """A folder without files of its own is read with those of its folders."""
    (folder / "deep" / "in").mkdir(parents=True)
    (folder / "deep" / "other").mkdir()
    (folder / "deep" / "in" / "one.csv").write_text(ANSWERS)
    before = contents(folder)
    result = call(f"aggregate deep -o {output}")
    assert result.exit_code == 2
    assert "which is read" in " ".join(result.stderr.replace("│", " ").split())
    assert contents(folder) == before


@pytest.mark.parametrize("connect", [link, symlink])
def test_a_report_that_is_a_link_to_its_input(
    folder: Path, connect: Callable[[str, str], None]
) -> None:
    connect("a.csv", "r.html")
    connect("g.csv", "s.html")
    before = contents(folder)
    for line in ("report a.csv -o r.html", "report a.csv --gold g.csv -o s.html"):
        result = call(line)
        assert result.exit_code == 2
        assert "which is read" in " ".join(result.stderr.replace("│", " ").split())
    assert contents(folder) == before


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


# -------------------------------------------------- an interrupt at the worst moment


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

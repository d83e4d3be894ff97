"""No command replaces what belongs to somebody else: files that are no model, folders that are no benchmark's."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from deem_crowd_benchmarks import suites
from deem_crowd_benchmarks.running import runs
from overwriting import ANSWERS, call, contents

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import OverwriteError

# ------------------------------------------------------------------------ model files


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


# ------------------------------------------------------------ folders of the benchmark


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

"""deem-crowd aggregate: which tables it reads and writes, where, in which format, and with which columns."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deem_crowd_adapters import write_table
from shell_calls import TRUTH, answers, call, csv, failed, folder, really, table

from deem_crowd import DEEMAggregator
from deem_crowd.cli import intake

__all__ = ["folder"]
pytestmark = pytest.mark.usefixtures("same_fits_once")


@pytest.mark.parametrize("method", ["deem", "ds", "mv"])
def test_labels_go_to_a_file_and_a_word_to_standard_error(folder: Path, method: str) -> None:
    result = call("aggregate", "answers.csv", "-o", "labels.csv", "--method", method)
    said = (result.exit_code, result.stdout, result.stderr)
    assert said == (0, "", f"Written: labels.csv ({len(TRUTH)} rows)\n")
    labels = pd.read_csv(folder / "labels.csv")
    assert list(labels.columns) == ["task", "label"]
    assert list(labels["task"]) == list(TRUTH)  # by first appearance
    assert dict(labels.to_numpy()) == TRUTH


def test_labels_in_32_bits_are_written_as_they_were_in_text(folder: Path) -> None:
    frame = answers()
    frame["label"] = frame["label"].map({"no": 0.1, "yes": 0.7}).astype("float32")
    frame.to_parquet("narrow.parquet")
    asked = ("--proba", "p.csv", "--errors", "e.jsonl", "-o", "labels.csv")
    assert call("aggregate", "narrow.parquet", *asked).exit_code == 0
    assert set(pd.read_csv("labels.csv")["label"]) == {0.1, 0.7}
    assert Path("p.csv").read_text().startswith("task,0.1,0.7\n")
    rows = [json.loads(line) for line in Path("e.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows[:2]] == [0.1, 0.7]
    assert {"0.1", "0.7"} < set(rows[0])


def test_standard_streams(folder: Path) -> None:
    done = really("aggregate", "-", stdin=csv(answers()))
    assert (done.returncode, done.stderr) == (0, "")
    assert dict(table(done.stdout).to_numpy()) == TRUTH


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_in_and_out(folder: Path, kind: str) -> None:
    source = folder / f"in.{kind}"
    writers = {
        "csv": lambda: answers().to_csv(source, index=False),
        "tsv": lambda: answers().to_csv(source, index=False, sep="\t"),
        "jsonl": lambda: answers().to_json(source, orient="records", lines=True),
        "parquet": lambda: answers().to_parquet(source, index=False),
    }
    writers[kind]()
    result = call("aggregate", str(source), "-o", f"out.{kind}")
    assert result.exit_code == 0, result.stderr
    readers = {
        "csv": pd.read_csv,
        "tsv": lambda path: pd.read_csv(path, sep="\t"),
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }
    assert dict(readers[kind](folder / f"out.{kind}").to_numpy()) == TRUTH


def test_format_is_for_the_streams(folder: Path) -> None:
    lines = answers().to_json(orient="records", lines=True)
    result = call("aggregate", "-", "--format", "jsonl", stdin=lines)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["task"]: row["label"] for row in rows} == TRUTH


def test_probabilities_and_workers(folder: Path) -> None:
    result = call(
        "aggregate", "answers.csv", "-o", "l.csv", "--proba", "p.csv", "--workers", "w.tsv"
    )
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "Written: p.csv (12 rows)", "Written: w.tsv (5 rows)", "Written: l.csv (12 rows)"
    ]  # fmt: skip
    probas = pd.read_csv("p.csv", index_col="task")
    assert list(probas.columns) == ["no", "yes"]
    assert probas.sum(axis=1).to_numpy() == pytest.approx(1)
    assert probas.idxmax(axis=1).to_dict() == TRUTH
    workers = pd.read_csv("w.tsv", sep="\t")
    assert list(workers.columns) == ["worker", "skill", "low", "high", "answers"]
    assert list(workers["worker"]) == [f"w{w}" for w in range(5)]
    assert workers["skill"].between(0, 1).all()
    assert (workers["answers"] == 12).all()


def test_a_method_without_skills_leaves_the_column_empty_and_says_so(folder: Path) -> None:
    result = call("aggregate", "answers.csv", "--method", "ds", "-o", "l.csv", "--workers", "w.csv")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: method 'ds' gives no skills: that column is empty.\n")
    assert pd.read_csv("w.csv")["skill"].isna().all()


def test_classes_that_cannot_be_columns(folder: Path) -> None:
    (folder / "answers.csv").write_text("task,worker,label\n1,1,task\n2,1,worker\n")
    said = failed(call("aggregate", "answers.csv", "--proba", "p.csv", "-o", "l.csv"), 1)
    assert "cannot be names of columns" in said


def test_confusion_matrices_intervals_and_a_summary(folder: Path) -> None:
    frame = pd.read_csv(folder / "answers.csv")
    fitted = DEEMAggregator().fit(frame)
    result = call(
        "aggregate",
        "answers.csv",
        "-o",
        "labels.csv",
        "--errors",
        "errors.csv",
        "--workers",
        "workers.csv",
        "--summary",
    )
    assert result.exit_code == 0, result.stderr
    errors = pd.read_csv(folder / "errors.csv").set_index(["worker", "label"])
    assert errors.to_numpy() == pytest.approx(fitted.errors_.to_numpy())
    assert errors.index.tolist() == fitted.errors_.index.tolist()
    assert errors.groupby("worker").sum().to_numpy() == pytest.approx(1.0)
    workers = pd.read_csv(folder / "workers.csv").set_index("worker")
    expected = fitted.skill_intervals_.loc[workers.index]
    assert workers[["low", "high"]].to_numpy() == pytest.approx(expected.to_numpy())
    assert ((workers["low"] <= workers["skill"]) & (workers["skill"] <= workers["high"])).all()
    assert fitted.summary().splitlines()[0] in result.stderr
    assert f"Written: errors.csv ({len(errors)} rows)" in result.stderr


def test_a_method_without_confusion_matrices_says_so(folder: Path) -> None:
    said = failed(call("aggregate", "answers.csv", "--method", "mv", "--errors", "e.csv"), 1)
    assert "gives no confusion matrices: leave out --errors" in said
    assert not (folder / "e.csv").exists()
    said = failed(call("aggregate", "answers.csv", "--method", "mv", "--summary"), 2)
    assert "--summary" in said


def test_a_device_takes_a_table_without_a_format(folder: Path) -> None:
    result = call("aggregate", "answers.csv", "-o", os.devnull, "--workers", "w.csv")
    assert result.exit_code == 0
    assert not Path(os.devnull).is_file()
    assert len(pd.read_csv("w.csv")) == 5
    assert call("aggregate", "answers.csv", "-o", str(folder)).exit_code != 0
    assert folder.is_dir()


def test_scores_may_be_named_as_labels_are(folder: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [(t, w, round(float(draw.normal(t % 2, 0.3)), 2)) for t in range(30) for w in "abc"]
    pd.DataFrame(rows, columns=["essay", "grader", "points"]).to_csv("scores.csv", index=False)
    asked = (
        "aggregate",
        "scores.csv",
        "--adapter",
        "scores",
        "--task",
        "essay",
        "--worker",
        "grader",
    )
    named = call(*asked, "--label", "points")
    assert named.exit_code == 0, named.stderr
    assert named.stdout == call(*asked, "--adapter-set", "score=points").stdout


def test_a_pipe_takes_the_format_that_is_asked_for(folder: Path) -> None:
    os.mkfifo("pipe")
    for format, first in ((None, "task,label"), ("tsv", "task\tlabel"), ("jsonl", '{"task": "t0"')):
        got: list[str] = []

        def read(got: list[str] = got) -> None:
            got.append(Path("pipe").read_text())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        asked = [] if format is None else ["--format", format]
        write_table(answers(), folder / f"answers.{format or 'csv'}")
        done = call("aggregate", f"answers.{format or 'csv'}", "-o", "pipe", *asked)
        assert done.exit_code == 0, done.stderr
        reader.join(20)
        assert got[0].startswith(first)


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "an ordered categorical"])
def test_ratings_have_their_median_and_mean_beside_the_label(folder: Path, asked: bool) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, size=40)
    frame = pd.DataFrame(
        {
            "task": np.repeat(np.arange(40), 4),
            "worker": np.tile(np.arange(4), 40),
            "label": np.clip(np.repeat(truth, 4) + rng.integers(-1, 2, size=160), 1, 5),
        }
    )
    by_name = pd.Categorical(frame["label"].astype(str), list("12345"), ordered=True)
    (frame if asked else frame.assign(label=by_name)).to_parquet("ratings.parquet")
    order = ("--set", "ordered=true") if asked else ()
    result = call("aggregate", "ratings.parquet", "-o", "labels.csv", *order)
    assert result.exit_code == 0, result.stderr
    fitted = DEEMAggregator(ordered=True).fit(frame)
    written = pd.read_csv("labels.csv", index_col="task")
    assert written.columns.tolist() == ["label", "median", "mean"]
    for name, expected in (
        ("label", fitted.labels_), ("median", fitted.median_), ("mean", fitted.mean_),
    ):  # fmt: skip
        assert written[name].to_numpy() == pytest.approx(expected.to_numpy(dtype=float)), name
    assert (
        call("aggregate", "ratings.parquet", "-o", "names.csv", "--set", "ordered=false").exit_code
        == 0
    )
    assert pd.read_csv("names.csv").columns.tolist() == ["task", "label"]


def test_an_order_that_the_default_finds_is_no_warning(folder: Path) -> None:
    rng = np.random.default_rng(1)
    near = np.repeat(np.arange(100) % 5, 5) + rng.integers(-1, 2, size=500)
    steps = np.array(["bad", "poor", "fair", "good", "great"])
    frame = pd.DataFrame(
        {
            "task": np.repeat(np.arange(100), 5),
            "worker": np.tile(list("vwxyz"), 100),
            "label": steps[near.clip(0, 4)],
        }
    )
    frame.to_csv("ratings.csv", index=False)
    said = call("aggregate", "ratings.csv", "-o", "labels.csv").stderr
    assert "note: The answers put the classes in an order" in said
    assert "warning: The answers put the classes in an order" not in said


def test_the_summary_counts_in_the_singular_and_speaks_of_options(folder: Path) -> None:
    rng = np.random.default_rng(4)
    truth, copied = rng.integers(3, size=(2, 80))
    said = {who: np.where(rng.random(80) < 0.7, truth, rng.integers(3, size=80)) for who in "xyz"}
    copied = np.where(rng.random(80) < 0.7, truth, copied)
    frame = pd.DataFrame({**said, **dict.fromkeys(("c1", "c2", "c3"), copied)})
    long = (
        frame.rename_axis("task").reset_index().melt("task", var_name="worker", value_name="label")
    )
    late = pd.DataFrame([("late", "once", 0), ("late", "x", 0)], columns=long.columns)
    pd.concat([long, late]).to_csv("copies.csv", index=False)
    said = call("aggregate", "copies.csv", "-o", "labels.csv", "--summary").stderr
    assert "repeat one another" in said
    assert "(--set 'groups=" in said
    assert "(groups=)" not in said
    assert re.search(r"^  once .* 1 answer$", said, re.M)
    (folder / "one.csv").write_text("task,worker,label\n1,a,x\n")
    assert "Written: labels.csv (1 row)" in call("aggregate", "one.csv", "-o", "labels.csv").stderr
    done = call("next", "one.csv", "-o", "next.csv")
    assert "no tasks are left to ask: the only task is settled" in done.stderr


def test_texts_that_parquet_holds_as_bytes_come_back_as_text(folder: Path) -> None:
    """As Hive and Impala write them; else the ids in CSV were b't0'."""
    plain = pd.read_csv("answers.csv", dtype=str)
    held = {name: pa.array(plain[name].str.encode("utf-8"), pa.binary()) for name in plain}
    pq.write_table(pa.table(held), "bytes.parquet")
    some = pa.table({"task": held["task"][:1], "label": held["label"][:1]})
    pq.write_table(some, "some.parquet")
    for command in (
        ["aggregate", "--workers", "w.csv", "--gold", "some.parquet"],
        ["next", "-n", "3", "--exclude", "some.parquet"],
        ["suspects", "-n", "3"],
    ):
        said = {}
        for path in ("answers.csv", "bytes.parquet"):
            done = call(command[0], path, *command[1:], "-o", "out.csv")
            assert done.exit_code == 0, done.stderr
            said[path] = Path("out.csv").read_text()
        assert said["bytes.parquet"] == said["answers.csv"]
    assert "b'" not in Path("w.csv").read_text()


def test_categories_of_bytes_are_text_too(folder: Path) -> None:
    plain = pd.read_csv("answers.csv", dtype=str)
    held = {name: pa.array(plain[name].str.encode("utf-8"), pa.binary()) for name in plain}
    coded = {name: column.dictionary_encode() for name, column in held.items()}
    pq.write_table(pa.table(coded), "bytes.parquet")
    assert call("aggregate", "bytes.parquet", "-o", "out.csv").exit_code == 0
    assert call("aggregate", "answers.csv", "-o", "plain.csv").exit_code == 0
    assert Path("out.csv").read_text() == Path("plain.csv").read_text()


def test_bytes_are_found_among_texts_of_the_same_dtype() -> None:
    """In pandas 2, both are objects."""
    texts = pd.Series(["a", "ä"], dtype=object)
    held = pd.Series(["ä".encode(), b"b"], dtype=object)
    assert intake.written_like(held, texts).tolist() == ["ä", b"b"]


@pytest.mark.parametrize("written", ["{:.1f}", "{:.2f}", "{:g}"])
def test_decimals_in_text_are_ordered_by_their_value(folder: Path, written: str) -> None:
    """In CSV such numbers stay text, whose own order would put 10.0 between 1.0 and 2.0."""
    rng = np.random.default_rng(3)
    truth = rng.integers(2, 22, size=40) / 2
    frame = pd.DataFrame(
        {
            "task": np.repeat(np.arange(40), 4),
            "worker": np.tile(np.arange(4), 40),
            "label": np.repeat(truth, 4) + rng.integers(-1, 2, size=160) / 2,
        }
    )
    frame.assign(label=frame["label"].map(written.format)).to_csv("ratings.csv", index=False)
    known = frame["label"].groupby(frame["task"]).median().map(written.format)[:3]
    known.rename_axis("task").rename("label").to_csv("known.csv")
    line = ("aggregate", "ratings.csv", "-o", "labels.csv", "--set", "ordered=true")
    result = call(*line)
    assert result.exit_code == 0, result.stderr
    assert "ratings" not in result.stderr
    fitted = DEEMAggregator(ordered=True).fit(frame)
    given = pd.read_csv("labels.csv", index_col="task", dtype=str)
    assert given["label"].tolist() == fitted.labels_.map(written.format).tolist()
    assert given["median"].tolist() == fitted.median_.map(written.format).tolist()
    assert given["mean"].astype(float).to_numpy() == pytest.approx(fitted.mean_.to_numpy())
    assert call(*line, "--gold", "known.csv", "--proba", "p.csv").exit_code == 0
    columns = pd.read_csv("p.csv", index_col="task").columns
    assert columns.astype(float).is_monotonic_increasing


def test_one_number_written_in_two_ways_is_said_where_numbers_have_an_order(folder: Path) -> None:
    """They were called names, and to write numbers was the advice."""
    frame = pd.DataFrame(
        [(t, w, ("4", "4.0", "4.5")[(t + w) % 3]) for t in range(9) for w in range(3)],
        columns=["task", "worker", "label"],
    )
    frame.to_csv("ratings.csv", index=False)
    said = failed(call("aggregate", "ratings.csv", "--set", "ordered=true"), 1)
    assert "labels '4', '4.0' are one number written in several ways" in said
    line = ("compare", "ratings.csv", "--methods", "deem,mv", "--set", "deem.ordered=true")
    assert call(*line).exit_code == 0  # the vote needs no order


def test_decimals_may_be_ratings_and_the_warning_says_what_to_pass(folder: Path) -> None:
    frame = pd.DataFrame(
        [(t, w, (t + w) % 20 + 0.5) for t in range(20) for w in range(3)],
        columns=["task", "worker", "label"],
    )
    frame.to_csv("ratings.csv", index=False)
    said = " ".join(call("aggregate", "ratings.csv", "-o", "labels.csv").stderr.split())
    assert "real numbers" in said
    assert "If they are steps of a scale, pass --set ordered=true;" in said


def test_contested_ratings_are_blank_in_all_columns(folder: Path) -> None:
    rng = np.random.default_rng(1)
    answers = rng.integers(1, 6, size=(30, 3))
    frame = pd.DataFrame(answers).stack().reset_index()
    frame.set_axis(["task", "worker", "label"], axis=1).to_csv("ratings.csv", index=False)
    line = ("aggregate", "ratings.csv", "-o", "labels.csv", "--set", "ordered=true")
    assert call(*line, "--contested", "missing").exit_code == 0
    blank = pd.read_csv("labels.csv", index_col="task").isna()
    assert blank["label"].any()
    assert (blank.all(axis=1) == blank.any(axis=1)).all()


def test_numbers_that_show_no_label_may_be_ratings(folder: Path) -> None:
    rng = np.random.default_rng(2)
    seen = rng.uniform(5, 95, size=60)[:, None] + rng.normal(0, 8, size=(60, 4))
    frame = pd.DataFrame(seen.round().astype(int)).stack().reset_index()
    frame.set_axis(["task", "worker", "label"], axis=1).to_csv("ratings.csv", index=False)
    said = call("aggregate", "ratings.csv", "-o", "labels.csv")
    assert "show no label" in said.stderr
    assert "if they are ratings, pass --set ordered=true" in said.stderr.replace("\n", " ")
    both = call("aggregate", "ratings.csv", "-o", "labels.csv", "--summary").stderr
    assert both.count("if they are ratings") == 1

"""Wide tables in files are read as the answers they hold, from Python and from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from by_hand import triples
from hypothesis import given, settings
from hypothesis import strategies as st
from sheets import N, long_of, path_of, sheet
from typer.testing import CliRunner

from deem_crowd import DEEMAggregator
from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataError, DataWarning


def test_a_sheet_is_read_without_an_option_and_says_how(tmp_path: Path) -> None:
    frame = sheet()
    frame.loc[3, "ann2"] = None
    with pytest.warns(DataWarning) as caught:
        export = adapters.read_export(path_of(tmp_path, frame))
    assert triples(export.answers) == long_of(frame, "item_id", ["ann1", "ann2", "ann3"])
    assert export.gold.tolist() == frame["gold"].tolist()
    said = str(caught[0].message)
    for words in (
        "tasks are column 'item_id'",
        "'ann1', 'ann2', 'ann3'",
        "no independent sources: 'gold'",
        "slots",
    ):
        assert words in said


def test_two_questions_in_one_sheet(tmp_path: Path) -> None:
    frame = (
        sheet()
        .drop(columns=["gold", "text", "ann3"])
        .rename(columns={"ann1": "tag_ann1", "ann2": "tag_ann2"})
    )
    for worker in ("ann1", "ann2"):
        frame[f"subtag_{worker}"] = "s" + frame[f"tag_{worker}"]
    path = path_of(tmp_path, frame)
    with pytest.raises(
        DataError, match=r"2 questions: 'tag_ann'.*'subtag_ann'.*question='tag_ann'"
    ):
        adapters.read_export(path)
    with pytest.warns(DataWarning):
        export = adapters.read_export(path, question="subtag_ann")
    assert set(export.answers["label"]) == {"sa", "sb", "sc"}


@given(order=st.permutations(range(N)), columns=st.permutations(range(6)))
@settings(max_examples=15, deadline=None)
@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_rows_and_columns_in_another_order_are_the_same_answers(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], columns: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("sheets")
    frame = sheet()
    moved = frame.iloc[order, columns]
    one = adapters.read_export(path_of(folder, frame, "one.csv")).answers
    other = adapters.read_export(path_of(folder, moved, "other.csv")).answers
    assert triples(one) == triples(other)


def test_tasks_twice_or_missing_are_refused(tmp_path: Path) -> None:
    frame = sheet()
    frame.loc[5, "item_id"] = "i4"
    with pytest.raises(DataError, match=r"column 'item_id' holds 1 task a second time \('i4'\)"):
        adapters.from_wide(path_of(tmp_path, frame), task="item_id")
    frame.loc[5, "item_id"] = None
    with pytest.raises(DataError, match=r"column 'item_id' is missing in 1 row \(rows 5\)"):
        adapters.from_wide(path_of(tmp_path, frame), task="item_id")


def test_the_shell_reads_a_sheet_and_takes_what_settles_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = sheet()
    path_of(tmp_path, frame)
    result = CliRunner().invoke(app, ["aggregate", "x.csv", "-o", "out.csv"])
    assert result.exit_code == 0, result.stderr
    assert "read as a wide table" in result.stderr
    long = frame.melt("item_id", ["ann1", "ann2", "ann3"], var_name="worker", value_name="label")
    expected = DEEMAggregator().fit_predict(long.rename(columns={"item_id": "task"}))
    written = pd.read_csv("out.csv").set_index("task")["label"]
    assert written.to_dict() == expected.to_dict()
    frame.to_parquet("x.parquet")
    result = CliRunner().invoke(app, ["aggregate", "x.parquet", "-o", "p.csv"])
    assert result.exit_code == 0, result.stderr
    assert Path("p.csv").read_text() == Path("out.csv").read_text()
    line = "aggregate x.csv -o two.csv --adapter wide --adapter-set task=item_id --adapter-set workers=ann1,ann2"
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, result.stderr
    line = "aggregate x.csv -o two.csv --adapter wide --adapter-set task=nobody"
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 2
    assert "nobody" in result.stderr


@pytest.mark.parametrize("command", ["aggregate", "compare"])
def test_columns_by_name_in_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = sheet().melt(
        "item_id", ["ann1", "ann2", "ann3"], var_name="annotator", value_name="verdict"
    )
    path_of(tmp_path, frame, "long.csv")
    path_of(tmp_path, sheet()[["item_id", "gold"]].head(20), "gold.csv")
    plain = CliRunner().invoke(app, [command, "long.csv"])
    assert plain.exit_code == 1
    assert "--task" in plain.stderr
    names = ["--task", "item_id", "--worker", "annotator", "--label", "verdict"]
    named = CliRunner().invoke(
        app, [command, "long.csv", "--gold", "gold.csv", "--gold-label", "gold", *names]
    )
    assert named.exit_code == 0, named.stderr


def test_every_array_and_table_adapter_takes_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = np.array([[0, 1, -1], [1, 1, 0], [0, 0, 0], [1, 0, 1]])
    np.save("hard.npy", labels)
    pd.DataFrame(labels).to_csv("hard.csv", index=False)
    soft = np.stack([np.full((4, 3), 0.75), np.full((4, 3), 0.25)], axis=1)
    np.save("soft.npy", soft)
    rows = pd.DataFrame(
        {"task": [1, 1, 2], "worker": [1, 2, 1], "yes": [0.5, 0.9, 0.2], "no": [0.5, 0.1, 0.8]}
    )
    rows.to_csv("soft.csv", index=False)
    long = adapters.from_dense(labels).to_frame()
    long.to_csv("long.csv", index=False)
    lines = [
        ("dense", "hard.npy"), ("dense", "hard.csv"), ("soft", "soft.npy"), ("soft-long", "soft.csv"),
        ("long", "long.csv"), ("polars", "long.csv"), ("arrow", "long.csv"), ("csv", "long.csv"), ("any", "long.csv"),
    ]  # fmt: skip
    for adapter, name in lines:
        result = CliRunner().invoke(app, ["aggregate", name, "--adapter", adapter])
        assert result.exit_code == 0, (adapter, result.stderr)
    assert (adapters.from_dense("hard.npy").dense().numpy() == labels).all()
    assert (adapters.from_dense("hard.csv").dense().numpy() == labels).all()


def test_soft_answers_in_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = pd.DataFrame(
        {
            "task": [1, 1, 2, 2],
            "worker": [1, 2, 1, 2],
            "yes": [0.6, 0.9, 0.2, 0.3],
            "no": [0.4, 0.1, 0.8, 0.7],
        }
    )
    rows.to_csv("soft.csv", index=False)
    pd.DataFrame({"task": [1, 2], "label": ["yes", "no"]}).to_csv("gold.csv", index=False)
    for method in ("deem", "mv", "ds"):
        line = f"aggregate soft.csv --adapter soft-long --method {method} -o {method}.csv"
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, result.stderr
        assert pd.read_csv(f"{method}.csv")["label"].tolist() == ["yes", "no"]
    line = "compare soft.csv --adapter soft-long --gold gold.csv --methods deem,mv"
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, result.stderr
    assert "error" not in result.stdout
    assert result.stdout.count("1.0000") >= 2


def test_lists_of_dicts_are_rows() -> None:
    rows = [{"task": 1, "worker": "a", "label": "x"}, {"task": 1, "worker": "b", "label": "y"}]
    assert triples(adapters.to_answers(rows).to_frame()) == {(1, "a", "x"), (1, "b", "y")}


@pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")
def test_tasks_that_nobody_answered_stay_in_their_order(tmp_path: Path) -> None:
    frame = sheet()
    frame.loc[0, ["ann1", "ann2", "ann3"]] = None
    answers = adapters.to_answers(path_of(tmp_path, frame))
    assert answers.tasks.tolist() == frame["item_id"].tolist()
    assert answers.n_answers == 3 * (N - 1)
    votes = np.where(np.arange(40)[:, None] % 5 > 0, [[2, 1, -1]], -1)
    np.save(tmp_path / "votes.npy", votes)
    answers = adapters.to_answers(tmp_path / "votes.npy")
    assert answers.tasks.tolist() == list(range(40))
    labels = DEEMAggregator().fit_predict(tmp_path / "votes.npy")
    assert labels.isna().sum() == 8


def test_whole_numbers_beside_empty_cells_are_those_of_full_columns(tmp_path: Path) -> None:
    frame = sheet().drop(columns=["gold", "text"])
    frame[["ann1", "ann2", "ann3"]] = frame[["ann1", "ann2", "ann3"]].map("abc".index)
    frame["ann2"] = frame["ann2"].where(frame.index % 4 > 0)  # 1.0 in the file
    with pytest.warns(DataWarning, match="sources 'ann1', 'ann2', 'ann3'"):
        export = adapters.read_export(path_of(tmp_path, frame))
    assert triples(export.answers) == long_of(frame, "item_id", ["ann1", "ann2", "ann3"])


def test_a_form_with_a_row_for_each_person_is_refused(tmp_path: Path) -> None:
    frame = sheet().drop(columns="gold").rename(columns={"item_id": "Email Address"})
    frame["Email Address"] = [f"student{n}@school.org" for n in range(N)]
    path = path_of(tmp_path, frame)
    with pytest.raises(
        DataError,
        match=r"one row a person \('Email Address'\).*format='form', worker='Email Address'\)",
    ):
        adapters.read_export(path)
    with pytest.warns(DataWarning, match="tasks are column 'Email Address'"):
        assert len(adapters.read_export(path, "wide", task="Email Address").answers) == 3 * N


def test_minus_one_beside_two_classes_is_a_class(tmp_path: Path) -> None:
    codes = {"a": -1, "b": 0, "c": 1}
    frame = sheet().drop(columns="gold").map(lambda cell: codes.get(cell, cell))
    frame["ann2"] = frame["ann2"].clip(upper=0)
    frame["ann3"] = frame["ann3"].where(frame["ann3"] != 0, -1)
    with pytest.warns(DataWarning, match="sources 'ann1', 'ann2', 'ann3'"):
        export = adapters.read_export(path_of(tmp_path, frame))
    assert triples(export.answers) == long_of(frame, "item_id", ["ann1", "ann2", "ann3"])


@pytest.mark.parametrize("lines", [False, True], ids=["json", "jsonl"])
def test_records_of_one_task_each_are_read_as_the_table_is(tmp_path: Path, lines: bool) -> None:
    frame = sheet(rating=np.arange(N) % 3)
    frame.loc[3, "ann2"] = None
    frame["ann4"] = [1 if k % 3 else None for k in range(N)]  # of another kind: no source
    records = [{k: v for k, v in r.items() if pd.notna(v)} for r in frame.to_dict("records")]
    path = tmp_path / f"x.json{'l' if lines else ''}"
    texts = [json.dumps(record) for record in records]
    path.write_text("\n".join(texts) if lines else f"[{','.join(texts)}]")
    with pytest.warns(
        DataWarning, match="tasks are column 'item_id', sources 'ann1', 'ann2', 'ann3'"
    ):
        export = adapters.read_export(path)
    assert triples(export.answers) == long_of(frame, "item_id", ["ann1", "ann2", "ann3"])
    named = adapters.from_wide(path, task="item_id", workers=["ann1", "ann2"])
    assert list(named.workers) == ["ann1", "ann2"]
    few = tmp_path / "few.json"  # too few rows to guess, enough where it is said
    few.write_text(json.dumps(records[:5]))
    with pytest.raises(DataError, match="of no format that is known"):
        adapters.read_export(few)
    assert adapters.from_wide(few, task="item_id", workers=["ann1", "ann2"]).n_tasks == 5

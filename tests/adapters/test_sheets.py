"""Wide tables in files: read where their columns leave no doubt, refused with the option that settles it where they
do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from deem_crowd import DEEMAggregator
from deem_crowd.cli.app import app
from deem_crowd.exceptions import DataError, DataWarning, MissingColumnError

N = 60


def sheet(seed: int = 0, **more: Any) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    truth = draw.integers(3, size=N)
    names = np.array(["a", "b", "c"])
    frame = pd.DataFrame(
        {"item_id": [f"i{k}" for k in range(N)], "text": [f"words {k} " * 5 for k in range(N)]}
    )
    for worker, skill in (("ann1", 0.9), ("ann2", 0.8), ("ann3", 0.7)):
        frame[worker] = names[np.where(draw.random(N) < skill, truth, draw.integers(3, size=N))]
    return frame.assign(gold=names[truth], **more)


def path_of(folder: Path, frame: pd.DataFrame, name: str = "x.csv") -> Path:
    frame.to_csv(folder / name, index=False)
    return folder / name


def long_of(frame: pd.DataFrame, task: str, workers: list[str]) -> set[tuple[Any, ...]]:
    melted = frame.melt(task, workers, var_name="worker", value_name="label").dropna()
    return set(melted.itertuples(index=False, name=None))


def triples(frame: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(frame.itertuples(index=False, name=None))


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


@pytest.mark.parametrize(
    "name", ["majority_vote", "adjudicated", "model_prediction", "truth", "final_label"]
)
def test_columns_that_are_no_sources_are_left_out_by_name(tmp_path: Path, name: str) -> None:
    frame = sheet().rename(columns={"gold": name})
    with pytest.warns(DataWarning, match=f"no independent sources: '{name}'"):
        export = adapters.read_export(path_of(tmp_path, frame))
    assert set(export.answers["worker"]) == {"ann1", "ann2", "ann3"}


def test_a_column_that_may_or_may_not_be_a_source_is_asked_about(tmp_path: Path) -> None:
    frame = sheet(extra=sheet(1)["ann1"])
    path = path_of(tmp_path, frame)
    with pytest.raises(
        DataError, match=r"'extra'.*workers='ann1,ann2,ann3'.*--adapter-set"
    ) as caught:
        adapters.read_export(path)
    assert "task='item_id'" in str(caught.value)
    with pytest.warns(DataWarning):
        export = adapters.read_export(path, workers="ann1,ann2,ann3,extra")
    assert export.answers["worker"].nunique() == 4
    assert triples(export.answers) == long_of(frame, "item_id", ["ann1", "ann2", "ann3", "extra"])


def test_runs_of_judges_may_answer_one_question(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    columns = [f"{judge}_{run}" for judge in ("gpt", "claude") for run in (1, 2, 3)]
    frame = pd.DataFrame(draw.choice(["pass", "fail"], (N, 6)), columns=columns)
    frame.insert(0, "item_id", [f"i{n}" for n in range(N)])
    path = path_of(tmp_path, frame)
    with pytest.raises(
        DataError, match="2 questions.*answer one question, name them: workers="
    ) as told:
        adapters.read_export(path)
    named = str(told.value).partition("workers='")[2].partition("'")[0]
    assert named == ",".join(columns)
    answers = adapters.read_export(path, "wide", workers=named).answers
    assert triples(answers) == long_of(frame, "item_id", columns)


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


def test_a_long_table_of_other_names_is_not_taken_for_a_wide_one(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(20), 3),
            "person": np.tile([1, 2, 3], 20),
            "score": draw.integers(1, 4, 60),
        }
    )
    with pytest.raises(MissingColumnError, match="missing columns 'task', 'worker', 'label'"):
        adapters.to_answers(path_of(tmp_path, frame))
    answers = adapters.to_answers(tmp_path / "x.csv", task="unit", worker="person", label="score")
    assert triples(answers.to_frame()) == triples(frame)


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


@pytest.mark.parametrize("kept", ["one class", "three tasks"])
def test_a_source_that_used_some_labels_only_is_read_or_named(tmp_path: Path, kept: str) -> None:
    frame = sheet().drop(columns="gold")
    few = frame["item_id"].isin(["i3", "i4", "i5"])
    if kept == "one class":
        frame["ann3"] = "a"
    else:
        frame["ann3"] = pd.Series(["a", "b", "c"], index=frame.index[few]).reindex(frame.index)
    for ann in ("ann1", "ann2"):
        frame[ann] = frame[ann].where(frame.index < 40, pd.Series([*"defg"] * (N // 4)))
    with pytest.warns(DataWarning, match="sources 'ann1', 'ann2', 'ann3'"):
        export = adapters.read_export(path_of(tmp_path, frame))
    assert triples(export.answers) == long_of(frame, "item_id", ["ann1", "ann2", "ann3"])
    people = frame.rename(columns={"ann1": "Ann", "ann2": "Bob", "ann3": "Eve"})
    with pytest.warns(
        DataWarning, match="some of the labels only: 'Eve'; if they are sources, name"
    ):
        export = adapters.read_export(path_of(tmp_path, people))
    assert set(export.answers["worker"]) == {"Ann", "Bob"}


@pytest.mark.parametrize("silent", [None, -1])
def test_labelling_functions_of_one_class_each_answer_one_question(
    tmp_path: Path, silent: int | None
) -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(3, size=N)
    frame = pd.DataFrame(
        {
            f"lf_{j}": pd.Series(j // 2).repeat(N).set_axis(range(N)).where(truth == j // 2, silent)
            for j in range(5)
        }
    )
    never = {"lf_5": -1, "lf_6": -1} if silent else {}
    path = path_of(tmp_path, frame.assign(**never, gold=truth))
    words = "hold -1 alone: 'lf_5', 'lf_6'.*which abstain" if silent else "empty answers"
    with pytest.warns(DataWarning, match=words):
        export = adapters.read_export(path)
    expected = long_of(frame.where(frame >= 0).rename_axis("task").reset_index(), "task", [*frame])
    assert triples(export.answers) == expected
    assert export.gold.tolist() == truth.tolist()


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


def test_embeddings_beside_the_sources_are_no_source(tmp_path: Path) -> None:
    frame = sheet(vector=[np.arange(3.0)] * N, meta=[{"a": 1}] * N).drop(columns="gold")
    frame.to_parquet(tmp_path / "x.parquet")
    with pytest.warns(DataWarning, match="sources 'ann1', 'ann2', 'ann3'"):
        export = adapters.read_export(tmp_path / "x.parquet")
    assert triples(export.answers) == long_of(frame, "item_id", ["ann1", "ann2", "ann3"])


def test_minus_one_beside_two_classes_is_a_class(tmp_path: Path) -> None:
    frame = sheet().drop(columns="gold").replace({"a": -1, "b": 0, "c": 1})
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


def test_the_remedy_for_columns_of_other_names_loses_no_source(tmp_path: Path) -> None:
    # two families of clusterings, and names that only the second has: the call named must read all seven
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"image": [f"i{k}" for k in range(N)]})
    for name in ("km_10_0", "km_10_1", "km_10_2", "km_12_3"):
        frame[name] = draw.choice(["c0", "c1", "c2"], N)
    for name in ("gmm_0", "gmm_1", "gmm_2"):
        frame[name] = draw.choice(["alpha", "beta", "gamma"], N)
    path = path_of(tmp_path, frame)
    with pytest.raises(DataError, match="km_12_3") as caught:
        adapters.to_answers(path)
    message = str(caught.value)
    named = re.findall(r"If they are, name all: workers='([^']*)'", message)
    answers = adapters.to_answers(path, format="wide", task="image", workers=named[0])
    assert set(answers.workers) == set(frame.columns[1:])
    assert "leave them out: workers='km_10_0,km_10_1,km_10_2'" in message


@pytest.mark.parametrize(
    "names", [("pred_svm", "pred_rf", "pred_knn"), ("model 1", "model 2", "model 3")]
)
def test_a_table_of_models_alone_has_the_models_as_sources(tmp_path: Path, names) -> None:
    frame = sheet().rename(columns=dict(zip(("ann1", "ann2", "ann3"), names, strict=True)))
    export = adapters.read_export(path_of(tmp_path, frame))
    assert set(export.answers["worker"]) == set(names)
    assert export.gold is not None
    assert len(export.gold) == N


@pytest.mark.parametrize(
    "names", [("pred_svm", "model", "majority"), ("final", "consensus", "ref")]
)
def test_what_is_aggregated_is_no_source_where_nothing_else_is(tmp_path: Path, names) -> None:
    frame = sheet().rename(columns=dict(zip(("ann1", "ann2", "ann3"), names, strict=True)))
    with pytest.raises(MissingColumnError):
        adapters.to_answers(path_of(tmp_path, frame))

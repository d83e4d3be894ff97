"""Which columns of a wide table are its sources: read where there is no doubt, else refused with the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from by_hand import triples
from sheets import N, long_of, path_of, sheet

from deem_crowd.exceptions import DataError, DataWarning, MissingColumnError


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


@pytest.mark.parametrize("spell", [str.upper, lambda label: f"{label} "])
def test_a_source_that_spells_the_labels_in_another_way_is_named(tmp_path: Path, spell) -> None:
    frame = sheet()
    frame["ann2"] = frame["ann2"].map(spell)
    with pytest.warns(DataWarning, match="by case or spaces: 'ann2'; if they are sources, write"):
        export = adapters.read_export(path_of(tmp_path, frame))
    assert set(export.answers["worker"]) == {"ann1", "ann3"}


def test_a_column_that_is_called_like_a_source_and_holds_other_values_is_named(
    tmp_path: Path,
) -> None:
    frame = sheet()
    frame["ann2"] = frame["ann2"].map({"a": "yes", "b": "no", "c": "unsure"})
    with pytest.warns(DataWarning, match="though they are called like sources: 'ann2'"):
        export = adapters.read_export(path_of(tmp_path, frame))
    assert set(export.answers["worker"]) == {"ann1", "ann3"}


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


def test_embeddings_beside_the_sources_are_no_source(tmp_path: Path) -> None:
    frame = sheet(vector=[np.arange(3.0)] * N, meta=[{"a": 1}] * N).drop(columns="gold")
    frame.to_parquet(tmp_path / "x.parquet")
    with pytest.warns(DataWarning, match="sources 'ann1', 'ann2', 'ann3'"):
        export = adapters.read_export(tmp_path / "x.parquet")
    assert triples(export.answers) == long_of(frame, "item_id", ["ann1", "ann2", "ann3"])


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


def test_a_source_with_many_values_of_its_own_is_named(tmp_path: Path) -> None:
    frame = sheet().rename(columns={"ann1": "Ann", "ann2": "Bob", "ann3": "Eve"})
    frame.loc[:5, "Eve"] = [*"uvwxyz"]  # notes among the labels
    frame["genre"] = ["a film", "a book"] * (N // 2)
    with pytest.warns(DataWarning, match="half of their values or more are others: 'Eve'; if"):
        export = adapters.read_export(path_of(tmp_path, frame))
    assert set(export.answers["worker"]) == {"Ann", "Bob"}
    every = adapters.read_export(tmp_path / "x.csv", workers="Ann,Bob,Eve", task="item_id").answers
    assert triples(every) == long_of(frame, "item_id", ["Ann", "Bob", "Eve"])


@pytest.mark.parametrize("comma", [",", "."])
def test_a_sheet_of_real_numbers_is_no_wide_table_of_classes(tmp_path: Path, comma: str) -> None:
    draw = np.random.default_rng(0)
    scores = draw.integers(2, 20, (N, 3)) / 2
    scores[:, 1] = np.floor(scores[:, 1])  # as whole numbers it would share no value as text
    frame = pd.DataFrame(scores, columns=["gpt", "claude", "llama"]).map("{:.1f}".format)
    frame.insert(0, "prompt_id", [f"p{k}" for k in range(N)])
    frame = frame.map(lambda cell: cell.replace(".", comma))
    frame.to_csv(tmp_path / "x.csv", index=False, sep=";" if comma == "," else ",")
    with pytest.raises(MissingColumnError):
        adapters.to_answers(tmp_path / "x.csv")

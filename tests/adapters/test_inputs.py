"""DEEMAggregator and DEEM take what the adapters recognise, and columns by name."""

from __future__ import annotations

import io
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from deem_crowd_adapters import from_long

from deem_crowd import DEEM, Answers, DEEMAggregator, create
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingColumnError,
    ParameterError,
    ParameterWarning,
)

ROWS = [("t1", "ann", "cat"), ("t1", "bob", "cat"), ("t1", "cid", "dog"), ("t2", "ann", "dog"), ("t2", "bob", "dog"),
        ("t3", "ann", "cat"), ("t3", "cid", "cat"), ("t3", "bob", "dog")]  # fmt: skip
FRAME = pd.DataFrame(ROWS, columns=["task", "worker", "label"])
FORMS = [
    "answers",
    "polars",
    "lazy",
    "arrow",
    "rows",
    "path",
    "text",
    "json",
    "file",
    "several",
    "pattern",
    "pivoted",
]


def forms(folder: Path) -> dict[str, Any]:
    FRAME.to_csv(folder / "a.csv", index=False)
    FRAME.to_json(folder / "a.json", orient="records")
    FRAME.iloc[:4].to_csv(folder / "part0.csv", index=False)
    FRAME.iloc[4:].to_csv(folder / "part1.csv", index=False)
    return {
        "answers": Answers.from_frame(FRAME),
        "polars": pl.DataFrame(FRAME.to_dict("list")),
        "lazy": pl.DataFrame(FRAME.to_dict("list")).lazy(),
        "arrow": pa.Table.from_pandas(FRAME),
        "rows": FRAME.to_dict("records"),
        "path": folder / "a.csv",
        "text": str(folder / "a.csv"),
        "json": folder / "a.json",
        "file": io.BytesIO((folder / "a.csv").read_bytes()),
        "several": [folder / "part0.csv", folder / "part1.csv"],
        "pattern": str(folder / "part*.csv"),
        "pivoted": FRAME.pivot(index="task", columns="worker", values="label"),
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_what_the_frame_gives(tmp_path: Path, form: str) -> None:
    expected = DEEMAggregator().fit(FRAME)
    fitted = DEEMAggregator().fit(forms(tmp_path)[form])
    pd.testing.assert_frame_equal(
        fitted.probas_.sort_index(), expected.probas_, check_exact=False, atol=1e-12, check_index_type=False,
        check_column_type=False, check_names=False, check_dtype=False,
    )  # fmt: skip
    again = forms(tmp_path)[form]
    assert fitted.predict(again).to_dict() == expected.predict(FRAME).to_dict()


@pytest.mark.parametrize("form", [*FORMS, "frame"])
def test_deem_takes_what_the_aggregator_takes(tmp_path: Path, form: str) -> None:
    given = {**forms(tmp_path), "frame": FRAME}
    expected = DEEM().fit(Answers.from_frame(FRAME))
    fitted = DEEM().fit(given[form])
    again = {**forms(tmp_path), "frame": FRAME}[form]  # an open file is read once
    assert (fitted.predict(again) == expected.predict(Answers.from_frame(FRAME))).all()


def test_a_pivoted_frame_of_class_numbers_keeps_its_columns() -> None:
    numbers = FRAME.assign(label=(FRAME["label"] == "dog").astype(int))
    wide = numbers.pivot(index="task", columns="worker", values="label")
    fitted = DEEM().fit(wide)
    assert fitted.feature_names_in_.tolist() == ["ann", "bob", "cid"]
    assert (fitted.predict(wide[["cid", "ann", "bob"]]) == fitted.predict(wide)).all()


def test_columns_by_name_in_every_call() -> None:
    names = {"task": "item", "worker": "annotator", "label": "verdict"}
    renamed = FRAME.rename(columns=names)
    expected = DEEMAggregator().fit(FRAME)
    fitted = DEEMAggregator().fit(renamed, **names)
    pd.testing.assert_frame_equal(fitted.probas_, expected.probas_)
    assert fitted.predict(renamed, **names).equals(expected.predict(FRAME))
    assert fitted.predict_proba(renamed, **names).equals(expected.predict_proba(FRAME))
    assert DEEMAggregator().fit_predict(renamed, **names).equals(expected.labels_)
    assert DEEMAggregator().fit_predict_proba(renamed, **names).equals(expected.probas_)
    more = DEEMAggregator().partial_fit(renamed, **names)
    assert more.labels_.equals(DEEMAggregator().partial_fit(FRAME).labels_)
    with pytest.raises(MissingColumnError, match="missing columns 'task', 'worker', 'label'"):
        fitted.predict(renamed)


def test_gold_may_be_a_table_of_polars_or_arrow() -> None:
    gold = pd.DataFrame({"task": ["t1", "t3"], "label": ["dog", "dog"]})
    for table in (pl.from_pandas(gold), pa.Table.from_pandas(gold)):
        labels = DEEMAggregator().fit_predict(FRAME, table)
        assert labels[["t1", "t3"]].tolist() == ["dog", "dog"]
    with pytest.raises(FormError, match="gold is a LazyFrame"):
        DEEMAggregator().fit(FRAME, pl.from_pandas(gold).lazy())


def test_gold_may_have_the_names_of_the_answers() -> None:
    names = {"task": "item", "worker": "annotator", "label": "verdict"}
    gold = pd.DataFrame({"item": ["t1"], "verdict": ["dog"]})
    plain = DEEMAggregator().fit(FRAME, gold.set_axis(["task", "label"], axis=1))
    named = DEEMAggregator().fit(FRAME.rename(columns=names), gold, **names)
    assert named.labels_["t1"] == "dog"
    assert named.labels_.equals(plain.labels_)


def test_names_of_columns_that_answers_do_not_have() -> None:
    answers = Answers.from_frame(FRAME)
    with pytest.raises(ParameterError, match="Answers have no columns"):
        DEEMAggregator().fit(answers, task="item")


@pytest.mark.parametrize("data", [[[0, 1], [1, 1]], 7, None, {"task": [1]}])
def test_what_is_no_table_is_refused_as_before(data: Any) -> None:
    with pytest.raises(
        FormError, match="expected a DataFrame with columns 'task', 'worker', 'label'"
    ):
        DEEMAggregator().fit(data)


def test_a_hugging_face_dataset_is_a_table_of_answers() -> None:
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_pandas(FRAME)
    expected = DEEMAggregator().fit_predict(FRAME)
    assert (DEEM().fit(dataset).labels_ == DEEM().fit(FRAME).labels_).all()
    assert DEEMAggregator().fit_predict(dataset).to_dict() == expected.to_dict()
    renamed = dataset.rename_column("label", "verdict")
    assert DEEMAggregator().fit_predict(renamed, label="verdict").to_dict() == expected.to_dict()


def test_what_tells_too_little_is_said() -> None:
    one = FRAME[FRAME["worker"] == "ann"]
    with pytest.warns(DataWarning, match=r"all 3 answers come from one source \('ann'\)"):
        DEEMAggregator().fit(one)
    fitted = DEEMAggregator().partial_fit(FRAME)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fitted.partial_fit(one.assign(task=["new", "newer", "newest"]))
        fitted.predict(one)
        fitted.predict_proba(one)
    assert not any("one source" in str(warning.message) for warning in said)
    with pytest.warns(DataWarning, match="the frame holds no answers"):
        DEEMAggregator().fit(FRAME.iloc[:0])


def test_lists_as_labels_name_the_way_out() -> None:
    frame = pd.DataFrame({"task": [1, 1], "worker": ["a", "b"], "label": [["x"], ["x", "y"]]})
    with pytest.raises(
        FormError, match=r"column 'label' holds 2 lists.*BinaryRelevance\(DEEMAggregator\(\)\)"
    ):
        DEEMAggregator().fit(frame)


NESTED = [
    {"id": i, "text": "…", "annotators": [f"a{i}", "b", "c"], "labels": ["x", "y", "x"]}
    for i in range(3)
]
NAMED = {"task": "id", "worker": "annotators", "label": "labels"}


def test_rows_that_hold_several_answers_say_how_to_make_a_row_of_each(tmp_path: Path) -> None:
    advice = r"explode\(\['annotators', 'labels'\]\)"
    for rows in (NESTED, pd.DataFrame(NESTED)):
        with pytest.raises(MissingColumnError, match=advice):
            DEEMAggregator().fit(rows)
        with pytest.raises(FormError, match=r"3 lists.*explode\(\[WORKER, LABEL\]\)"):
            DEEMAggregator().fit(rows, **NAMED)
    path = tmp_path / "hate.json"  # with a text and labels, as doccano has them
    path.write_text(json.dumps(NESTED), encoding="utf-8")
    with pytest.raises(DataError, match=r"read_json\(PATH, dtype=False\)\." + advice):
        DEEMAggregator().fit(path)
    pd.DataFrame(NESTED).to_parquet(tmp_path / "hate.parquet")
    with pytest.raises(FormError, match="explode"):
        DEEMAggregator().fit(tmp_path / "hate.parquet", **NAMED)
    frame = pd.read_json(path, dtype=False).explode(["annotators", "labels"])
    assert DEEMAggregator().fit(frame, **NAMED).labels_.tolist() == ["x"] * 3


def test_rows_that_hold_a_list_of_answers_are_normalised() -> None:
    rows = [{"id": i, "annotations": [{"user": "a", "label": "x"}]} for i in range(2)]
    advice = r"json_normalize\(df.to_dict\('records'\), 'annotations', \['id'\]\)"
    with pytest.raises(MissingColumnError, match=advice):
        DEEMAggregator().fit(rows)
    with pytest.raises(MissingColumnError, match=advice):
        DEEMAggregator().fit(rows, task="id")
    assert list(pd.json_normalize(rows, "annotations", ["id"])) == ["user", "label", "id"]


def test_epochs_and_n_iter_are_taken_for_one_another_with_a_hint() -> None:
    with pytest.warns(ParameterWarning, match="epochs is called n_iter in DEEMAggregator"):
        assert DEEMAggregator(epochs=3).n_iter == 3
    with pytest.warns(ParameterWarning, match="n_iter is called epochs in DEEM"):
        assert DEEM(n_iter=3).epochs == 3
    with pytest.warns(ParameterWarning):
        assert create("deem", epochs=3).n_iter == 3
    with pytest.raises(ParameterError, match="give n_iter alone"):
        DEEMAggregator(n_iter=2, epochs=3)


def test_a_failed_read_leaves_the_object_as_it_was(tmp_path: Path) -> None:
    fitted = DEEMAggregator().fit(FRAME)
    before = fitted.probas_.copy()
    with pytest.raises(FileNotFoundError):
        fitted.fit(tmp_path / "nowhere.csv")
    with pytest.raises(MissingColumnError):
        fitted.fit([{"task": 1, "label": 2}])
    assert fitted.probas_.equals(before)


@pytest.mark.parametrize("name", ["rows.json", "rows.json.gz"])
def test_records_with_other_keys_in_one_list(tmp_path: Path, name: str) -> None:
    names = {"task": "item_id", "worker": "annotator", "label": "verdict"}
    path = tmp_path / name
    FRAME.rename(columns=names).to_json(path, orient="records")
    with pytest.raises(
        DataError, match="name their columns: task='item_id', worker='annotator', label='verdict'"
    ):
        DEEMAggregator().fit(path)
    fitted = DEEMAggregator().fit(path, **names)
    assert fitted.labels_.to_dict() == DEEMAggregator().fit(FRAME).labels_.to_dict()


@pytest.mark.parametrize("more", [[[]] * 3, [[{"a": 1}]] * 3, [["x"], ["y", "z"], []]])
def test_lists_beside_columns_of_other_names_are_not_taken_for_the_answers(more) -> None:
    frame = pd.DataFrame({"item": [1, 1, 2], "annotator": list("aba"), "answer": list("xyx")})
    frame = frame.assign(tags=more, more=more)
    advice = {"item": "task", "annotator": "worker", "answer": "label"}
    with pytest.raises(MissingColumnError, match=re.escape(f"df.rename(columns={advice!r})")):
        Answers.from_frame(frame)
    indexed = frame.rename(columns=advice).set_index("task")
    with pytest.raises(MissingColumnError, match=r"df\.reset_index\(\)"):
        Answers.from_frame(indexed)


def test_cells_that_hold_a_series_and_columns_that_are_no_mapping_are_no_internal_errors() -> None:
    frame = pd.DataFrame({"task": [1, 1, 2], "worker": list("aba"), "label": list("xyx")})
    odd = frame.assign(more=pd.Series([pd.Series([1, 2])] * 3, dtype=object))
    assert from_long(odd).n_answers == 3
    with pytest.raises(MissingColumnError, match="'label'"):
        Answers.from_frame(odd.drop(columns="label"))
    with pytest.raises(ParameterError, match="no mapping"):
        from_long(frame, columns=["task"])

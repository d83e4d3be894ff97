"""Predictions of Label Studio, suggestions of Argilla, and a folder of Hugging Face datasets."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from deem_crowd_adapters import write_argilla, write_hf_dataset, write_label_studio

from deem_crowd.exceptions import DataError, FormError, OverwriteError, ParameterError

PROBAS = pd.DataFrame(
    [[0.9, 0.1], [0.25, 0.75], [np.nan, np.nan]],
    index=pd.Index([7, 8, 9], name="task"),
    columns=pd.Index(["cat", "dog"], name="label"),
)
TEXTS = pd.Series(["a purr", "a bark", "…"], index=[7, 8, 9])


def test_label_studio_gets_a_prediction_with_a_score_for_each_label(tmp_path) -> None:
    path = tmp_path / "predictions.json"
    write_label_studio(PROBAS, path, from_name="animal", to_name="sound", data=TEXTS)
    first, second, third = json.loads(path.read_text(encoding="utf-8"))
    assert first == {
        "id": 7,
        "data": {"sound": "a purr"},
        "predictions": [
            {
                "model_version": "deem-crowd",
                "score": 0.9,
                "result": [
                    {
                        "from_name": "animal",
                        "to_name": "sound",
                        "type": "choices",
                        "value": {"choices": ["cat"]},
                    }
                ],
            }
        ],
    }
    assert second["predictions"][0]["score"] == 0.75
    assert second["predictions"][0]["result"][0]["value"] == {"choices": ["dog"]}
    assert third == {"id": 9, "data": {"sound": "…"}, "predictions": []}


def test_labels_alone_have_no_score_and_names_are_no_ids_of_label_studio(tmp_path) -> None:
    labels = pd.Series([1, 2], index=pd.Index(["t1", "t2"], name="task"), name="agg_label")
    write_label_studio(labels, tmp_path / "a.json", model_version="v2")
    first, _ = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert "id" not in first
    assert first["data"] == {"task": "t1"}
    assert "score" not in first["predictions"][0]
    assert first["predictions"][0]["model_version"] == "v2"
    assert first["predictions"][0]["result"][0]["value"] == {"choices": ["1"]}


def test_argilla_gets_a_suggestion_with_a_score_for_each_label(tmp_path) -> None:
    data = pd.DataFrame({"text": ["a", "b", None], "n": [1, 2, 3]}, index=[7, 8, 9])
    write_argilla(PROBAS, tmp_path / "records.json", question="animal", data=data)
    first, second, third = json.loads((tmp_path / "records.json").read_text(encoding="utf-8"))
    assert first == {
        "id": "7",
        "fields": {"text": "a", "n": "1"},
        "metadata": {},
        "suggestions": {"animal": {"value": "cat", "score": 0.9, "agent": "deem-crowd"}},
        "responses": {},
        "vectors": {},
    }
    assert second["suggestions"]["animal"]["score"] == 0.75
    assert third["suggestions"] == {}
    assert third["fields"]["text"] == ""


def test_a_fitted_aggregator_is_written_by_its_probabilities(tmp_path) -> None:
    class Fitted:
        probas_ = PROBAS

    write_argilla(Fitted(), tmp_path / "a.json")
    write_argilla(PROBAS, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_folder_of_datasets_holds_parquet_and_a_card(tmp_path) -> None:
    folder = tmp_path / "set"
    write_hf_dataset(PROBAS, folder, data=TEXTS, description="Sounds of animals.")
    table = pd.read_parquet(folder / "data" / "train.parquet")
    assert list(table.columns) == ["task", "text", "label", "confidence", "p_cat", "p_dog"]
    assert table["task"].tolist() == [7, 8, 9]
    assert table["label"].tolist()[:2] == ["cat", "dog"]
    assert table["label"].isna().tolist() == [False, False, True]
    np.testing.assert_array_equal(table["confidence"], [0.9, 0.75, np.nan])
    np.testing.assert_array_equal(table["p_dog"], [0.1, 0.75, np.nan])
    card = (folder / "README.md").read_text(encoding="utf-8")
    head = re.match(r"---\n(.*?)\n---\n", card, re.S)[1]
    assert "  - split: train\n    path: data/train.parquet" in head
    assert "Sounds of animals." in card
    assert "missing for 1 task" in card
    write_hf_dataset(PROBAS.iloc[:1], folder)  # its own folder is written again
    assert len(pd.read_parquet(folder / "data" / "train.parquet")) == 1


def test_datasets_loads_the_folder(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "set"
    write_hf_dataset(PROBAS, folder, data=TEXTS, split="consensus")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["consensus"]
    assert loaded["consensus"]["label"][:] == ["cat", "dog", None]
    assert loaded["consensus"]["confidence"][:2] == [0.9, 0.75]


def test_a_folder_with_other_files_is_left_as_it_is(tmp_path) -> None:
    other = tmp_path / "mine"
    other.mkdir()
    (other / "README.md").write_text("my own words", encoding="utf-8")
    with pytest.raises(OverwriteError, match="did not write .'README.md'"):
        write_hf_dataset(PROBAS, other)
    assert [each.name for each in other.iterdir()] == ["README.md"]
    broken = PROBAS.assign(extra="text").set_axis(["cat", "dog", "x"], axis=1)
    with pytest.raises(FormError):
        write_hf_dataset(broken, tmp_path / "new")
    mixed = pd.Series([1, "x", 2], index=PROBAS.index)
    with pytest.raises(DataError, match="parquet cannot hold"):
        write_hf_dataset(mixed, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("write", [write_label_studio, write_argilla, write_hf_dataset])
def test_what_cannot_be_written_is_refused_and_leaves_no_file(tmp_path, write) -> None:
    path = tmp_path / "out"
    with pytest.raises(FormError, match="got list"):
        write([1, 2], path)
    with pytest.raises(DataError, match=r"1 task has probabilities outside of \[0, 1\] \(8\)"):
        write(PROBAS.replace(0.75, 1.75), path)
    with pytest.raises(DataError, match=r"1 task stands in several rows \(7\)"):
        write(PROBAS.loc[[7, 7]], path)
    with pytest.raises(DataError, match=r"data: 1 of 3 tasks is not in it \(9\)"):
        write(PROBAS, path, data=TEXTS.iloc[:2])
    with pytest.raises(FormError, match="data: expected"):
        write(PROBAS, path, data=["a", "b", "c"])
    with pytest.raises(FormError, match="no columns"):
        write(PROBAS.iloc[:, :0], path)
    assert list(tmp_path.iterdir()) == []
    if write is write_hf_dataset:
        with pytest.raises(ParameterError, match="split="):
            write(PROBAS, path, split="../x")
        with pytest.raises(DataError, match="'label' are names of the result's own"):
            write(PROBAS, path, data=pd.DataFrame({"label": [1, 2, 3]}, index=[7, 8, 9]))


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.json"
    write_argilla(PROBAS, path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("deem_crowd.runtime.atomic.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_argilla(PROBAS.iloc[:1], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]

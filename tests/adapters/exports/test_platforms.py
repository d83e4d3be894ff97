"""Exports of Zooniverse, Appen (JSON) and SageMaker Ground Truth; formats of boxes and spans are refused by name."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import pytest

from deem_crowd.exceptions import DataError, DataWarning, MissingColumnError


def triples(export: Any) -> list[tuple[Any, ...]]:
    return list(export.answers.itertuples(index=False, name=None))


# ------------------------------------------------------------------ Zooniverse

_HEAD = [
    *("classification_id", "user_name", "user_id", "user_ip", "workflow_id", "workflow_name"),
    *("workflow_version", "created_at", "gold_standard", "expert", "metadata", "annotations"),
    *("subject_data", "subject_ids"),
]


def classification(
    user: str, subject: int, *annotations: Any, gold: bool = False, workflow: int = 7
) -> list[Any]:
    data = json.dumps({subject: {"retired": None, "Filename": f"{subject}.jpg"}})
    given = json.dumps(list(annotations))
    about = [1, user, "", "ab12", workflow, "Animals", "3.1", "2024-01-01 10:00:00 UTC"]
    return [*about, "true" if gold else "", "", '{"session": "x"}', given, data, subject]


def zooniverse(folder: Path, *rows: list[Any], name: str = "animals-classifications.csv") -> Path:
    with open(folder / name, "w", newline="") as file:
        csv.writer(file).writerows([_HEAD, *rows])
    return folder / name


def single(value: Any, task: str = "T0") -> dict[str, Any]:
    return {"task": task, "task_label": "What do you see?", "value": value}


DRAWING = single([{"x": 1.5, "y": 2.5, "tool": 0, "frame": 0, "details": []}], "T2")


def test_zooniverse_classifications_are_answers_of_volunteers_logged_in_or_not(tmp_path) -> None:
    path = zooniverse(
        tmp_path,
        classification("ann", 11, single("Zebra"), DRAWING),
        classification("not-logged-in-0a1b", 11, single("Lion"), DRAWING),
        classification("not-logged-in-2c3d", 12, single(None), DRAWING),
        classification("ann", 12, single("Zebra")),
        classification("eve", 12, single("Lion"), gold=True),
    )
    with pytest.warns(DataWarning, match=r"drawings \(3\), empty answers \(1\)"):
        export = adapters.read_export(path)
    assert triples(export) == [
        (11, "ann", "Zebra"),
        (11, "not-logged-in-0a1b", "Lion"),
        (12, "ann", "Zebra"),
    ]
    assert export.gold.to_dict() == {12: "Lion"}
    assert adapters.to_answers(path).n_tasks == 2


def test_zooniverse_tasks_of_workflows_are_questions(tmp_path) -> None:
    combined = {"task": "T4", "value": [single("Yes", "T1"), single(["big", "red"], "T3")]}
    path = zooniverse(
        tmp_path,
        classification("ann", 11, single("Zebra"), combined),
        classification("bob", 11, single("Lion"), combined),
        classification("bob", 11, single("Tree"), workflow=8),
    )
    with pytest.raises(DataError, match=r"4 questions: '7 T0' .*'7 T1' .*'7 T3' .*'8 T0'"):
        adapters.read_export(path)
    with pytest.warns(DataWarning, match="question '7 T1' is read"):
        assert triples(adapters.read_export(path, question="7 T1")) == [
            (11, "ann", "Yes"),
            (11, "bob", "Yes"),
        ]
    with pytest.raises(DataError, match="2 of 2 answers to '7 T3' hold several labels"):
        adapters.read_export(path, question="7 T3")


def test_zooniverse_surveys_are_read_by_their_choices(tmp_path) -> None:
    one = [{"choice": "ZEBRA", "answers": {"HOWMANY": "1"}, "filters": {}}]
    two = [*one, {"choice": "LION", "answers": {}, "filters": {}}]
    path = zooniverse(
        tmp_path, classification("ann", 11, single(one)), classification("bob", 11, single(two))
    )
    with pytest.raises(DataError, match="1 of 2 answers to 'T0' holds several labels"):
        adapters.read_export(path)
    with pytest.warns(DataWarning, match=r"details of choices \(2\)"):
        export = adapters.read_export(path, multiple="drop")
    assert triples(export) == [(11, "ann", "ZEBRA")]


def test_zooniverse_drawings_alone_extracts_and_reductions_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"holds no answers, besides drawings \(1\).*reducers for"):
        adapters.read_export(zooniverse(tmp_path, classification("ann", 11, DRAWING)))
    for kind in ("extractor", "reducer"):
        (tmp_path / "x.csv").write_text(
            f"subject_id,workflow_id,task,{kind},data.lion,data.zebra\n"
            + "".join(f"{k},7,T0,question,{k % 3},{k % 4}\n" for k in range(20))
        )
        with pytest.raises(DataError, match="Give the classification export"):
            adapters.to_answers(tmp_path / "x.csv")


def test_zooniverse_rows_that_are_wrong_are_named(tmp_path) -> None:
    row = classification("ann", 11, single("Lion"))
    row[11] = row[11][:-3]
    with pytest.raises(DataError, match="row 1 is not JSON"):
        adapters.read_export(zooniverse(tmp_path, row))
    row[11] = '{"task": "T0"}'
    with pytest.raises(DataError, match="row 1: 'annotations' is dict .* no list"):
        adapters.read_export(zooniverse(tmp_path, row))


# ----------------------------------------------------------------------- Appen


def unit(number: int, *judgments: tuple[int, Any], gold: str | None = None, **more: Any) -> Any:
    return {
        "id": number,
        "data": {"image_url": f"{number}.jpg", **({"animal_gold": gold} if gold else {})},
        "judgments_count": len(judgments),
        "state": "finalized",
        "created_at": "2024-01-01T10:00:00+00:00",
        "updated_at": "2024-01-02T10:00:00+00:00",
        "results": {
            "animal": {"agg": "cat", "confidence": 0.8},
            "judgments": [
                {"worker_id": who, "tainted": who == 9, "trust": 0.9, "data": {"animal": label}}
                for who, label in judgments
            ],
        },
        **more,
    }


def test_the_json_report_of_appen_holds_the_judgments_of_each_unit(tmp_path) -> None:
    units = [
        unit(k, (1, "cat"), (2, "dog"), (9, "fox"), gold="cat" if k == 3 else None)
        for k in range(12)
    ]
    path = tmp_path / "job_12.json"
    path.write_text("\n".join(map(json.dumps, units)))
    with pytest.warns(DataWarning, match=r"failed test questions \(12\)"):
        export = adapters.read_export(path)
    assert export.format == "Figure Eight JSON report"
    assert triples(export) == [
        (k, w, "cat" if w == 1 else "dog") for k in range(12) for w in (1, 2)
    ]
    assert export.gold.to_dict() == {3: "cat"}
    units[4]["results"]["judgments"][1]["worker_id"] = None
    path.write_text("\n".join(map(json.dumps, units)))
    with pytest.raises(DataError, match="record 4: 'worker_id' is null"):
        adapters.read_export(path)


# ------------------------------------------------------------------- SageMaker


def response(*answers: tuple[str, Any]) -> dict[str, Any]:
    return {
        "answers": [
            {"answerContent": {"kind": content}, "submissionTime": "2024", "workerId": who}
            for who, content in answers
        ]
    }


def test_worker_responses_of_sagemaker_are_called_after_their_folders(tmp_path) -> None:
    for number, labels in enumerate((("cat", "cat"), ("dog", "cat"), ("dog", "dog"))):
        folder = tmp_path / "worker-response" / "iteration-1" / str(number)
        folder.mkdir(parents=True)
        given = response(("private.a", {"label": labels[0]}), ("private.b", {"label": labels[1]}))
        (folder / f"2024-01-0{number + 1}.json").write_text(json.dumps(given))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one object a file: that none is shared goes without saying
        export = adapters.read_export(tmp_path / "worker-response")
    assert sorted(triples(export)) == [
        ("0", "private.a", "cat"),
        ("0", "private.b", "cat"),
        ("1", "private.a", "dog"),
        ("1", "private.b", "cat"),
        ("2", "private.a", "dog"),
        ("2", "private.b", "dog"),
    ]


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ({"label": "cat"}, "cat"),
        ({"labels": ["cat"]}, "cat"),
        ({"cat": True, "dog": False}, "cat"),
        ("cat", "cat"),
    ],
    ids=["classifier", "list", "buttons", "field"],
)
def test_consolidation_requests_of_sagemaker_hold_all_answers(tmp_path, content, label) -> None:
    records = [
        {
            "datasetObjectId": str(k),
            "dataObject": {"s3Uri": f"s3://b/{k}.jpg"},
            "annotations": [
                {"workerId": who, "annotationData": {"content": json.dumps({"kind": content})}}
                for who in ("a", "b")
            ],
        }
        for k in range(3)
    ]
    (tmp_path / "x.json").write_text(json.dumps(records))
    export = adapters.read_export(tmp_path / "x.json")
    assert triples(export) == [(str(k), who, label) for k in range(3) for who in "ab"]
    del records[1]["annotations"][0]["workerId"]
    (tmp_path / "x.json").write_text(json.dumps(records))
    with pytest.raises(DataError, match="record 1: 'workerId' is null"):
        adapters.read_export(tmp_path / "x.json")


def test_boxes_and_manifests_of_sagemaker_are_refused(tmp_path) -> None:
    boxes = {"boundingBoxes": [{"label": "Car", "left": 1, "top": 1, "width": 2, "height": 2}]}
    (tmp_path / "x.json").write_text(json.dumps(response(("a", boxes), ("b", boxes))))
    with pytest.raises(DataError, match=r"boxes, polygons and entities \(2\).*about regions"):
        adapters.read_export(tmp_path / "x.json")
    row = {"source-ref": "s3://b/0.jpg", "animal": 1, "animal-metadata": {"class-name": "cat"}}
    (tmp_path / "output.manifest").write_text((json.dumps(row) + "\n") * 3)
    with pytest.raises(DataError, match="output manifest of SageMaker.*worker-response"):
        adapters.to_answers(tmp_path / "output.manifest")


# ----------------------------------------------------------- regions and spans


def test_columns_that_are_named_like_an_entity_of_brat_are_no_entities(tmp_path) -> None:
    (tmp_path / "x.csv").write_text("T1,T2,T3\n1,2,3\n")
    with pytest.raises(MissingColumnError) as error:
        adapters.to_answers(tmp_path / "x.csv")
    assert "BRAT" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.json", {"images": [], "annotations": [], "categories": []}, "COCO annotations"),
        ("x.json", {"shapes": [], "imagePath": "a.png", "version": "5"}, "LabelMe"),
        ("x.json", {"metadata": {"name": "a"}, "instances": [], "tags": []}, "SuperAnnotate"),
        ("x.json", [{"metadata": {"name": "a"}, "instances": []}], "SuperAnnotate"),
        ("x.json", {"version": "2.0", "item": {"name": "a"}, "annotations": []}, "V7"),
        ("x.json", {"annotatable": {}, "entities": [], "metas": {}}, "tagtog"),
        ("x.json", {"examples": [{"content": "a", "annotations": []}]}, "LightTag"),
        ("x.xml", "<annotation><object><bndbox></bndbox></object></annotation>", "Pascal VOC"),
        ("x.tsv", "#FORMAT=WebAnno TSV 3.3\n#T_SP=x|y\n\n#Text=Hello\n1-1\t0-5\tHello\tx\n", "WebAnno"),
        ("x.ann", "T1\tPER 0 5\tHello\nT2\tLOC 6 11\tWorld\n", "BRAT"),
        ("x.tsv", "Hello NNP B-PER\nworld NN O\n", "CoNLL"),
        ("x.tsv", "Hello\tB-PER\nworld\tO\n", "CoNLL"),
    ],
)  # fmt: skip
def test_formats_of_regions_and_spans_are_refused_by_name(tmp_path, name, text, said) -> None:
    path = tmp_path / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    words = f"{said}.*Only labels of whole tasks are aggregated.*what-it-is-not-for"
    with pytest.raises((DataError, MissingColumnError), match=words):
        adapters.to_answers(path)

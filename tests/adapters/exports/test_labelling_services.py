"""CVAT's XML, Labelbox's two exports, and Figure Eight's full report, after the documentation of each."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest
from by_hand import read, rows, write
from services import ANNA, BOX, FULL, V1, V1_ANSWERS, cvat, label_1, label_2, radio, tag

from deem_crowd.exceptions import DataError

# ------------------------------------------------------------------ CVAT


def test_cvat_tags_are_answers_of_the_assignee(tmp_path) -> None:
    images = {"a.jpg": tag("cat"), "b.jpg": tag("dog") + BOX, "c.jpg": "", "d.jpg": tag("cat", "auto")}  # fmt: skip
    export, said = read(write(tmp_path / "annotations.xml", cvat(images, ANNA)))
    assert rows(export) == {("a.jpg", "anna", "cat"), ("b.jpg", "anna", "dog")}
    assert export.left_out == {"boxes": 1, "images without a tag": 1, "tags of models": 1}
    assert "boxes (1)" in said


def test_cvat_files_and_archives_are_called_after_their_annotator(tmp_path) -> None:
    xml = cvat({"a.jpg": tag("cat"), "b.jpg": tag("dog")})
    anna = write(tmp_path / "anna" / "annotations.xml", xml)
    with zipfile.ZipFile(tmp_path / "ben.zip", "w") as archive:
        archive.writestr("images/a.jpg", b"\xff\xd8 no text")
        archive.writestr("annotations.xml", xml.replace("dog", "cat"))
    export, _ = read([anna, tmp_path / "ben.zip"])
    assert rows(export) == {
        ("a.jpg", "anna", "cat"),
        ("b.jpg", "anna", "dog"),
        ("a.jpg", "ben", "cat"),
        ("b.jpg", "ben", "cat"),
    }


def test_cvat_attributes_are_questions_and_several_tags_several_labels(tmp_path) -> None:
    sharp = '<attribute name="sharp">yes</attribute>'
    path = write(tmp_path / "a.xml", cvat({"a": tag("image", attributes=sharp)}, ANNA))
    assert rows(read(path)[0]) == {("a", "anna", "yes")}
    path = write(tmp_path / "b.xml", cvat({"a": tag("cat") + tag("dog"), "b": tag("dog")}, ANNA))
    with pytest.raises(DataError, match="1 of 2 answers.*several labels.*BinaryRelevance"):
        read(path)
    assert rows(read(path, multiple="drop")[0]) == {("b", "anna", "dog")}


def test_cvat_boxes_entities_and_damage_are_refused_by_name(tmp_path) -> None:
    with pytest.raises(DataError, match="holds no answers, besides boxes .2.*regions of an image"):
        read(write(tmp_path / "boxes.xml", cvat({"a": BOX, "b": BOX})))
    bomb = '<!DOCTYPE annotations [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    with pytest.raises(DataError, match="bomb.xml declares a DOCTYPE or entities"):
        read(write(tmp_path / "bomb.xml", cvat({"a": tag("&b;")}, head=bomb)))
    whole = cvat({"a": tag("cat"), "b": tag("dog")}, ANNA)
    for size in range(whole.index("<annotations") + 20, len(whole) - 1, 17):
        with pytest.raises(DataError, match="part.xml, line 1, column"):
            read(write(tmp_path / "part.xml", whole[:size]))
    with pytest.raises(DataError, match="image 'a': a tag has no 'label'"):
        read(write(tmp_path / "c.xml", cvat({"a": "<tag></tag>"})))


# ------------------------------------------------------------------ Labelbox


def test_labelbox_names_the_annotator_and_skips(tmp_path) -> None:
    export, said = read(write(tmp_path / "export.json", V1))
    assert rows(export) == V1_ANSWERS
    assert export.gold.to_dict() == {"r2": "Dog"}
    assert export.left_out == {
        "skipped data rows": 1,
        "benchmark labels, which are used as known labels, not as answers": 1,
        "boxes, polygons and entities": 1,
    }
    assert export.tasks.tolist() == ["r1", "r2"]
    assert "skipped" in said


def test_labelbox_csv_holds_the_label_as_json(tmp_path) -> None:
    out = io.StringIO()
    columns = ["ID", "DataRow ID", "Labeled Data", "Label", "Created By", "External ID"]
    writer = csv.DictWriter(out, columns, extrasaction="ignore")
    writer.writeheader()
    for record in V1:
        label = record["Label"]
        writer.writerow({**record, "Label": label if label == "Skip" else json.dumps(label)})
    assert rows(read(write(tmp_path / "export.csv", out.getvalue()))[0]) == {
        *V1_ANSWERS,
        ("r2", "anna@x", "Dog"),  # the column that marks benchmarks is not among these
    }


def test_labelbox_questions_are_chosen_and_checklists_hold_several_labels(tmp_path) -> None:
    checklist = {"title": "Signs", "answers": [{"title": "tail"}, {"title": "ears"}]}
    text = {"title": "Note", "answer": "a few words"}
    records = [
        label_1(f"r{i}", by, [radio("Kind", "Cat"), checklist, text])
        for i in range(3)
        for by in ("a", "b")
    ]
    path = write(tmp_path / "export.json", records)
    export, said = read(path)
    assert set(export.answers["label"]) == {"Cat"}
    assert "'Kind' is read; left out: 'Signs', 'Note'" in said
    with pytest.raises(DataError, match="6 of 6 answers to 'Signs' hold several labels"):
        read(path, question="Signs")


def test_labelbox_second_export_has_radios_nested_in_radios(tmp_path) -> None:
    def kind(name, nested=()):
        answer = {"name": name, "value": name.lower(), "classifications": list(nested)}
        return {"name": "Kind", "value": "kind", "radio_answer": answer}

    breed = {"name": "Breed", "radio_answer": {"name": "Poodle", "classifications": []}}
    records = [
        label_2("r1", "anna@x", [kind("Dog", [breed])]),
        label_2("r1", "ben@x", [kind("Cat")]),
        label_2("r2", "anna@x", [], skipped=True),
    ]
    path = write(tmp_path / "export.ndjson", records)
    with pytest.raises(DataError, match="'Kind'.*'Kind/Breed'"):
        read(path)
    export, _ = read(path, question="Kind")
    assert rows(export) == {("r1", "anna@x", "Dog"), ("r1", "ben@x", "Cat")}
    assert export.left_out == {"skipped data rows": 1}


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (label_1("r1", "a", Label=[1]), "record 0: 'Label' is list"),
        (label_1("r1", "a", Label={"classifications": {"a": 1}}), "record 0: 'classifications' is dict"),
        (label_1({"x": 1}, "a", [radio("K", "C")]), "record 0: 'DataRow ID' is dict"),
        (label_1("r1", "a", [3]), "record 0: a classification is int"),
        ({**label_2("r", "a", []), "projects": [1]}, "record 0: 'projects' is list"),
        (label_2("r", "a", [{"name": "K", "radio_answer": 7}]), "record 0: an answer to 'K' is int"),
        (label_1("r1", "a", Label='{"classifications": ['), "record 0, column 'Label' is not JSON"),
    ],
)  # fmt: skip
def test_labelbox_names_the_record_that_is_wrong(tmp_path, record, says) -> None:
    with pytest.raises(DataError, match=f"export.json, {says}"):
        read(write(tmp_path / "export.json", [record]))


# ------------------------------------------------------------------ Figure Eight


def test_a_full_report_of_figure_eight_asks_for_the_question_and_has_gold(tmp_path) -> None:
    path = write(tmp_path / "f123.csv", FULL)
    with pytest.raises(DataError, match="2 questions: 'sentiment'.*'relevant'"):
        read(path)
    export, said = read(path, question="sentiment", multiple="drop")
    assert rows(export) == {(1, 501, "positive"), (1, 502, "negative"), (2, 501, "negative")}
    assert export.gold.to_dict() == {2: "negative"}
    assert export.left_out["judgments of contributors who failed test questions"] == 1
    assert export.left_out["answers with several labels"] == 1
    assert "failed test questions (1)" in said
    assert len(read(path, question="relevant")[0].answers) == 5


def test_contributors_of_figure_eight_are_the_same_in_every_report(tmp_path) -> None:
    other = FULL.replace("\n1,", "\n7,").replace("\n2,", "\n8,").replace("\n3,", "\n9,")
    other = other.replace("tweet", "post").replace("another", "other").replace("third", "fourth")
    paths = [write(tmp_path / "a.csv", FULL), write(tmp_path / "b.csv", other)]
    export, _ = read(paths, question="relevant")
    assert export.answers["worker"].nunique() == 2
    assert export.answers["task"].nunique() == 6


def test_an_aggregated_report_of_figure_eight_is_refused_with_the_reason(tmp_path) -> None:
    text = "_unit_id,_golden,_unit_state,_trusted_judgments,s,s:confidence\n1,false,finalized,3,yes,0.67\n"
    with pytest.raises(DataError, match="aggregated report.*Download the full report"):
        read(write(tmp_path / "a123.csv", text))


def test_a_row_of_figure_eight_without_a_contributor_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="row 1: '_unit_id' or '_worker_id' is empty"):
        read(write(tmp_path / "a.csv", FULL.replace(",501,positive", ",,positive")))

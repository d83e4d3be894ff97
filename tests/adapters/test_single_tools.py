"""What single tools do in their own way: gold, regions, several questions or labels, free text, rejected work."""

from __future__ import annotations

import json
from pathlib import Path

import deem_crowd_adapters as adapters
import pandas as pd
import pytest
from by_hand import triples
from crowdkit.aggregation import BinaryRelevance
from label_tools import (
    TOLOKA,
    choice,
    label_studio,
    label_studio_min,
    prodigy_binary,
    read,
    written,
)

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import DataError, DataWarning, ParameterError


def test_gold_in_an_export_is_kept_apart(tmp_path: Path) -> None:
    export, _ = read(written(tmp_path, "x.json", label_studio()))
    assert export.gold.to_dict() == {11: "pos"}
    export, _ = read(written(tmp_path, "x.tsv", TOLOKA))
    assert export.gold.to_dict() == {"t1": "cat"}


def test_choices_about_regions_are_refused_by_name(tmp_path: Path) -> None:
    record = label_studio()[:1]
    span = {
        "id": "s1",
        "from_name": "ner",
        "type": "labels",
        "value": {"start": 0, "end": 3, "labels": ["PER"]},
    }
    record[0]["annotations"] = [
        {"completed_by": 1, "result": [span, choice("kind", "real", id="s1")]}
    ]
    with pytest.raises(DataError, match=r"choices about a region \(1\).*regions of a task"):
        adapters.read_export(written(tmp_path, "x.json", record))


def test_several_labels_at_once_name_the_way_out(tmp_path: Path) -> None:
    records = label_studio()
    records[0]["annotations"][0]["result"] = [choice("sentiment", "pos", "neg")]
    path = written(tmp_path, "x.json", records)
    with pytest.raises(
        DataError, match=r"1 of 3 answers to 'sentiment' holds several labels.*BinaryRelevance"
    ):
        adapters.read_export(path)
    export, _ = read(path, multiple="drop")
    assert len(export.answers) == 2
    assert export.left_out["answers with several labels"] == 1
    export, _ = read(path, multiple="lists")
    assert sorted(export.answers["label"]) == [["neg"], ["pos"], ["pos", "neg"]]
    aggregated = BinaryRelevance(DEEMAggregator()).fit_predict(export.answers)
    assert set(aggregated.index) == {11, 12}
    with pytest.raises(ParameterError, match="call read_export"):
        adapters.to_answers(path, multiple="lists")


@pytest.mark.parametrize("who", [7, None])
def test_results_of_one_control_in_one_annotation_are_one_answer(
    tmp_path: Path, who: int | None
) -> None:
    records = label_studio()
    annotation = records[0]["annotations"][0]
    annotation["completed_by"] = who
    annotation["result"] = [choice("sentiment", "pos"), choice("sentiment", "neg", id="c2")]
    path = written(tmp_path, "x.json", records)
    with pytest.raises(DataError, match="1 of 3 answers to 'sentiment' holds several labels"):
        adapters.read_export(path)
    annotation["result"] = [choice("sentiment", "pos"), choice("sentiment", "pos", id="c2")]
    export, said = read(written(tmp_path, "x.json", records))
    assert len(export.answers) == 3
    assert "no annotator" not in said
    assert "repeats" not in said


def test_an_open_choice_between_questions_is_named_with_the_option(tmp_path: Path) -> None:
    records = label_studio()
    for record in records:
        for annotation in record["annotations"]:
            if annotation["result"]:
                rating = {"from_name": "stars", "type": "rating", "value": {"rating": 4}}
                annotation["result"].append(rating)
    path = written(tmp_path, "x.json", records)
    with pytest.raises(DataError, match=r"2 questions: 'sentiment'.*'stars'.*question='sentiment'"):
        adapters.read_export(path)
    export, said = read(path, question="stars")
    assert set(export.answers["label"]) == {4}
    assert "'stars' is read; left out: 'sentiment'" in said
    with pytest.raises(ParameterError, match="question='mood'.*'sentiment', 'stars'"):
        adapters.read_export(path, question="mood")


def test_a_rating_of_minus_one_is_an_answer(tmp_path: Path) -> None:
    rows = label_studio_min()
    for row, rating in zip(rows, (-1, 0, 1, -1), strict=True):
        del row["rating"]
        row["sentiment"] = [{"rating": rating}]
    export, _ = read(written(tmp_path, "x.json", rows))
    assert export.answers["label"].tolist() == [-1, 0, 1, -1]


def test_csv_of_label_studio_whose_columns_are_sorted(tmp_path: Path) -> None:
    frame = pd.DataFrame(label_studio_min())
    path = tmp_path / "x.csv"
    frame[sorted(frame)].to_csv(path, index=False)
    export, _ = read(path)
    assert triples(export.answers) == {
        (11, 1, "pos"),
        (11, 2, "neg"),
        (12, 1, "neg"),
        (12, 2, "neg"),
    }


def test_free_text_is_refused_and_beside_classes_left_out(tmp_path: Path) -> None:
    records = label_studio()
    for i, record in enumerate(records):
        for annotation in record["annotations"]:
            if annotation["result"]:
                text = {
                    "from_name": "why",
                    "type": "textarea",
                    "value": {"text": [f"because of reason {i}"]},
                }
                annotation["result"].append(text)
    export, said = read(written(tmp_path, "x.json", records))
    assert set(export.answers["label"]) == {"pos", "neg"}
    assert "left out: 'why'" in said


def test_prodigy_asks_about_several_labels(tmp_path: Path) -> None:
    records = prodigy_binary()
    for record, label in zip(records, ("A", "A", "B", "B"), strict=True):
        record["label"] = label
    export, said = read(written(tmp_path, "x.jsonl", records))
    assert set(export.answers["task"]) == {"1: A", "2: B"}
    assert "2 labels were asked about" in said


def test_prodigy_reviews_are_said_to_hold_one_decision_a_task(tmp_path: Path) -> None:
    records = [
        {
            "text": f"text {k}",
            "_input_hash": k,
            "_view_id": "review",
            "options": [{"id": "a"}, {"id": "b"}],
            "accept": ["a"],
            "answer": "accept",
            "_session_id": "reviewer",
            "versions": [{"accept": ["a"], "sessions": ["ann"]}],
        }
        for k in range(3)
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    with pytest.warns(DataWarning, match="3 records are of a review.*datasets that were reviewed"):
        export = adapters.read_export(path)
    assert set(export.answers["worker"]) == {"reviewer"}


def test_prodigy_without_a_session_is_named_after_its_file(tmp_path: Path) -> None:
    records = prodigy_binary()[:1] + prodigy_binary()[2:3]
    for record in records:
        del record["_annotator_id"]
    export, _ = read(written(tmp_path, "carol.jsonl", records))
    assert set(export.answers["worker"]) == {"carol"}


@pytest.mark.parametrize(
    ("tool", "tasks"),
    [("prodigy", "1 task has"), ("label studio", "1 task has"), ("flat", "2 tasks have")],
)
def test_answers_of_nobody_to_one_task_are_said_to_count_as_one_persons(
    tmp_path: Path, tool: str, tasks: str
) -> None:
    if tool == "prodigy":
        records = prodigy_binary()
        for record in records:
            del record["_annotator_id"]
    elif tool == "label studio":
        records = label_studio()
        for annotation in records[0]["annotations"]:
            annotation["completed_by"] = None
            annotation.pop("ground_truth", None)
    else:
        records = label_studio_min()
        for record in records:
            record["annotator"] = None
    name = "carol.jsonl" if tool == "prodigy" else "carol.json"
    _, said = read(written(tmp_path, name, records))
    assert f"count as those of one, 'carol', though {tasks} several of them" in said


def test_mturk_assignments_that_are_marked_to_be_rejected_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "HITId,WorkerId,AssignmentStatus,Answer.q,Approve,Reject\n"
        "h1,A1,Submitted,pos,x,\nh1,A2,Submitted,neg,,bad work\nh1,A3,Approved,pos,,bad work\n"
    )
    with pytest.warns(DataWarning, match=r"rejected assignments \(1\)"):
        export = adapters.read_export(path)
    assert export.answers["worker"].tolist() == ["A1", "A3"]


def test_mturk_items_of_one_hit_and_options_as_columns(tmp_path: Path) -> None:
    several = (
        "HITId,WorkerId,AssignmentStatus,Input.item1,Input.item2,Answer.q1,Answer.q2\n"
        "h1,A1,Approved,x,y,pos,neg\nh1,A2,Approved,x,y,neg,neg\nh2,A1,Submitted,z,x,pos,pos\n"
    )
    export, _ = read(written(tmp_path, "items.csv", several))
    assert triples(export.answers) == {
        ("x", "A1", "pos"), ("y", "A1", "neg"), ("x", "A2", "neg"), ("y", "A2", "neg"), ("z", "A1", "pos"),
    } | {("x", "A1", "pos")}  # fmt: skip
    boxes = (
        "HITId,WorkerId,AssignmentStatus,Input.t,Answer.kind.cat,Answer.kind.dog\n"
        "h1,A1,Approved,x,true,false\nh1,A2,Approved,x,false,true\n"
    )
    export, _ = read(written(tmp_path, "boxes.csv", boxes))
    assert triples(export.answers) == {("h1", "A1", "cat"), ("h1", "A2", "dog")}
    on = boxes.replace("Answer.kind.cat", "Answer.cat.on").replace(
        "Answer.kind.dog", "Answer.dog.on"
    )
    export, _ = read(written(tmp_path, "on.csv", on))
    assert triples(export.answers) == {("h1", "A1", "cat"), ("h1", "A2", "dog")}
    both = boxes + "h2,A1,Approved,y,true,true\n"
    with pytest.raises(DataError, match="holds several labels"):
        adapters.read_export(written(tmp_path, "both.csv", both))
    packed = (
        "HITId,WorkerId,AssignmentStatus,Input.t,Answer.taskAnswers\n"
        'h1,A1,Approved,x,"[{""kind"":{""label"":""cat""}}]"\nh1,A2,Approved,x,"[{""kind"":{""label"":""dog""}}]"\n'
    )
    export, _ = read(written(tmp_path, "packed.csv", packed))
    assert triples(export.answers) == {("h1", "A1", "cat"), ("h1", "A2", "dog")}


def test_toloka_without_a_worker_column_says_so(tmp_path: Path) -> None:
    text = TOLOKA.replace("ASSIGNMENT:worker_id", "ASSIGNMENT:assignment_id")
    _, said = read(written(tmp_path, "x.tsv", text))
    assert "each assignment counts as a worker" in said
    with pytest.raises(DataError, match="no column ASSIGNMENT:worker_id"):
        adapters.read_export(
            written(tmp_path, "y.tsv", TOLOKA.replace("ASSIGNMENT:worker_id", "who"))
        )


def test_doccano_is_one_file_for_each_person(tmp_path: Path) -> None:
    for who, labels in (("ann", ["pos", "neg"]), ("bob", ["pos", "pos"])):
        rows = [{"id": i, "text": f"t{i}", "label": [label]} for i, label in enumerate(labels)]
        written(tmp_path, f"{who}.jsonl", rows)
    export, _ = read(tmp_path)
    expected = {(0, "ann", "pos"), (1, "ann", "neg"), (0, "bob", "pos"), (1, "bob", "pos")}
    assert triples(export.answers) == expected
    table = "id,text,label\n0,t0,pos\n1,t1,C#\n2,t2,pos#neg\n"
    path = written(tmp_path, "carl.csv", table)
    with pytest.raises(DataError, match="1 of 3 answers to 'label' holds several labels"):
        adapters.read_export(path)
    spans = [{"id": 0, "text": "Ann is here", "label": [[0, 3, "PER"]]}]
    with pytest.raises(DataError, match="spans inside a text"):
        adapters.read_export(written(tmp_path, "spans.jsonl", spans))


def test_check_boxes_of_mechanical_turk_may_end_in_true(tmp_path: Path) -> None:
    head = "HITId,WorkerId,AssignmentStatus,Answer.pos.true,Answer.neg.true\n"
    rows = ["h1,A,Approved,true,false", "h1,B,Approved,false,true", "h2,A,Approved,false,true"]
    path = tmp_path / "x.csv"
    path.write_text(head + "\n".join(rows))
    answers = adapters.read_export(path).answers
    assert [*answers["label"]] == ["pos", "neg", "neg"]
    path.write_text(head + "\n".join([*rows, "h2,B,Approved,true,true"]))
    with pytest.raises(DataError, match="1 of 4 answers to 'boxes' holds several labels"):
        adapters.read_export(path)
    yes_no = head.replace("pos.true", "relevant.true").replace("neg.true", "relevant.false")
    path.write_text(yes_no + "\n".join(rows))
    assert [*adapters.read_export(path).answers["label"]] == ["true", "false", "false"]

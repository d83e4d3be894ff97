"""What labelling tools export is read with the right tasks, workers, answers and classes, and what is no answer is
named."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import pandas as pd
import pytest
from crowdkit.aggregation import BinaryRelevance
from deem_crowd_adapters.exports import known

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import DataError, DataWarning, ParameterError

# ------------------------------------------------------------------- files, by hand


def choice(name: str, *labels: str, **more: Any) -> dict[str, Any]:
    return {
        "from_name": name,
        "to_name": "text",
        "type": "choices",
        "value": {"choices": list(labels)},
        **more,
    }


def label_studio() -> list[dict[str, Any]]:
    """Two people, one task skipped by one of them, one prediction of a model, one gold annotation."""
    return [
        {
            "id": 11,
            "data": {"text": "good film"},
            "annotations": [
                {
                    "id": 1,
                    "completed_by": {"id": 4, "email": "ann@lab.org"},
                    "result": [choice("sentiment", "pos")],
                },
                {"id": 2, "completed_by": 7, "result": [choice("sentiment", "pos")]},
                {
                    "id": 5,
                    "completed_by": 8,
                    "result": [choice("sentiment", "pos")],
                    "ground_truth": True,
                },
            ],
            "predictions": [{"model_version": "m1", "result": [choice("sentiment", "neg")]}],
        },
        {
            "id": 12,
            "data": {"text": "bad film"},
            "annotations": [
                {
                    "id": 3,
                    "completed_by": {"id": 4, "email": "ann@lab.org"},
                    "result": [choice("sentiment", "neg")],
                },
                {"id": 4, "completed_by": 7, "result": [], "was_cancelled": True},
            ],
            "predictions": [],
        },
    ]


def label_studio_min() -> list[dict[str, Any]]:
    rows = [(11, 1, "pos"), (11, 2, "neg"), (12, 1, "neg"), (12, 2, "neg")]
    return [
        {
            "text": f"text {task}",
            "rating": -1,
            "id": task,
            "sentiment": label,
            "annotator": worker,
            "annotation_id": 100 + i,
            "created_at": "2025-01-01",
            "updated_at": "2025-01-01",
            "lead_time": 1.5,
        }
        for i, (task, worker, label) in enumerate(rows)
    ]


def prodigy_choice() -> list[dict[str, Any]]:
    options = [{"id": "A", "text": "a"}, {"id": "B", "text": "b"}]

    def record(text: int, who: str, answer: str, accept: list[str] | None) -> dict[str, Any]:
        made = {
            "text": f"t{text}",
            "_input_hash": text,
            "_task_hash": text + 50,
            "options": options,
        }
        made |= {"_session_id": who, "_view_id": "choice", "answer": answer}
        return made if accept is None else {**made, "accept": accept}

    return [
        record(1, "db-ann", "accept", ["A"]),
        record(1, "db-bob", "accept", ["B"]),
        record(2, "db-ann", "accept", ["B"]),
        record(2, "db-bob", "ignore", []),
        record(3, "db-ann", "accept", []),
        record(3, "db-bob", "reject", ["A"]),
    ]


def prodigy_binary() -> list[dict[str, Any]]:
    rows = [(1, "ann", "accept"), (1, "bob", "reject"), (2, "ann", "reject"), (2, "bob", "ignore")]
    return [
        {
            "text": f"t{t}",
            "label": "INSULT",
            "_input_hash": t,
            "_task_hash": t,
            "_annotator_id": w,
            "answer": a,
            "score": 0.5,
        }
        for t, w, a in rows
    ]


def argilla() -> list[dict[str, Any]]:
    return [
        {
            "id": "r1",
            "status": "completed",
            "fields": {"text": "x"},
            "suggestions": {"label": {"value": "no", "agent": "model"}},
            "responses": {
                "label": [{"value": "yes", "user_id": "u1"}, {"value": "no", "user_id": "u2"}]
            },
        },
        {
            "id": "r2",
            "status": "completed",
            "fields": {"text": "y"},
            "suggestions": {},
            "responses": {"label": [{"value": "yes", "user_id": "u1"}]},
        },
    ]


def argilla_flat() -> list[dict[str, Any]]:
    return [
        {
            "id": "r1",
            "text": "x",
            "label.responses": ["yes", "no", "no"],
            "label.responses.users": ["u1", "u2", "u3"],
            "label.responses.status": ["submitted", "submitted", "discarded"],
            "label.suggestion": "no",
        },
        {
            "id": "r2",
            "text": "y",
            "label.responses": ["yes"],
            "label.responses.users": ["u1"],
            "label.responses.status": ["submitted"],
            "label.suggestion": None,
        },
    ]


def argilla_first() -> list[dict[str, Any]]:
    return [
        {
            "external_id": "r1",
            "text": "x",
            "label": [
                {"user_id": "u1", "value": "yes", "status": "submitted"},
                {"user_id": "u2", "value": "no", "status": "submitted"},
                {"user_id": "u3", "value": "no", "status": "discarded"},
            ],
        },
        {
            "external_id": "r2",
            "text": "y",
            "label": [{"user_id": "u1", "value": "yes", "status": "submitted"}],
        },
    ]


TOLOKA = (
    "INPUT:image\tOUTPUT:result\tGOLDEN:result\tHINT:text\tASSIGNMENT:task_id\tASSIGNMENT:worker_id\tASSIGNMENT:status\n"
    "a.jpg\tcat\tcat\t\tt1\tw1\tAPPROVED\n"
    'b.jpg\tdog\t\t"two\nlines"\tt2\tw1\tAPPROVED\n'
    "\t\t\t\t\t\t\n"
    "a.jpg\tdog\tcat\t\tt1\tw2\tAPPROVED\n"
    "b.jpg\t\t\t\tt2\tw2\tSKIPPED\n"
    "b.jpg\tcat\t\t\tt2\tw3\tREJECTED\n"
)
MTURK = (
    "HITId,WorkerId,AssignmentStatus,Input.text,Answer.comment,Answer.sentiment,Approve,Reject\n"
    'h1,A1,Approved,t1,"I think, on the whole, that this text is rather a positive one, with some doubt",pos,x,\n'
    "h1,A2,Approved,t1,,neg,x,\n"
    'h2,A1,Approved,t2,"Here I am not sure at all, since the words are positive and their sense is not so",neg,x,\n'
    "h2,A3,Rejected,t2,,pos,,bad work\n"
)


def written(tmp_path: Path, name: str, value: Any) -> Path:
    path = tmp_path / name
    if isinstance(value, str):
        path.write_text(value)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in value))
    elif path.suffix in (".csv", ".tsv"):
        pd.DataFrame(value).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    else:
        path.write_text(json.dumps(value))
    return path


def triples(frame: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(frame.itertuples(index=False, name=None))


def read(path: Any, **options: Any) -> tuple[Any, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export = adapters.read_export(path, **options)
    return export, " ".join(str(each.message) for each in caught)


CASES: dict[str, tuple[str, Callable[[], Any], set[tuple[Any, ...]], dict[str, int]]] = {
    "label-studio": (
        "x.json", label_studio,
        {(11, "ann@lab.org", "pos"), (11, "7", "pos"), (12, "ann@lab.org", "neg")},
        {"skipped tasks": 1, "predictions of models": 1,
         "answers marked as ground truth, which are used as known labels, not as answers": 1},
    ),
    "label-studio min": (
        "x.json", label_studio_min, {(11, 1, "pos"), (11, 2, "neg"), (12, 1, "neg"), (12, 2, "neg")}, {},
    ),
    "label-studio csv": (
        "x.csv", label_studio_min, {(11, 1, "pos"), (11, 2, "neg"), (12, 1, "neg"), (12, 2, "neg")}, {},
    ),
    "prodigy": (
        "x.jsonl", prodigy_choice,
        {(1, "db-ann", "A"), (1, "db-bob", "B"), (2, "db-ann", "B")},
        {"ignored tasks": 1, "accepted tasks without a choice": 1, "rejected tasks of a choice": 1},
    ),
    "prodigy binary": (
        "x.jsonl", prodigy_binary, {(1, "ann", "accept"), (1, "bob", "reject"), (2, "ann", "reject")},
        {"ignored tasks": 1},
    ),
    "argilla": (
        "x.json", argilla, {("r1", "u1", "yes"), ("r1", "u2", "no"), ("r2", "u1", "yes")}, {"suggestions of models": 1},
    ),
    "argilla dataset": (
        "x.jsonl", argilla_flat, {("r1", "u1", "yes"), ("r1", "u2", "no"), ("r2", "u1", "yes")},
        {"discarded responses": 1},
    ),
    "argilla 1": (
        "x.json", argilla_first, {("r1", "u1", "yes"), ("r1", "u2", "no"), ("r2", "u1", "yes")},
        {"discarded responses": 1},
    ),
    "toloka": (
        "x.tsv", lambda: TOLOKA, {("t1", "w1", "cat"), ("t2", "w1", "dog"), ("t1", "w2", "dog")},
        {"rows of skipped assignments": 1, "rows of rejected assignments": 1},
    ),
    "mturk": (
        "x.csv", lambda: MTURK, {("h1", "A1", "pos"), ("h1", "A2", "neg"), ("h2", "A1", "neg")},
        {"rejected assignments": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_tools_export_is_read_without_an_option(tmp_path: Path, case: str) -> None:
    name, make, expected, left_out = CASES[case]
    path = written(tmp_path, name, make())
    export, said = read(path)
    assert triples(export.answers) == {
        tuple(v if isinstance(v, int) or case != "label-studio" else str(v) for v in row)
        for row in expected
    }
    assert export.left_out == left_out
    for reason, n in left_out.items():
        assert f"{reason} ({n})" in said
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        answers = adapters.to_answers(path)
    assert triples(answers.to_frame()) == triples(export.answers)


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("toloka", "mturk")])
def test_the_order_of_records_changes_nothing(tmp_path: Path, case: str) -> None:
    name, make, *_ = CASES[case]
    value = make()
    shuffled = random.Random(0).sample(value, len(value))
    one, _ = read(written(tmp_path, name, value))
    other, _ = read(written(tmp_path, f"other_{name}", shuffled))
    assert triples(one.answers) == triples(other.answers)


@pytest.mark.parametrize(
    "case", [case for case in CASES if CASES[case][0].endswith((".json", ".jsonl"))]
)
@pytest.mark.parametrize("seed", range(6))
def test_files_that_are_cut_off_or_of_wrong_types_are_one_error(
    tmp_path: Path, case: str, seed: int
) -> None:
    name, make, *_ = CASES[case]
    text = written(tmp_path, name, make()).read_text()
    draw = random.Random(seed)
    cut = written(tmp_path, f"cut_{name}", text[: draw.randrange(2, len(text) - 3)])
    value = make()
    spoiled = draw.choice(value)
    key = draw.choice(sorted(spoiled))
    spoiled[key] = draw.choice([7, "x", None, [], {}, [1], [[1]], {"a": 1}, True])
    wrong = written(tmp_path, f"wrong_{name}", value)
    for path in (cut, wrong):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            said = path.name
            try:
                adapters.read_export(path)
            except DataError as error:
                said = str(error)
            assert path.name in said


# --------------------------------------------------------------------- single facts


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
        DataError, match=r"1 of 3 answers to 'sentiment' hold several labels.*BinaryRelevance"
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
    with pytest.raises(DataError, match="hold several labels"):
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
    with pytest.raises(DataError, match="1 of 3 answers to 'label' hold several labels"):
        adapters.read_export(path)
    spans = [{"id": 0, "text": "Ann is here", "label": [[0, 3, "PER"]]}]
    with pytest.raises(DataError, match="spans inside a text"):
        adapters.read_export(written(tmp_path, "spans.jsonl", spans))


# ------------------------------------------------------------------- several files


def test_numbered_annotators_of_several_files_are_different_people(tmp_path: Path) -> None:
    first, second = label_studio_min()[::2], label_studio_min()[::2]
    for row in second:
        row["sentiment"] = "pos"
    paths = [written(tmp_path, "one.json", first), written(tmp_path, "two.json", second)]
    export, said = read(paths)
    assert set(export.answers["worker"]) == {"one/1", "two/1"}
    assert set(export.answers["task"]) == {11, 12}
    assert "1 annotator id found in several files (1)" in said


def test_e_mail_addresses_are_the_same_person_in_every_file(tmp_path: Path) -> None:
    records = label_studio()
    for record in records:
        record["annotations"] = record["annotations"][:1]
    paths = [written(tmp_path, "one.json", records[:1]), written(tmp_path, "two.json", records[1:])]
    export, said = read(paths)
    assert set(export.answers["worker"]) == {"ann@lab.org"}
    assert "no task is shared" in said


def test_tasks_with_the_same_data_under_other_ids_are_one(tmp_path: Path) -> None:
    first, second = label_studio(), label_studio()
    for record in second:
        record["id"] += 100
        record["annotations"] = [{"completed_by": "zoe", "result": [choice("sentiment", "pos")]}]
    export, said = read([written(tmp_path, "a.json", first), written(tmp_path, "b.json", second)])
    assert set(export.answers["task"]) == {11, 12}
    assert "same data are taken for one (2 of them)" in said


def test_equal_ids_of_different_data_are_different_tasks(tmp_path: Path) -> None:
    first, second = label_studio(), label_studio()
    for record in second:
        record["data"] = {"text": f"another text {record['id']}"}
    export, _ = read([written(tmp_path, "a.json", first), written(tmp_path, "b.json", second)])
    assert export.answers["task"].nunique() == 4


def test_a_folder_a_pattern_and_a_list_name_the_same_files(tmp_path: Path) -> None:
    rows = prodigy_choice()
    for i in range(2):
        written(tmp_path, f"p{i}.jsonl", rows[i::2])
    (tmp_path / "README").write_text("not an export")
    (tmp_path / "settings.json").write_text('{"questions": []}')
    folder, _ = read(tmp_path)
    pattern, _ = read(str(tmp_path / "p*.jsonl"))
    listed, _ = read([tmp_path / "p0.jsonl", tmp_path / "p1.jsonl"])
    assert triples(folder.answers) == triples(pattern.answers) == triples(listed.answers)
    with pytest.raises(FileNotFoundError):
        adapters.read_export(str(tmp_path / "q*.jsonl"))
    inner = tmp_path / "inner"
    inner.mkdir()
    for i in range(2):
        (tmp_path / f"p{i}.jsonl").rename(inner / f"p{i}.jsonl")
    nested, _ = read(tmp_path)
    assert triples(nested.answers) == triples(folder.answers)


def test_files_of_two_tools_are_not_mixed(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, "a.json", label_studio()),
        written(tmp_path, "b.jsonl", prodigy_choice()),
    ]
    with pytest.raises(DataError, match="different kinds: 'Label Studio JSON', 'Prodigy"):
        adapters.read_export(paths)


def test_a_file_for_each_annotator(tmp_path: Path) -> None:
    (tmp_path / "ann.csv").write_text("task,label\n1,a\n2,b\n")
    (tmp_path / "bob.csv").write_text("task,label\n1,a\n2,a\n")
    answers = adapters.to_answers(tmp_path)
    expected = {(1, "ann", "a"), (2, "ann", "b"), (1, "bob", "a"), (2, "bob", "a")}
    assert triples(answers.to_frame()) == expected


# ----------------------------------------------------------------------- the contract


def test_what_is_no_export_is_described(tmp_path: Path) -> None:
    path = written(tmp_path, "x.json", [{"foo": 1, "bar": 2}])
    with pytest.raises(
        DataError, match=r"no format that is known: JSON records with keys 'bar', 'foo'"
    ):
        adapters.to_answers(path)
    pickled = tmp_path / "x.pkl"
    pickled.write_bytes(b"\x80\x04\x95rest")
    with pytest.raises(DataError, match="is a Python pickle, which runs code"):
        adapters.to_answers(pickled)


def test_an_option_that_a_format_does_not_take_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "x.json", label_studio())
    with pytest.raises(
        ParameterError, match=r"no options 'abstain'; it takes 'question', 'multiple'"
    ):
        adapters.read_export(path, abstain=0)


def test_json_that_would_be_read_silently_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"id": 1, "id": 2, "data": {}, "annotations": []}]')
    with pytest.raises(DataError, match=r"x.json holds the key 'id' twice"):
        adapters.read_export(path)
    path.write_text('[{"id": 1e400, "data": {}, "annotations": []}]')
    with pytest.raises(DataError, match=r"1e400, which no float can hold"):
        adapters.read_export(path)


def test_every_tool_is_an_adapter_that_takes_a_path(tmp_path: Path) -> None:
    from deem_crowd import adapters as offered
    from deem_crowd.plugins.registry import get_adapter

    tools = {each.name for each in known.formats()} - {"long", "files"}
    assert tools <= set(offered())
    path = written(tmp_path, "x.json", label_studio())
    with pytest.warns(DataWarning, match="left out"):
        assert get_adapter("label-studio")(path).n_answers == 3
    with pytest.raises(DataError, match="no format that is known"):
        get_adapter("prodigy")(path)

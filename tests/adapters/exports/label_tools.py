"""Exports of labelling tools, written by hand, and how tests write and read them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import pandas as pd


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


def read(path: Any, **options: Any) -> tuple[Any, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export = adapters.read_export(path, **options)
    return export, " ".join(str(each.message) for each in caught)

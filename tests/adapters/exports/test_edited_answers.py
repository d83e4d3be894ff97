"""Which answer counts where somebody changed a decision: the later one, where the export says when it was given."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import deem_crowd_adapters as adapters
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deem_crowd.exceptions import DataWarning

ANSWERS = [
    ("t1", "ann", "x", "2025-03-01T10:00:00Z"),
    ("t1", "ann", "y", "2025-03-02T09:00:00Z"),
    ("t1", "bob", "x", "2025-03-01T11:00:00Z"),
    ("t2", "ann", "y", "2025-03-01T12:00:00Z"),
    ("t2", "bob", "y", "2025-03-03T08:00:00Z"),
    ("t2", "bob", "x", "2025-03-02T08:00:00Z"),
    ("t2", "bob", "x", "2025-03-01T08:00:00Z"),
]
"""Task, worker, label, time."""
STAND = {("t1", "ann"): "y", ("t1", "bob"): "x", ("t2", "ann"): "y", ("t2", "bob"): "y"}
Row = tuple[str, str, str, str]


def label_studio(rows: Sequence[Row]) -> str:
    def annotation(worker: str, label: str, time: str) -> dict[str, Any]:
        result = {"from_name": "mood", "type": "choices", "value": {"choices": [label]}}
        edited = {"created_at": "2025-01-01T00:00:00Z", "updated_at": time}
        return {"completed_by": {"email": worker}, "result": [result], **edited}

    return json.dumps(
        [{"id": t, "data": {"text": t}, "annotations": [annotation(*rest)]} for t, *rest in rows]
    )


def label_studio_min(rows: Sequence[Row]) -> str:
    return json.dumps(
        [
            {"id": t, "mood": label, "annotator": w, "annotation_id": n, "updated_at": time}
            for n, (t, w, label, time) in enumerate(rows)
        ]
    )


def prodigy(rows: Sequence[Row]) -> str:
    options = [{"id": label, "text": label} for label in "xy"]
    return "\n".join(
        json.dumps(
            {
                "text": t,
                "_input_hash": t,
                "_session_id": w,
                "options": options,
                "answer": "accept",
                "accept": [label],
                "_timestamp": int(pd.Timestamp(time).timestamp()),
            }
        )
        for t, w, label, time in rows
    )


def toloka(rows: Sequence[Row]) -> str:
    header = "INPUT:text\tOUTPUT:mood\tASSIGNMENT:worker_id\tASSIGNMENT:submitted\n"
    return header + "\n".join("\t".join([t, label, w, time]) for t, w, label, time in rows)


def zooniverse(rows: Sequence[Row]) -> str:
    frame = pd.DataFrame(rows, columns=["subject_ids", "user_name", "label", "created_at"])
    frame["annotations"] = [json.dumps([{"task": "T0", "value": v}]) for v in frame.pop("label")]
    return frame.assign(classification_id=range(len(rows)), workflow_id=1, metadata="{}",
                        subject_data="{}").to_csv(index=False)  # fmt: skip


def labelbox(rows: Sequence[Row]) -> str:
    return json.dumps(
        [
            {
                "DataRow ID": t,
                "Created By": w,
                "Label": {"classifications": [{"title": "mood", "answer": {"title": label}}]},
                "Created At": "2025-01-01T00:00:00Z",
                "Updated At": time,
            }
            for t, w, label, time in rows
        ]
    )


TOOLS = {
    "x.json": label_studio,
    "min.json": label_studio_min,
    "x.jsonl": prodigy,
    "x.tsv": toloka,
    "x.csv": zooniverse,
    "box.json": labelbox,
}


@pytest.mark.parametrize("name", TOOLS)
@given(rows=st.permutations(ANSWERS))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_later_answer_counts_in_whatever_order_they_stand(
    tmp_path: Path, name: str, rows: list[Row]
) -> None:
    path = tmp_path / name
    path.write_text(TOOLS[name](rows))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = adapters.to_answers(path).to_frame()
    assert frame.set_index(["task", "worker"])["label"].to_dict() == STAND
    assert list(dict.fromkeys(frame["task"])) == list(dict.fromkeys(task for task, *_ in rows))
    said = " ".join(str(each.message) for each in caught)
    assert "repeat a (task, worker) pair with another label" in said


@pytest.mark.parametrize("how", ["first", "last"])
def test_answers_without_a_time_count_in_their_order(tmp_path: Path, how: str) -> None:
    records = json.loads(label_studio(ANSWERS))
    for record in records[1:2]:
        del record["annotations"][0]["updated_at"], record["annotations"][0]["created_at"]
    (tmp_path / "x.json").write_text(json.dumps(records))
    with pytest.warns(DataWarning, match=f"the {how} one counts"):
        frame = adapters.to_answers(tmp_path / "x.json", duplicates=how).to_frame()
    given = frame.set_index(["task", "worker"])["label"]
    assert given["t1", "ann"] == {"first": "x", "last": "y"}[how]
    assert given["t2", "bob"] == {"first": "x", "last": "y"}[how]  # by time


def test_tables_in_several_files_say_that_their_order_decides(tmp_path: Path) -> None:
    header = "task,worker,label,timestamp\n"
    (tmp_path / "part-0.csv").write_text(header + "1,a,x,2025-03-02\n1,b,x,2025-03-02\n")
    (tmp_path / "part-1.csv").write_text(header + "1,a,y,2025-03-01\n1,b,x,2025-03-02\n")
    with pytest.warns(DataWarning, match=r"the last one counts\. .* not in the order of time"):
        adapters.to_answers(tmp_path)


def test_runs_of_a_judge_are_told_from_answers_that_were_edited() -> None:
    rows = [
        (t, w, "xy"[(t * run + len(w)) % 2])
        for t in range(9)
        for w in ("a", "bb")
        for run in range(3)
    ]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    with pytest.warns(
        DataWarning, match="the last one counts.*there are 3.0 answers a pair: if they are runs"
    ):
        adapters.to_answers(frame)
    few = pd.concat([frame.drop_duplicates(["task", "worker"]), frame.iloc[[1, 4, 7, 10, 13]]])
    with pytest.warns(DataWarning, match="the last one counts") as said:
        adapters.to_answers(few)
    assert not any("runs of a judge" in str(each.message) for each in said)

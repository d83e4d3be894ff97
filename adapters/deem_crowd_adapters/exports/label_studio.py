"""Label Studio: JSON, JSON-MIN and CSV, of one question about a task as a whole.

The format is that of Label Studio 1.x (and ``completions`` of 0.x): choices, ratings, numbers, pairwise and taxonomy.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Hashable
from typing import Any

from deem_crowd.exceptions import DataError, first_few
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import canonical, having, rows_of

_ANSWERS = {
    "choices": "choices",
    "rating": "rating",
    "number": "number",
    "pairwise": "selected",
    "taxonomy": "taxonomy",
}
"""Type of a result → the key of its value that holds the answer."""
_FLAT = (
    "annotation_id",
    "annotator",
    "lead_time",
    "created_at",
    "updated_at",
    "agreement",
    "history",
    "id",
    "comments",
)
"""Columns of JSON-MIN and CSV that are neither data nor answers."""
_REGIONS = "Its answers are about regions of a task (spans, boxes); only labels of whole tasks are aggregated."
_UPLOAD = re.compile(r"/data/upload/(?:\d+/)?[0-9a-f]{8}-")
"""What an upload puts before a file's own name."""
_is_flat = having("annotation_id", "annotator")


def _is_json(content: Content) -> bool:
    return (
        content.kind in ("records", "object")
        and "data" in content.keys
        and bool({"annotations", "completions"} & content.keys)
    )


def read_json(content: Content, collected: Collected) -> None:
    """Add the answers of a JSON export: one for each annotation that was not cancelled.

    An annotation that is marked as ground truth is a known label.
    """
    records = content.value if content.kind == "records" else [content.value]
    for number, record in enumerate(records):
        annotations = record.get("annotations", record.get("completions"))
        if not isinstance(annotations, list):
            raise content.damaged(f"record {number}", "'annotations' is no list")
        task = record.get("id", number)
        collected.content[task] = _shown(record.get("data"))
        collected.skip(
            "predictions of models", len([p for p in record.get("predictions") or [] if p])
        )
        collected.skip("drafts", len(record.get("drafts") or []))
        for annotation in annotations:
            if not isinstance(annotation, dict):
                raise content.damaged(
                    f"record {number}", f"an annotation is a {type(annotation).__name__}, no object"
                )
            _add(annotation, task, content, collected)


def _add(
    annotation: dict[str, Any], task: Hashable, content: Content, collected: Collected
) -> None:
    if annotation.get("was_cancelled") or annotation.get("skipped"):
        collected.skip("skipped tasks")
        return
    results = annotation.get("result") or []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise content.damaged(f"task {task!r}", "a 'result' is no list of objects")
    if not results:
        collected.skip("empty annotations")
        return
    worker = _annotator(annotation.get("completed_by"), content, collected)
    regions = {
        result.get("id")
        for result in results
        if result.get("type") not in (*_ANSWERS, "textarea", "ranker", "relation")
    }
    collected.time = annotation.get("updated_at") or annotation.get("created_at")
    said: dict[str, list[Any]] = defaultdict(list)
    for result in results:
        kind, value = result.get("type"), result.get("value") or {}
        name = str(result.get("from_name", kind))
        if kind == "textarea":
            text = value.get("text")
            collected.question(name).free_text = True
            said[name].append("\n".join(text) if isinstance(text, list) else text)
        elif kind in _ANSWERS:
            if (result.get("id") in regions and result.get("id") is not None) or {
                "start",
                "x",
                "ranges",
            } & set(value):
                collected.skip("choices about a region")
                collected.hint = _REGIONS
                continue
            answer = value.get(_ANSWERS[kind])
            if kind == "taxonomy" and isinstance(answer, list):
                answer = [
                    " / ".join(map(str, path)) if isinstance(path, list) else path
                    for path in answer
                ]
            said[name].append(answer)
        else:
            collected.skip("spans, boxes and other regions")
            collected.hint = _REGIONS
    marked = "answers marked as ground truth" if annotation.get("ground_truth") else ""
    for name, answers in said.items():
        known = "" if collected.question(name).free_text else marked
        collected.add(name, task, worker, _together(answers), known=known)


def _together(answers: list[Any]) -> Any:
    """Return what the results of one control in one annotation say: one answer, of several labels where they differ."""
    if len(answers) == 1:
        return answers[0]
    labels: list[Any] = []
    for answer in answers:
        for label in answer if isinstance(answer, list) else [answer]:
            if label not in (None, "") and label not in labels:
                labels.append(label)
    return labels


def _annotator(value: Any, content: Content, collected: Collected) -> Hashable:
    if isinstance(value, dict):
        value = value.get("email") or value.get("username") or value.get("id")
    return collected.of_nobody(content.stem) if value is None else value


def _shown(data: Any) -> str:
    """Return the data of a task as text by which it is known in another project."""
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if key not in ("id", "meta")}
    return _UPLOAD.sub("", canonical(data))


def read_flat(content: Content, collected: Collected) -> None:
    """Add the answers of JSON-MIN and CSV, where data and answers are columns side by side.

    A column of data is the same in every row of a task; the answers stand between the task's id and the annotator.
    """
    records = list(rows_of(content))
    columns = list(dict.fromkeys(key for record in records for key in record))
    names = _answer_columns(columns, records, content)
    for number, record in enumerate(records):
        task = record.get("id", record.get("task_id"))
        if task is None:
            raise content.damaged(f"record {number}", "there is no task 'id'")
        data = {key: record.get(key) for key in columns if key not in names and key not in _FLAT}
        collected.content[task] = _shown(data)
        worker = record.get("annotator")
        if worker is None:
            worker = collected.of_nobody(content.stem)
        collected.time = record.get("updated_at") or record.get("created_at")
        for name in names:
            collected.add(name, task, worker, _answer(record.get(name)))


def _answer_columns(
    columns: list[str], records: list[dict[str, Any]], content: Content
) -> list[str]:
    rest = [name for name in columns if name not in _FLAT]
    by_task: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        by_task[record.get("id", record.get("task_id"))].append(record)

    def varies(name: str) -> bool:
        return any(len({repr(r.get(name)) for r in rows}) > 1 for rows in by_task.values())

    varying = [name for name in rest if varies(name)]
    placed = (
        [n for n in rest if columns.index("id") < columns.index(n) < columns.index("annotator")]
        if "id" in columns and "annotator" in columns
        else []
    )
    if placed:
        return placed
    if varying:
        return varying
    raise DataError(
        f"{content.name} (Label Studio) does not show which of the columns {first_few(rest, 10)} is the answer: no "
        "column differs between annotators. Export JSON instead, or name the columns: task='id', "
        "worker='annotator', label=…."
    )


def _answer(value: Any) -> Any:
    """Return an answer as JSON-MIN and CSV write it: plain, a list of one object, or JSON of these."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        for key in (*_ANSWERS.values(), "text"):
            if key in value:
                value = value[key]
                break
    if isinstance(value, list):
        return [" / ".join(map(str, v)) if isinstance(v, list) else v for v in value]
    return value


FORMATS = (
    Format("label-studio", "Label Studio JSON", _is_json, read_json),
    Format("label-studio", "Label Studio JSON-MIN or CSV", _is_flat, read_flat),
)

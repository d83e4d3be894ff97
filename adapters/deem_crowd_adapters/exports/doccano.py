"""doccano: JSON lines, JSON and CSV of text and image classification, one file for each annotator."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from deem_crowd.data.frames import SYNONYMS
from deem_crowd.exceptions import DataError
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, canonical, records_of

_LABELS = ("label", "labels", "cats")
_NOT_DATA = (
    *_LABELS,
    "id",
    "annotations",
    "meta",
    "Comments",
    "comments",
    "annotation_approver",
    "username",
)
_WORKERS = frozenset({"worker", *SYNONYMS["worker"].split()} - {"user", "source", "model"})
_SPANS = "Its labels are spans inside a text (start, end, name), and only labels of whole tasks are aggregated."


def _is_json(content: Content) -> bool:
    if content.kind != "records" or not {"text", "data", "filename", "image"} & content.keys:
        return False
    if any(key.lower().removesuffix("s") in _WORKERS for key in content.keys):
        return False  # who gave the labels stands beside them, and doccano has no such column
    return any(
        isinstance(record.get(key), list) for record in content.value[:50] for key in _LABELS
    ) or any(_is_annotated(record) for record in content.value[:50])


def _is_annotated(record: dict[str, Any]) -> bool:
    annotations = record.get("annotations")
    return isinstance(annotations, list) and any(
        isinstance(each, dict) and {"label", "user"} <= set(each) for each in annotations
    )


def _is_csv(content: Content) -> bool:
    """Tell whether a table is doccano's: ``id``, ``text`` or ``data``, ``label``, comments, and no annotator."""
    columns = {key.lower() for key in content.keys}
    extra = columns - {
        "id",
        "text",
        "data",
        "label",
        "comments",
        "annotation_approver",
        "username",
        "metadata",
    }
    return (
        content.kind == "table"
        and {"id", "label"} <= columns
        and bool({"text", "data"} & columns)
        and (not extra or "comments" in columns)
    )


def read_json(content: Content, collected: Collected) -> None:
    """Add the label of each record, by the annotator that the file is named after."""
    for number, (place, record) in enumerate(records_of(content)):
        task = _task(record, number, collected)
        if _is_annotated(record):
            _add_annotations(record, task, place, collected)
            continue
        labels: Any = next((record[key] for key in _LABELS if record.get(key) is not None), [])
        if not isinstance(labels, list):
            labels = [labels]
        if any(isinstance(label, (list, dict)) for label in labels):
            raise _of_spans(place, f", label {str(labels[0])[:60]}")
        if not labels:
            collected.skip("tasks without a label")
            continue
        collected.add("label", task, content.stem, labels)


def read_csv(content: Content, collected: Collected) -> None:
    """Add the label of each row; ``#`` joins several labels."""
    frame: pd.DataFrame = content.value.rename(columns=str.lower)
    labels = frame["label"]
    joined = labels.map(lambda v: isinstance(v, str) and "#" in v)
    for number, (_, row) in enumerate(frame.iterrows()):
        task = _task({str(k): v for k, v in row.items()}, number, collected)
        label = row["label"]
        if pd.isna(label):
            collected.skip("tasks without a label")
            continue
        worker = row.get("username") or collected.of_nobody(content.stem)
        parts: Any = label.split("#") if joined.iloc[number] else [label]
        if not all(parts):
            parts = [label]  # a name such as C#
        collected.add("label", task, worker, parts)


def _add_annotations(
    record: dict[str, Any], task: Hashable, place: Spot, collected: Collected
) -> None:
    """Add answers of the first versions, which name the user beside each label."""
    by_user: dict[Hashable, list[Any]] = {}
    for each in record["annotations"]:
        if not isinstance(each, dict) or "label" not in each:
            raise place.damaged("an annotation is no object with a 'label'")
        if "start_offset" in each:
            raise _of_spans(place)
        by_user.setdefault(each.get("user", place.content.stem), []).append(each["label"])
    for user, labels in by_user.items():
        collected.add("label", task, user, labels)


def _of_spans(place: Spot, more: str = "") -> DataError:
    return DataError(f"{place.content.name} (doccano), {place.name}{more}: {_SPANS}")


def _task(record: dict[str, Any], number: int, collected: Collected) -> Hashable:
    task: Hashable = record.get("id")
    if task is None or task != task:
        task = record.get("text") or record.get("data") or number
    data = {
        key: value
        for key, value in record.items()
        if key not in _NOT_DATA and not (isinstance(value, float) and value != value)
    }
    collected.content[task] = canonical(data)
    return task


FORMATS = (
    Format("doccano", "doccano JSON lines", _is_json, read_json),
    Format("doccano", "doccano CSV", _is_csv, read_csv),
)

"""Labelbox: classifications of whole data rows, of the first export (JSON, CSV) and of the second (NDJSON)."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, canonical, having, rows_of
from deem_crowd_adapters.json_text import parse_json

_OBJECTS = "Boxes, polygons and entities are regions; only classifications of whole data rows are aggregated."

_TASK = ("DataRow ID", "External ID", "Labeled Data", "ID")
"""Columns that tell the data row, the first that is there; ``ID`` is the label's own."""

_is_v1 = having("Created By", "Label")
_is_v2 = having("data_row", "projects", kinds=("object", "records"))


def read_v1(content: Content, collected: Collected) -> None:
    """Add the classifications of each label; the annotator is ``Created By``, and ``Skip`` is no label.

    A task is the data row. Radio buttons hold one answer, checklists several; nested questions are ``question/nested``.
    A benchmark label is a known one.
    """
    collected.hint = _OBJECTS
    for number, row in enumerate(rows_of(content)):
        place = Spot(content, f"record {number}")
        key = next((row[k] for k in _TASK if row.get(k)), number)
        task = place.hashable(key, "'DataRow ID'")
        collected.content[task] = canonical(row.get("External ID"), row.get("Labeled Data"))
        label = row.get("Label")
        if isinstance(label, str) and label.strip()[:1] in ("{", "["):
            label = parse_json(label, f"{place}, column 'Label'")
        if label in ("Skip", "skip", "Skipped") or row.get("Skipped") is True:
            collected.skip("skipped data rows")
            continue
        if label in (None, "", {}):
            collected.skip("data rows without a label")
            continue
        worker = row.get("Created By") or collected.of_nobody(content.stem)
        collected.time = row.get("Updated At") or row.get("Created At")
        gold = row.get("Is Benchmark") in (1, True, "1", "true")
        if isinstance(label, str):  # an old text label
            _add("Label", label, task, worker, gold, collected)
            continue
        label = place.mapped(label, "'Label'")
        collected.skip("boxes, polygons and entities", _n_objects(label, place))
        if "classifications" in label or "objects" in label:
            given = place.listed(label.get("classifications"), "'classifications'")
            _classifications(given, "", (task, worker, gold), collected, place)
        else:
            _simple(label, (task, worker, gold), collected)


def _n_objects(label: dict[str, Any], place: Spot) -> int:
    return len(place.listed(label.get("objects"), "'objects'"))


def _simple(label: dict[str, Any], by: tuple[Hashable, Any, bool], collected: Collected) -> None:
    """Add the labels of the simplest export: question → answer, or class → geometries."""
    task, worker, gold = by
    for question, answer in label.items():
        if isinstance(answer, (dict, list)) and _is_geometry(answer):
            collected.skip("boxes, polygons and entities")
        else:
            _add(question, answer, task, worker, gold, collected)


def _is_geometry(answer: Any) -> bool:
    text = json.dumps(answer)
    return any(mark in text for mark in ('"geometry"', '"x"', '"bbox"', '"start"'))


def read_v2(content: Content, collected: Collected) -> None:
    """Add the classifications of each label of the second export; the annotator is ``label_details.created_by``."""
    collected.hint = _OBJECTS
    records = [content.value] if content.kind == "object" else content.value
    for number, record in enumerate(records):
        place = Spot(content, f"record {number}")
        data = place.mapped(record.get("data_row"), "'data_row'")
        key = data.get("id", data.get("global_key", number))
        task = place.hashable(key, "'data_row.id'")
        collected.content[task] = canonical(data.get("external_id"), data.get("row_data"))
        projects = place.mapped(record.get("projects"), "'projects'")
        for name, project in projects.items():
            project = place.mapped(project, f"project {name!r}")
            labels = place.listed(project.get("labels"), "'labels'")
            if not labels:
                collected.skip("data rows without a label")
            for label in labels:
                _label(place.mapped(label, "a label"), task, collected, place)
        experiments = place.mapped(record.get("experiments"), "'experiments'")
        collected.skip("predictions of models", len(experiments))


def _label(label: dict[str, Any], task: Hashable, collected: Collected, place: Spot) -> None:
    details = place.mapped(label.get("label_details"), "'label_details'")
    performance = place.mapped(label.get("performance_details"), "'performance_details'")
    if performance.get("skipped"):
        collected.skip("skipped data rows")
        return
    annotations = place.mapped(label.get("annotations"), "'annotations'")
    collected.skip("boxes, polygons and entities", _n_objects(annotations, place))
    given = place.listed(annotations.get("classifications"), "'classifications'")
    if not given and not annotations.get("objects"):
        collected.skip("labels without an answer")
    worker = details.get("created_by") or collected.of_nobody(place.content.stem)
    collected.time = details.get("updated_at") or details.get("created_at")
    gold = bool(details.get("is_benchmark_reference"))
    _classifications(given, "", (task, worker, gold), collected, place)


def _classifications(
    given: list[Any],
    parent: str,
    by: tuple[Hashable, Any, bool],
    collected: Collected,
    place: Spot,
) -> None:
    """Add classifications and those nested in their answers, of either export."""
    task, worker, gold = by
    for each in given:
        each = place.mapped(each, "a classification")
        name = str(each.get("name") or each.get("title") or each.get("value") or "label")
        question = f"{parent}/{name}" if parent else name
        text = each.get("text_answer")
        if text is not None:
            collected.question(question).free_text = True
            text = text.get("content") if isinstance(text, dict) else text
            _add(question, text, task, worker, gold, collected)
            continue
        one = each.get("radio_answer", each.get("answer"))
        many = each.get("checklist_answers", each.get("dropdown_answers", each.get("answers")))
        if isinstance(one, str):  # text in the first export
            collected.question(question).free_text = True
            _add(question, one, task, worker, gold, collected)
            continue
        answers = [one] if one is not None else place.listed(many, f"{name!r}")
        answers = [
            answer if isinstance(answer, str) else place.mapped(answer, f"an answer to {name!r}")
            for answer in answers
        ]
        labels = [
            a if isinstance(a, str) else a.get("name") or a.get("title") or a.get("value")
            for a in answers
        ]
        _add(question, labels, task, worker, gold, collected)
        for answer in answers:
            nested = answer.get("classifications") if isinstance(answer, dict) else None
            if nested:
                _classifications(
                    place.listed(nested, "'classifications'"),
                    question, by, collected, place,
                )  # fmt: skip


def _add(
    question: str, answer: Any, task: Hashable, worker: Any, gold: bool, collected: Collected
) -> None:
    collected.add(question, task, worker, answer, known="benchmark labels" if gold else "")


FORMATS = (
    Format("labelbox", "Labelbox export (version 1)", _is_v1, read_v1),
    Format("labelbox", "Labelbox export (version 2)", _is_v2, read_v2),
)

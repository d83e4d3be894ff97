"""Zooniverse (Panoptes): the classification export, one row a classification, its answers in JSON."""

from __future__ import annotations

from typing import Any

from deem_crowd.exceptions import DataError
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, having, is_rows, rows_of
from deem_crowd_adapters.json_text import parse_json

_DRAWN = (
    "Its answers are drawings; only answers about a whole subject are aggregated. Zooniverse's "
    "panoptes_aggregation has reducers for drawings."
)
_is_export = having("classification_id", "user_name", "annotations", "subject_ids")


def _is_derived(content: Content) -> bool:
    """Tell extracts and reductions of panoptes_aggregation, and reductions of Caesar."""
    return is_rows(content, "subject_id", "workflow_id") and bool(
        {"extractor", "reducer", "reducer_key", "extractor_key"} & content.keys
    )


def refuse(content: Content, collected: Collected) -> None:
    """Refuse what is derived from classifications.

    Raises
    ------
    DataError
    """
    raise DataError(
        f"{content.name} is an extract or a reduction of Zooniverse classifications: its columns are classes, and a "
        "reduction counts answers without saying whose they are. Give the classification export "
        "(…-classifications.csv) itself, which holds the answers of each volunteer."
    )


def read(content: Content, collected: Collected) -> None:
    """Add the answers of each classification. A question is a task of a workflow, such as ``T0``.

    Each volunteer who was not logged in is a source of its own, by the hash in the name that the export has for it. The
    answers of experts (``gold_standard``) are known labels. Drawings are left out, and so are the details of a survey's
    choices.
    """
    rows = list(rows_of(content))
    workflows = {row.get("workflow_id") for row in rows}
    collected.workers_are_global = True
    for number, row in enumerate(rows, 1):
        place = Spot(content, f"row {number}")
        subject, name = row.get("subject_ids"), row.get("user_name")
        if subject is None or name is None:
            raise place.damaged("'subject_ids' or 'user_name' is empty")
        given = row.get("annotations")
        if isinstance(given, str):
            given = parse_json(given, str(place))
        prefix = f"{row.get('workflow_id')} " if len(workflows) > 1 else ""
        collected.time = row.get("created_at")
        expert = str(row.get("gold_standard")).lower() == "true"
        for task, value in _tasks(place.listed(given, "'annotations'")):
            label = _label(value, collected)
            if label is _NOTHING:
                continue
            if not expert:
                collected.add(f"{prefix}{task}", subject, name, label)
            elif isinstance(label, (str, int, float)):
                collected.known(f"{prefix}{task}", subject, label, collected.time)


_NOTHING = object()
"""Stands for what is no answer about a whole subject."""


def _tasks(annotations: list[Any]) -> list[tuple[str, Any]]:
    """Return the tasks of a classification with what was answered, those of combined tasks one by one."""
    found: list[tuple[str, Any]] = []
    for each in annotations:
        if not isinstance(each, dict):
            continue
        value = each.get("value")
        if isinstance(value, list) and value and all(_is_task(inner) for inner in value):
            found += _tasks(value)
        else:
            found.append((str(each.get("task")), value))
    return found


def _is_task(value: Any) -> bool:
    return isinstance(value, dict) and {"task", "value"} <= value.keys()


def _label(value: Any, collected: Collected) -> Any:
    """Return an answer, a list of them where several boxes may be ticked, or that there is none."""
    if isinstance(value, dict):
        value = [value]
    objects = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    if not objects:
        return value
    if all("choice" in each for each in objects):  # a survey
        collected.skip("details of choices", sum(bool(each.get("answers")) for each in objects))
        return [each["choice"] for each in objects]
    if all("value" in each and "tool" not in each for each in objects):  # a dropdown
        return [each["value"] for each in objects]
    collected.skip("drawings", len(objects))
    collected.hint = _DRAWN
    return _NOTHING


FORMATS = (
    Format("zooniverse", "Zooniverse classifications", _is_export, read),
    Format("zooniverse", "Zooniverse extract or reduction", _is_derived, refuse),
)

"""Amazon Mechanical Turk's batch results: Input and Answer columns, a row an assignment."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import Any

from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import rows_of

_JSON = "Answer.taskAnswers"
"""The column in which crowd-form elements put all answers of an assignment."""
_TICKED = frozenset(("true", "on", "yes", "1"))
_UNTICKED = frozenset(("false", "off", "no", "0", ""))
_NUMBERED = re.compile(r"^(.*?)[._-]?(\d+)$")


def _is_results(content: Content) -> bool:
    return (
        content.kind == "table"
        and {"HITId", "WorkerId"} <= content.keys
        and any(key.startswith("Answer.") for key in content.keys)
    )


def read(content: Content, collected: Collected) -> None:
    """Add the answers of assignments that were not rejected, one for each item of a HIT."""
    collected.workers_are_global = True
    rows = [row for row in rows_of(content) if not _is_rejected(row, collected)]
    answers = [_answers(row, content, number) for number, row in enumerate(rows)]
    names = list(dict.fromkeys(name for given in answers for name in given))
    items = _items(names, [name for name in content.keys if name.startswith("Input.")])
    boxes = {} if items else _boxes(names, answers)
    for number, (row, given) in enumerate(zip(rows, answers, strict=True)):
        hit, worker = row.get("HITId"), row.get("WorkerId")
        if hit is None or worker is None:
            raise content.damaged(f"row {number}", "HITId or WorkerId is empty")
        for name, label in given.items():
            if name in items:
                question, item, column = items[name]
                collected.add(question, _item(row, hit, item, column), worker, label)
            elif not any(name in ticks for ticks in boxes.values()):
                collected.add(name, hit, worker, label)
        for question, ticks in boxes.items():
            ticked = [option for name, option in ticks.items() if _is_ticked(given.get(name))]
            collected.add(question, hit, worker, ticked)
        if any(name not in items for name in given):
            collected.content[hit] = _shown(row)


def _is_rejected(row: dict[str, Any], collected: Collected) -> bool:
    status = str(row.get("AssignmentStatus") or "").lower()
    marked = status in ("", "submitted") and row.get("Reject") not in (None, "")
    rejected = status == "rejected" or marked
    collected.skip("rejected assignments", int(rejected))
    return rejected


def _answers(row: dict[str, Any], content: Content, number: int) -> dict[str, Any]:
    """Return an assignment's answers by name, whichever way the form wrote them."""
    given = {
        key.removeprefix("Answer."): value
        for key, value in row.items()
        if key.startswith("Answer.") and key != _JSON
    }
    packed = row.get(_JSON)
    if packed is None:
        return given
    try:
        parts = json.loads(packed)
    except (TypeError, ValueError) as error:
        raise content.damaged(f"row {number}", f"{_JSON} is not JSON: {error}") from error
    for part in parts if isinstance(parts, list) else [parts]:
        for name, value in part.items() if isinstance(part, dict) else ():
            given.update(_unpacked(name, value))
    return given


def _unpacked(name: str, value: Any) -> dict[str, Any]:
    """Return the answers of one element: a label, an option each, or a plain value."""
    if not isinstance(value, dict):
        return {name: value}
    if set(value) <= {"label", "labels"}:
        return {name: value.get("label", value.get("labels"))}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(_unpacked(f"{name}.{key}", inner))
    return flat


def _is_ticked(value: Any) -> bool:
    return value is True or str(value).strip().lower() in _TICKED


def _boxes(names: list[str], answers: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return radio buttons and check boxes, one column an option: question → column → option."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        plain = name.removesuffix(".on")  # what a check box without a value adds
        if f"{name.removesuffix('.true')}.false" not in names:  # else they are two buttons
            plain = plain.removesuffix(".true")
        stem, dot, option = plain.rpartition(".")
        if dot or plain != name:
            groups[stem or "boxes"][name] = option
    return {
        stem: options
        for stem, options in groups.items()
        if len(options) > 1
        and all(_are_ticks([given.get(name) for given in answers]) for name in options)
    }


def _are_ticks(values: list[Any]) -> bool:
    written = {str(value).strip().lower() for value in values if value is not None}
    return bool(written) and written <= _TICKED | _UNTICKED


def _items(names: list[str], inputs: list[str]) -> dict[str, tuple[str, str, str]]:
    """Return which answers belong to which item of a HIT: answer → (question, item's number, column of the item).

    Answers and inputs that carry the same numbers belong together: Input.item1 to Answer.q1.
    """
    numbered: dict[str, dict[str, str]] = defaultdict(dict)
    for column in inputs:
        match = _NUMBERED.match(column)
        if match:
            numbered[match[1]][match[2]] = column
    shown = {stem: columns for stem, columns in numbered.items() if len(columns) > 1}
    if not shown:
        return {}
    stems = Counter(match[1] for name in names if (match := _NUMBERED.match(name)))
    items: dict[str, tuple[str, str, str]] = {}
    columns = max(shown.values(), key=len)
    for name in names:
        match = _NUMBERED.match(name)
        if match and stems[match[1]] > 1 and match[2] in columns:
            items[name] = (match[1], match[2], columns[match[2]])
    return items


def _item(row: dict[str, Any], hit: Hashable, item: str, column: str) -> Hashable:
    """Return an item of a HIT: what it shows, or the HIT and its number where that is empty."""
    shown: Hashable = row.get(column)
    return f"{hit}-{item}" if shown is None else shown


def _shown(row: dict[str, Any]) -> str:
    return "\t".join(str(value) for key, value in row.items() if key.startswith("Input."))


FORMATS = (Format("mturk", "Mechanical Turk results", _is_results, read),)

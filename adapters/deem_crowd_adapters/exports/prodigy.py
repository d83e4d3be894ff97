"""Prodigy's JSON lines (``prodigy db-out``, v1): choices, and accept or reject."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from deem_crowd.exceptions import counted
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import canonical

_NOT_DATA = (
    *(
        "answer",
        "accept",
        "options",
        "label",
        "spans",
        "tokens",
        "relations",
        "meta",
        "config",
        "html",
    ),
    *(
        "score",
        "priority",
        "cats",
        "_timestamp",
        "_session_id",
        "_annotator_id",
        "_view_id",
        "style",
    ),
    *(
        "_input_hash",
        "_task_hash",
        "_is_binary",
        "_id",
        "field_id",
        "field_label",
        "created",
        "updated",
    ),
)
"""Keys that are not what the annotator saw."""
_SPANS = "Its answers are spans inside a text, and only labels of whole tasks are aggregated."


def _is_prodigy(content: Content) -> bool:
    return (
        content.kind == "records"
        and "answer" in content.keys
        and bool({"_input_hash", "_task_hash", "_view_id", "_session_id"} & content.keys)
        and all(
            record.get("answer") in ("accept", "reject", "ignore", None)
            for record in content.value[:50]
        )
    )


def read(content: Content, collected: Collected) -> None:
    """Add the answers: the option that was accepted, or accept and reject where there are no options."""
    labels = {_label(record) for record in content.value if "options" not in record}
    for number, record in enumerate(content.value):
        worker = record.get("_annotator_id") or record.get("_session_id")
        worker = worker or collected.of_nobody(content.stem)
        answer = record.get("answer")
        collected.time = record.get("_timestamp")
        if answer == "ignore":
            collected.skip("ignored tasks")
        elif answer not in ("accept", "reject"):
            collected.skip("records without an answer")
        elif "options" in record or isinstance(record.get("accept"), list):
            _add_choice(record, number, worker, content, collected)
        elif record.get("spans") and _label(record) is None:
            collected.skip("spans")
            collected.hint = _SPANS
        else:
            task = _task(record, number, collected, of_label=len(labels) > 1)
            collected.add("answer", task, worker, answer)
    reviewed = sum(record.get("_view_id") == "review" for record in content.value)
    if reviewed:
        collected.notes.append(
            f"{counted(reviewed, 'record is', 'records are')} of a review, which holds what the reviewer decided: for "
            "the answers of the annotators, export the datasets that were reviewed"
        )
    if len(labels - {None}) > 1 and "answer" in collected.questions:
        collected.notes.append(
            f"a task is a text with a label to confirm, since {len(labels - {None})} labels were asked about"
        )


def _add_choice(
    record: dict[str, Any], number: int, worker: Hashable, content: Content, collected: Collected
) -> None:
    accept = record.get("accept")
    if accept is not None and not isinstance(accept, list):
        raise content.damaged(f"record {number}", f"'accept' is a {type(accept).__name__}, no list")
    if record["answer"] == "reject":
        collected.skip("rejected tasks of a choice")
    elif not accept:
        collected.skip("accepted tasks without a choice")
    else:
        collected.add("accept", _task(record, number, collected), worker, accept)


def _label(record: dict[str, Any]) -> str | None:
    label = record.get("label")
    return label if isinstance(label, str) else None


def _task(
    record: dict[str, Any], number: int, collected: Collected, of_label: bool = False
) -> Hashable:
    """Return what a record is about: its input, and with ``of_label`` the label that was asked about."""
    data = {key: value for key, value in record.items() if key not in _NOT_DATA}
    text = canonical(data)
    task: Hashable = record.get("_input_hash")
    if task is None:
        task = record.get("text") or record.get("image") or text
    if of_label:
        task = f"{task}: {_label(record)}"
        text = f"{text} {_label(record)}"
    collected.content.setdefault(task, text)
    return task


FORMATS = (Format("prodigy", "Prodigy JSON lines", _is_prodigy, read),)

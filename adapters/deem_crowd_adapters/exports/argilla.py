"""Argilla: records with responses, as 2.x exports them to JSON and to Hugging Face datasets, and as 1.x did."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, canonical, records_of

_GIVEN = ("submitted", None)
"""A response of another status (discarded, draft, pending) is no answer."""


def _records(content: Content) -> list[dict[str, Any]]:
    if content.kind == "records":
        return list(content.value)
    frame: pd.DataFrame = content.value
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """Return what parquet holds as arrays, and CSV as text, as lists and dicts."""
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _is_nested(content: Content) -> bool:
    """Tell whether ``responses`` holds the answers: a dict by question (2.x), or a list by user (1.x)."""
    return (
        content.kind == "records"
        and "responses" in content.keys
        and bool({"fields", "suggestions", "_server_id"} & content.keys)
    )


def _is_flat(content: Content) -> bool:
    return content.kind in ("records", "table") and any(
        key.endswith(".responses") or key.startswith("responses.") for key in content.keys
    )


def _is_first(content: Content) -> bool:
    """Tell whether this is the dataset of a 1.x feedback task: a column a question, lists of answers in it."""
    return (
        content.kind == "records"
        and "external_id" in content.keys
        and any(_is_answers(value) for record in content.value[:50] for value in record.values())
    )


def _is_answers(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(each, dict) and {"user_id", "value"} <= set(each) for each in value
    )


def read_nested(content: Content, collected: Collected) -> None:
    """Add the answers of records whose ``responses`` hold them."""
    for number, (place, record) in enumerate(records_of(content)):
        task = _task(record, number, collected)
        collected.skip("suggestions of models", len(record.get("suggestions") or ()))
        responses = record.get("responses") or {}
        if isinstance(responses, dict):
            for question, answers in responses.items():
                _add_answers(question, task, answers, place, collected)
            continue
        if not isinstance(responses, list):
            raise place.damaged(f"'responses' is a {type(responses).__name__}")
        for response in responses:
            if not isinstance(response, dict):
                raise place.damaged("a response is no object")
            if response.get("status") not in _GIVEN:
                collected.skip(f"{response['status']} responses")
                continue
            for question, answer in (response.get("values") or {}).items():
                worker = _user(response.get("user_id"), place)
                collected.add(question, task, worker, _value(answer))


def read_flat(content: Content, collected: Collected) -> None:
    """Add the answers of columns QUESTION.responses beside .users and .status, or responses.QUESTION."""
    for number, record in enumerate(_records(content)):
        place = Spot(content, f"record {number}")
        task = _task(record, number, collected)
        for key, answers in record.items():
            if key.startswith("responses."):
                question = key.removeprefix("responses.")
                _add_answers(question, task, answers, place, collected)
            elif key.endswith(".responses"):
                question = key.removesuffix(".responses")
                users = record.get(f"{question}.responses.users")
                statuses = record.get(f"{question}.responses.status")
                _add_columns(question, task, (answers, users, statuses), place, collected)


def read_first(content: Content, collected: Collected) -> None:
    """Add the answers of a 1.x dataset."""
    for number, (place, record) in enumerate(records_of(content)):
        task = _task(record, number, collected)
        for question, answers in record.items():
            if _is_answers(answers):
                _add_answers(question, task, answers, place, collected)


def _add_answers(
    question: str, task: Hashable, answers: Any, place: Spot, collected: Collected
) -> None:
    if answers is None or (isinstance(answers, float) and answers != answers):
        return
    if not isinstance(answers, list) or not all(isinstance(each, dict) for each in answers):
        raise place.damaged(f"the responses to {question!r} are no list of objects")
    for answer in answers:
        if answer.get("status") not in _GIVEN:
            collected.skip(f"{answer['status']} responses")
            continue
        collected.add(question, task, _user(answer.get("user_id"), place), _value(answer))


def _add_columns(
    question: str,
    task: Hashable,
    columns: tuple[Any, Any, Any],
    place: Spot,
    collected: Collected,
) -> None:
    answers, users, statuses = (column if isinstance(column, list) else None for column in columns)
    if answers is None:
        return
    if users is None or len(users) != len(answers):
        raise place.damaged(
            f"{question!r} has {len(answers)} responses and {len(users or ())} users"
        )
    for answer, user, status in zip(answers, users, statuses or [None] * len(answers), strict=True):
        if status not in _GIVEN:
            collected.skip(f"{status} responses")
        else:
            collected.add(question, task, _user(user, place), _value({"value": answer}))


def _value(answer: Any) -> Any:
    """Return the value of an answer; of several labels with one each, a list."""
    value = answer.get("value") if isinstance(answer, dict) else answer
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, dict) and "rank" in v for v in value)
    ):
        return [v.get("value") for v in value if v["rank"] == min(w["rank"] for w in value)]
    return value


def _user(user: Any, place: Spot) -> Hashable:
    return place.content.stem if user is None else str(user)


def _task(record: dict[str, Any], number: int, collected: Collected) -> Hashable:
    names = ("id", "external_id", "_server_id")
    task: Hashable = next((record[name] for name in names if record.get(name) is not None), number)
    fields = record.get("fields") or {
        key: value
        for key, value in record.items()
        if isinstance(value, str) and "." not in key and key != "status"
    }
    if isinstance(fields, dict):
        fields = {key: value for key, value in fields.items() if key not in ("id", "external_id")}
    collected.content[task] = canonical(fields)
    collected.workers_are_global = True  # ids of users are made to be unique everywhere
    return task


FORMATS = (
    Format("argilla", "Argilla records", _is_nested, read_nested),
    Format("argilla", "Argilla dataset", _is_flat, read_flat),
    Format("argilla", "Argilla 1 dataset", _is_first, read_first),
)

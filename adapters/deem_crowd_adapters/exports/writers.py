"""Consensus labels → predictions of Label Studio and suggestions of Argilla."""

from __future__ import annotations

import json
import os
from typing import Any

from deem_crowd.exceptions import DataError
from deem_crowd.runtime.atomic import atomic_write
from deem_crowd_adapters.exports.consensus import Data, consensus_of, fields_of

MODEL = "deem-crowd"
"""Who predicted, where a tool asks for it."""


def write_label_studio(
    result: Any,
    path: str | os.PathLike[str],
    *,
    from_name: str = "label",
    to_name: str = "text",
    data: Data = None,
    model_version: str = MODEL,
) -> None:
    """Write labels as predictions of Label Studio: JSON that it imports, with ``score`` for the confidence.

    Parameters
    ----------
    result : DataFrame, shape (N, K), Series of N labels, or a fitted aggregator
        Probabilities, index ``task`` and a column for each class; or labels by task. A fitted object is read by its
        ``probas_``. Tasks without a label have no prediction.
    path : path
        Replaced when the file is complete.
    from_name, to_name : str
        The names of the ``<Choices>`` control and of the object it is about, in the labelling configuration.
    data : DataFrame, Series or mapping, optional
        What the tasks hold, by task: columns, a text each (called ``to_name``), or a dict each. Where omitted, a task
        holds its id alone, as ``task``.
    model_version : str
        What the predictions are called.

    Raises
    ------
    FormError
        If ``result`` is none of these.
    DataError
        If probabilities are outside of [0, 1], tasks repeat, or a task of the result has no ``data``.
    OSError
    """
    consensus = consensus_of(result)
    fields = fields_of(data, consensus.tasks, to_name)
    tasks = []
    for task, label, score, field in zip(
        consensus.tasks, consensus.labels, consensus.scores, fields, strict=True
    ):
        record: dict[str, Any] = {"data": field}
        if isinstance(task, int):
            record = {"id": task, **record}
        record["predictions"] = []
        if label is not None:
            choice = {"type": "choices", "value": {"choices": [str(label)]}}
            prediction: dict[str, Any] = {
                "model_version": model_version,
                "result": [{"from_name": from_name, "to_name": to_name, **choice}],
            }
            if score is not None:
                prediction["score"] = score
            record["predictions"].append(prediction)
        tasks.append(record)
    _write_json(tasks, path)


def write_argilla(
    result: Any,
    path: str | os.PathLike[str],
    *,
    question: str = "label",
    data: Data = None,
    agent: str = MODEL,
) -> None:
    """Write labels as suggestions of Argilla 2: JSON that ``dataset.records.from_json(path)`` reads.

    Parameters
    ----------
    result, data
        As in :func:`write_label_studio`; a Series of texts becomes the field ``text``.
    path : path
        Replaced when the file is complete.
    question : str
        The name of the label question.
    agent : str
        Who suggests.

    Raises
    ------
    FormError, DataError, OSError
    """
    consensus = consensus_of(result)
    fields = fields_of(data, consensus.tasks, "text")
    records = []
    for task, label, score, field in zip(
        consensus.tasks, consensus.labels, consensus.scores, fields, strict=True
    ):
        suggestion = {"value": str(label), "score": score, "agent": agent}
        records.append(
            {
                "id": str(task),
                "fields": {name: _text(value) for name, value in field.items()},
                "metadata": {},
                "suggestions": {} if label is None else {question: suggestion},
                "responses": {},
                "vectors": {},
            }
        )
    _write_json(records, path)


def _text(value: Any) -> Any:
    """Return the value of a field, which is text, or a chat or an object as it is."""
    if value is None:
        return ""
    return value if isinstance(value, (str, list, dict)) else str(value)


def _write_json(records: list[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    try:
        text = json.dumps(records, ensure_ascii=False, allow_nan=False, indent=1, default=str)
        content = text.encode("utf-8")
    except (ValueError, UnicodeEncodeError) as error:
        raise DataError(f"the tasks' data cannot be written as JSON: {error}.") from error
    with atomic_write(path) as file:
        file.write(content)

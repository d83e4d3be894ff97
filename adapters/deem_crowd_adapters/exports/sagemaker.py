"""SageMaker Ground Truth: what workers answered, and the manifest of labels that the service has made of it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from deem_crowd.exceptions import DataError
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import Spot, having, is_rows, name_of_file, records_of
from deem_crowd_adapters.json_text import parse_json

_META = "-metadata"
_is_request = having("datasetObjectId", "annotations", kinds=("records",))
"""Tell the file of a consolidation: ``annotations/consolidation-request/iteration-1/TIME.json``."""


def _is_response(content: Content) -> bool:
    """Tell the file of one object: ``annotations/worker-response/iteration-1/OBJECT/TIME.json``."""
    first = content.value.get("answers") if content.kind == "object" else None
    return (
        isinstance(first, list)
        and bool(first)
        and all(
            isinstance(each, dict) and {"answerContent", "workerId"} <= each.keys()
            for each in first
        )
    )


def _is_manifest(content: Content) -> bool:
    return (is_rows(content, "source-ref") or is_rows(content, "source")) and any(
        key.endswith(_META) and key.removesuffix(_META) in content.keys for key in content.keys
    )


def refuse(content: Content, collected: Collected) -> None:
    """Refuse the manifest of a job's output.

    Raises
    ------
    DataError
    """
    raise DataError(
        f"{content.name} is an output manifest of SageMaker Ground Truth: one row an object, with the label that the "
        "service has made of the answers, without the answers of single workers. Give the folder "
        "annotations/worker-response, or the files of annotations/consolidation-request, of the same job."
    )


def read_response(content: Content, collected: Collected) -> None:
    """Add the answers about one object, which is called after the folder of the file."""
    folder = PurePath(content.name).parent.name
    task = folder or name_of_file(content)
    collected.workers_are_global = collected.is_one_task = True
    for number, each in enumerate(content.value["answers"]):
        place = Spot(content, f"answer {number}")
        worker = place.hashable(each["workerId"], "'workerId'")
        _add(collected, place, task, worker, each["answerContent"])


def read_request(content: Content, collected: Collected) -> None:
    """Add the answers about each object of a consolidation."""
    collected.workers_are_global = True
    for place, record in records_of(content):
        task = place.hashable(record.get("datasetObjectId"), "'datasetObjectId'")
        for each in place.listed(record.get("annotations"), "'annotations'"):
            given = place.mapped(each, "an annotation")
            worker = place.hashable(given.get("workerId"), "'workerId'")
            data = place.mapped(given.get("annotationData"), "'annotationData'")
            answer = data.get("content")
            if isinstance(answer, str):
                answer = parse_json(answer, str(place))
            _add(collected, place, task, worker, answer)


def _add(collected: Collected, place: Spot, task: Any, worker: Any, answer: Any) -> None:
    """Add what a form holds: a field, or an object with a label, several labels, or buttons of which one is on."""
    for question, value in place.mapped(answer, "the answer").items():
        if isinstance(value, dict):
            if "boundingBoxes" in value or "entities" in value or "polygons" in value:
                collected.skip("boxes, polygons and entities")
                collected.hint = (
                    "Its answers are about regions; only labels of whole objects are aggregated."
                )
                continue
            if "label" in value or "labels" in value:
                value = value.get("label", value.get("labels"))
            elif value and all(isinstance(each, bool) for each in value.values()):
                value = [name for name, on in value.items() if on]
        collected.add(question, task, worker, value)


FORMATS = (
    Format("sagemaker", "SageMaker Ground Truth answers of workers", _is_response, read_response),
    Format("sagemaker", "SageMaker Ground Truth consolidation request", _is_request, read_request),
    Format("sagemaker", "SageMaker Ground Truth manifest", _is_manifest, refuse),
)

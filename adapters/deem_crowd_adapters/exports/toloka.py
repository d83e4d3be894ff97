"""Toloka's TSV of assignments: INPUT, OUTPUT, GOLDEN and ASSIGNMENT columns, a row a task of a suite."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from deem_crowd.exceptions import DataError, first_few
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import rows_of

_LEFT_OUT = ("SKIPPED", "EXPIRED", "REJECTED", "ACTIVE")
"""Assignments of these statuses hold no answers that count."""


def _is_toloka(content: Content) -> bool:
    prefixes = {key.partition(":")[0] for key in content.keys if ":" in key}
    return content.kind == "table" and {"INPUT", "OUTPUT"} <= prefixes


def read(content: Content, collected: Collected) -> None:
    """Add the answers of assignments that were not skipped, expired, rejected or left unfinished."""
    columns = [str(name) for name in content.value.columns]
    inputs = [name for name in columns if name.startswith("INPUT:")]
    outputs = [name for name in columns if name.startswith("OUTPUT:")]
    assignment = {
        name.partition(":")[2].lower(): name for name in columns if name.startswith("ASSIGNMENT:")
    }
    worker_column = assignment.get("worker_id")
    collected.workers_are_global = worker_column is not None
    if worker_column is None:
        worker_column = assignment.get("assignment_id")
        if worker_column is None:
            raise DataError(
                f"{content.name} (Toloka) has no column ASSIGNMENT:worker_id, so that nobody knows who answered; found "
                f"{first_few(columns, 12)}. Export it with that column."
            )
        collected.notes.append(
            "there is no ASSIGNMENT:worker_id, so that each assignment counts as a worker of its own"
        )
    status_column = assignment.get("status")
    for number, row in enumerate(rows_of(content)):
        if all(row[name] is None for name in (*inputs, *outputs)):
            continue  # a blank row between suites
        task = _task(row, inputs, assignment, collected)
        golden = {name: row.get(f"GOLDEN:{name.partition(':')[2]}") for name in outputs}
        for name, label in golden.items():
            if label is not None:
                collected.known(name.partition(":")[2], task, label)
        status = str(row.get(status_column)).upper() if status_column else ""
        if status in _LEFT_OUT:
            collected.skip(f"rows of {status.lower()} assignments")
            continue
        worker = row.get(worker_column)
        if worker is None:
            raise content.damaged(f"row {number}", f"{worker_column} is empty")
        collected.time = row.get(assignment.get("submitted", ""))
        for name in outputs:
            collected.add(name.partition(":")[2], task, worker, row[name])


def _task(
    row: dict[str, Any], inputs: list[str], assignment: dict[str, str], collected: Collected
) -> Hashable:
    """Return the task's id, or what it shows where there is none."""
    shown = [row[name] for name in inputs]
    text = "\t".join("" if value is None else str(value) for value in shown)
    task: Hashable = row.get(assignment["task_id"]) if "task_id" in assignment else None
    if task is None:
        task = shown[0] if len(shown) == 1 else text
    collected.content[task] = text
    return task


FORMATS = (Format("toloka", "Toloka assignments", _is_toloka, read),)

"""Figure Eight (CrowdFlower, Appen): full reports, CSV or JSON lines of judgments."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from deem_crowd.exceptions import DataError, first_few
from deem_crowd_adapters.exports.collected import Collected
from deem_crowd_adapters.exports.content import Content
from deem_crowd_adapters.exports.known import Format
from deem_crowd_adapters.exports.rows import canonical, having, is_rows, records_of, rows_of

_TRUE = (True, 1, "1", "true", "True", "TRUE")
_is_full = having("_unit_id", "_worker_id")
_is_units = having("results", "judgments_count", kinds=("records",))
"""Tell the JSON report: a unit a line, with its judgments within."""


def read_units(content: Content, collected: Collected) -> None:
    """Add the answers of each judgment of each unit; what is left out, and gold, are those of :func:`read`."""
    collected.workers_are_global = True
    for place, unit in records_of(content):
        task = place.hashable(unit.get("id"), "'id'")
        data = place.mapped(unit.get("data"), "'data'")
        given = {key: value for key, value in data.items() if "_gold" not in key}
        collected.content.setdefault(task, canonical(given))
        results = place.mapped(unit.get("results"), "'results'")
        for each in place.listed(results.get("judgments"), "'judgments'"):
            judgment = place.mapped(each, "a judgment")
            worker = place.hashable(judgment.get("worker_id"), "'worker_id'")
            answers = place.mapped(judgment.get("data"), "'data' of a judgment")
            for question, answer in answers.items():
                gold = _parts(data.get(f"{question}_gold"))
                if len(gold) == 1:
                    collected.known(question, task, gold[0])
                if judgment.get("tainted") not in _TRUE:
                    collected.add(question, task, worker, _parts(answer))
            if judgment.get("tainted") in _TRUE:
                collected.skip("judgments of contributors who failed test questions")


def _is_aggregated(content: Content) -> bool:
    return is_rows(content, "_unit_id") and "_worker_id" not in content.keys


def refuse(content: Content, collected: Collected) -> None:
    """Refuse an aggregated report.

    Raises
    ------
    DataError
    """
    raise DataError(
        f"{content.name} is an aggregated report of Figure Eight: one row a unit, with the answer that the platform "
        "chose and its confidence, without the answers of single contributors. Download the full report."
    )


def read(content: Content, collected: Collected) -> None:
    """Add the answers of each judgment. A question is a column that has a column of gold, or differs within a unit.

    Judgments of contributors who failed too many test questions (``_tainted``) are left out, as the platform does. Test
    questions (``_golden``) give gold, where ``QUESTION_gold`` holds one answer; their answers are read like the others.
    """
    rows = list(rows_of(content))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    questions = _questions(columns, rows)
    if not questions:
        raise DataError(
            f"{content.name} (Figure Eight) shows no question: no column has a column of gold beside it "
            f"or differs between judgments of a unit. Columns: {first_few(columns, 20)}."
        )
    collected.workers_are_global = True
    for number, row in enumerate(rows):
        task, worker = row.get("_unit_id"), row.get("_worker_id")
        if task is None or worker is None:
            raise content.damaged(f"row {number + 1}", "'_unit_id' or '_worker_id' is empty")
        data = {c: row.get(c) for c in columns if _is_data(c, questions)}
        collected.content.setdefault(task, canonical(data))
        for question in questions:
            gold = _parts(row.get(f"{question}_gold"))
            if len(gold) == 1 and row.get("_golden") in (*_TRUE, None):
                collected.known(question, task, gold[0])
        if row.get("_tainted") in _TRUE:
            collected.skip("judgments of contributors who failed test questions")
            continue
        for question in questions:
            collected.add(question, task, worker, _parts(row.get(question)))


def _is_data(column: str, questions: list[str]) -> bool:
    return not (column.startswith("_") or column in questions or "_gold" in column)


def _questions(columns: list[str], rows: list[dict[str, Any]]) -> list[str]:
    plain = [
        c
        for c in columns
        if not c.startswith(("_", "orig_")) and "_gold" not in c and not c.endswith(":confidence")
    ]
    values: dict[str, dict[Any, set[Any]]] = {c: defaultdict(set) for c in plain}
    for row in rows:
        for column in plain:
            values[column][row.get("_unit_id")].add(str(row.get(column)))
    return [
        column
        for column in plain
        if f"{column}_gold" in columns or any(len(v) > 1 for v in values[column].values())
    ]


def _parts(value: Any) -> list[Any]:
    """Return the answers in a cell: check boxes stand in lines of their own."""
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return [value]


FORMATS = (
    Format("figure-eight", "Figure Eight full report", _is_full, read),
    Format("figure-eight", "Figure Eight JSON report", _is_units, read_units),
    Format("figure-eight", "Figure Eight aggregated report", _is_aggregated, refuse),
)

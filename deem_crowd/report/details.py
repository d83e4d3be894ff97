"""The tables at the end of a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.lookup import written_shortly
from deem_crowd.insight.contested import contested_table
from deem_crowd.insight.findings import against_gold, shown
from deem_crowd.insight.pairs import Panel
from deem_crowd.insight.results import Results
from deem_crowd.insight.tables import pairs_table, tasks_table, workers_table

_ROWS = 500


@dataclass(frozen=True)
class Table:
    """A table in text.

    Attributes
    ----------
    title : str
    header : list of str
    rows : list of lists of str
    text_columns : set of int
        Columns that hold words rather than numbers.
    note : str
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    text_columns: set[int] = field(default_factory=lambda: {0})
    note: str = ""


def table_of(title: str, frame: pd.DataFrame, note: str = "", most: int = _ROWS) -> Table:
    """Return the first rows of a frame, index first, as text; the note says how many are left out."""
    names = [name or "" for name in frame.index.names]
    part = frame.head(most)
    columns = [
        *(part.index.get_level_values(i).to_series() for i in range(part.index.nlevels)),
        *(part[c] for c in part.columns),
    ]
    header = [str(n).replace("_", " ") for n in [*names, *frame.columns]]
    words = {
        i
        for i, c in enumerate(columns)
        if i < part.index.nlevels or header[i] in _WORDS or pd.api.types.is_bool_dtype(c)
    }
    cells = [
        [
            _cell(v, i in words)
            for v in (written_shortly(pd.Index(c)) if c.dtype == np.float32 else c)
        ]
        for i, c in enumerate(columns)
    ]
    left_out = len(frame) - len(part)
    if left_out:
        note = f"{note} The first {len(part):,} of {len(frame):,} rows.".strip()
    return Table(title, header, [list(row) for row in zip(*cells, strict=True)], words, note)


_WORDS = {
    "answer",
    "label",
    "worker",
    "second",
    "confused label",
    "confused answer",
    "why",
    "candidate",
    "who said what",
}


def _cell(value: Any, word: bool) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if word:
        return shown(value, 200) if isinstance(value, str) and " " in value else shown(value)
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    return f"{float(value):.3f}"


def who_said_what(results: Results, tasks: npt.NDArray[np.int64]) -> list[str]:
    """Return for each of some tasks, given by position, who said what, shortened."""
    data, said = results.answers, results.hard_answer
    texts = []
    for task in tasks:
        rows = slice(data.task_ptr[task], data.task_ptr[task + 1])
        by_class: dict[int, list[str]] = {}
        for worker, answer in zip(data.worker[rows], said[rows], strict=True):
            by_class.setdefault(int(answer), []).append(shown(data.workers[worker], 16))
        parts = []
        for answer, names in sorted(by_class.items(), key=lambda item: -len(item[1])):
            more = f" +{len(names) - 3}" if len(names) > 3 else ""
            parts.append(f"{shown(data.classes[answer], 20)}: {', '.join(names[:3])}{more}")
        texts.append("; ".join(parts))
    return texts


def contested_rows(results: Results, panel: Panel, most: int) -> tuple[pd.DataFrame, int]:
    """Return the contested tasks, the least certain first, with who said what, and how many there are."""
    marks = contested_table(results, panel)
    names = ("unanswered", "tied", "uncertain", "repeated")
    place = np.flatnonzero(marks["contested"].to_numpy())
    order = place[np.argsort(results.confidence[place], kind="stable")][:most]
    reasons = marks[list(names)].to_numpy()[order]
    frame = tasks_table(results)[["label", "confidence", "second", "answers"]].iloc[order].copy()
    frame["why"] = [
        ", ".join(n for n, holds in zip(names, row, strict=True) if holds) for row in reasons
    ]
    frame["who said what"] = who_said_what(results, order)
    return frame, len(place)


def details(results: Results, panel: Panel, truth: npt.NDArray[np.int64] | None) -> list[Table]:
    """Return the tables of workers, pairs, the model's choice, and gold if there is some."""
    workers = workers_table(results).sort_values("skill", kind="stable")
    tables = [
        table_of(
            "All workers, the least skilled first",
            workers,
            "The confusion is the most frequent one: the consensus label, and what the worker said instead.",
        )
    ]
    pairs = pairs_table(results, panel)
    if len(pairs):
        tables.append(
            table_of(
                "Pairs of workers, the largest excess first",
                pairs,
                "Excess is what a pair agrees beyond what the skills of the two explain: 0 independent, 1 copies.",
                100,
            )
        )
    if truth is not None:
        table = against_gold(results, truth)
        table = table[table["gold_answers"] > 0].sort_values("right", kind="stable")
        tables.append(table_of("Workers against gold", table))
    chosen = results.model.selection_
    if chosen is not None:
        tables.append(table_of("What the model was chosen among", chosen.set_index("candidate")))
    return tables

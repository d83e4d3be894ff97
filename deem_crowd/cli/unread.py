"""Columns of a long table that are not read, though they say something about the answers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from deem_crowd.cli.files import called
from deem_crowd.exceptions import DataWarning
from deem_crowd.runtime.warning import warn

if TYPE_CHECKING:
    from deem_crowd.cli.intake import Reading
    from deem_crowd.data.answers import Answers

_GOLD = ("gold", "gold_label", "truth", "true_label", "ground_truth")
"""What a column of known labels is often called, in lower case."""


def warn_of_unread(asked: Reading, answers: Answers, without_gold: bool) -> None:
    """Warn of columns of the first file that hold known labels, or the order in which pairs were shown.

    ``without_gold`` says that no file of known labels was named.
    """
    from deem_crowd_adapters import pairwise, roles

    path = asked.paths[0]
    names = _columns(path, asked.format)
    if not {asked.columns.get(part, part) for part in roles.LONG} <= set(names):
        return
    gold = [name for name in names if name.lower() in _GOLD]
    if gold and without_gold:
        task = asked.columns.get("task", "task")
        and_task = "" if task == "task" else f" --gold-task {task}"
        warn(
            f"{called(path, 'input')}: column {gold[0]!r} is not read. If it holds known labels, add --gold {path} "
            f"--gold-label {gold[0]}{and_task}.",
            DataWarning,
        )
    order = [name for name in names if name.lower() in pairwise.ORDER_COLUMNS]
    if order and not answers.is_soft and _are_verdicts(answers.classes):
        swap = "" if order[0] == "order" else f" --adapter-set swap={order[0]}"
        warn(
            f"{called(path, 'input')}: column {order[0]!r} is not read, and labels such as "
            f"{answers.classes[0]!r} may mean positions (shown first, shown second). If so, --adapter pairwise{swap} "
            "maps verdicts on swapped pairs back.",
            DataWarning,
        )


def _are_verdicts(classes: Iterable[Any]) -> bool:
    """Tell whether labels are verdicts such as A, B and tie, with both A and B among them."""
    from deem_crowd_adapters.pairwise import VERDICTS

    said = {VERDICTS.get(str(label).strip().casefold(), "no verdict") for label in classes}
    return {"A", "B"} <= said <= {"A", "B", "tie", None}


def _columns(path: str, format: str | None) -> list[Any]:
    """Return the names of the columns of a file; an empty list if it is no table."""
    from deem_crowd_adapters import formats
    from deem_crowd_adapters.source import Source

    if not os.path.isfile(path):
        return []
    kind = format or formats.by_name(path)
    if kind == "parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    line = Source(path).head().decode(errors="replace").lstrip("\ufeff").partition("\n")[0]
    if kind in formats.DELIMITERS:
        return [name.strip(' "\r') for name in re.split(r"[,;\t]", line)]
    if kind == "jsonl":
        try:
            return list(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            return []
    return []

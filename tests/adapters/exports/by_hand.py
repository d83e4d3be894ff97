"""Small files of exports, written by hand, and how tests read them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from deem_crowd_adapters.exports.read import Export, read_export

from deem_crowd.exceptions import DataWarning


def write(path: Path, data: Any) -> Path:
    """Write a file as its suffix says: JSON, JSON lines, or text as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, str):
        path.write_text(data, encoding="utf-8")
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(record) + "\n" for record in data), encoding="utf-8")
    else:
        path.write_text(json.dumps(data), encoding="utf-8")
    return path


def read(path: Any, tool: str | None = None, **options: Any) -> tuple[Export, str]:
    """Return what an export holds, and what was said about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export = read_export(path, tool, **options)
    said = " ".join(str(w.message) for w in caught if issubclass(w.category, DataWarning))
    return export, said


def rows(export: Export) -> set[tuple[Any, Any, Any]]:
    """Return the answers as a set of (task, worker, label)."""
    return set(export.answers[["task", "worker", "label"]].itertuples(index=False, name=None))


def triples(frame: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(frame.itertuples(index=False, name=None))

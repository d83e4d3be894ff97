"""Workbooks of answers."""

from __future__ import annotations

import pandas as pd

LONG = pd.DataFrame(
    {"task": [1, 1, 2, 2], "worker": ["a", "b", "a", "b"], "label": ["x", "y", None, "x"]}
)


LONG_ANSWERS = {(1, "a", "x"), (1, "b", "y"), (2, "b", "x")}


def book(path, **sheets):
    with pd.ExcelWriter(path) as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False)
    return path


def sheet(labels, **more):
    n = len(labels)
    columns = {"item_id": range(1, n + 1), "text": [f"text {i}" for i in range(n)], **more}
    return pd.DataFrame({**columns, "tag": labels})

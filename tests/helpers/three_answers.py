"""Three answers of two workers to two tasks, and the answers of a frame as a set."""

from __future__ import annotations

import pandas as pd

FRAME = pd.DataFrame({"task": ["b", "a", "b"], "worker": [7, 7, 8], "label": ["y", "x", "x"]})


def pairs(frame: pd.DataFrame) -> set[tuple]:
    return set(frame[["task", "worker", "label"]].itertuples(index=False, name=None))

"""A wide table of three annotators, its file, and the answers that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

N = 60


def sheet(seed: int = 0, **more: Any) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    truth = draw.integers(3, size=N)
    names = np.array(["a", "b", "c"])
    frame = pd.DataFrame(
        {"item_id": [f"i{k}" for k in range(N)], "text": [f"words {k} " * 5 for k in range(N)]}
    )
    for worker, skill in (("ann1", 0.9), ("ann2", 0.8), ("ann3", 0.7)):
        frame[worker] = names[np.where(draw.random(N) < skill, truth, draw.integers(3, size=N))]
    return frame.assign(gold=names[truth], **more)


def path_of(folder: Path, frame: pd.DataFrame, name: str = "x.csv") -> Path:
    frame.to_csv(folder / name, index=False)
    return folder / name


def long_of(frame: pd.DataFrame, task: str, workers: list[str]) -> set[tuple[Any, ...]]:
    melted = frame.melt(task, workers, var_name="worker", value_name="label").dropna()
    return set(melted.itertuples(index=False, name=None))

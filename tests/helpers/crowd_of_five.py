"""Five workers of different skill who answer eighty tasks, and an aggregator fitted to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEMAggregator


def crowd(seed: int = 0, n: int = 80, k: int = 3) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    names = np.array(["cat", "dog", "fox", "owl"])[:k]
    truth = rng.integers(0, k, n)
    rows = []
    for w, skill in enumerate((0.95, 0.85, 0.75, 0.6, 0.5)):
        for t in np.flatnonzero(rng.random(n) < 0.8):
            label = truth[t] if rng.random() < skill else rng.integers(0, k)
            rows.append((f"t{t}", w * 10, names[label]))
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    frame = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    gold = pd.Series(names[truth], index=[f"t{t}" for t in range(n)])
    return frame, gold


FRAME, GOLD = crowd()


@pytest.fixture(scope="module")
def fitted() -> DEEMAggregator:
    return DEEMAggregator().fit(FRAME)

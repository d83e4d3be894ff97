"""Answers of six workers to two hundred tasks with two classes: as a matrix, with gaps, and as rows by id."""

from __future__ import annotations

import numpy as np
import pandas as pd

RNG = np.random.default_rng(0)
Y = RNG.integers(2, size=200)
X = np.where(RNG.random((200, 6)) < 0.8, Y[:, None], 1 - Y[:, None])
FRAME = pd.DataFrame(
    {
        "task": np.repeat(np.arange(200), 6),
        "worker": np.tile(list("abcdef"), 200),
        "label": np.where(X.ravel() == 1, "yes", "no"),
    }
)
GAPS = np.where(RNG.random(X.shape) < 0.2, -1, X)

"""Generated crowds, and consensuses written by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deem_crowd.decide import Consensus


def crowd(n=200, d=12, k=3, per_task=4, seed=0, low=0.5, high=0.95):
    """Return a frame of answers and the truth; worker i is right with a chance between ``low`` and ``high``."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    skill = np.linspace(low, high, d)
    rows = []
    for task in range(n):
        for worker in rng.choice(d, per_task, replace=False):
            right = rng.random() < skill[worker]
            label = truth[task] if right else (truth[task] + rng.integers(1, k)) % k
            rows.append((f"t{task}", f"w{worker}", f"c{label}"))
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    return frame, pd.Series([f"c{c}" for c in truth], index=[f"t{i}" for i in range(n)])


def consensus(posterior, tables=None, priors=None):
    posterior = np.asarray(posterior, dtype=float)
    n, k = posterior.shape
    return Consensus(
        posterior,
        posterior.argmax(axis=1),
        pd.Index([f"t{i}" for i in range(n)], name="task"),
        pd.Index([f"c{i}" for i in range(k)], name="label"),
        np.full(k, 1 / k) if priors is None else np.asarray(priors),
        pd.Index([f"w{i}" for i in range(0 if tables is None else len(tables))], name="worker"),
        None if tables is None else np.asarray(tables, dtype=float),
    )

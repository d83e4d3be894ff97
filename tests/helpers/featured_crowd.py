"""A drawn crowd, and one that labels real tasks with features: which lumps are breast cancer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from few_fits import shorten
from sklearn.datasets import load_breast_cancer

from deem_crowd import DEEMAggregator


def crowd(truth, n_answers, seed, right=0.75, n_workers=12):
    """Draw a crowd with even errors over the classes 'no' and 'yes', or 0, 1, 2 …"""
    rng = np.random.default_rng(seed)
    k = int(truth.max()) + 1
    task = np.repeat(np.arange(len(truth)), n_answers)
    worker = np.concatenate([rng.choice(n_workers, n_answers, replace=False) for _ in truth])
    wrong = (truth[task] + rng.integers(1, k, len(task))) % k
    label = np.where(rng.random(len(task)) < right, truth[task], wrong)
    return pd.DataFrame({"task": task, "worker": worker, "label": label})


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    frame = crowd(y[:300], 2, 1)
    names = np.array(["no", "yes"])
    frame["label"] = names[frame["label"]]
    frame["task"] = "t" + frame["task"].astype(str)
    features = pd.DataFrame(x, index=[f"t{i}" for i in range(len(y))])
    return frame, features, pd.Series(names[y], index=features.index)


@pytest.fixture(scope="module")
def fitted(cancer):
    frame, features, _ = cancer
    with pytest.MonkeyPatch.context() as patched:
        shorten(patched)
        return DEEMAggregator(random_state=0).fit(frame, features=features.iloc[:300])

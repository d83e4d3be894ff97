"""Rules that name one class each: their product with a classifier of their posterior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deem_crowd import Answers, DEEMAggregator
from deem_crowd.features.learned import one_sided_share

SETS = Path(__file__).parents[3] / "shared" / "data" / "features"


def test_one_sided_sources():
    rng = np.random.default_rng(0)
    task, label = np.arange(100), rng.integers(0, 2, 100)
    rules = pd.DataFrame({"task": task, "worker": label, "label": label})  # each names one class
    assert one_sided_share(Answers.from_frame(rules)) == 1.0
    crowd_ = pd.DataFrame({"task": task, "worker": task % 5, "label": label})
    assert one_sided_share(Answers.from_frame(crowd_)) == 0.0


def test_rules_that_name_one_class_are_multiplied_by_a_classifier_of_their_posterior():
    rng = np.random.default_rng(0)
    n = 400
    truth = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 4)) + 1.2 * truth[:, None]
    rows_ = []
    for worker in range(8):
        label = worker % 2
        speaks = rng.random(n) < np.where(truth == label, 0.5, 0.15) * (1 if label else 0.5)
        rows_.append(
            pd.DataFrame({"task": np.flatnonzero(speaks), "worker": worker, "label": label})
        )
    frame = pd.concat(rows_, ignore_index=True)
    index = pd.RangeIndex(n)
    some = index[index.isin(frame["task"])]
    alone = DEEMAggregator(random_state=0).fit(frame)
    found = DEEMAggregator(random_state=0).fit(frame, features=pd.DataFrame(x, index).loc[some])
    assert found.features_use_.startswith("product: most sources speak for one class")
    right = truth[alone.labels_.index]
    assert (found.labels_ == right).mean() > (alone.labels_ == right).mean() + 0.02


def test_youtube_rules_do_not_collapse():
    folder = SETS / "youtube"
    if not folder.exists():
        pytest.skip("needs the development data, ../shared/data/features/youtube")
    labels = pd.read_csv(folder / "labels.csv.gz", dtype=str)
    truth = pd.read_csv(folder / "truth.csv.gz", dtype=str).set_index("task")["label"]
    tasks = pd.read_csv(folder / "tasks.csv.gz", dtype=str).iloc[:, 0]
    x = pd.DataFrame(np.load(folder / "features.npz")["X"].astype(np.float32), index=tasks)
    some = tasks[tasks.isin(labels["task"])]
    alone = DEEMAggregator().fit_predict(labels)
    found = DEEMAggregator().fit(labels, features=x.loc[some])
    assert found.features_use_.startswith("product")
    told = truth[alone.index]
    right = (found.labels_ == told).mean()
    assert right > 0.9  # the vote has 0.86
    assert right > (alone == told).mean() - 0.01

"""Labels that features have drawn away from what workers agree about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from deem_crowd import Answers, DEEMAggregator
from deem_crowd.features import doubt
from deem_crowd.features.joint import Joint, Problem
from deem_crowd.features.rows import Rows
from deem_crowd.features.scaling import Scaling
from deem_crowd.model.design import make_design

N = 500


def crowd(rng: np.random.Generator, truth: np.ndarray, per_task: int = 3) -> pd.DataFrame:
    """Return answers of ten workers, right in 60 to 85 % of cases."""
    skill = rng.uniform(0.6, 0.85, 10)
    worker = np.stack([rng.choice(10, per_task, replace=False) for _ in truth])
    right = rng.random(worker.shape) < skill[worker]
    label = np.where(right, truth[:, None], 1 - truth[:, None])
    task = np.repeat(np.arange(len(truth)), per_task)
    return pd.DataFrame({"task": task, "worker": worker.ravel(), "label": label.ravel()})


def test_a_model_of_the_features_among_the_workers_is_not_the_truth(few_fits: None) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=N)
    x = rng.normal(size=(N, 6))
    x[:, 0] += 1.2 * truth
    wrong = (x @ np.array([1.0, 1.2, -0.8, 0.5, 0.0, 0.0]) > 0.6).astype(int)
    model = pd.DataFrame({"task": np.arange(N), "worker": 10, "label": wrong})
    answers = pd.concat([crowd(rng, truth), model])
    alone = DEEMAggregator().fit(answers)
    both = DEEMAggregator().fit(answers, features=pd.DataFrame(x))
    assert both.features_use_ is not None
    assert both.features_use_.startswith("product: given labels learned with features")
    right = [(agg.labels_ == truth[agg.labels_.index]).mean() for agg in (alone, both)]
    assert right[1] >= right[0] - 0.01


@pytest.mark.parametrize("seed", range(3))
def test_answers_are_independent_given_the_truth_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=N)
    answers = Answers.from_frame(crowd(rng, truth))
    design = make_design(answers, "cpu", "float64", 2)
    other = rng.integers(2, size=N)
    assert doubt.left_over(design, np.eye(2)[truth]) < 0.03
    assert doubt.left_over(design, np.eye(2)[other]) > 0.1


def test_known_labels_contradict_labels_that_are_surer_than_right() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=N)
    answers = Answers.from_frame(crowd(rng, truth))
    design = make_design(answers, "cpu", "float64", 2)
    known = np.where(np.arange(N) < 30, truth, -1)
    problem = Problem(
        design, Rows(np.zeros((N, 1)), np.arange(N), N), np.arange(N) % 5, torch.from_numpy(known)
    )
    even = torch.full((design.n_workers, 2, 2), -np.log(2.0), dtype=torch.float64)

    def learned(said: np.ndarray) -> Joint:
        log_q = np.log(np.where(np.eye(2)[said] == 1, 0.9, 0.1))
        return Joint(np.exp(log_q), even, np.full(2, 0.5), 0.0, [], log_q, Scaling.none(2))

    nearly = np.where(rng.random(N) < 0.1, 1 - truth, truth)
    assert doubt.contradicted(problem, learned(nearly)) is None
    assert "contradict the 30 known ones" in str(doubt.contradicted(problem, learned(1 - truth)))

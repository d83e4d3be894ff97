"""Features beside a model of the answers that is no table a worker: scores of judges, and who answered."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import deem_crowd_adapters as adapters
import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from deem_crowd import Answers, DataWarning, DEEMAggregator
from deem_crowd.selection.candidates import FACTOR, PRESENCE

Drawn = tuple[Answers, np.ndarray, str]


def judged(seed: int) -> Drawn:
    """Return ranks of the scores of five judges, with areas under the curve of 0.6 to 0.9."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=300)
    apart = np.sqrt(2) * ndtri([0.9, 0.8, 0.7, 0.65, 0.6])
    score = truth[:, None] * apart + rng.normal(size=(300, 5))
    task, judge = np.indices(score.shape).reshape(2, -1)
    frame = pd.DataFrame({"task": task, "worker": judge, "score": score.ravel()})
    return adapters.from_scores(frame), truth, FACTOR


def spoken(seed: int) -> Drawn:
    """Return the words of twenty labelling functions for one class each, precision 0.6 to 0.95."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(600) < 0.6).astype(int)
    rows = []
    for source in range(20):
        own, precision, coverage = source % 2, rng.uniform(0.6, 0.95), rng.uniform(0.05, 0.3)
        share = (truth == own).mean()
        rate = np.where(truth == own, precision / share, (1 - precision) / (1 - share)) * coverage
        said = np.flatnonzero(rng.random(600) < rate)
        rows.append(pd.DataFrame({"task": said, "worker": source, "label": own}))
    answers = Answers.from_frame(pd.concat(rows))
    return answers, truth[np.asarray(answers.tasks)], PRESENCE


def features(seed: int, truth: np.ndarray, apart: float) -> np.ndarray:
    """Return ten numbers a task, of which two tell the classes apart."""
    x = np.random.default_rng([seed, 1]).normal(size=(len(truth), 10))
    x[:, :2] += apart * truth[:, None]
    return x


def rated(agg: DEEMAggregator, truth: np.ndarray) -> np.ndarray:
    """Return the share of labels that are right, and minus the log-loss."""
    probas = agg.probas_[sorted(agg.probas_.columns)].to_numpy()
    right = (probas.argmax(1) == truth).mean()
    return np.array([right, np.log(np.clip(probas[np.arange(len(truth)), truth], 1e-12, 1)).mean()])


@functools.cache
def without_features(draw: Callable[[int], Drawn], seed: int) -> tuple[Drawn, DEEMAggregator]:
    drawn = draw(seed)
    return drawn, DEEMAggregator().fit(drawn[0])


@pytest.mark.parametrize("draw", [judged, spoken])
@pytest.mark.parametrize(("apart", "more"), [(1.8, 0.03), (0.5, -0.005), (0.0, -0.002)])
def test_what_such_answers_say_stays(
    draw: Callable[[int], Drawn], apart: float, more: float
) -> None:
    gains = []
    for seed in range(3):
        (answers, truth, chosen), alone = without_features(draw, seed)
        assert chosen in set(alone.selection_["candidate"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            both = DEEMAggregator().fit(answers, features=features(seed, truth, apart))
        assert both.features_use_ is not None
        assert both.features_use_.split(":")[0] in ("product", "answers alone")
        pd.testing.assert_frame_equal(both.selection_, alone.selection_)
        gains.append(rated(both, truth) - rated(alone, truth))
    accuracy, likelihood = np.mean(gains, axis=0)
    assert accuracy >= more
    assert likelihood >= (0.05 if apart > 1 else -0.002)

"""The benchmark of known shares of the classes, and the laws with a rare class."""

from __future__ import annotations

import numpy as np
import pytest
from deem_crowd_benchmarks import class_shares
from deem_crowd_benchmarks.sets import kinds
from deem_crowd_benchmarks.sets.label_sets import sources

from deem_crowd import Answers, DEEMAggregator


def test_shares_are_those_of_the_gold_and_of_a_sample() -> None:
    data = kinds.screening(0, 400)
    answers = Answers.from_frame(data.answers)
    found = class_shares.run(answers, data.gold, 50, 0)
    assert list(found) == ["nothing", "a sample of 50", "the shares"]
    alone = DEEMAggregator().fit_predict_proba(answers)
    np.testing.assert_array_equal(found["nothing"], alone)
    bad = (data.gold == 1).mean()
    off = {name: abs(probas[1].mean() - bad) for name, probas in found.items()}
    assert off["the shares"] < off["nothing"]


def test_each_class_has_a_share_even_if_none_was_counted() -> None:
    data = kinds.needles(0, 200)
    counts = data.gold.value_counts().reindex([0, 1, 2], fill_value=0)
    shares = class_shares.shares(counts)
    assert min(shares.values()) > 0
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "share"),
    [("moderation", 0.01), ("needles", 0.003), ("screening", 0.05), ("false-alarms", 0.02)],
)
def test_a_law_has_the_rare_class_and_the_errors_that_it_says(name: str, share: float) -> None:
    assert [one.name for one in sources("law:rare")] == list(kinds.RARE)
    data = kinds.RARE[name](0, n_tasks=20_000)
    truth = data.gold.loc[data.answers["task"]].to_numpy()
    assert data.gold.mean() == pytest.approx(share, abs=4 * np.sqrt(share / 20_000))
    seen, alarmed = (data.answers["label"].to_numpy()[truth == k].mean() for k in (1, 0))
    assert 0.45 < seen < 0.85
    assert alarmed < 0.16
    assert not data.answers.duplicated(["task", "worker"]).any()

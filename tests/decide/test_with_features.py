"""Decisions from a model whose labels rest on features, too."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from deem_crowd import DEEM, DataWarning, DEEMAggregator
from deem_crowd.decide import Consensus, clean, coverage_curve, reliable, suspect_answers

pytestmark = pytest.mark.usefixtures("few_fits_throughout")

N, CENTRES = 500, np.array([[0.0, 2.0], [1.7, -1.0], [-1.7, -1.0]])
RNG = np.random.default_rng(3)
TRUTH = pd.Series(RNG.integers(0, 3, N), index=[f"t{i}" for i in range(N)])
FEATURES = pd.DataFrame(CENTRES[TRUTH] + RNG.normal(0, 0.9, (N, 2)), index=TRUTH.index)


@pytest.fixture(scope="module")
def fitted() -> DEEMAggregator:
    """Two answers a task, by workers who are right in 55 to 95 % of cases."""
    skill = RNG.uniform(0.55, 0.95, 25)
    rows = []
    for task, label in TRUTH.items():
        for worker in RNG.choice(25, 2, replace=False):
            right = RNG.random() < skill[worker]
            said = label if right else (label + RNG.integers(1, 3)) % 3
            rows.append((task, f"w{worker}", said))
    answers = pd.DataFrame(rows, columns=["task", "worker", "label"])
    agg = DEEMAggregator().fit(answers, features=FEATURES)
    assert agg.features_use_.startswith("joint")
    return agg


def test_suspect_answers_are_told_by_the_features_too(fitted) -> None:
    """They are ranked by the posterior: what the answers alone say finds far fewer."""
    rows = suspect_answers(fitted)
    place = fitted.probas_.index.get_indexer(rows["task"])
    posterior = fitted.probas_.to_numpy()[place, rows["label"]]
    assert rows["score"].to_numpy() == pytest.approx(1 - posterior)
    wrong = rows["label"].to_numpy() != TRUTH[rows["task"]].to_numpy()
    assert roc_auc_score(wrong, rows["score"]) > 0.97
    few = rows.head(50)
    assert few["expected_precision"].iloc[-1] == pytest.approx(wrong[:50].mean(), abs=0.05)


def test_with_gold_labels_are_ordered_by_the_features_too(fitted) -> None:
    kept = reliable(fitted, 0.95, gold=TRUTH.iloc[:200])
    assert kept.coverage > 0.7
    assert (kept.labels == TRUTH[kept.labels.index]).mean() > 0.95
    assert Consensus.of(fitted).evidence == pytest.approx(fitted.probas_.to_numpy())


@pytest.mark.parametrize("gold", [None, TRUTH.iloc[:200]])
def test_features_do_not_count_twice(fitted, gold) -> None:
    pd.testing.assert_series_equal(
        reliable(fitted, 0.95, gold=gold, features=FEATURES).confidence,
        reliable(fitted, 0.95, gold=gold).confidence,
    )
    pd.testing.assert_frame_equal(coverage_curve(fitted, features=FEATURES), coverage_curve(fitted))


def test_what_a_deem_says_of_answers_passed_to_it_does_not_rest_on_features() -> None:
    """Their posterior is by the answers alone: they are ranked as by any model, and features add what they know."""
    rng = np.random.default_rng(8)
    truth = TRUTH.to_numpy()
    wrong = (truth[:, None] + rng.integers(1, 3, (N, 12))) % 3
    said = np.where(rng.random((N, 12)) < rng.uniform(0.5, 0.9, 12), truth[:, None], wrong)
    said[rng.random((N, 12)) > 0.25] = -1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # some tasks have no answer
        deem = DEEM().fit(said, features=FEATURES.to_numpy())
        assert deem.features_use_.startswith("joint")
        own, read = Consensus.of(deem), Consensus.of(deem, said)
        assert own.evidence == pytest.approx(deem.probas_)
        alone = suspect_answers(deem, answers=said)
        assert read.posterior == pytest.approx(deem.predict_proba(said))
        assert read.evidence != pytest.approx(read.posterior)
        plain, sharpened = (
            reliable(deem, 0.9, answers=said),
            reliable(deem, 0.9, answers=said, features=FEATURES.to_numpy()),
        )
    assert alone["score"].between(0, 1).all()
    assert sharpened.coverage > plain.coverage


def test_clean_says_that_its_fits_are_without_features(fitted) -> None:
    with pytest.warns(DataWarning, match="rest on features, which the fits of clean leave out"):
        done = clean(fitted, TRUTH, 4, per_round=4)
    assert done.aggregator.features_use_ is None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        clean(done.aggregator, TRUTH, 2, per_round=2)
    assert not [one for one in said if "features" in str(one.message)]

"""Tasks that nobody answered, after a fit with features: what their features say of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crowds import crowd

from deem_crowd import DEEM, DataError, DEEMAggregator
from deem_crowd.decide import Consensus, next_pairs, next_tasks

pytestmark = pytest.mark.usefixtures("few_fits_throughout")

CENTRES = {"c0": (0.0, 2.0), "c1": (1.7, -1.0), "c2": (-1.7, -1.0)}
EVERY, TRUTH = crowd(n=120, d=8, per_task=2, seed=1)
FEATURES = pd.DataFrame(
    TRUTH.map(CENTRES).tolist() + np.random.default_rng(0).normal(0, 0.7, (120, 2)),
    index=TRUTH.index,
    columns=["a", "b"],
)
ASKED, NEW = TRUTH.index[:90], TRUTH.index[90:]
FRAME = EVERY[EVERY["task"].isin(ASKED)]


@pytest.fixture(scope="module")
def agg() -> DEEMAggregator:
    fitted = DEEMAggregator().fit(FRAME, features=FEATURES.loc[ASKED])
    assert fitted.features_use_.startswith("joint")
    return fitted


def test_they_are_what_the_classifier_says(agg) -> None:
    """Without answers the posterior is the classifier's, as for a task whose answers are all missing in predict."""
    read = Consensus.of(agg).with_unanswered(NEW, FEATURES)
    told = read.posterior[90:]
    assert read.posterior[:90] == pytest.approx(agg.probas_.to_numpy())
    labels = read.classes.take(read.labels[90:])
    assert (labels == TRUTH[NEW]).mean() > 0.9
    assert (labels == read.classes.take(told.argmax(axis=1))).all()
    silent = pd.DataFrame({"task": NEW, "worker": "w1", "label": None}).astype({"label": object})
    drops = DEEMAggregator(missing="drop").fit(FRAME, features=FEATURES.loc[ASKED])
    expected = drops.predict_proba(silent, features=FEATURES.loc[NEW])
    assert told == pytest.approx(expected.to_numpy(), abs=1e-9)


def test_so_the_uncertain_ones_are_asked(agg) -> None:
    rows = next_tasks(agg, 120, unanswered=NEW, features=FEATURES).set_index("task").loc[NEW]
    read = Consensus.of(agg).with_unanswered(NEW, FEATURES)
    assert rows["score"].to_numpy() == pytest.approx(1 - read.posterior[90:].max(axis=1))
    assert rows["label"].notna().all()
    flat = next_tasks(agg, 120, unanswered=NEW).set_index("task").loc[NEW]
    assert flat["score"].nunique() == 1
    assert flat["label"].isna().all()
    pairs = next_pairs(agg, 120, unanswered=NEW, features=FEATURES).set_index("task").loc[NEW]
    assert pairs["confidence"].to_numpy() == pytest.approx(rows["confidence"].to_numpy())


@pytest.mark.parametrize("form", ["array", "shuffled", "column"])
def test_features_may_have_any_form(agg, form) -> None:
    given = {
        "array": FEATURES.to_numpy(),
        "shuffled": FEATURES.sample(frac=1, random_state=0)[["b", "a"]],
        "column": FEATURES.rename_axis("task").reset_index(),
    }[form]
    expected = next_pairs(agg, 10, unanswered=NEW, features=FEATURES)
    pd.testing.assert_frame_equal(next_pairs(agg, 10, unanswered=NEW, features=given), expected)


def test_tasks_without_a_row_have_the_prior(agg) -> None:
    some = FEATURES.drop(NEW[:5])
    read = Consensus.of(agg).with_unanswered(NEW, some)
    whole = Consensus.of(agg).with_unanswered(NEW, FEATURES)
    assert read.posterior[90:95] == pytest.approx(np.tile(agg.priors_.to_numpy(), (5, 1)))
    assert (read.labels[90:95] == -1).all()
    assert read.posterior[95:] == pytest.approx(whole.posterior[95:])
    none = Consensus.of(agg).with_unanswered(NEW, FEATURES.loc[ASKED])
    assert (none.labels[90:] == -1).all()


def test_a_model_that_does_not_rest_on_features_has_the_prior() -> None:
    alone = DEEMAggregator().fit(FRAME)
    read = Consensus.of(alone).with_unanswered(NEW, FEATURES)
    assert read.posterior[90:] == pytest.approx(np.tile(alone.priors_.to_numpy(), (30, 1)))


def test_a_deem_is_told_too() -> None:
    wide = FRAME.pivot_table("label", "task", "worker", aggfunc="first").loc[ASKED]
    said = wide.apply(lambda one: pd.Categorical(one, list(CENTRES)).codes).to_numpy()
    deem = DEEM().fit(said, features=FEATURES.loc[ASKED].to_numpy())
    new = list(range(90, 120))
    read = Consensus.of(deem).with_unanswered(new, FEATURES.to_numpy())
    guessed = read.labels[90:]
    assert (guessed == pd.Categorical(TRUTH[NEW], list(CENTRES)).codes).mean() > 0.9


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (FEATURES.to_numpy()[:100], "features have 100 rows, and there are 120 tasks"),
        (FEATURES.assign(c=1.0), "also have 'c'"),
        (FEATURES.to_numpy()[:, :1], "have 1 columns, and the model was fitted with 2"),
        (FEATURES.drop("t95").reindex(TRUTH.index), "missing or infinite"),
    ],
)
def test_other_features_are_refused(agg, features, words) -> None:
    with pytest.raises(DataError, match=words):
        next_pairs(agg, 3, unanswered=NEW, features=features)


def test_only_tasks_that_may_be_asked_need_features(agg) -> None:
    some = FEATURES.drop(["t3", "t95"])
    with pytest.raises(DataError, match="no row for 2 of 120 tasks: 't3', 't95'.*exclude="):
        next_tasks(agg, 5, unanswered=NEW, features=some)
    rows = next_tasks(agg, 5, unanswered=NEW, features=some, exclude=["t3", "t95"])
    expected = next_tasks(agg, 5, unanswered=NEW, features=FEATURES, exclude=["t3", "t95"])
    pd.testing.assert_frame_equal(rows, expected)
    array = next_tasks(agg, 5, unanswered=NEW, features=FEATURES.to_numpy(), exclude=["t3", "t95"])
    pd.testing.assert_frame_equal(array, expected)

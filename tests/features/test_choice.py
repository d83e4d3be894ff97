"""Which kind of classifier is chosen where the caller names none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from deem_crowd import DEEMAggregator
from deem_crowd.exceptions import FormError
from deem_crowd.features import choice
from deem_crowd.features.learners import LogisticLearner, levelled
from deem_crowd.features.neighbours import NeighbourLearner
from deem_crowd.features.sklearn_learner import SklearnLearner

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-1, 1, (400, 2)).astype(np.float32)
FOLD = np.arange(400) % 5
ONES = np.ones(400)


def votes(truth, right=0.8, seed=1):
    rng = np.random.default_rng(seed)
    return np.eye(2)[np.where(rng.random(len(truth)) < right, truth, 1 - truth)]


RING = (np.hypot(*POINTS.T) < 0.75).astype(int)
SLOPE = (POINTS[:, 0] + 0.5 * POINTS[:, 1] + RNG.logistic(0, 0.5, 400) > 0).astype(int)
NOISE = RNG.normal(size=(400, 8)).astype(np.float32)
STRIPES = (np.abs(NOISE[:, 0]) < 0.6).astype(int)
"""One column of eight tells them: distances do not."""


@pytest.mark.parametrize(
    ("x", "truth", "kind"),
    [
        (POINTS, SLOPE, LogisticLearner),
        (POINTS, RING, NeighbourLearner),
        (NOISE, STRIPES, SklearnLearner),
        (NOISE, RING, LogisticLearner),
    ],
    ids=["slope", "ring", "stripes", "nothing"],
)
def test_votes_choose(x, truth, kind) -> None:
    with threadpool_limits(1):
        found = choice.candidates(x, votes(truth), ONES, FOLD, 0)
    kinds = [type(one) for one in found]
    assert kinds == [LogisticLearner, *([] if kind is LogisticLearner else [kind])]


def test_many_rows_are_chosen_by_a_part(monkeypatch) -> None:
    monkeypatch.setattr(choice, "MOST_ROWS", 250)
    with threadpool_limits(1):
        found = choice.candidates(POINTS, votes(RING), ONES, FOLD, 0)
        assert type(found[-1]) is NeighbourLearner
        few = np.where(np.arange(400) < 100, 0.0, 1.0)
        assert type(choice.candidates(POINTS, votes(RING), few, FOLD, 0)[-1]) is NeighbourLearner


def test_neighbours_are_means_of_targets() -> None:
    learner = NeighbourLearner()
    targets = votes(RING)
    learner.settle(POINTS, targets, ONES, FOLD)
    found = learner.fit(POINTS, targets, ONES)
    distance = np.hypot(*(POINTS[:, None] - POINTS[0]).T)[0]
    nearest = np.argsort(distance)[: found.number]
    expected = (targets[nearest].sum(axis=0) + targets.mean(axis=0)) / (found.number + 1)
    np.testing.assert_allclose(np.exp(found.log_proba(POINTS[:1]))[0], expected, atol=1e-6)
    rows = sparse.csr_array(POINTS)
    again = NeighbourLearner()
    again.settle(rows, targets, ONES, FOLD)
    assert again.fit(rows, targets, ONES).log_proba(rows[:3]).shape == (3, 2)


def test_users_get_a_classifier_of_the_chosen_kind() -> None:
    names, truth, x = np.array(["out", "in"]), RING[:150], POINTS[:150]
    rng = np.random.default_rng(2)
    right = rng.random(300) < 0.85
    task = np.repeat(np.arange(150), 2)
    answers = pd.DataFrame(
        {
            "task": task,
            "worker": np.tile(np.arange(6), 50),
            "label": names[np.where(right, truth[task], 1 - truth[task])],
        }
    )
    model = DEEMAggregator(random_state=0, progress=False).fit(answers, features=x)
    assert model.features_use_.startswith("joint")
    assert isinstance(model.classifier_[-1], KNeighborsClassifier)
    assert set(model.classifier_.classes_) == {"in", "out"}
    assert (model.classifier_.predict(POINTS) == names[RING]).mean() > 0.8
    assert (model.labels_ == names[truth]).mean() > 0.9


@given(scale=st.floats(0.01, 50), offset=st.floats(-5, 5))
@settings(max_examples=15, deadline=None)
def test_association_does_not_ask_for_calibration(scale, offset) -> None:
    log_q = POINTS[:, :1] * np.array([[-1.0, 1.0]])
    z = choice.association(log_q, votes(SLOPE), ONES)
    assert z > choice.ASSOCIATED
    told = scale * log_q + np.array([offset, -offset])
    assert choice.association(told, votes(SLOPE), ONES) == pytest.approx(z, rel=1e-6)
    assert choice.association(-log_q, votes(SLOPE), ONES) == pytest.approx(-z)
    assert choice.association(np.zeros((400, 2)), votes(SLOPE), ONES) == 0.0


def test_association_with_nothing_is_standard_normal() -> None:
    rng = np.random.default_rng(0)
    found = [
        choice.association(
            rng.normal(size=(200, 3)), np.eye(3)[rng.integers(0, 3, 200)], np.ones(200)
        )
        for _ in range(400)
    ]
    assert abs(np.mean(found)) < 0.2
    assert abs(np.std(found) - 1) < 0.15


def test_folds_are_brought_to_the_same_class_shares() -> None:
    """A classifier that knows the shares alone says the same of all rows, whatever their fold."""
    said = np.eye(2)[(np.arange(60) < 20).astype(int)]
    fold = np.repeat(np.arange(5), 12)  # the first holds one class alone
    x = np.zeros((60, 1), dtype=np.float32)
    log_q = levelled(SklearnLearner(DummyClassifier(strategy="prior")), x, said, np.ones(60), fold)
    assert np.ptp(log_q, axis=0).max() < 0.1


def test_features_as_a_dict_are_refused_with_the_remedy():
    frame = pd.DataFrame({"task": [1, 1, 2], "worker": [1, 2, 1], "label": list("aba")})
    with pytest.raises(FormError, match="features are a dict.*from_dict"):
        DEEMAggregator().fit(frame, features={1: [0.5], 2: [1.0]})


def test_trees_that_are_clearly_worse_on_a_fold_are_asked_no_further(monkeypatch) -> None:
    trained = []
    fit = SklearnLearner.fit
    monkeypatch.setattr(
        SklearnLearner, "fit", lambda self, *part: trained.append(1) or fit(self, *part)
    )
    with threadpool_limits(1):
        choice.candidates(NOISE, votes(RING), ONES, FOLD, 0)
        assert len(trained) == 1
        choice.candidates(NOISE, votes(STRIPES), ONES, FOLD, 0)
    assert len(trained) == 1 + 5

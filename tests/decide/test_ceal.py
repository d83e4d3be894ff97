"""CEAL: its thresholds, what is conserved, and plain active learning as a special case."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from crowds import consensus, crowd
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from deem_crowd import DataWarning, DEEMAggregator, ParameterError
from deem_crowd.decide import CEAL, OracleError, pseudo_labels, thresholds
from deem_crowd.exceptions import FormError

X, Y = load_digits(return_X_y=True)
X = X[:600]
Y = Y[:600]


def loop(**more):
    settings = {"strategy": "margin", "per_round": 10, "n_initial": 30, "rounds": 4, "delta0": 0.5}
    return CEAL(LogisticRegression(max_iter=1000), **settings | more)


def test_the_published_thresholds() -> None:
    deltas = thresholds(0.05, 0.0033, 7)
    by_hand = [0.05, 0.0467, 0.0401, 0.0302, 0.017, 0.0005, -0.0193]
    assert deltas == pytest.approx(by_hand, abs=1e-12)
    steps = [0.05]
    for t in range(1, 7):
        steps.append(steps[-1] - 0.0033 * t)
    assert deltas == pytest.approx(steps, abs=1e-12)
    assert thresholds(0.05, 0.01, 3, "linear") == pytest.approx([0.05, 0.04, 0.03], abs=1e-12)
    assert thresholds(1, 0, 3, lambda t: 2.0**-t).tolist() == [1, 0.5, 0.25]
    with pytest.raises(ParameterError, match="schedule must be"):
        thresholds(1, 0, 3, "cubic")


@pytest.mark.parametrize("strategy", ["least_confidence", "margin", "entropy", "fusion", "random"])
def test_what_is_asked_and_what_is_left(strategy) -> None:
    asked = []

    def oracle(row):
        asked.append(row)
        return Y[row]

    done = loop(strategy=strategy).fit(X, oracle, truth=Y, test=(X, Y))
    assert len(asked) == len(set(asked)) == 30 + 4 * 10
    assert done.labels_.to_dict() == {row: Y[row] for row in asked}
    history = done.history_
    assert history["labelled"].tolist() == [30, 40, 50, 60, 70]
    assert history["asked"].tolist() == [30, 10, 10, 10, 10]
    assert (history["labelled"] + history["pseudo_labelled"] <= len(X)).all()
    assert history["pseudo_labelled"].iloc[1] > 0
    assert history["test_accuracy"].iloc[-1] == pytest.approx(done.score(X, Y))
    again = loop(strategy=strategy).fit(X, Y)
    assert again.labels_.equals(done.labels_)


def test_pseudo_labels_are_taken_off_again() -> None:
    """The last classifier is that of the questions and of the last pseudo-labels, not of all earlier ones."""
    done = loop(rounds=3).fit(X, Y)
    before = loop(rounds=2).fit(X, Y)
    asked = done.labels_.index.to_numpy()
    rest = np.setdiff1d(np.arange(len(X)), asked)
    p = before.predict_proba(X[rest])
    nats = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
    sure = nats < thresholds(0.5, 0.0033, 3)[2]
    rows = np.concatenate([asked, rest[sure]])
    labels = np.concatenate([done.labels_, before.classes_[p[sure].argmax(axis=1)]])
    expected = LogisticRegression(max_iter=1000).fit(X[rows], labels)
    assert done.predict_proba(X) == pytest.approx(expected.predict_proba(X), abs=1e-12)


def test_without_a_threshold_it_is_plain_active_learning() -> None:
    """Bit for bit: most uncertain rows of a classifier of the labelled ones, ties aside."""
    done = loop(delta0=0.0, rounds=3).fit(X, Y)
    assert (done.history_["pseudo_labelled"] == 0).all()
    order = done.labels_.index.to_numpy()
    for step in range(3):
        have = order[: 30 + 10 * step]
        model = LogisticRegression(max_iter=1000).fit(X[have], Y[have])
        rest = np.setdiff1d(np.arange(len(X)), have)
        two = np.sort(model.predict_proba(X[rest]), axis=1)[:, -2:]
        narrowest = rest[np.argsort(two[:, 1] - two[:, 0], kind="stable")[:10]]
        assert set(order[30 + 10 * step : 40 + 10 * step]) == set(narrowest)
    final = LogisticRegression(max_iter=1000).fit(X[order], Y[order])
    assert (done.predict_proba(X) == final.predict_proba(X)).all()


def test_a_classifier_that_is_certain_of_every_row_gets_no_pseudo_labels() -> None:
    """Else all of its predictions would count as known; its questions are as good as random ones."""
    tree = DecisionTreeClassifier(random_state=0)
    with pytest.warns(DataWarning, match="is certain of every row"):
        done = loop().set_params(estimator=tree).fit(X, Y)
    plain = loop(delta0=0.0, strategy="random").set_params(estimator=tree).fit(X, Y)
    assert (done.history_["pseudo_labelled"] == 0).all()
    assert len(done.labels_) == len(plain.labels_) == 70
    with pytest.warns(DataWarning, match="is certain of every row"):
        asked = loop(delta0=0.0).set_params(estimator=tree).fit(X, Y)
    assert (done.predict(X) == asked.predict(X)).all()


@pytest.mark.filterwarnings("error::deem_crowd.DataWarning")
def test_first_questions_about_one_class_do_not_end_pseudo_labels() -> None:
    """A classifier of one class is certain of every row, without being of a kind that always is."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    x = rng.normal(size=(200, 4)) + 2 * y[:, None]
    seed = next(s for s in range(99) if not y[np.random.default_rng(s).permutation(200)[:3]].any())
    done = CEAL(GaussianNB(), n_initial=3, per_round=20, rounds=3, random_state=seed).fit(x, y)
    assert (done.history_["pseudo_labelled"] > 0).tolist() == [False, False, True, True]


def test_the_pool_runs_out() -> None:
    done = loop(rounds=50, per_round=200).fit(X, Y)
    assert len(done.labels_) == len(X)
    assert len(done.history_) == 1 + math.ceil((len(X) - 30) / 200)


def test_nothing_is_lost_when_the_oracle_fails() -> None:
    record: dict = {}

    def oracle(row):
        if len(record) == 35:
            raise TimeoutError("no reply")
        return Y[row]

    model = loop()
    with pytest.raises(OracleError, match="TimeoutError: no reply") as caught:
        model.fit(X, oracle, record=record)
    assert len(record) == 35
    assert caught.value.record == record
    with pytest.raises(NotFittedError):
        model.predict(X)
    asked = []
    model.fit(X, lambda row: asked.append(row) or Y[row], record=record)
    assert len(asked) == 70 - 35


def test_pseudo_labels_of_an_aggregator() -> None:
    frame, _truth = crowd(n=300, per_task=6, seed=4)
    agg = DEEMAggregator().fit(frame)
    p = agg.probas_.to_numpy()
    nats = pd.Series(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=1), index=agg.probas_.index)
    for step, delta in enumerate(thresholds(0.3, 0.05, 3)):
        labels = pseudo_labels(agg, 0.3, 0.05, step)
        assert set(labels.index) == set(nats.index[nats < delta])
        assert labels.equals(agg.labels_[labels.index])
    some = pseudo_labels(agg, 0.3)
    assert some.index[0] not in pseudo_labels(agg, 0.3, exclude=some.index[:1]).index
    assert pseudo_labels(agg, 0.05, 0.0033, 6).empty
    assert pseudo_labels(consensus([[0.5, 0.5]]), 0.1).empty


def test_bad_input() -> None:
    with pytest.raises(ParameterError, match="strategy must be one of"):
        loop(strategy="margins").fit(X, Y)
    with pytest.raises(ParameterError, match="per_round must be"):
        loop(per_round=0).fit(X, Y)
    with pytest.raises(ParameterError, match="delta0 must be"):
        loop(delta0=-1).fit(X, Y)
    with pytest.raises(FormError, match="X has shape"):
        loop().fit(X[0], Y)
    with pytest.raises(ParameterError, match="round must be"):
        pseudo_labels(consensus([[0.5, 0.5]]), round=-1)
    with pytest.raises(ParameterError, match="no parameter 'speed'"):
        loop().set_params(speed=1)


def test_sparse_features_are_as_good_as_dense_ones() -> None:
    dense, other = (loop(rounds=2).fit(x, Y, test=(x, Y)) for x in (X, sparse.csr_matrix(X)))
    pd.testing.assert_series_equal(dense.labels_, other.labels_)
    pd.testing.assert_frame_equal(dense.history_, other.history_)

"""RAD: every pattern of its table, what adds up, what is asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from deem_crowd.decide import RAD, OracleError
from deem_crowd.decide.rad import ASK, DROP, KEEP, RELABEL, VARIANTS, verdicts
from deem_crowd.exceptions import FormError, ParameterError

X, Y = load_digits(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(
    len(Y)
)  # the digits stand by writer, which would be a drift
X, Y = X[ORDER] / 16, Y[ORDER]
# (given, quality, classifier), by hand from the paper
TABLE = [
    ((0, 0, 0), {"base": KEEP, "voting": KEEP, "active": KEEP, "slim": KEEP}),
    ((0, 0, 1), {"base": KEEP, "voting": KEEP, "active": KEEP, "slim": ASK}),
    ((0, 1, 0), {"base": DROP, "voting": KEEP, "active": KEEP, "slim": KEEP}),
    ((0, 1, 1), {"base": DROP, "voting": RELABEL, "active": RELABEL, "slim": ASK}),
    ((0, 1, 2), {"base": DROP, "voting": DROP, "active": ASK, "slim": ASK}),
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_pattern(variant) -> None:
    for names in (
        [0, 1, 2],
        [2, 0, 1],
        [1, 2, 0],
    ):  # what the labels are called makes no difference
        given, quality, classifier = (
            np.array([names[row[0][i]] for row in TABLE]) for i in range(3)
        )
        got = verdicts(given, quality, classifier, variant)
        assert got.tolist() == [row[1][variant] for row in TABLE]


def stream(variant="base", **more):
    return RAD(KNeighborsClassifier(5), LogisticRegression(max_iter=300), variant, **more)


def noisy(share, seed=0, start=200):
    rng = np.random.default_rng(seed)
    y = Y.copy()
    hit = np.flatnonzero(rng.random(len(y)) < share)
    hit = hit[hit >= start]
    y[hit] = (y[hit] + rng.integers(1, 10, len(hit))) % 10
    return y


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_came_is_kept_relabelled_dropped_or_asked(variant) -> None:
    y = noisy(0.4)
    oracle = {i: Y[200 + i] for i in range(300)}.get
    rad = stream(variant, oracle=oracle, budget=5).fit(X[:200], Y[:200])
    for start in (200, 300, 400):
        part = slice(start, start + 100)
        rad.partial_fit(X[part], y[part], Y[part])
    report = rad.report_
    parts = report[["kept", "relabelled", "dropped", "asked"]].sum(axis=1)
    assert (parts == report["size"]).all()
    assert (report["asked"] <= 5).all()
    assert (rad.classes_report_.sum(axis=1) == report["accepted"]).all()
    assert report["noise"].to_numpy() == pytest.approx(
        [(y[s : s + 100] != Y[s : s + 100]).mean() for s in (200, 300, 400)]
    )
    if variant in ("base", "voting"):
        assert (report["asked"] == 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_noise_perfect_classifiers_keep_everything(variant) -> None:
    """One class, which both predict: all is kept, nothing is asked."""
    same = DummyClassifier(strategy="most_frequent")
    rad = RAD(same, same, variant, oracle=lambda i: pytest.fail("asked"))
    rad.fit(X[:10], np.zeros(10, int)).partial_fit(X[10:60], np.zeros(50, int))
    row = rad.report_.iloc[0]
    assert (row["kept"], row["asked"], row["dropped"], row["relabelled"]) == (50, 0, 0, 0)


def test_the_oracle_is_told_positions_and_believed() -> None:
    y, told = noisy(0.5), []

    def oracle(position):
        told.append(position)
        return Y[200 + position]

    rad = stream("slim", oracle=oracle).fit(X[:200], Y[:200])
    rad.partial_fit(X[200:300], y[200:300]).partial_fit(X[300:400], y[300:400])
    assert told == sorted(set(told))
    assert rad.report_["asked"].sum() == len(told)
    assert max(told) >= 100
    classified = stream("slim", oracle=oracle).fit(X[:200], Y[:200]).predict(X[200:300])
    assert [p for p in told if p < 100] == np.flatnonzero(classified != y[200:300]).tolist()


def test_filtering_helps_and_questions_help_more() -> None:
    """Digits at 40 % noise, three seeds: base gains over accepting all; active is no worse, with few questions."""
    everything, base, active, asked, arrived = [], [], [], 0, 0
    test = slice(1400, None)
    for seed in range(3):
        y = noisy(0.4, seed)
        oracle = {i: Y[200 + i] for i in range(1200)}.get
        streams = {v: stream(v, oracle=oracle).fit(X[:200], Y[:200]) for v in ("base", "active")}
        for start in range(200, 1400, 200):
            part = slice(start, start + 200)
            for rad in streams.values():
                rad.partial_fit(X[part], y[part])
        plain = LogisticRegression(max_iter=300).fit(X[:1400], np.r_[Y[:200], y[200:1400]])
        everything.append(plain.score(X[test], Y[test]))
        base.append(streams["base"].score(X[test], Y[test]))
        active.append(streams["active"].score(X[test], Y[test]))
        asked += streams["active"].report_["asked"].sum()
        arrived += 1200
    assert np.mean(base) > np.mean(everything) + 0.01
    assert np.mean(active) >= np.mean(base)
    assert asked / arrived <= 0.05


def test_a_failing_oracle_changes_nothing() -> None:
    y = noisy(0.5)
    rad = stream("slim", oracle=lambda i: 77).fit(X[:200], Y[:200])
    before, report = rad.predict(X[:50]), rad.report_
    with pytest.raises(OracleError, match="said 77 about task"):
        rad.partial_fit(X[200:300], y[200:300])
    assert (rad.predict(X[:50]) == before).all()
    assert rad.report_.equals(report)


def test_what_the_oracle_said_before_it_failed_is_kept() -> None:
    y = noisy(0.5)
    calls = []

    def oracle(position):
        if len(calls) == 3:
            raise TimeoutError("gone")
        calls.append(position)
        return Y[200 + position]

    rad = stream("slim", oracle=oracle).fit(X[:200], Y[:200])
    with pytest.raises(OracleError, match="TimeoutError: gone") as caught:
        rad.partial_fit(X[200:300], y[200:300])
    assert caught.value.record == {position: Y[200 + position] for position in calls}
    assert len(rad.report_) == 0


def test_bad_input() -> None:
    with pytest.raises(NotFittedError, match="call fit with a first batch"):
        stream().partial_fit(X[:5], Y[:5])
    with pytest.raises(ParameterError, match="variant must be one of"):
        stream("fast").fit(X[:5], Y[:5])
    with pytest.raises(ParameterError, match="asks for true labels: pass oracle="):
        stream("active").fit(X[:5], Y[:5])
    with pytest.raises(ParameterError, match="needs a classifier that judges labels"):
        RAD(None, LogisticRegression()).fit(X[:5], Y[:5])
    with pytest.raises(ParameterError, match="budget must be"):
        stream("slim", oracle=int, budget=-1).fit(X[:5], Y[:5])
    with pytest.raises(FormError, match="X has shape"):
        stream().fit(X[:5], Y[:4])
    with pytest.raises(ParameterError, match="no parameter 'speed'"):
        stream().set_params(speed=1)


def test_clone_and_parameters() -> None:
    from sklearn.base import clone

    rad = stream("voting", random_state=3)
    assert clone(rad).get_params()["variant"] == "voting"
    assert rad.set_params(budget=4).budget == 4


def test_its_text_is_short_whatever_its_oracle() -> None:
    stream = RAD(None, LogisticRegression(C=2.0), "slim", oracle=dict(enumerate(Y)), budget=3)
    assert repr(stream) == (
        "RAD(quality=None, classifier=LogisticRegression(C=2.0), variant='slim', oracle=<dict>, "
        "budget=3)"
    )


def test_sparse_features_are_as_good_as_dense_ones() -> None:
    x, y = X[:300], Y[:300]
    reports = [
        RAD(KNeighborsClassifier(5), LogisticRegression(max_iter=200))
        .fit(form(x[:200]), y[:200])
        .partial_fit(form(x[200:250]), y[200:250])
        .partial_fit(form(x[250:]), y[250:])
        .report_
        for form in (np.asarray, sparse.coo_array)
    ]
    pd.testing.assert_frame_equal(*reports)

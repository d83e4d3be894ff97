"""What every decision does with a model that is not fitted, comes from a file, has one worker or nothing to decide."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from crowds import crowd
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from deem_crowd import DEEM, DataWarning, DEEMAggregator, ParameterError
from deem_crowd.decide import (
    CEAL,
    RAD,
    OracleError,
    clean,
    coverage_curve,
    next_pairs,
    next_tasks,
    pseudo_labels,
    reliable,
    suspect_answers,
    suspect_labels,
)
from deem_crowd.exceptions import DataError, DeemCrowdError

FRAME, TRUTH = crowd(n=60, seed=1)

DECISIONS = {
    "next_tasks": lambda model, **more: next_tasks(model, 5, **more),
    "next_pairs": lambda model, **more: next_pairs(model, 5, **more),
    "pseudo_labels": lambda model, **more: pseudo_labels(model, 0.3, **more),
    "suspect_answers": lambda model, **more: suspect_answers(model, 5, **more),
    "suspect_labels": lambda model, **more: suspect_labels(model, 5, **more),
    "clean": lambda model, **more: clean(model, TRUTH, 5, per_round=5, **more).gold,
    "reliable": lambda model, **more: reliable(model, 0.9, **more).labels,
    "coverage_curve": lambda model, **more: coverage_curve(model, **more),
}


@pytest.fixture(scope="module")
def agg():
    return DEEMAggregator().fit(FRAME)


@pytest.fixture(scope="module")
def loaded(agg, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    agg.save(path)
    return DEEMAggregator.load(path)


@pytest.mark.parametrize("model", [DEEMAggregator(), DEEM()], ids=["DEEMAggregator", "DEEM"])
@pytest.mark.parametrize("name", DECISIONS)
def test_a_model_that_is_not_fitted(model, name) -> None:
    with pytest.raises(NotFittedError, match=f"this {type(model).__name__} is not fitted yet"):
        DECISIONS[name](model)


X, Y = np.arange(40.0).reshape(20, 2), np.array([0, 1] * 10)
TASKS = pd.Series("c0", index=FRAME["task"].unique())
MISTAKES = {
    "answers, not a model": (lambda a: next_tasks(FRAME, 3), "is no probas_"),
    "a class": (lambda a: next_tasks(DEEMAggregator, 3), "the class DEEMAggregator holds no post"),
    "one id": (lambda a: next_tasks(a, 3, exclude="t0"), r"exclude is a str; .*: \['t0'\]"),
    "one new id": (lambda a: next_tasks(a, 3, unanswered="t0"), "unanswered is a str"),
    "one worker": (lambda a: next_pairs(a, 3, workers="w0"), "workers is a str.* worker ids"),
    "seed": (lambda a: next_tasks(a, 3, random_state=-1), "random_state must be"),
    "costs twice": (
        lambda a: next_tasks(a, 3, costs=pd.Series(1.0, index=[*TASKS.index, TASKS.index[0]])),
        "costs name 1 task more than once",
    ),
    "costs true": (lambda a: next_tasks(a, 3, costs=True), "costs is a bool"),
    "features": (lambda a: next_tasks(a, 3, features=[["x"]] * 60), "features are not all numbers"),
    "nan": (lambda a: next_tasks(a, 3, lambda p: p[:, 0] * np.nan), "60 of 60 scores that are neg"),
    "text": (lambda a: next_tasks(a, 3, lambda p: "high"), "returned an array of shape .., dtype"),
    "labels twice": (
        lambda a: suspect_labels(a, labels=pd.Series(["c0", "c1"], index=TASKS.index[[0, 0]])),
        "labels gives 1 task more than one label",
    ),
    "strange label": (lambda a: suspect_labels(a, labels={TASKS.index[0]: "x"}), "1 label that"),
    "gold list": (lambda a: reliable(a, gold=["c0"]), "gold is a list; pass a Series"),
    "no oracle": (lambda a: clean(a, None, 3), "oracle is a NoneType"),
    "a list said": (lambda a: clean(a, lambda task: ["c0"], 3), "the oracle said .* none of the"),
    "ids of another kind": (
        lambda a: clean(a, pd.Series("c0", index=range(60)), 3),
        "oracle holds 60 labels, about none of the 60 tasks: it knows 0, 1, .* asked about 't",
    ),
    "ids, not rows": (
        lambda a: CEAL(LogisticRegression()).fit(X, {"a": 1}),
        r"about none of the 20 tasks: it knows 'a', .*list\(oracle.values\(\)\)",
    ),
    "ids, not row numbers": (
        lambda a: CEAL(LogisticRegression()).fit(
            X, pd.Series(Y, index=list("abcdefghijklmnopqrst"))
        ),
        r"about none of the 20 tasks: it knows 'a', .*np.asarray\(oracle\)",
    ),
    "features of some": (
        lambda a: next_tasks(a, 3, features=pd.DataFrame({"x": 1.0}, index=TASKS.index[:5])),
        "features have no row for 55 of 60 tasks: .* Give them a row, or leave them out with exclude=",
    ),
    "masked features": (
        lambda a: next_tasks(a, 3, features=np.ma.masked_array(np.ones((60, 2)), np.eye(60, 2))),
        r"features are a masked array with 2 masked entries",
    ),
    "sparse features": (
        lambda a: next_tasks(a, 3, features=sparse.eye_array(60)),
        r"features are sparse: .*toarray\(\)",
    ),
    "record": (lambda a: clean(a, TASKS, 3, record=[]), "record is a list"),
    "record label": (lambda a: clean(a, TASKS, 3, record={0: "x"}), "record holds 1 label that"),
    "clean DEEM": (lambda a: clean(DEEM().fit([[0, 1], [1, 1]]), {}, 3), "pass a DEEMAggregator"),
    "schedule": (lambda a: pseudo_labels(a, schedule=lambda t: "x"), "schedule returned 'x'"),
    "short oracle": (
        lambda a: CEAL(LogisticRegression()).fit(X, Y[:5]),
        r"oracle has shape \(5,\)",
    ),
    "short truth": (lambda a: CEAL(LogisticRegression()).fit(X, Y, truth=Y[:5]), "truth has shape"),
    "test": (lambda a: CEAL(LogisticRegression()).fit(X, Y, test=X), "test must be a pair"),
    "no oracle's word": (
        lambda a: CEAL(LogisticRegression()).fit(X, lambda row: None),
        "of 20 rows the oracle named 0 labels",
    ),
    "one class": (
        lambda a: CEAL(LogisticRegression()).fit(X, Y * 0),
        "the oracle named 1 label: .*Raise n_initial",
    ),
    "no classifier": (
        lambda a: CEAL(None).fit(X, Y),
        "estimator must be a scikit-learn classifier",
    ),
    "classifier class": (lambda a: RAD(None, LogisticRegression, "slim", Y).fit(X, Y), "instance"),
    "empty batch": (
        lambda a: RAD(None, LogisticRegression(), "slim", Y).fit(X, Y).partial_fit(X[:0], Y[:0]),
        "the batch is empty",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_likely_mistakes_are_told_with_their_remedy(agg, mistake) -> None:
    call, words = MISTAKES[mistake]
    with pytest.raises(DeemCrowdError, match=words):
        call(agg)


def test_a_true_label_that_nobody_gave_counts_as_wrong(agg) -> None:
    sample = TRUTH.copy()
    sample.iloc[:30] = "other"
    with pytest.warns(DataWarning, match="30|1 label.*count as wrong"):
        curve = coverage_curve(agg, gold=sample)
    assert curve["precision"].iloc[-1] <= 0.5


def test_labels_of_a_batch_that_no_classifier_knows() -> None:
    stream = RAD(LogisticRegression(), LogisticRegression()).fit(X, Y)
    with pytest.warns(DataWarning, match="20 of 20 labels of the batch are none of the classes"):
        stream.partial_fit(X, Y.astype(str))
    assert stream.report_["dropped"].tolist() == [20]


@pytest.mark.parametrize("name", ["suspect_answers", "clean"])
def test_a_model_from_a_file_asks_for_its_answers(loaded, name) -> None:
    with pytest.raises(ParameterError, match=f"{name} needs the answers.*pass answers="):
        DECISIONS[name](loaded)
    assert len(DECISIONS[name](loaded, answers=FRAME)) == 5


@pytest.mark.parametrize("name", ["next_tasks", "next_pairs", "pseudo_labels", "suspect_labels"])
def test_a_model_from_a_file_decides_from_its_posterior(agg, loaded, name) -> None:
    call = DECISIONS[name]
    if name == "pseudo_labels":
        assert call(loaded).to_dict() == call(agg).to_dict()
        return
    # pairs go by what each worker said, too, where the answers are known
    known = {"answers": FRAME} if name == "next_pairs" else {}
    assert call(loaded, **known)["task"].tolist() == call(agg, answers=FRAME)["task"].tolist()
    assert len(call(loaded)) == len(call(agg))


def test_one_worker() -> None:
    alone = FRAME.drop_duplicates("task").assign(worker="only")
    model = DEEMAggregator().fit(alone)
    for name in ("next_tasks", "suspect_answers", "suspect_labels", "clean"):
        assert len(DECISIONS[name](model)) == 5
    for name in ("pseudo_labels", "reliable"):  # nothing says that the worker can be relied on
        assert DECISIONS[name](model).empty
    with pytest.warns(DataWarning, match="no pairs are left to ask"):
        assert DECISIONS["next_pairs"](model).empty


def test_all_settled() -> None:
    right = FRAME.assign(label=TRUTH[FRAME["task"]].to_numpy())
    model = DEEMAggregator().fit(right, gold=TRUTH)
    for name, words in (
        ("next_tasks", "no tasks are left to ask: of 60 tasks all are settled"),
        ("next_pairs", "no pairs are left to ask"),
        ("suspect_answers", "no answer is in doubt: all 240 are certain to be right"),
        ("suspect_labels", "no label is in doubt: all 60 are certain to be right"),
    ):
        with pytest.warns(DataWarning, match=words):
            found = DECISIONS[name](model)
        assert found.empty
        assert "task" in found.columns
    done = clean(model, TRUTH, 5)
    assert done.stopped == "tasks"
    assert done.gold.empty
    assert (done.labels == TRUTH[done.labels.index]).all()


def test_no_answers() -> None:
    model = DEEMAggregator().fit(FRAME[:0])
    with pytest.warns(DataWarning, match="no answer is in doubt: there is none"):
        assert suspect_answers(model).empty
    with pytest.warns(DataWarning, match="no label is in doubt: there is none"):
        assert suspect_labels(model).empty


def test_more_than_there_is(agg) -> None:
    for call, what in ((next_tasks, "tasks"), (next_pairs, "pairs")):
        with pytest.warns(DataWarning, match=f"1000000 {what} were asked for, 60 are left"):
            assert len(call(agg, 10**6)) == 60
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(suspect_answers(agg, 10**6)) == len(FRAME)
        assert len(suspect_labels(agg, 10**6)) == 60
    assert clean(agg, TRUTH, 10**6, per_round=60).stopped in ("tasks", "gain")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("clean", RuntimeError("gone")),
        ("clean", "moon"),
        ("CEAL", RuntimeError("gone")),  # which labels there are it learns from the oracle alone
        ("RAD", RuntimeError("gone")),
        ("RAD", "moon"),
    ],
)
def test_what_an_oracle_said_is_kept(agg, name, fault) -> None:
    said = {}
    truth = {**TRUTH.to_dict(), **dict.fromkeys(range(40), "c0"), 1: "c1"}

    def oracle(task):
        if len(said) == 3:
            if isinstance(fault, Exception):
                raise fault
            return fault
        said[task] = truth[task]
        return said[task]

    features, given = np.arange(80.0).reshape(40, 2), np.array(["c0", "c1"] * 20)
    stream = RAD(None, LogisticRegression(), "slim", oracle=oracle).fit(features, given)
    calls = {
        "clean": lambda: clean(agg, oracle, 10, per_round=2),
        "CEAL": lambda: CEAL(LogisticRegression(), n_initial=6).fit(features, oracle),
        "RAD": lambda: stream.partial_fit(features, given[::-1]),
    }
    with pytest.raises(OracleError, match="record holds what it said before: 3 answers") as caught:
        calls[name]()
    assert caught.value.record == said
    assert len(said) == 3


def test_text_is_told_from_ids_that_are_bytes() -> None:
    model = DEEMAggregator().fit(FRAME.assign(task=FRAME["task"].str.encode("utf-8")))
    name = FRAME["task"].iloc[0]
    with pytest.raises(DataError, match=f"1 id of another kind.*'{name}' instead of b'{name}'"):
        next_tasks(model, 3, exclude=[name])

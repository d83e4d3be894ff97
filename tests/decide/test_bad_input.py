"""What every decision does with a model that is not fitted, comes from a file, has one worker or nothing to decide."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from crowds import crowd
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

FRAME, TRUTH = crowd(n=60, seed=1)

DECISIONS = {
    "next_tasks": lambda model, **more: next_tasks(model, 5, **more),
    "next_pairs": lambda model, **more: next_pairs(model, 5, **more),
    "pseudo_labels": lambda model, **more: pseudo_labels(model, 0.3, **more),
    "suspect_answers": lambda model, **more: suspect_answers(model, 5, **more),
    "suspect_labels": lambda model, **more: suspect_labels(model, 5, **more),
    "clean": lambda model, **more: clean(model, TRUTH, 5, **more).gold,
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
    assert call(loaded)["task"].tolist() == call(agg, answers=FRAME)["task"].tolist()


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
        "clean": lambda: clean(agg, oracle, 10),
        "CEAL": lambda: CEAL(LogisticRegression(), n_initial=6).fit(features, oracle),
        "RAD": lambda: stream.partial_fit(features, given[::-1]),
    }
    with pytest.raises(OracleError, match="What it said before") as caught:
        calls[name]()
    assert caught.value.record == said
    assert len(said) == 3

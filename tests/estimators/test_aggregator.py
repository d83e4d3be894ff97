"""DEEMAggregator keeps crowd-kit's contract, and crowd-kit's own tools work with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from crowd_of_five import FRAME, GOLD, fitted
from crowdkit.aggregation import BinaryRelevance
from crowdkit.aggregation.base import BaseClassificationAggregator
from crowdkit.metrics.data import consistency, uncertainty
from crowdkit.metrics.workers import accuracy_on_aggregates
from crowdkit.postprocessing import entropy_threshold
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEMAggregator
from deem_crowd.clustering import ClusteringAggregator
from deem_crowd.exceptions import DataError, DataWarning, FormError, MissingColumnError

__all__ = ["fitted"]


def test_it_is_a_crowd_kit_aggregator_and_finds_the_truth(fitted) -> None:
    assert isinstance(fitted, BaseClassificationAggregator)
    assert (fitted.labels_ == GOLD.reindex(fitted.labels_.index)).mean() > 0.9


def test_labels(fitted) -> None:
    assert fitted.labels_.name == "agg_label"
    assert fitted.labels_.index.name == "task"
    assert fitted.labels_.dtype == FRAME["label"].dtype
    assert fitted.labels_.index.tolist() == FRAME["task"].drop_duplicates().tolist()


def test_probabilities(fitted) -> None:
    assert fitted.probas_.index.name == "task"
    assert fitted.probas_.columns.name == "label"
    assert fitted.probas_.columns.tolist() == ["cat", "dog", "fox"]
    assert (fitted.probas_.dtypes == np.float64).all()
    np.testing.assert_allclose(fitted.probas_.sum(axis=1), 1, atol=1e-12)
    assert (fitted.probas_.idxmax(axis=1) == fitted.labels_).all()


def test_skills_errors_and_priors(fitted) -> None:
    assert fitted.skills_.name == "skill"
    assert fitted.skills_.index.name == "worker"
    assert fitted.skills_.between(0, 1).all()
    right = FRAME["label"] == FRAME["task"].map(GOLD)
    assert fitted.skills_.corr(right.groupby(FRAME["worker"]).mean()) > 0.95
    assert fitted.errors_.index.names == ["worker", "label"]
    assert fitted.errors_.columns.name is None  # as crowd-kit has it, so that they stack
    np.testing.assert_allclose(fitted.errors_.groupby("worker").sum(), 1, atol=1e-9)
    assert fitted.priors_.name == "prior"
    assert fitted.priors_.index.name == "label"
    assert fitted.priors_.sum() == pytest.approx(1)
    own = [
        fitted.errors_.loc[(w, c), c] * fitted.priors_[c] for w in [0] for c in fitted.priors_.index
    ]
    assert sum(own) == pytest.approx(fitted.skills_[0])


def test_loss_history_is_a_list_of_floats_that_rises(fitted) -> None:
    assert all(type(x) is float for x in fitted.loss_history_)
    assert fitted.loss_history_[-1] > fitted.loss_history_[0]


def test_nothing_is_fitted_before_fit_and_public_attributes_are_the_arguments() -> None:
    agg = DEEMAggregator(n_iter=7, tol=0.5)
    fitted_ones = ("labels_", "probas_", "skills_", "errors_", "priors_", "loss_history_")
    assert not any(hasattr(agg, name) for name in fitted_ones)
    assert {k for k in vars(agg) if not k.startswith("_")} == set(agg.get_params())
    assert (agg.n_iter, agg.tol) == (7, 0.5)


def test_zero_iterations_give_the_weighted_vote() -> None:
    frame = pd.DataFrame({"task": [1, 1, 1], "worker": [1, 2, 3], "label": ["a", "a", "b"]})
    agg = DEEMAggregator(n_iter=0).fit(frame)
    assert agg.labels_.tolist() == ["a"]
    assert agg.loss_history_ == []


@pytest.mark.parametrize("form", ["series", "dict", "frame"])
def test_known_labels_clamp_in_every_form(form: str) -> None:
    wrong = {"t1": "dog" if GOLD["t1"] != "dog" else "cat", "t2": GOLD["t2"]}
    known = {
        "series": pd.Series(wrong),
        "dict": wrong,
        "frame": pd.DataFrame({"task": list(wrong), "label": list(wrong.values())}),
    }[form]
    agg = DEEMAggregator().fit(FRAME, known)
    assert agg.labels_["t1"] == wrong["t1"]
    assert agg.probas_.loc["t1", wrong["t1"]] == 1


def test_row_gold_that_cannot_be() -> None:
    with pytest.raises(DataError, match="gold holds 1 label that no worker gave: 'cow'"):
        DEEMAggregator().fit(FRAME, {"t1": "cow"})
    with pytest.warns(DataWarning) as said:
        DEEMAggregator().fit(FRAME, {"nowhere": "cat"})
    about = [str(w.message) for w in said if "gold names" in str(w.message)]
    ignored = "gold names 1 task without answers here ('nowhere'): ignored."
    called = ", ".join(map(repr, FRAME["task"].unique()[:5]))
    assert about == [
        f"{ignored} No task with answers is among them: those are called {called}, …. Write ids alike in both."
    ]
    with pytest.warns(DataWarning) as said:
        DEEMAggregator().fit(FRAME, {"nowhere": "cat", "t1": GOLD["t1"]})
    assert [str(w.message) for w in said if "gold names" in str(w.message)] == [ignored]
    numbered = FRAME.assign(task=FRAME["task"].str.removeprefix("t").astype(int))
    with pytest.raises(
        DataError, match=r"another kind, '1' \(str\) where the answers have 1 \(int\), and 1 id"
    ):
        DEEMAggregator().fit(numbered, {"1": "cat", "nowhere": "dog"})
    with pytest.raises(FormError, match="Series indexed by task, a dict"):
        DEEMAggregator().fit(FRAME, ["cat"] * 80)
    twice = pd.DataFrame({"task": ["t1", "t1"], "label": ["cat", "dog"]})
    with pytest.raises(DataError, match="1 task more than one label: 't1'"):
        DEEMAggregator().fit(FRAME, twice)
    unknown = DEEMAggregator().fit(FRAME, pd.Series({"t1": None, "t2": None}, dtype=object))
    pd.testing.assert_frame_equal(unknown.probas_, DEEMAggregator().fit(FRAME).probas_)


def test_predict_on_the_same_tasks_is_fit_predict(fitted) -> None:
    pd.testing.assert_frame_equal(fitted.predict_proba(FRAME), fitted.probas_, atol=1e-9)
    pd.testing.assert_series_equal(fitted.predict(FRAME), fitted.labels_)


def test_predict_on_new_tasks_uses_what_is_known_of_the_workers() -> None:
    fitted = DEEMAggregator(auto_hyperparameters=False).fit(FRAME)
    new = pd.DataFrame(
        {"task": ["n", "n", "n"], "worker": [0, 40, 30], "label": ["cat", "dog", "dog"]}
    )
    proba = fitted.predict_proba(new).loc["n"]
    log = np.log(fitted.priors_) + sum(
        np.log(fitted.errors_.loc[(w, x)]) for w, x in zip(new["worker"], new["label"], strict=True)
    )
    expected = np.exp(log - log.max())
    np.testing.assert_allclose(proba, expected / expected.sum(), atol=1e-9)


def test_row_predict_before_fit_and_with_unknown_workers(fitted) -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        DEEMAggregator().predict(FRAME)
    stranger = pd.DataFrame({"task": ["n"], "worker": [99], "label": ["cat"]})
    with pytest.warns(DataWarning, match="1 of 1 worker was not there in fit: 99"):
        assert fitted.predict(stranger)["n"] == "cat"
    strict = DEEMAggregator(unknown_workers="error").fit(FRAME)
    with pytest.raises(DataError, match="1 of 1 worker was not there in fit: 99.*average"):
        strict.predict(stranger)
    with pytest.raises(DataError, match="1 label that was not there in fit: 'cow'"):
        fitted.predict(stranger.assign(worker=0, label="cow"))


def test_a_task_without_answers_gets_a_missing_label_and_the_prior() -> None:
    frame = pd.concat([FRAME, pd.DataFrame({"task": ["none"], "worker": [0], "label": [None]})])
    with pytest.warns(DataWarning, match="1 task has no answers: the label is missing"):
        agg = DEEMAggregator(missing="drop").fit(frame)
    assert pd.isna(agg.labels_["none"])
    np.testing.assert_allclose(agg.probas_.loc["none"], agg.priors_, atol=1e-9)


def test_an_empty_frame_gives_empty_results_with_names_and_dtypes() -> None:
    agg = DEEMAggregator().fit(FRAME.iloc[:0])
    assert (len(agg.labels_), agg.labels_.name, agg.labels_.index.name) == (0, "agg_label", "task")
    assert agg.labels_.dtype == FRAME["label"].dtype
    assert (agg.probas_.shape, agg.probas_.index.name, agg.probas_.columns.name) == (
        (0, 0),
        "task",
        "label",
    )
    assert (agg.skills_.name, agg.priors_.name) == ("skill", "prior")
    assert agg.errors_.index.names == ["worker", "label"]


def test_crowd_kits_binary_relevance() -> None:
    frame = pd.DataFrame(
        {
            "task": ["a", "a", "a", "b", "b", "b"],
            "worker": [1, 2, 3, 1, 2, 3],
            "label": [["x", "y"], ["x", "y"], ["x"], ["y"], ["y"], ["z"]],
        }
    )
    labels = BinaryRelevance(DEEMAggregator()).fit_predict(frame)
    assert [sorted(labels[t]) for t in ("a", "b")] == [["x", "y"], ["y"]]


def test_crowd_kits_metrics(fitted) -> None:
    small = FRAME[FRAME["task"].isin([f"t{i}" for i in range(30)])]
    assert 0 < consistency(small, aggregator=DEEMAggregator()) <= 1
    assert uncertainty(small, aggregator=DEEMAggregator()) > 0
    accuracy = accuracy_on_aggregates(FRAME, aggregator=DEEMAggregator(), by="worker")
    assert accuracy.corr(fitted.skills_) > 0.9
    kept = entropy_threshold(FRAME, fitted.skills_, percentile=20)
    assert 0 < len(kept) < len(FRAME)


@pytest.mark.parametrize(
    "params", [{"subtypes": 2}, {"gauge": "free"}, {"penalty": None}, {"penalty": 0.5}]
)
def test_every_variant_of_the_model_finds_the_truth(params) -> None:
    labels = DEEMAggregator(**params).fit_predict(FRAME)
    assert (labels == GOLD.reindex(labels.index)).mean() > 0.85


def test_other_columns_the_order_of_columns_and_the_index_change_nothing(fitted) -> None:
    odd = FRAME[["label", "worker", "task"]].assign(when=1.5, posterior="x")
    odd.index = [0] * len(odd)
    pd.testing.assert_frame_equal(DEEMAggregator().fit(odd).probas_, fitted.probas_)
    both = FRAME.set_index("task", drop=False)
    pd.testing.assert_frame_equal(DEEMAggregator().fit(both).probas_, fitted.probas_)


def test_a_frame_is_left_as_it_was() -> None:
    before = FRAME.copy(deep=True)
    DEEMAggregator().fit(FRAME, GOLD.iloc[:5])
    pd.testing.assert_frame_equal(FRAME, before)


def test_known_labels_of_all_tasks_give_the_tables_they_imply() -> None:
    agg = DEEMAggregator(penalty=None).fit(FRAME, GOLD)
    assert (agg.labels_ == GOLD.reindex(agg.labels_.index)).all()
    rows = FRAME.assign(true=FRAME["task"].map(GOLD))
    share = pd.crosstab([rows["worker"], rows["label"]], rows["true"])
    share = share / share.groupby("worker").transform("sum")
    there = agg.errors_.reindex(share.index)[share.columns]
    np.testing.assert_allclose(there.to_numpy(), share.to_numpy(), atol=1e-6)


def test_what_fit_predict_returns_is_the_callers() -> None:
    frame = pd.DataFrame({"task": [0, 0, 1], "worker": [0, 1, 0], "label": ["x", "x", "y"]})
    for model in (DEEMAggregator(), ClusteringAggregator()):
        labels, probas = model.fit_predict(frame), model.fit_predict_proba(frame)
        before = model.labels_.copy(), model.probas_.copy()
        labels.iloc[0], probas.iloc[0, 0] = "z", 9.0
        pd.testing.assert_series_equal(model.labels_, before[0])
        pd.testing.assert_frame_equal(model.probas_, before[1])


def test_a_column_that_is_named_and_not_there_is_to_be_named_again() -> None:
    with pytest.raises(
        MissingColumnError, match="missing columns 'itm'.*Name columns that are there: task=…"
    ):
        DEEMAggregator().fit(FRAME, task="itm")

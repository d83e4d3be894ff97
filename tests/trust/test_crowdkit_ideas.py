"""What crowd-kit's own test suite asks of its aggregators, asked of DEEMAggregator."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation.base import BaseClassificationAggregator
from crowdkit.aggregation.utils import clone_aggregator
from sklearn.exceptions import NotFittedError

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.exceptions import DataError, MissingColumnError

TOY = pd.DataFrame(
    [["w1", "t1", "no"], ["w2", "t1", "yes"], ["w4", "t1", "no"], ["w1", "t2", "yes"],
     ["w2", "t2", "yes"], ["w3", "t2", "yes"], ["w1", "t3", "yes"], ["w2", "t3", "no"],
     ["w3", "t3", "no"], ["w4", "t3", "no"], ["w1", "t4", "yes"], ["w2", "t4", "yes"],
     ["w3", "t4", "yes"], ["w4", "t4", "no"]],
    columns=["worker", "task", "label"],
)  # fmt: skip


@pytest.mark.parametrize("auto", [None, False])
def test_a_toy_crowd(auto) -> None:
    model = DEEMAggregator(auto_hyperparameters=auto)
    assert isinstance(model, BaseClassificationAggregator)
    labels = model.fit_predict(TOY)
    assert labels.to_dict() == {"t1": "no", "t2": "yes", "t3": "no", "t4": "yes"}
    assert labels.name == "agg_label"
    assert labels.index.name == "task"


@pytest.mark.parametrize("columns", [["task", "worker"], ["task", "label"], ["worker", "label"], []])  # fmt: skip
@pytest.mark.parametrize("call", ["fit", "fit_predict", "fit_predict_proba", "partial_fit"])
def test_missing_columns(columns, call) -> None:
    with pytest.raises(MissingColumnError, match="missing columns"):
        getattr(DEEMAggregator(), call)(TOY[columns])


@pytest.mark.parametrize("n_iter", [0, 1, 2])
@pytest.mark.parametrize("params", [{}, {"hidden_dim": 2}, {"subtypes": 2}, {"gauge": "free"}])
def test_few_or_no_iterations(n_iter, params) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = DEEMAggregator(n_iter=n_iter, **params).fit(TOY)
    assert len(model.loss_history_) <= n_iter
    np.testing.assert_allclose(model.probas_.sum(axis=1), 1)
    if n_iter == 0:
        assert model.labels_.to_dict() == {"t1": "no", "t2": "yes", "t3": "no", "t4": "yes"}


def test_empty_input() -> None:
    empty = TOY.iloc[:0]
    for call in ("fit", "partial_fit"):
        model = getattr(DEEMAggregator(), call)(empty)
        assert len(model.labels_) == len(model.probas_) == len(model.skills_) == 0
        assert model.labels_.index.name == "task"
    assert DEEMAggregator().fit(TOY).predict(empty).empty


@pytest.mark.parametrize("dtype", ["bool", "boolean", "object"])
def test_boolean_labels(dtype) -> None:
    labels = DEEMAggregator().fit_predict(TOY.assign(label=TOY["label"].eq("yes").astype(dtype)))
    assert labels.to_dict() == {"t1": False, "t2": True, "t3": False, "t4": True}
    assert labels.dtype == dtype


@pytest.mark.parametrize("n_workers", [3, 300, 10_000])
@pytest.mark.parametrize("auto", [None, False])
def test_few_and_very_many_workers(n_workers, auto) -> None:
    """crowd-kit's simulation: each task by a few workers, who are right in 8 of 10 cases."""
    rng = np.random.default_rng(n_workers)
    n_tasks = max(20, 2 * n_workers // 5)
    truth = rng.integers(2, size=n_tasks)
    task = np.repeat(np.arange(n_tasks), 5 if n_workers > 3 else 3)
    worker = (
        rng.integers(n_workers, size=len(task)) if n_workers > 3 else np.tile(np.arange(3), n_tasks)
    )
    label = np.where(rng.random(len(task)) < 0.8, truth[task], 1 - truth[task])
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    frame = frame.drop_duplicates(["task", "worker"])
    model = DEEMAggregator(auto_hyperparameters=auto).fit(frame)
    votes = frame.groupby("task")["label"].mean().reindex(model.labels_.index)
    true = truth[model.labels_.index]
    assert (model.labels_ == true).mean() >= ((votes > 0.5) == true).mean() - 0.02
    assert len(model.skills_) == frame["worker"].nunique()


def test_gold() -> None:
    gold = pd.Series({"t1": "yes", "t3": "yes"})
    model = DEEMAggregator().fit(TOY, gold)
    assert model.labels_[["t1", "t3"]].tolist() == ["yes", "yes"]
    assert model.labels_["t2"] == "yes"
    with pytest.raises(DataError, match="gold holds 1 label that no worker gave: 'maybe'"):
        DEEMAggregator().fit(TOY, pd.Series({"t1": "maybe"}))


def test_predict_before_fit_and_after() -> None:
    model = DEEMAggregator()
    for call in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(model, call)(TOY)
    labels = model.fit_predict(TOY)
    pd.testing.assert_series_equal(model.predict(TOY), labels)
    pd.testing.assert_frame_equal(model.predict_proba(TOY), model.probas_, atol=1e-12)


def test_clones_of_crowd_kit() -> None:
    model = DEEMAggregator(subtypes=2, penalty=0.5, random_state=3, n_iter=7)
    twin = clone_aggregator(model)
    assert type(twin) is DEEMAggregator
    assert twin.get_params() == model.get_params()


def test_the_array_api_agrees() -> None:
    wide = TOY.pivot(index="task", columns="worker", values="label")
    matrix = wide.map({"no": 0, "yes": 1}.get).astype(float).fillna(-1).astype(int).to_numpy()
    model = DEEM(auto_hyperparameters=False).fit(matrix)
    expected = DEEMAggregator(auto_hyperparameters=False).fit(TOY).probas_.loc[wide.index]
    np.testing.assert_allclose(model.predict_proba(matrix), expected, atol=1e-5)

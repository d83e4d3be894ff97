"""Accuracy and log-loss, by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks.running.measures import CLIP, accuracy, agreement, log_loss
from sklearn import metrics

from deem_crowd.exceptions import DataError

PROBAS = pd.DataFrame(
    [[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.0, 1.0]],
    index=pd.Index(["t1", "t2", "t3", "t4"], name="task"),
    columns=pd.Index(["a", "b", "c"], name="label"),
)
GOLD = pd.Series({"t1": "a", "t2": "b", "t3": "c", "t4": "a"})


def test_ties_are_split_fairly() -> None:
    assert accuracy(PROBAS, GOLD) == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)


def test_ties_do_not_hang_on_the_order_of_columns_or_rows() -> None:
    assert accuracy(PROBAS[["c", "b", "a"]].iloc[::-1], GOLD) == pytest.approx(
        accuracy(PROBAS, GOLD)
    )


def test_log_loss_by_hand() -> None:
    expected = -(math.log(0.7) + math.log(0.4) + math.log(1 / 3) + math.log(CLIP)) / 4
    assert log_loss(PROBAS, GOLD) == pytest.approx(expected)


def test_both_agree_with_scikit_learn_where_nothing_is_tied_or_zero() -> None:
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.ones(4), size=200)
    truth = rng.integers(4, size=200)
    probas, gold = pd.DataFrame(values), pd.Series(truth)
    assert log_loss(probas, gold) == pytest.approx(metrics.log_loss(truth, values))
    expected = metrics.accuracy_score(truth, values.argmax(axis=1))
    assert accuracy(probas, gold) == pytest.approx(expected)
    assert accuracy(probas.idxmax(axis=1), gold) == pytest.approx(expected)


def test_only_tasks_with_gold_and_a_prediction_count() -> None:
    gold = pd.Series({"t1": "a", "t2": None, "elsewhere": "b"})
    assert accuracy(PROBAS, gold) == 1
    assert log_loss(PROBAS, gold) == pytest.approx(-math.log(0.7))


def test_no_gold_at_all_is_nan() -> None:
    nothing = pd.Series({"elsewhere": "a"})
    assert math.isnan(accuracy(PROBAS, nothing))
    assert math.isnan(log_loss(PROBAS, nothing))


def test_a_gold_label_that_is_no_column_is_wrong_and_costs_the_clip() -> None:
    gold = pd.Series({"t1": "z"})
    assert accuracy(PROBAS, gold) == 0
    assert log_loss(PROBAS, gold) == pytest.approx(-math.log(CLIP))


def test_one_class_costs_nothing() -> None:
    probas = pd.DataFrame({"a": [1.0, 1.0]}, index=["t1", "t2"])
    gold = pd.Series({"t1": "a", "t2": "a"})
    assert accuracy(probas, gold) == 1
    assert log_loss(probas, gold) == pytest.approx(0)


def test_a_missing_label_is_wrong() -> None:
    labels = pd.Series({"t1": "a", "t2": None, "t3": float("nan"), "t4": "b"})
    assert accuracy(labels, GOLD) == pytest.approx(1 / 4)


def test_missing_probabilities_are_refused_with_the_task() -> None:
    probas = PROBAS.copy()
    probas.loc["t2"] = float("nan")
    with pytest.raises(DataError, match="1 task has no probabilities.*'t2'"):
        log_loss(probas, GOLD)


def test_gold_with_a_task_twice_is_refused() -> None:
    with pytest.raises(DataError, match="more than once.*'t1'"):
        accuracy(PROBAS, pd.Series(["a", "b"], index=["t1", "t1"]))


def test_agreement() -> None:
    ours = pd.Series({"t1": "a", "t2": "b", "t3": "a", "t4": "c"})
    theirs = pd.Series({"t4": "c", "t3": "b", "t2": "b", "t1": "a"})
    assert agreement(ours, theirs) == pytest.approx(3 / 4)
    assert agreement(ours, PROBAS) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)

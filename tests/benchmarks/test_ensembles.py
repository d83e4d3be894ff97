"""Ensembles made on the spot: repeatable, of classifiers that differ, on tasks none was trained on."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks.sets.ensembles import DATASETS, Ensemble, make_ensemble

from deem_crowd.exceptions import ParameterError


@pytest.fixture(scope="module", params=DATASETS)
def ensemble(request: pytest.FixtureRequest) -> Ensemble:
    return make_ensemble(request.param, seed=3)


def test_the_same_seed_gives_the_same_ensemble(ensemble: Ensemble) -> None:
    again = make_ensemble(ensemble.name, seed=3)
    pd.testing.assert_frame_equal(again.answers, ensemble.answers)
    pd.testing.assert_series_equal(again.gold, ensemble.gold)
    np.testing.assert_array_equal(again.training, ensemble.training)


def test_another_seed_gives_another(ensemble: Ensemble) -> None:
    other = make_ensemble(ensemble.name, seed=4)
    assert not np.array_equal(other.training, ensemble.training)


def test_global_randomness_is_neither_read_nor_written() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_ensemble("wine")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_no_task_was_trained_on(ensemble: Ensemble) -> None:
    assert not set(ensemble.training) & set(ensemble.answers["task"])


def test_gold_covers_the_tasks_answered_and_no_others(ensemble: Ensemble) -> None:
    assert set(ensemble.gold.index) == set(ensemble.answers["task"])
    assert ensemble.gold.index.is_unique
    assert ensemble.gold.notna().all()


def test_each_classifier_answers_a_part_of_its_own_once(ensemble: Ensemble) -> None:
    answers = ensemble.answers
    assert not answers.duplicated(["task", "worker"]).any()
    shares = answers.groupby("worker").size() / len(ensemble.gold)
    assert len(shares) >= 12
    assert shares.between(0.28, 0.72).all()  # of the tasks held out, of which one may go unanswered
    assert shares.round(3).nunique() > len(shares) / 2
    asked = [frozenset(part) for _, part in answers.groupby("worker")["task"]]
    assert len(set(asked)) == len(asked)


def test_the_classifiers_differ(ensemble: Ensemble) -> None:
    complete = make_ensemble(ensemble.name, seed=3, answered=(1, 1)).answers
    wide = complete.pivot(index="task", columns="worker", values="label")
    for one, other in itertools.combinations(wide.columns, 2):
        assert (wide[one] != wide[other]).any(), f"{one} and {other} answer alike"


def test_most_are_better_than_chance_and_one_is_not(ensemble: Ensemble) -> None:
    accuracies = ensemble.accuracies
    majority = ensemble.gold.value_counts(normalize=True).iloc[0]
    assert (accuracies > majority).sum() >= 10
    assert accuracies["chance"] < accuracies.median() - 0.2


def test_the_range_of_shares_is_kept() -> None:
    full = make_ensemble("wine", answered=(1, 1))
    assert (full.answers.groupby("worker").size() == len(full.gold)).all()
    assert make_ensemble("wine", answered=(0, 0)).answers.empty


def test_bad_parameters_are_named() -> None:
    with pytest.raises(ParameterError, match="iris.*'digits'"):
        make_ensemble("iris")
    with pytest.raises(ParameterError, match="answered"):
        make_ensemble("wine", answered=(0.9, 0.1))

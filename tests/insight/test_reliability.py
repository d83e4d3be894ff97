"""Who is no better than chance: a test by all orders of a worker's answers, and what is said of it."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.insight.findings import NO_LABEL, ONE_WORKER, findings, merged_classes
from deem_crowd.insight.reliability import dependence_on_tasks, reliability, shows_no_label
from deem_crowd.insight.results import results_of
from deem_crowd.insight.tables import compare
from deem_crowd.report.page import html
from deem_crowd.report.questions import percent

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.DataWarning")


def rated(matrix: np.ndarray):
    results = results_of(DEEM(n_classes=int(matrix.max()) + 1).fit(matrix))
    panel = compare(results)
    return results, panel


def test_scores_are_those_of_all_orders() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=40)
    matrix = np.where(rng.random((40, 5)) < 0.7, truth[:, None], rng.integers(3, size=(40, 5)))
    matrix[:, 4] = -1
    matrix[:6, 4] = [0, 1, 2, 0, 1, 0]
    results, panel = rated(matrix)
    assert panel.groups == []
    weight = (results.skills - results.chance) / (1 - results.chance)
    others = np.zeros((6, 3))
    for task, worker in itertools.product(range(6), range(4)):
        others[task, matrix[task, worker]] += weight[worker]
    values = [
        sum(others[task, label] for task, label in enumerate(order))
        for order in itertools.permutations(matrix[:6, 4])
    ]
    found = sum(others[task, matrix[task, 4]] for task in range(6))
    z, _ = dependence_on_tasks(results, panel)
    assert z[4] == pytest.approx((found - np.mean(values)) / np.std(values))


def uneven(n: int = 600, seed: int = 0) -> np.ndarray:
    """Nine tasks of ten are of class 0: four workers who look, one who guesses and one who always says 0."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.1).astype(int)
    looks = [np.where(rng.random(n) < 0.88, truth, 1 - truth) for _ in range(4)]
    guesses = (rng.random(n) < 0.1).astype(int)
    return np.column_stack([*looks, guesses, np.zeros(n, dtype=int)])


@pytest.mark.parametrize("seed", range(3))
def test_uneven_classes_hide_nobody(seed) -> None:
    # the guesser is right in 82 % of the tasks, those who look in 88 %
    found = reliability(*rated(uneven(seed=seed)))
    assert 4 in found.at_chance
    assert list(found.constant) == [5]
    assert not set(found.at_chance) & {0, 1, 2, 3}
    assert not len(found.worse)


def test_workers_who_copy_one_another_are_no_witnesses() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=500)
    looks = np.where(rng.random((500, 5)) < 0.85, truth[:, None], 1 - truth[:, None])
    guess = rng.integers(2, size=500)
    again = np.where(rng.random(500) < 0.95, guess, 1 - guess)
    results, panel = rated(np.column_stack([looks, guess, again]))
    assert [list(group) for group in panel.groups] == [[5, 6]]
    assert sorted(reliability(results, panel).at_chance) == [5, 6]


def test_who_contradicts_the_others_is_worse_than_chance() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=300)
    matrix = np.where(rng.random((300, 5)) < 0.8, truth[:, None], 1 - truth[:, None])
    matrix[:, 3] = 1 - matrix[:, 3]
    results, panel = rated(matrix)
    assert list(reliability(results, panel).worse) == [3]
    page = html(results)
    assert "1 worker contradicts the others more often than chance would: 3." in page


def test_gold_overrules_agreement() -> None:
    # four of five fall for the same tasks, and the fifth, who is right, looks unreliable
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=400)
    looks = np.where(rng.random(400) < 0.5, 1 - truth, truth)
    fooled = np.where(rng.random((400, 4)) < 0.9, looks[:, None], 1 - looks[:, None])
    right = np.where(rng.random(400) < 0.85, truth, 1 - truth)
    results, panel = rated(np.column_stack([fooled, right]))
    by_agreement, by_gold = reliability(results, panel), reliability(results, panel, truth)
    assert 4 in by_agreement.at_chance
    assert by_gold.n_by_gold == 5
    assert sorted(by_gold.at_chance) == [0, 1, 2, 3]
    page = html(results, truth)
    assert "5 workers with 20 answers or more to tasks with gold were judged by gold." in page
    assert "This goes by agreement with the others" in html(results)
    few = np.where(np.arange(400) < 19, truth, -1)
    assert 4 in reliability(results, panel, few).at_chance


def test_who_meets_nobody_is_not_judged() -> None:
    alone = pd.DataFrame(
        {"task": range(60), "worker": np.repeat(["a", "b"], 30), "label": list("xyz") * 20}
    )
    results = results_of(DEEMAggregator().fit(alone))
    found = reliability(results, compare(results))
    assert len(found.few) == 2
    assert not len(found.at_chance)
    assert np.isnan(dependence_on_tasks(results, compare(results))[0]).all()


def test_answers_without_a_label_say_so_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    model = DEEM().fit(rng.integers(3, size=(400, 6)))
    results = results_of(model)
    assert shows_no_label(results)
    assert findings(model)[0] == NO_LABEL
    assert merged_classes(results)  # which would be said otherwise
    page = html(results)
    assert page.count(NO_LABEL) == 5
    assert "better than chance" not in page
    assert "apart" not in page
    assert "better than chance" not in model.summary()
    assert not shows_no_label(rated(uneven(200))[0])


def test_gold_tells_how_far_suspicion_and_doubt_are_right() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(3, size=300)
    skill = [0.8, 0.7, 0.6, 0.5]
    matrix = np.where(rng.random((300, 4)) < skill, truth[:, None], rng.integers(3, size=(300, 4)))
    model = DEEM().fit(matrix)
    page = html(results_of(model), truth)
    suspects = model.suspect_answers()
    likely = suspects[suspects["score"] > 0.5]
    wrong = (likely["label"].to_numpy() != truth[likely["task"].to_numpy()]).mean()
    assert f"On gold {percent(wrong)} of the {len(likely)} answers with gold" in page
    right, doubt = model.predict(matrix) == truth, model.contested_.to_numpy()
    shares = [percent(part.mean()) for part in (right[doubt], right[~doubt])]
    assert f"On gold {shares[0]} of these labels are right, and {shares[1]} of the others." in page


@pytest.mark.parametrize("soft", [False, True])
def test_one_worker_is_not_said_to_show_no_label(soft: bool) -> None:
    rng = np.random.default_rng(0)
    answers = (
        rng.dirichlet(np.ones(3), (60, 1)).transpose(0, 2, 1)
        if soft
        else rng.integers(3, size=(60, 1))
    )
    model = DEEM().fit(answers)
    page = html(results_of(model))
    assert (page.count(ONE_WORKER), page.count(NO_LABEL)) == (5, 0)
    assert findings(model)[0] == ONE_WORKER

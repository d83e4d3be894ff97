"""Tables in line with the shares of what workers said, and whom next_pairs then asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from crowds import consensus
from hypothesis import given
from hypothesis import strategies as st

from deem_crowd import DEEMAggregator
from deem_crowd.decide.answer_shares import in_line_with_answers
from deem_crowd.decide.consensus import Given

FloatArray = npt.NDArray[np.float64]


def drawn(seed: int, n: int = 40, d: int = 4, k: int = 3):
    """Return a consensus of n tasks with drawn tables, and 60 answers, of which the last worker gave none."""
    rng = np.random.default_rng(seed)
    tables = rng.dirichlet(np.full(k, 2.0), (d, k)).swapaxes(1, 2)
    answers = Given(
        rng.integers(n, size=60), rng.integers(d - 1, size=60), rng.integers(k, size=60)
    )
    return replace(consensus(rng.dirichlet(np.ones(k), n), tables), answers=answers), tables


@given(st.integers(0, 2**32 - 1))
def test_tables_are_those_of_proportional_fitting_to_shares_and_labels(seed: int) -> None:
    """Deming and Stephan's iteration on p(answer, label) of each worker, whose margins are both known."""
    view, tables = drawn(seed)
    found = in_line_with_answers(view, view.required_tables(), np.arange(4)).of(np.arange(4))
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    np.testing.assert_allclose(found[3], tables[3])
    for worker in range(3):
        mine = view.answers.worker == worker
        if not mine.any():
            continue
        said = view.answers.label[mine]
        others = view.posterior[view.answers.task[mine]] / tables[worker, said]
        labels = (others / others.sum(axis=1, keepdims=True)).mean(axis=0)
        counts = np.bincount(said, minlength=3)
        share = (counts + tables[worker] @ labels) / (counts.sum() + 1)
        joint = tables[worker] * labels
        for _ in range(500):
            joint *= (share / joint.sum(axis=1))[:, None]
            joint *= labels / joint.sum(axis=0)
        np.testing.assert_allclose(found[worker], joint / labels, atol=0.01)


def test_without_answers_and_of_whom_nobody_asks_tables_stay() -> None:
    view, tables = drawn(0)
    known = view.required_tables()
    assert in_line_with_answers(replace(view, answers=None), known, np.arange(4)) is known
    some = in_line_with_answers(view, known, np.array([1]))
    np.testing.assert_allclose(some.of(np.array([0, 2])), tables[[0, 2]])
    assert np.abs(some.of(np.array([1])) - tables[1]).max() > 0.01
    every = np.arange(4)
    np.testing.assert_allclose(some.mean(np.ones(4)), some.of(every).mean(axis=0))
    prior = np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(some.chance(prior), [prior @ t @ prior for t in some.of(every)])
    cells = some.cells(every[:, None], np.array([[0, 2]]), np.array([[1, 1]]))
    np.testing.assert_allclose(cells, some.of(every)[:, [0, 2], 1])


def test_answers_that_tables_rule_out_leave_tables_of_which_columns_sum_to_one() -> None:
    """Other aggregators' tables may hold zeros, as of somebody who was always right where the label is known."""
    n = 100
    view = consensus(np.tile([1.0, 0.0], (n, 1)), np.tile(np.eye(2), (2, 1, 1)))
    for said in (np.ones(n, dtype=int), np.minimum(np.arange(n), 1)):
        answers = Given(np.arange(n), np.zeros(n, dtype=int), said)
        view = replace(view, answers=answers)
        found = in_line_with_answers(view, view.required_tables(), np.arange(2)).of(np.arange(2))
        np.testing.assert_allclose(found, np.tile(np.eye(2), (2, 1, 1)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [2, 6])
def test_those_who_always_name_one_class_are_not_asked(k: int, seed: int) -> None:
    """Fifteen people are right in 50 to 90 % of cases, five always name one class; each task has two answers."""
    rng = np.random.default_rng([k, seed])
    n, skilled, d = 200, 15, 20
    truth, skill, only = rng.integers(k, size=n), rng.uniform(0.5, 0.9, d), rng.integers(k, size=d)
    rows = [(task, worker) for task in range(n) for worker in rng.choice(d, 2, replace=False)]
    frame = pd.DataFrame(rows, columns=["task", "worker"])
    right = rng.random(len(frame)) < skill[frame["worker"]]
    wrong = (truth[frame["task"]] + rng.integers(1, k, len(frame))) % k
    honest = np.where(right, truth[frame["task"]], wrong)
    frame["label"] = np.where(frame["worker"] < skilled, honest, only[frame["worker"]])
    asked = DEEMAggregator().fit(frame).next_pairs(100)
    assert (asked["worker"] >= skilled).mean() < 0.02

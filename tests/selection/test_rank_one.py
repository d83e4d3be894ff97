"""The largest eigenvalue of agreement beyond chance: its law without a label, and what it sees with one."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import pairs, rank_one, select


def drawn(
    seed: int, n_tasks: int, n_workers: int, k: int, per_task: int, skilled: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and answers of workers with skills Beta(4, 3) or with favourite classes, −1 for none."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n_tasks)
    size = (n_tasks, n_workers)
    if skilled:
        right = rng.random(size) < rng.beta(4, 3, n_workers)
        wrong = (truth[:, None] + rng.integers(1, k, size)) % k
        data = np.where(right, truth[:, None], wrong)
    else:
        shares = rng.dirichlet(np.full(k, 3.0), n_workers).cumsum(1)
        data = (rng.random(size)[:, :, None] > shares).sum(2).clip(max=k - 1)
    data[rng.random(size).argsort(1).argsort(1) >= per_task] = -1
    return truth, data


@pytest.mark.parametrize(
    ("n_tasks", "n_workers", "k", "per_task"),
    [(100, 5, 2, 3), (60, 12, 2, 12), (100, 20, 5, 4), (120, 40, 3, 4)],
)
def test_noise_exceeds_the_quantiles_no_more_often_than_it_should(n_tasks, n_workers, k, per_task):
    found = np.array(
        [
            rank_one.departure(
                Answers.from_dense(drawn(s, n_tasks, n_workers, k, per_task, False)[1], k)
            )
            for s in range(60)
        ]
    )
    eigenvalue, total = found.T
    assert -2.5 < eigenvalue.mean() < 0
    assert (eigenvalue > 0.98).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)
    assert (eigenvalue > 2.01).mean() <= 0.01 + 2 * np.sqrt(0.01 * 0.99 / 60)
    assert abs(total.mean()) < 3 / np.sqrt(60)
    assert total.std() == pytest.approx(1, abs=0.3)


def test_one_label_stands_out_where_single_pairs_say_little() -> None:
    """Pairs share three tasks each."""
    found = [
        rank_one.departure(Answers.from_dense(drawn(s, 300, 100, 2, 10, True)[1], 2)).eigenvalue
        for s in range(10)
    ]
    assert np.mean(np.array(found) > 2.01) > 0.7


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_no_order_and_no_name_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = drawn(seed, 80, 9, 3, 4, True)[1]
    names = np.append(rng.permutation(3), -1)
    other = names[data][rng.permutation(80)][:, rng.permutation(9)]
    expected = rank_one.departure(Answers.from_dense(data, 3))
    assert rank_one.departure(Answers.from_dense(other, 3)) == pytest.approx(expected, abs=1e-8)
    wider = Answers.from_dense(data, 3).select(workers=(np.arange(9), pd.RangeIndex(10)))
    assert rank_one.departure(wider) == pytest.approx(expected, abs=1e-8)


def test_the_total_sees_good_sources_that_meet_too_seldom_to_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=120)
    data = np.where(rng.random((120, 40)) < 0.5, truth[:, None], rng.integers(3, size=(120, 40)))
    data[rng.random((120, 40)).argsort(1).argsort(1) >= 2] = -1
    found = rank_one.departure(Answers.from_dense(data, 3))
    assert found.total > 3
    assert found.eigenvalue < 1.51


def test_what_cannot_be_told() -> None:
    none = rank_one.Departure(-np.inf, -np.inf)
    assert rank_one.departure(Answers.from_dense(np.array([[0, 1], [1, 0]]), 2)) == none
    assert rank_one.departure(Answers.from_dense(np.zeros((9, 4), int), 2)) == none
    assert rank_one.departure(Answers.from_soft(np.full((20, 2, 4), 0.5))) == none


def test_agreement_beyond_chance_and_its_variance_are_those_of_all_orders() -> None:
    data = np.array([[0, 1, -1], [1, 1, 2], [2, -1, 0], [1, 0, 1], [0, 2, 2]])
    answers = Answers.from_dense(data, 3)
    common, shares, beyond = pairs.centred(answers, np.arange(3))
    centred = np.where((data >= 0)[:, :, None], np.eye(3)[data] - shares, 0)
    np.testing.assert_allclose(beyond, np.einsum("nik,njk->ij", centred, centred))
    variance, _ = rank_one._variance(common, shares)
    asked = data[:, 1] >= 0
    sums = [
        (centred[asked, 1][list(one)] * centred[list(other), 0][asked]).sum()
        for one in permutations(range(4))
        for other in permutations(range(5))
    ]
    assert np.mean(sums) == pytest.approx(0, abs=1e-12)
    assert np.var(sums) == pytest.approx(variance[0, 1])


def test_the_edge_solves_dyson_s_equation_where_solutions_end() -> None:
    edge, m = rank_one._edge(np.ones(7))
    assert edge == pytest.approx(2, abs=1e-3)
    np.testing.assert_allclose(m, 1, atol=0.05)
    rho = np.array([0.4, 0.4, 1.0, 2.0, 3.5])
    edge, m = rank_one._edge(rho)
    variances = np.outer(rho, rho) / rho.sum()
    np.testing.assert_allclose(1 / m + variances @ m, edge)
    steepest = np.linalg.eigvals(m[:, None] ** 2 * variances).real.max()
    assert steepest == pytest.approx(1, abs=0.05), "the Jacobian is singular there"


def test_the_default_shows_a_label_that_the_bound_alone_does_not() -> None:
    truth, data = drawn(1, 300, 100, 2, 10, True)
    answers = Answers.from_dense(data, 2)
    chosen = select.select(answers, DesignMatrix(answers, torch.device("cpu"), torch.float64))
    assert chosen.posterior is not None
    ones, zeros = (data == 1).sum(1), (data == 0).sum(1)
    votes = np.where(ones == zeros, 0.5, (ones > zeros) == truth).mean()
    assert (chosen.posterior.argmax(1).numpy() == truth).mean() > votes + 0.1

"""Sums that are taken another way where that is faster say what the plain ones do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import DEEM
from deem_crowd.data.answers import Answers, as_answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.expectation import counts_of, expect
from deem_crowd.model.matching import best_matching, best_matchings
from deem_crowd.model.rows import FEW_COLUMNS
from deem_crowd.model.tables import label_total, log_tables
from deem_crowd.model.votes import vote_shares
from deem_crowd.selection import pairs
from deem_crowd.training.digamma import DigammaSum, WholeDigammaSum, digamma_sum
from deem_crowd.training.hierarchical import _OFFSET_VARIANCES, _with_class_offsets

CPU = torch.device("cpu")


def drawn(seed: int, n: int, d: int, k: int, share: float = 0.5) -> Answers:
    rng = np.random.default_rng(seed)
    matrix = np.where(rng.random((n, d)) < share, rng.integers(k, size=(n, d)), -1)
    return as_answers(matrix, k, warn_empty=())


@given(seed=st.integers(0, 999), d=st.integers(0, 5), k=st.integers(1, FEW_COLUMNS + 2))
@settings(max_examples=30, deadline=None)
def test_tables_are_normalised_over_labels(seed, d, k) -> None:
    cells = torch.rand((d, k, 3), generator=torch.Generator().manual_seed(seed)).double() + 0.1
    torch.testing.assert_close(label_total(cells), cells.sum(1))
    torch.testing.assert_close(log_tables(cells), (cells / cells.sum(1, keepdim=True)).log())


@pytest.mark.parametrize("piece", [1024, 50])
def test_numbers_of_tasks_add_up_by_worker_and_label(piece, monkeypatch) -> None:
    monkeypatch.setattr("deem_crowd.model.sparse_rows.PIECE", piece)
    answers = drawn(3, 400, 6, 2)
    design = DesignMatrix(answers, CPU, torch.float32)
    assert design.adds_up
    values = torch.rand(400, generator=torch.Generator().manual_seed(1))
    expected = np.zeros((6, 2))
    np.add.at(expected, (answers.worker, answers.hard_label), values.numpy()[answers.task])
    (found,) = design.by_task.add_up(values[:, None], int(design.given.max()))
    found = found.view(6, 2)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(
        design.expected_counts(values[:, None])[:, :, 0].numpy(), expected, rtol=1e-6
    )
    assert (design.answers_named().numpy().sum(1) == np.bincount(answers.worker)).all()


@given(seed=st.integers(0, 999), m=st.integers(0, 6), n=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_matchings_of_many_tables_are_those_of_each(seed, m, n) -> None:
    tables = np.random.default_rng(seed).integers(9, size=(m, n, n))
    assert best_matchings(tables).tolist() == [best_matching(each).tolist() for each in tables]


@given(seed=st.integers(0, 999), d=st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_sums_over_whole_counts_need_no_digamma_function(seed, d) -> None:
    rng = np.random.default_rng(seed)
    counts = torch.from_numpy(rng.integers(12, size=(d, 3, 1)))
    alpha = torch.from_numpy(rng.gamma(2.0, size=(3, 1)))
    expected = DigammaSum(counts.double())(alpha)
    torch.testing.assert_close(WholeDigammaSum(counts)(alpha), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(digamma_sum(counts + 0.3)(alpha), DigammaSum(counts + 0.3)(alpha))


@given(seed=st.integers(0, 999), k=st.integers(1, 4), at_once=st.sampled_from([1, 2**17]))
@settings(max_examples=20, deadline=None)
def test_offsets_of_all_variances_are_those_of_each(seed, k, at_once) -> None:
    rng = np.random.default_rng(seed)
    answers = torch.from_numpy(rng.gamma(3.0, 5.0, size=(k, 9)))
    right = answers * torch.from_numpy(rng.beta(4, 2, size=(k, 9)))
    theta = torch.from_numpy(rng.uniform(0.05, 0.95, size=9))
    logit = torch.logit(theta)

    def likelihood(p: torch.Tensor) -> float:
        return float((right * p.log() + (answers - right) * (1 - p).log()).sum())

    best, gain = torch.sigmoid(logit).expand(k, 9), 0.0
    reached = likelihood(best)
    for variance in _OFFSET_VARIANCES[1:]:
        offset = torch.zeros(k).double()
        for _ in range(3):
            p = torch.sigmoid(logit + offset[:, None])
            curve = (answers * p * (1 - p)).sum(1) + 1 / variance
            slope = right.sum(1) - (answers * p).sum(1) - offset / variance
            offset = offset + (slope / curve).clamp(-1, 1)
        p = torch.sigmoid(logit + offset[:, None])
        spread = float((offset**2 / variance + (curve * variance).log()).sum())
        if likelihood(p) - spread / 2 > reached:
            best, reached, gain = p, likelihood(p) - spread / 2, -spread / 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deem_crowd.training.hierarchical._CELLS", at_once)
        found, found_gain = _with_class_offsets(theta, right, answers)
    torch.testing.assert_close(found, best)
    assert found_gain == pytest.approx(gain, abs=1e-8)


@pytest.mark.parametrize("k", [2, 3, FEW_COLUMNS + 1])
def test_a_tied_vote_is_shared_out(k) -> None:
    answers = drawn(k, 200, 5, k, 0.4)
    counts = np.zeros((200, k))
    np.add.at(counts, (answers.task, answers.hard_label), 1)
    best = (counts == counts.max(1, keepdims=True)) & (counts.sum(1, keepdims=True) > 0)
    expected = best / np.maximum(best.sum(1, keepdims=True), 1)
    for kind in (torch.float32, torch.float64):
        found = vote_shares(DesignMatrix(answers, CPU, kind)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_tasks_in_common_are_counted_in_pairs() -> None:
    answers = drawn(5, 120, 7, 2, 0.6)
    there = np.zeros((120, 7))
    there[answers.task, answers.worker] = 1
    chosen = np.array([0, 2, 3, 6])
    expected = there[:, chosen].T @ there[:, chosen]
    assert (pairs.count(answers, chosen, least=10**6).common == expected).all()


@pytest.mark.parametrize(("k", "m"), [(2, 1), (2, 2), (3, 1), (4, 1)])
def test_few_states_are_expected_column_by_column(k, m) -> None:
    answers = drawn(7, 300, 6, k, 0.6)
    single, double = (DesignMatrix(answers, CPU, kind) for kind in (torch.float32, torch.float64))
    draws = torch.Generator().manual_seed(k)
    weight = torch.randn((6, k, k * m), generator=draws).double().log_softmax(1)
    bias = torch.randn(k * m, generator=draws).double().log_softmax(0)
    found, exact = expect(single, weight, bias), expect(double, weight, bias)
    assert (found.states.stride(0) == 1) == (k < 4)
    torch.testing.assert_close(found.states.double(), exact.states, atol=1e-6, rtol=1e-5)
    assert found.total == pytest.approx(exact.total, rel=1e-6)
    by_task = found.task_log_likelihood.double()
    torch.testing.assert_close(by_task, exact.task_log_likelihood, atol=1e-5, rtol=1e-5)
    counts = counts_of(double, exact.states)
    torch.testing.assert_close(counts_of(single, found.states), counts, atol=1e-4, rtol=1e-5)
    squares = single.expected_counts(found.states.square())
    expected = double.expected_counts(exact.states.square())
    torch.testing.assert_close(squares, expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(single.votes.double(), double.votes)
    fold = Energy(bias, weight, weight[0], m).fold
    torch.testing.assert_close(fold(found.states).double(), fold(exact.states), atol=1e-6, rtol=0)


def test_where_there_are_no_classes_there_are_no_subtypes() -> None:
    nothing = np.zeros((0, 0, 0))
    labels, probabilities = DEEM(subtypes=2).fit(nothing).predict(nothing, return_probs=True)
    assert labels.shape == (0,)
    assert probabilities.shape == (0, 0)

"""When a member's training ends, and the sums that it is judged and learned by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.rows import add_to_rows
from deem_crowd.selection.opinion_pool import agreement_weights, weights_from_products
from deem_crowd.training import confusion, digamma, em, one_coin
from deem_crowd.training.ending import TOLERANCE, entropy_of, falls_short, rests

CPU = torch.device("cpu")


def crowd(seed: int, n: int, d: int = 12, k: int = 3) -> Answers:
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    data = np.where(rng.random((n, d)) < 0.7, truth[:, None], rng.integers(k, size=(n, d)))
    data[:, 1:][rng.random((n, d - 1)) < 0.5] = -1
    return Answers.from_dense(data, k)


def test_the_log_gamma_function_of_many_cells_is_torchs() -> None:
    x = 10 ** torch.linspace(-6, 7, 2 * digamma._MANY, dtype=torch.float64).view(2, -1)
    torch.testing.assert_close(digamma.log_gamma(x), torch.lgamma(x), rtol=1e-12, atol=1e-11)
    few = x[:, :: len(x[0]) // 9]
    assert few.numel() < digamma._MANY
    torch.testing.assert_close(digamma.log_gamma(few), torch.lgamma(few), rtol=0, atol=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([0.01, 0.3, 4.0, 900.0]))
def test_a_sum_of_many_digammas_is_that_of_few(seed, scale) -> None:
    rng = torch.Generator().manual_seed(seed)
    counts = torch.rand((1500, 3, 4), generator=rng, dtype=torch.float64) * scale
    counts[:, 1, 2] = 0
    alpha = torch.rand((3, 4), generator=rng, dtype=torch.float64) * 3 + 0.01
    assert counts.numel() >= digamma._MANY
    found = digamma.DigammaSum(counts)(alpha)
    expected = (torch.digamma(counts + alpha) - torch.digamma(alpha)).sum(0)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)
    assert found[1, 2] == 0


@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize("m", [1, 2])
def test_entropy_from_sums_over_tables_is_that_of_the_tasks(m, gold) -> None:
    answers = crowd(m, 50)
    design = DesignMatrix(answers, CPU, torch.float64)
    known = torch.full((50,), -1)
    known[:7] = 2
    clamp = em.Clamp(design, known if gold else None, m)
    rng = torch.Generator().manual_seed(m)
    weight = torch.randn((12, 3, 3 * m), generator=rng, dtype=torch.float64)
    bias = torch.randn(3 * m, generator=rng, dtype=torch.float64)
    expected = em.expect(design, weight, bias, clamp)
    states = expected.states
    counts = design.expected_counts(states)
    tasks = design.total(states)
    found = entropy_of(counts, tasks, expected.summed(design), weight, bias)
    assert found == pytest.approx(-float(torch.xlogy(states, states).sum()), abs=1e-9)


@pytest.mark.parametrize("moved", [0.3 * TOLERANCE, 0.99 * TOLERANCE, 1.01 * TOLERANCE, 0.1])
def test_a_sample_of_tasks_decides_nothing_that_all_would_not(moved) -> None:
    n = 20_000
    answers = Answers.from_dense(np.zeros((n, 1), dtype=int), 2)
    design = DesignMatrix(answers, CPU, torch.float64)
    before = torch.full((n, 2), 0.5, dtype=torch.float64)
    step = 2 * moved * torch.rand((n, 1), generator=torch.Generator().manual_seed(1)).double()
    step *= moved / step.mean()
    after = before + torch.cat([step, -step], 1)
    assert rests(design, after, before) == (moved < TOLERANCE)


def test_a_fit_is_given_up_only_where_its_pace_is_too_slow() -> None:
    assert falls_short([-10.0, -9.5, -9.0], beat=-4.0, n_passes=4)  # 4 × 2 × 0.5 nats to come
    assert not falls_short([-10.0, -9.5, -9.0], beat=-5.0, n_passes=4)
    slowing = [-10.0, -9.2, -9.0]
    assert not falls_short(slowing, beat=-8.1, n_passes=4)
    assert falls_short(slowing, beat=-8.1, n_passes=4, dear=True)  # 4 × 0.2 nats to come
    assert not falls_short(slowing, beat=-8.3, n_passes=4, dear=True)
    assert falls_short([-9.0, -9.1, -9.2], beat=-9.1, n_passes=50)  # falling bounds gain nothing


def test_a_fit_that_beats_the_bound_is_the_same_as_without_one() -> None:
    answers = crowd(5, 200)
    design = DesignMatrix(answers, CPU, torch.float64)
    begin = em.margin_start(design, em.vote_start(design))
    free = confusion.fit_confusion(design, begin, 2)
    beaten = confusion.fit_confusion(design, begin, 2, beat=free.bound - 1e-6)
    assert (beaten.n_passes, beaten.bound) == (free.n_passes, free.bound)
    far = confusion.fit_confusion(design, begin, 2, beat=free.bound + 1e6)
    assert far.n_passes == em.LEAST_PASSES
    assert far.bound <= free.bound


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 300), st.integers(1, 300), st.integers(0, 2**16))
def test_a_row_is_added_to_all_rows(n, size, seed) -> None:
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn((n, size), generator=rng)
    row = torch.randn(size, generator=rng)
    expected = values + row
    assert add_to_rows(values, row) is values
    assert torch.equal(values, expected)


def test_weights_of_voices_follow_from_their_products_over_tasks() -> None:
    answers = crowd(3, 9000)
    design = DesignMatrix(answers, CPU, torch.float64)
    rng = torch.Generator().manual_seed(3)
    one, other = (torch.rand((9000, 3), generator=rng, dtype=torch.float64) for _ in range(2))
    voices = [one, other, one]
    products = [[float((a * b).sum(1).mean()) for b in voices] for a in voices]
    shares = [voice.mean(0) for voice in voices]
    by_chance = [[float((a * b).sum()) for b in shares] for a in shares]
    found, expected = agreement_weights(voices, design), weights_from_products(products, by_chance)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-12)


@pytest.mark.parametrize("n_tasks", [3, 4, 50])
def test_weights_of_voices_do_not_depend_on_how_these_lie_in_memory(n_tasks: int) -> None:
    """Also where there are as many tasks as classes."""
    design = DesignMatrix(crowd(3, n_tasks), CPU, torch.float64)
    rng = np.random.default_rng(0)
    voices = [torch.from_numpy(rng.dirichlet(np.full(3, 0.3), n_tasks)) for _ in range(3)]
    by_column = [voice.T.contiguous().T for voice in voices]
    for rows, columns in zip(
        agreement_weights(voices, design), agreement_weights(by_column, design), strict=True
    ):
        np.testing.assert_allclose(columns, rows, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**16), st.integers(3, 5))
def test_shared_errors_have_the_concentration_of_largest_evidence(seed, k) -> None:
    counts = torch.from_numpy(np.random.default_rng(seed).integers(0, 60, size=(k, k))).double()
    off = ~np.eye(k, dtype=bool)
    evidence = []
    for value in one_coin.ERROR_CONCENTRATIONS:
        found = 0.0
        for column in range(k):
            wrong = counts[:, column][torch.from_numpy(off[:, column])]
            prior = torch.full_like(wrong, value)
            found += float((torch.lgamma(wrong + prior) - torch.lgamma(prior)).sum())
            found += math.lgamma(float(prior.sum())) - math.lgamma(float((wrong + prior).sum()))
        evidence.append(found)
    best = int(np.argmax(evidence))
    errors, gain = one_coin.shared_errors(counts)
    wrong = torch.where(torch.from_numpy(off), counts + one_coin.ERROR_CONCENTRATIONS[best], 0.0)
    torch.testing.assert_close(errors, wrong / wrong.sum(0))
    plug_in = (counts * errors.clamp_min(1e-300).log())[torch.from_numpy(off)].sum()
    assert gain == pytest.approx(evidence[best] - float(plug_in), abs=1e-8)

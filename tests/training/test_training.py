"""Training: it climbs, it ends where it should, and its answer does not hang on the optimiser."""

from __future__ import annotations

import warnings

import numpy as np
import oracle
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gammaln

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.fit import Recipe, fit_answers
from deem_crowd.model import votes
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.selection import null_model
from deem_crowd.training import dirichlet
from deem_crowd.training.likelihood import Likelihood, Settings, Weights
from deem_crowd.training.one_unit import train


def crowd(seed: int, n: int = 60, d: int = 6, k: int = 3, skill=(0.5, 0.9), missing: float = 0.3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    right = rng.random((n, d)) < rng.uniform(*skill, d)
    matrix = np.where(right, truth[:, None], rng.integers(0, k, (n, d)))
    matrix[rng.random((n, d)) < missing] = -1
    return matrix, truth


def problem(matrix: np.ndarray, k: int, m: int = 1) -> tuple[DesignMatrix, Energy]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = Answers.from_dense(matrix, k)
    return problem_of(answers, k, m)


def problem_of(answers: Answers, k: int, m: int = 1) -> tuple[DesignMatrix, Energy]:
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    skill, own = votes.start(answers, design, m, "mv", True, torch.Generator())
    weight = skill[:, None, None] * votes.diagonal(k, m) + own
    return design, Energy(torch.zeros(k * m, dtype=torch.float64), weight, weight.mean(0), m)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]), st.sampled_from(["learned", None, 0.5]))
def test_the_objective_never_falls(seed, m, penalty) -> None:
    design, start = problem(crowd(seed)[0], 3, m)
    fit = train(design, start, Settings(n_subtypes=m, penalty=penalty, n_iter=200))
    steps = np.diff(fit.objective)
    assert (steps >= -1e-9).all()


@pytest.mark.parametrize("seed", range(3))
def test_em_and_lbfgs_end_at_the_same_objective(seed) -> None:
    design, start = problem(crowd(seed, n=200)[0], 3)
    ends = [
        train(design, start, Settings(penalty=1.0, optimizer=o, tol=1e-10, n_iter=3000)).objective[
            -1
        ]
        for o in ("em", "lbfgs")
    ]
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_end_is_a_stationary_point(seed) -> None:
    design, start = problem(crowd(seed, n=200)[0], 3)
    plan = Settings(penalty=1.0, tol=1e-12, n_iter=3000)
    fit = train(design, start, plan)
    gradient = Likelihood(design, plan).gradient(_weights(fit.energy))[2]
    assert gradient.weight.abs().max() < 1e-2
    assert gradient.bias.abs().max() < 1e-2


def _weights(energy: Energy) -> Weights:
    return Weights(energy.bias, energy.weight)


@pytest.mark.parametrize("seed", range(4))
def test_without_penalty_no_worse_than_200_steps_of_dawid_skene_from_the_same_start(seed) -> None:
    matrix, _ = crowd(seed)
    design, start = problem(matrix, 3)
    fit = train(design, start, Settings(penalty=None, tol=1e-9, n_iter=2000))
    begin = start.state_posterior(design).numpy()
    reference = oracle.dawid_skene(None, matrix, 200, begin)
    found = float(fit.energy.log_likelihood(design).sum())
    assert found >= reference - 1e-4


def test_zero_passes_give_the_start() -> None:
    design, start = problem(crowd(0)[0], 3)
    fit = train(design, start, Settings(n_iter=0))
    assert torch.equal(fit.energy.weight, start.weight)
    assert fit.n_passes == 0
    assert fit.log_likelihood == []


def test_the_free_gauge_fits_at_least_as_well_as_the_normalised_one() -> None:
    design, start = problem(crowd(1, n=200)[0], 3)
    ends = {}
    for gauge in ("normalised", "free"):
        fit = train(design, start, Settings(gauge=gauge, penalty=None, tol=1e-9, n_iter=2000))
        ends[gauge] = float(fit.energy.log_likelihood(design).sum())
    assert ends["free"] >= ends["normalised"] - 0.05


def test_gold_clamps_its_tasks_and_teaches_the_others() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    matrix = np.where(rng.random((400, 3)) < 0.85, truth[:, None], 1 - truth[:, None])
    matrix[:, :2] = 1 - matrix[:, :2]
    gold = np.full(400, -1)
    gold[:50] = truth[:50]

    def accuracy(known) -> float:
        _, posterior = fit_answers(Answers.from_dense(matrix), Recipe(), known)
        if known is not None:
            assert (posterior[:50].argmax(1) == truth[:50]).all()
            assert posterior[:50].max(1).min() == 1
        return float((posterior[50:].argmax(1) == truth[50:]).mean())

    assert accuracy(None) < 0.3  # two of three workers lie, and nothing says so
    assert accuracy(gold) > 0.9


def test_learned_pseudo_answers_raise_the_evidence_of_the_tables() -> None:
    design, start = problem(crowd(0, n=300, d=12, missing=0.6)[0], 3)
    likelihood = Likelihood(design, Settings(penalty="learned"))
    counts = design.expected_counts(start.state_posterior(design))
    values = []
    for _ in range(30):
        values.append(float(dirichlet.log_marginal(counts, likelihood.pseudo_answers).sum()))
        likelihood.learn_pseudo_answers(counts, steps=1)
    assert values[-1] > values[0]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_every_step_for_pseudo_answers_raises_evidence_with_its_pseudo_observation(seed) -> None:
    """(a + 1) / (b + 1) is the step of evidence + Σ log α − Σ α, which such a step can never lower."""
    design, _ = problem(crowd(0, n=30)[0], 3)
    likelihood = Likelihood(design, Settings(penalty="learned"))
    rng = np.random.default_rng(seed)
    tables = rng.dirichlet(np.ones(3) * 2, (9, 3)).transpose(0, 2, 1) / 3 + np.eye(3) * 2 / 3
    counts = tables * rng.integers(2, 60, (9, 1, 3))

    def target() -> float:
        alpha = likelihood.pseudo_answers.numpy()
        gained = (gammaln(counts + alpha) - gammaln(alpha)).sum()
        lost = (gammaln(counts.sum(1) + alpha.sum(0)) - gammaln(alpha.sum(0))).sum()
        return float(gained - lost + np.log(alpha).sum() - alpha.sum())

    values = [target()]
    for _ in range(20):
        likelihood.learn_pseudo_answers(torch.from_numpy(counts))
        values.append(target())
    assert min(np.diff(values)) > -1e-9


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 4), st.floats(0.6, 1.0))
def test_pseudo_answers_end_at_a_maximum_where_workers_differ_by_chance_alone(
    seed, k, skill
) -> None:
    """Beyond the maximum the evidence is nearly flat and not concave: Newton's steps alone lead away from it."""
    rng = np.random.default_rng(seed)
    table = np.full((k, k), (1 - skill) / max(k - 1, 1))
    np.fill_diagonal(table, skill)
    counts = np.stack([rng.multinomial(25, column, size=100) for column in table.T], 2).astype(
        float
    )
    matrix = np.zeros((1, 2), dtype=np.int64)
    likelihood = Likelihood(problem(matrix, k)[0], Settings(penalty="learned"))
    for _ in range(20):
        likelihood.learn_pseudo_answers(torch.from_numpy(counts), steps=1)
    alpha = likelihood.pseudo_answers.numpy()
    gained = (digamma(counts + alpha) - digamma(alpha)).sum(0)
    lost = (digamma(counts.sum(1) + alpha.sum(0)) - digamma(alpha.sum(0))).sum(0)
    slope = alpha * (gained - lost + 1 / alpha - likelihood._rate.numpy())
    inside = alpha > 1.001e-3  # the least that they may be
    assert np.abs(slope[inside]).max() < 1e-6


def test_answers_that_always_agree_leave_no_doubt() -> None:
    rng = np.random.default_rng(0)
    n, d = 4000, 400
    truth, workers = rng.integers(0, 2, n), np.argsort(rng.random((n, d)), 1)[:, :5]
    answers = Answers.from_codes(
        (np.repeat(np.arange(n), 5), pd.RangeIndex(n)),
        (workers.ravel(), pd.RangeIndex(d)),
        (np.repeat(truth, 5), pd.RangeIndex(2)),
    )
    design, start = problem_of(answers, 2)
    fit = train(design, start, Settings())
    assert fit.n_passes < 20
    assert float(fit.energy.posterior(design)[np.arange(n), truth].min()) > 0.999


def test_workers_of_one_kind_get_a_stronger_prior_than_workers_who_differ() -> None:
    strength = []
    for skill in ((0.7, 0.7001), (0.2, 1.0)):
        design, start = problem(crowd(0, n=600, d=20, skill=skill)[0], 3)
        strength.append(float(train(design, start, Settings()).pseudo_answers.sum()))
    assert strength[0] > strength[1]


def test_float32_passes_agree_with_float64() -> None:
    matrix, _ = crowd(0, n=2000, d=8)
    answers = Answers.from_dense(matrix, 3)
    ends = []
    for dtype in (torch.float32, torch.float64):
        design = DesignMatrix(answers, torch.device("cpu"), dtype)
        _, start = problem(matrix, 3)
        ends.append(train(design, start, Settings()).energy.posterior(design).double())
    assert (ends[0] - ends[1]).abs().max() < 1e-3


def test_evidence_is_there_for_a_label_and_absent_for_noise() -> None:
    for skill, expected in (((0.6, 0.9), True), (None, False)):
        matrix, _ = crowd(3, n=200, d=8, skill=skill or (0.0, 0.0))
        design, start = problem(matrix, 3)
        fit = train(design, start, Settings())
        posterior = fit.energy.state_posterior(design)
        assert null_model.prefers_no_label(design, posterior, fit.pseudo_answers) != expected


def test_weighted_start_ranks_workers_by_agreement_with_the_others() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 500)
    skills = np.array([0.95, 0.8, 0.6, 0.4])
    matrix = np.where(rng.random((500, 4)) < skills, truth[:, None], rng.integers(0, 3, (500, 4)))
    answers = Answers.from_dense(matrix)
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    agreement = votes.vote_agreement(design, np.diff(answers.task_ptr)).numpy()
    by_hand = [
        np.mean([matrix[:, i] == matrix[:, j] for j in range(4) if j != i]) for i in range(4)
    ]
    np.testing.assert_allclose(agreement, by_hand, atol=1e-12)
    assert (np.diff(agreement) < 0).all()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]), st.sampled_from([None, 0.5]))
def test_the_objective_never_falls_in_the_free_gauge_either(seed, m, penalty) -> None:
    design, start = problem(crowd(seed)[0], 3, m)
    fit = train(design, start, Settings(n_subtypes=m, gauge="free", penalty=penalty, n_iter=100))
    assert len(fit.objective) > 1
    assert min(np.diff(fit.objective)) >= -1e-9


@pytest.mark.parametrize("kind", ["gold", "soft"])
def test_em_and_lbfgs_end_at_the_same_objective_with_gold_and_with_soft_answers(kind) -> None:
    matrix, truth = crowd(5, n=200)
    design, start = problem(matrix, 3)
    gold = None
    if kind == "gold":
        gold = torch.from_numpy(np.where(np.arange(200) < 40, truth, -1))
    else:
        soft = np.eye(3)[matrix.clip(0)] * 0.8 + 0.2 / 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = Answers.from_soft((soft * (matrix >= 0)[:, :, None]).transpose(0, 2, 1))
        design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    ends = []
    for optimizer in ("em", "lbfgs"):
        plan = Settings(penalty=1.0, optimizer=optimizer, tol=1e-10, n_iter=3000)
        ends.append(train(design, start, plan, gold).objective[-1])
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)


@pytest.mark.parametrize("gauge", ["normalised", "free"])
def test_float32_passes_give_the_posterior_of_float64_at_the_same_weights(gauge) -> None:
    matrix, _ = crowd(2, n=1500, d=40, missing=0.1)
    _, start = problem(matrix, 3)
    weight = start.weight + torch.from_numpy(
        np.random.default_rng(0).normal(size=start.weight.shape)
    )
    if gauge == "normalised":
        weight = torch.log_softmax(weight, 1)
    energy = Energy(start.bias, weight, weight.mean(0))
    answers = Answers.from_dense(matrix, 3)
    one, other = (
        energy.posterior(DesignMatrix(answers, torch.device("cpu"), dtype)).double()
        for dtype in (torch.float32, torch.float64)
    )
    assert (one - other).abs().max() < 1e-4


@pytest.mark.parametrize("seed", range(20, 40))
def test_no_worse_than_dawid_skene_on_few_sparse_and_poor_answers_either(seed) -> None:
    rng = np.random.default_rng(seed)
    matrix, _ = crowd(seed, n=int(rng.integers(10, 50)), d=5, skill=(0.2, 0.95), missing=0.5)
    design, start = problem(matrix, 3)
    fit = train(design, start, Settings(penalty=None, tol=0.0, n_iter=400))
    reference = oracle.dawid_skene(None, matrix, 200, start.state_posterior(design).numpy())
    assert float(fit.energy.log_likelihood(design).sum()) >= reference - 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_newton_ends_at_the_maximum_of_the_evidence(seed) -> None:
    from deem_crowd.training.digamma import DigammaSum
    from deem_crowd.training.dirichlet import newton

    rng = np.random.default_rng(seed)
    true = rng.gamma(2.0, 2.0, (3, 2))
    counts = np.empty((400, 3, 2))
    for i in range(400):
        for s in range(2):
            counts[i, :, s] = rng.multinomial(rng.integers(1, 40), rng.dirichlet(true[:, s]))
    c = torch.from_numpy(counts)

    def evidence(alpha: torch.Tensor) -> torch.Tensor:
        total = alpha.sum(0)
        value = (torch.lgamma(c + alpha) - torch.lgamma(alpha)).sum()
        value -= (torch.lgamma(c.sum(1) + total) - torch.lgamma(total)).sum()
        return value + (torch.log(alpha) - alpha).sum()  # Gamma(2, 1)

    alpha = torch.ones((3, 2), dtype=torch.float64)
    for _ in range(40):
        alpha = newton(alpha, DigammaSum(c), DigammaSum(c.sum(1)), torch.ones_like(alpha))
    at = alpha.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(evidence(at), at)
    assert float(slope.abs().max()) < 1e-6
    for _ in range(20):  # and it is no saddle
        near = alpha * torch.from_numpy(np.exp(0.05 * rng.normal(size=(3, 2))))
        assert float(evidence(near)) < float(evidence(alpha))

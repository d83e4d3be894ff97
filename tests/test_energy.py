"""Likelihood, posterior and gradient against enumeration."""

from __future__ import annotations

import warnings

import numpy as np
import oracle
import pytest
import torch

from deem_crowd.answers import Answers
from deem_crowd.energy import Energy
from deem_crowd.passes import Passes
from deem_crowd.training import Likelihood, Settings, _Weights

CASES = [
    (d, k, m, gauge, soft)
    for d, k in ((1, 2), (3, 2), (5, 2), (4, 3))
    for m in (1, 2)
    for gauge in ("normalised", "free")
    for soft in (False, True)
]


class Case:
    """Random weights, and answers of which some are missing."""

    def __init__(self, d: int, k: int, m: int, gauge: str, soft: bool, seed: int = 0) -> None:
        rng = np.random.default_rng(seed + 100 * d + 10 * k + m)
        self.k, self.m, self.gauge, n = k, m, gauge, 7
        self.b = rng.normal(size=k * m)
        self.weight = rng.normal(size=(d, k, k * m))
        if gauge == "normalised":
            self.weight -= np.log(np.exp(self.weight).sum(1, keepdims=True))
            self.b -= oracle.log_sum_exp(self.b)
        given = rng.random((n, d)) < 0.7
        given[0] = True
        given[1] = False
        hard = rng.integers(0, k, (n, d))
        values = rng.dirichlet(np.ones(k), (n, d)) if soft else np.eye(k)[hard]
        self.rows = [{i: values[t, i] for i in range(d) if given[t, i]} for t in range(n)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if soft:
                array = np.where(given[:, :, None], values, 0).transpose(0, 2, 1)
                answers = Answers.from_soft(array)
            else:
                answers = Answers.from_dense(np.where(given, hard, -1), k)
        self.passes = Passes(answers, torch.device("cpu"), torch.float64)
        self.gold = torch.from_numpy(np.where(rng.random(n) < 0.4, rng.integers(0, k, n), -1))

    def energy(self) -> Energy:
        weight = torch.from_numpy(self.weight)
        return Energy(torch.from_numpy(self.b), weight, weight.mean(0), self.m)

    def states(self, task: int):
        label = int(self.gold[task])
        return None if label < 0 else range(label * self.m, (label + 1) * self.m)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_log_likelihood_and_log_partition_equal_enumeration(case) -> None:
    c = Case(*case)
    found = c.energy().log_likelihood(c.passes).numpy()
    expected = [oracle.log_likelihood(c.b, c.weight, row) for row in c.rows]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    parts = [oracle.log_partition(c.b, c.weight, list(row)) for row in c.rows]
    np.testing.assert_allclose(c.energy().log_partition(c.passes).numpy(), parts, atol=1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_posterior_equals_enumeration_and_sums_over_subtypes(case) -> None:
    c = Case(*case)
    expected = np.array([oracle.posterior(c.b, c.weight, row) for row in c.rows])
    np.testing.assert_allclose(c.energy().state_posterior(c.passes).numpy(), expected, atol=1e-10)
    labels = expected.reshape(len(expected), c.k, c.m).sum(2)
    np.testing.assert_allclose(c.energy().posterior(c.passes).numpy(), labels, atol=1e-10)


@pytest.mark.parametrize("case", [c for c in CASES if c[3] == "normalised"], ids=str)
def test_normalised_tables_have_no_partition_function(case) -> None:
    c = Case(*case)
    assert c.energy().worker_log_partition().abs().max() < 1e-12
    assert c.energy().log_partition(c.passes).abs().max() < 1e-12


def penalised_by_enumeration(c: Case, b, weight, alpha: float, kappa: float) -> float:
    """The objective of training.py written down from its formula, by enumeration."""
    value = sum(oracle.log_likelihood(b, weight, row, c.states(t)) for t, row in enumerate(c.rows))
    log_z = np.log(np.exp(weight).sum(1))
    value += alpha * (weight - log_z[:, None]).sum()
    value += kappa * (b - oracle.log_sum_exp(b)).sum()
    if c.gauge == "free" and alpha:
        value -= 0.5 * ((log_z - log_z.mean(1, keepdims=True)) ** 2).sum()
    return value


@pytest.mark.parametrize("penalty", [None, 0.7])
@pytest.mark.parametrize("case", [c for c in CASES if c[0] < 5], ids=str)
def test_objective_and_gradient_equal_finite_differences_of_enumeration(case, penalty) -> None:
    c = Case(*case)
    settings = Settings(n_subtypes=c.m, gauge=c.gauge, penalty=penalty, prior_penalty=0.3)
    likelihood = Likelihood(c.passes, settings, c.gold)
    alpha, kappa = (0.0, 0.0) if penalty is None else (penalty, 0.3)

    def objective(b, weight) -> float:
        if c.gauge == "normalised":  # the weights are logits of the tables there
            weight = weight - np.log(np.exp(weight).sum(1, keepdims=True))
        return penalised_by_enumeration(c, b, weight, alpha, kappa)

    at = _Weights(torch.from_numpy(c.b), torch.from_numpy(c.weight))
    value, _, gradient = likelihood.gradient(at)
    assert value == pytest.approx(objective(c.b, c.weight), abs=1e-10)
    rng, step = np.random.default_rng(1), 1e-5
    for _ in range(4):
        db, dw = rng.normal(size=c.b.shape), rng.normal(size=c.weight.shape)
        forward = objective(c.b + step * db, c.weight + step * dw)
        backward = objective(c.b - step * db, c.weight - step * dw)
        along = float(gradient.bias.numpy() @ db) + float((gradient.weight.numpy() * dw).sum())
        assert along == pytest.approx((forward - backward) / (2 * step), rel=1e-6, abs=1e-6)


# In the normalised gauge the weights enter through a log-softmax: finite differences above cover it.
@pytest.mark.parametrize("case", [c for c in CASES if c[3] == "free"], ids=str)
def test_gradient_equals_autograd(case) -> None:
    c = Case(*case)
    likelihood = Likelihood(c.passes, Settings(n_subtypes=c.m, gauge="free", penalty=None), c.gold)
    b = torch.from_numpy(c.b).requires_grad_()
    weight = torch.from_numpy(c.weight).requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    log_z = torch.logsumexp(weight, 1)
    for t, row in enumerate(c.rows):
        scores = b + sum(torch.from_numpy(x) @ weight[i] for i, x in row.items())
        states = c.states(t)
        total = total + torch.logsumexp(scores if states is None else scores[list(states)], 0)
        total = total - torch.logsumexp(b + sum(log_z[i] for i in row), 0)
    total.backward()
    _, _, gradient = likelihood.gradient(_Weights(b.detach(), weight.detach()))
    np.testing.assert_allclose(gradient.bias.numpy(), b.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(gradient.weight.numpy(), weight.grad.numpy(), atol=1e-10)

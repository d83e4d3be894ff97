"""Likelihood, posterior and gradient against enumeration."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import oracle
import pytest
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.training.likelihood import Likelihood, Settings, Weights

CASES = [
    (d, k, m, gauge, soft)
    for d, k in ((1, 2), (3, 2), (5, 2), (4, 3), (5, 3))
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
        self.design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
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
    found = c.energy().log_likelihood(c.design).numpy()
    expected = [oracle.log_likelihood(c.b, c.weight, row) for row in c.rows]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    parts = [oracle.log_partition(c.b, c.weight, list(row)) for row in c.rows]
    np.testing.assert_allclose(c.energy().log_partition(c.design).numpy(), parts, atol=1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_posterior_equals_enumeration_and_sums_over_subtypes(case) -> None:
    c = Case(*case)
    expected = np.array([oracle.posterior(c.b, c.weight, row) for row in c.rows])
    np.testing.assert_allclose(c.energy().state_posterior(c.design).numpy(), expected, atol=1e-10)
    labels = expected.reshape(len(expected), c.k, c.m).sum(2)
    np.testing.assert_allclose(c.energy().posterior(c.design).numpy(), labels, atol=1e-10)


@pytest.mark.parametrize("case", [c for c in CASES if c[3] == "normalised"], ids=str)
def test_normalised_tables_have_no_partition_function(case) -> None:
    c = Case(*case)
    assert c.energy().worker_log_partition().abs().max() < 1e-12
    assert c.energy().log_partition(c.design).abs().max() < 1e-12


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
    likelihood = Likelihood(c.design, settings, c.gold)
    alpha, kappa = (0.0, 0.0) if penalty is None else (penalty, 0.3)

    def objective(b, weight) -> float:
        if c.gauge == "normalised":  # the weights are logits of the tables there
            weight = weight - np.log(np.exp(weight).sum(1, keepdims=True))
        return penalised_by_enumeration(c, b, weight, alpha, kappa)

    at = Weights(torch.from_numpy(c.b), torch.from_numpy(c.weight))
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
    likelihood = Likelihood(c.design, Settings(n_subtypes=c.m, gauge="free", penalty=None), c.gold)
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
    _, _, gradient = likelihood.gradient(Weights(b.detach(), weight.detach()))
    np.testing.assert_allclose(gradient.bias.numpy(), b.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(gradient.weight.numpy(), weight.grad.numpy(), atol=1e-10)


@pytest.mark.parametrize("penalty", [None, 0.7])
@pytest.mark.parametrize("case", [c for c in CASES if c[0] < 5], ids=str)
def test_penalised_gradient_equals_autograd_in_both_gauges(case, penalty) -> None:
    c = Case(*case)
    plan = Settings(n_subtypes=c.m, gauge=c.gauge, penalty=penalty, prior_penalty=0.3)
    b = torch.from_numpy(c.b).requires_grad_()
    raw = torch.from_numpy(c.weight).requires_grad_()
    weight = torch.log_softmax(raw, 1) if c.gauge == "normalised" else raw
    log_z = torch.logsumexp(weight, 1)
    total = torch.zeros((), dtype=torch.float64)
    for t, row in enumerate(c.rows):
        scores = b + sum(torch.from_numpy(x) @ weight[i] for i, x in row.items())
        states = c.states(t)
        total = total + torch.logsumexp(scores if states is None else scores[list(states)], 0)
        total = total - torch.logsumexp(b + sum(log_z[i] for i in row), 0)
    if penalty is not None:
        total = total + penalty * torch.log_softmax(weight, 1).sum()
        total = total + 0.3 * torch.log_softmax(b, 0).sum()
        if c.gauge == "free":
            total = total - 0.5 * (log_z - log_z.mean(1, keepdim=True)).square().sum()
    total.backward()
    at = Weights(b.detach(), raw.detach())
    value, _, gradient = Likelihood(c.design, plan, c.gold).gradient(at)
    assert value == pytest.approx(float(total.detach()), abs=1e-10)
    np.testing.assert_allclose(gradient.bias.numpy(), b.grad.numpy(), atol=1e-10)
    np.testing.assert_allclose(gradient.weight.numpy(), raw.grad.numpy(), atol=1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gold_clamps_posterior_and_likelihood_as_enumeration_does(case) -> None:
    c = Case(*case)
    likelihood = Likelihood(c.design, Settings(n_subtypes=c.m, gauge=c.gauge, penalty=None), c.gold)
    at = Weights(torch.from_numpy(c.b), torch.from_numpy(c.weight))
    expected = np.array([oracle.posterior(c.b, c.weight, row) for row in c.rows])
    for t in range(len(c.rows)):
        if c.states(t) is not None:
            expected[t, [s for s in range(c.k * c.m) if s not in c.states(t)]] = 0
    expected /= expected.sum(1, keepdims=True)
    found = likelihood.expected(at).states.numpy()
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert (found[expected == 0] == 0).all()  # known is known, not nearly so
    total = sum(oracle.log_likelihood(c.b, c.weight, r, c.states(t)) for t, r in enumerate(c.rows))
    assert likelihood.gradient(at)[1] == pytest.approx(total, abs=1e-10)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_free_energy_is_minus_log_of_the_joint_summed_over_states(case) -> None:
    c = Case(*case)
    expected = [
        -oracle.log_sum_exp([oracle.minus_energy(c.b, c.weight, r, h) for h in range(len(c.b))])
        for r in c.rows
    ]
    np.testing.assert_allclose(c.energy().free_energy(c.design).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("case", [c for c in CASES if c[0] < 5 and not c[4]], ids=str)
def test_prior_confusion_and_skills_equal_enumeration(case) -> None:
    c = Case(*case)
    d, eye = len(c.weight), np.eye(c.k)
    states = np.zeros(c.k * c.m)  # p(h | who answered), averaged over tasks
    for row in c.rows:
        configs = itertools.product(range(c.k), repeat=len(row))
        joint = [
            [
                oracle.minus_energy(c.b, c.weight, {i: eye[x] for i, x in zip(row, config, strict=True)}, h)
                for h in range(len(c.b))
            ]
            for config in configs
        ]  # fmt: skip
        joint = np.exp(np.array(joint) - oracle.log_sum_exp(np.ravel(joint)))
        states += joint.sum(0) / len(c.rows)
    given = np.exp(c.weight)
    joint = given / given.sum(1, keepdims=True) * states
    joint = joint.reshape(d, c.k, c.k, c.m).sum(3)
    confusion = joint / joint.sum(1, keepdims=True)
    prior = states.reshape(c.k, c.m).sum(1)
    energy = c.energy()
    np.testing.assert_allclose(energy.reading(c.design)[0], prior, atol=1e-10)
    np.testing.assert_allclose(energy.confusion(c.design), confusion, atol=1e-10)
    skills = [confusion[i].diagonal() @ prior for i in range(d)]
    np.testing.assert_allclose(energy.skills(c.design), skills, atol=1e-10)


@pytest.mark.parametrize("gauge", ["normalised", "free"])
@pytest.mark.parametrize("observed", [(), (2,), (0, 2), (0, 1, 2)], ids=str)
def test_probabilities_of_all_answers_of_the_same_workers_sum_to_one(gauge, observed) -> None:
    c = Case(3, 3, 2, gauge, False)
    configs = np.array(list(itertools.product(range(3), repeat=len(observed))), dtype=int)
    matrix = np.full((len(configs), 3), -1)
    matrix[:, list(observed)] = configs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        design = DesignMatrix(Answers.from_dense(matrix, 3), torch.device("cpu"), torch.float64)
    assert float(c.energy().log_likelihood(design).exp().sum()) == pytest.approx(1, abs=1e-10)

"""Levels of difficulty: the mixture by enumeration, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import make_design
from deem_crowd.model.difficulty import LEVELS, pays, some_tasks, with_levels
from deem_crowd.model.energy import Energy


def _energy(rng: np.random.Generator, d: int, k: int, subtypes: int, powers: bool) -> Energy:
    tables = torch.from_numpy(rng.dirichlet(np.ones(k), (d, k * subtypes))).transpose(1, 2).log()
    if powers:
        tables = tables * torch.from_numpy(rng.uniform(0.3, 1.0, (d, 1, 1)))
    bias = torch.from_numpy(rng.dirichlet(np.ones(k * subtypes))).log()
    return Energy(bias, tables.contiguous(), tables.mean(0), subtypes)


def _design(matrix: np.ndarray, k: int, states: int):
    return make_design(Answers.from_dense(matrix, k, warn_empty=()), "cpu", "float64", states)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 2), st.booleans())
def test_by_enumeration(seed: int, subtypes: int, powers: bool) -> None:
    """Posterior and gain from the formula, a task at a time, with the shares that were found."""
    rng = np.random.default_rng(seed)
    n, d, k = 12, 4, 3
    energy = _energy(rng, d, k, subtypes, powers)
    matrix = rng.integers(-1, k, (n, d))
    matrix[:k, 0] = np.arange(k)
    design = _design(matrix, k, k * subtypes)
    found = with_levels(energy, design)
    weight, prior = energy.weight.numpy(), np.exp(energy.bias.numpy())
    shares, gain = found.shares.numpy(), 0.0
    assert shares.sum() == pytest.approx(1)
    for row, posterior in zip(matrix, found.posterior(design).numpy(), strict=True):
        joint = []
        for level in LEVELS:
            table = np.exp(level * weight)
            table = table / table.sum(1, keepdims=True) * np.exp(weight).sum(1, keepdims=True)
            joint.append(prior * np.prod([table[i, a] for i, a in enumerate(row) if a >= 0], 0))
        joint = np.array(joint)
        total = (shares[:, None] * joint).sum(0).reshape(k, subtypes).sum(1)
        assert posterior == pytest.approx(total / total.sum())
        gain += np.log(total.sum() / joint[LEVELS.index(1.0)].sum())
    assert found.gain == pytest.approx(gain, abs=1e-8)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1000))
def test_the_levels_never_lose_likelihood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 2, (50, 5))
    assert with_levels(_energy(rng, 5, 2, 1, False), _design(matrix, 2, 2)).gain > -1e-6


def _drawn(rng: np.random.Generator, power: np.ndarray) -> tuple[Energy, np.ndarray, np.ndarray]:
    """Return answers drawn from tables to a power for each task, the energy of the tables, and the truth."""
    n, d = len(power), 7
    skill = rng.uniform(0.7, 0.9, d)
    truth = rng.integers(2, size=n)
    odds = (skill / (1 - skill)) ** power[:, None]
    said = np.where(rng.random((n, d)) < odds / (1 + odds), truth[:, None], 1 - truth[:, None])
    tables = np.log(np.array([[[s, 1 - s], [1 - s, s]] for s in skill]))
    weight = torch.from_numpy(tables)
    return Energy(torch.full((2,), np.log(0.5)).double(), weight, weight.mean(0)), said, truth


def test_levels_pay_where_tasks_differ_and_only_there() -> None:
    rng = np.random.default_rng(0)
    alike, said, _ = _drawn(rng, np.ones(1000))
    design = _design(said, 2, 2)
    assert not pays(with_levels(alike, design).gain, design)
    differing, said, _ = _drawn(rng, rng.choice([0.0, 2.0], 1000))
    design = _design(said, 2, 2)
    found = with_levels(differing, design)
    assert pays(found.gain, design)
    assert float(found.shares[:2].sum()) == pytest.approx(0.5, abs=0.1)
    assert float(found.shares[-1]) == pytest.approx(0.5, abs=0.1)


def test_of_many_tasks_some_teach_the_shares(monkeypatch) -> None:
    rng = np.random.default_rng(3)
    energy, said, _ = _drawn(rng, rng.choice([0.0, 2.0], 3000))
    monkeypatch.setattr("deem_crowd.model.difficulty.MOST_TASKS", 1000)
    some = some_tasks(Answers.from_dense(said, 2, warn_empty=()))
    assert some.tasks.tolist() == list(range(0, 3000, 3))
    whole, part = _design(said, 2, 2), _design(said[::3], 2, 2)
    found, expected = with_levels(energy, part), with_levels(energy, whole)
    assert found.shares.numpy() == pytest.approx(expected.shares.numpy(), abs=0.1)
    assert 3 * found.gain == pytest.approx(expected.gain, rel=0.1)
    assert found.posterior(whole).numpy() == pytest.approx(
        expected.posterior(whole).numpy(), abs=0.1
    )


def test_probabilities_are_calibrated_where_tasks_differ() -> None:
    """Tasks drawn from the levels: the mean posterior of the labels is the share of right ones, the member's is not."""
    rng = np.random.default_rng(1)
    energy, said, truth = _drawn(rng, rng.choice([0.0, 0.5, 2.0], 4000))
    design = _design(said, 2, 2)
    found = with_levels(energy, design).posterior(design)
    right = (found.argmax(1).numpy() == truth).mean()
    error = np.sqrt(right * (1 - right) / len(truth))
    assert float(found.max(1).values.mean()) == pytest.approx(right, abs=4 * error)
    assert float(energy.posterior(design).max(1).values.mean()) > right + 4 * error


def test_a_split_task_is_doubted_more_than_its_weight_of_votes_says() -> None:
    """Five against two: by the member as sure as three against none."""
    rng = np.random.default_rng(2)
    energy, said, _ = _drawn(rng, rng.choice([0.0, 2.0], 1000))
    energy = Energy(energy.bias, energy.weight.mean(0).expand(7, 2, 2).clone(), energy.population)
    said[0] = [0, 0, 0, 0, 0, 1, 1]
    said[1] = [0, 0, 0, -1, -1, -1, -1]
    design = _design(said, 2, 2)
    plain, found = energy.posterior(design), with_levels(energy, design).posterior(design)
    assert float(plain[0, 0]) == pytest.approx(float(plain[1, 0]))
    assert found[0, 0] < found[1, 0]

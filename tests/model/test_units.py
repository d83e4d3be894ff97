"""Several hidden units: exact likelihood and posterior against enumeration, and the label found among them."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import copies, groups, tiny_network

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import ParameterError, UnsupportedError
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.units import MAX_JOINT_STATES, Units, unit_posteriors
from deem_crowd.training import joint
from deem_crowd.training.likelihood import Settings


def minus_energy(units: Units, answers: dict[int, int], hidden) -> float:
    """−E(x, h), written out."""
    weight, s = units.weight.numpy(), units.n_states
    total = sum(units.bias[u, h].item() for u, h in enumerate(hidden))
    for i, x in answers.items():
        total += weight[i, x, -1] + sum(weight[i, x, u * s + h] for u, h in enumerate(hidden))
    return float(total)


def joint_scores(units: Units, answers: dict[int, int]) -> np.ndarray:
    """−E of every joint state, shape (S, …, S)."""
    shape = (units.n_states,) * units.n_units
    scores = [minus_energy(units, answers, h) for h in itertools.product(*map(range, shape))]
    return np.array(scores).reshape(shape)


def log_likelihood(units: Units, answers: dict[int, int], k: int) -> float:
    workers = list(answers)
    every = [
        joint_scores(units, dict(zip(workers, config, strict=True))).ravel()
        for config in itertools.product(range(k), repeat=len(workers))
    ]
    return oracle.log_sum_exp(joint_scores(units, answers).ravel()) - oracle.log_sum_exp(
        np.concatenate(every)
    )


@st.composite
def small_models(draw):
    k = draw(st.integers(2, 3))
    n_workers, n_units = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 10_000))
    units = tiny_network(k, n_workers, n_units, seed=seed, strength=1.5).units()
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-1, k, size=(draw(st.integers(1, 4)), n_workers))
    return k, units, matrix


def design_of(matrix, k: int) -> DesignMatrix:
    answers = Answers.from_dense(matrix, k, warn_empty=())
    return DesignMatrix(answers, torch.device("cpu"), torch.float64)


def given_answers(row) -> dict[int, int]:
    return {i: int(x) for i, x in enumerate(row) if x >= 0}


@settings(max_examples=40, deadline=None)
@given(small_models())
def test_likelihood_and_posteriors_against_enumeration(model) -> None:
    k, units, matrix = model
    design = design_of(matrix, k)
    expected = sum(log_likelihood(units, given_answers(row), k) for row in matrix)
    assert joint.log_likelihood(units, design) == pytest.approx(expected, abs=1e-8)
    for unit, posterior in enumerate(unit_posteriors(units, design)):
        others = tuple(u for u in range(units.n_units) if u != unit)
        for n, row in enumerate(matrix):
            scores = joint_scores(units, given_answers(row))
            weights = np.exp(scores - scores.max()).sum(axis=others)
            np.testing.assert_allclose(posterior[n], weights / weights.sum(), atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(small_models())
def test_training_never_ends_below_its_start_and_its_gradient_vanishes(model) -> None:
    k, units, matrix = model
    design = design_of(matrix, k)
    plan = Settings(gauge="free", n_iter=2000, tol=1e-12)

    def objective(found: Units) -> float:
        shared = float(found.population.square().sum()) + float(found.bias.square().sum())
        own = float(found.own.square().sum())
        value = joint.log_likelihood(found, design)
        return value - 0.5 * joint.OWN_PENALTY * own - 0.5 * joint.SHARED_PENALTY * shared

    found, fit = joint.train_units(design, units, plan)
    best = objective(found)
    assert best >= objective(units) - 1e-9
    if not design.n_answers:
        assert found is units  # there is nothing to learn from
        return
    if fit.objective:
        assert fit.objective[-1] * design.n_tasks == pytest.approx(best, abs=1e-6)
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):  # no small step leads up
        step = [1e-3 * torch.randn(t.shape, generator=rng, dtype=torch.float64) for t in
                (found.bias, found.population, found.own)]  # fmt: skip
        moved = Units(found.bias + step[0], found.population + step[1], found.own + step[2])
        assert objective(moved) <= best + 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_a_clique_is_seen_through_by_a_second_unit(seed) -> None:
    """Four near-copies of accuracy 0.5 and five others of 0.65: the vote and one unit follow the copies."""
    from crowdkit.aggregation import DawidSkene, MajorityVote

    data, truth = copies(seed)
    frame = Answers.from_dense(data).to_frame()
    gold = pd.Series(truth)

    def share(labels) -> float:
        return float((labels.reindex(gold.index) == gold).mean())

    model = DEEM(hidden_dim=2).fit(data)
    found = model.score(data, truth)
    assert found >= share(MajorityVote().fit_predict(frame)) + 0.15
    assert found >= share(DawidSkene(n_iter=100).fit_predict(frame)) + 0.15
    assert model.label_unit_ == int(np.argmax(model.unit_scores_))
    clique = 1 - model.label_unit_
    assert (model.unit_skills_[clique, :4] > model.unit_skills_[clique, 4:].max() + 0.3).all()


def test_the_label_is_found_from_the_answers_alone_in_independent_ensembles_too() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=2000)
    skill = rng.uniform(0.5, 0.9, size=9)
    wrong = (truth[:, None] + rng.integers(1, 3, size=(2000, 9))) % 3
    data = np.where(rng.random((2000, 9)) < skill, truth[:, None], wrong)
    one, two = DEEM(auto_hyperparameters=False).fit(data), DEEM(hidden_dim=2).fit(data)
    assert two.label_unit_ == 0
    assert two.score(data, truth) >= one.score(data, truth) - 0.01


def test_units_that_cannot_be_enumerated_are_trained_by_samples() -> None:
    data, truth = copies(0, n=600)
    model = DEEM(hidden_dim=7, epochs=40).fit(data)
    assert MAX_JOINT_STATES < 3**7
    assert "loss" in model.history_
    assert "log_likelihood" not in model.history_
    probabilities = model.predict_proba(data)
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    assert model.score(data, truth) > 0.4


def test_readings_of_units() -> None:
    data, _ = copies(1, n=500)
    model = DEEM(hidden_dim=3).fit(data)
    assert model.unit_scores_.shape == (3,)
    assert model.unit_skills_.shape == (3, 9)
    assert ((model.unit_skills_ >= 0) & (model.unit_skills_ <= 1)).all()
    assert model.model_.n_workers == 9
    plain = DEEM(auto_hyperparameters=False).fit(data)
    assert plain.label_unit_ == 0
    assert plain.unit_scores_.shape == (0,)
    with pytest.raises(AttributeError, match="after fit"):
        _ = DEEM().label_unit_


def test_several_units_on_a_sparse_crowd() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(3, size=300)
    rows = []
    for task in range(300):
        for worker in rng.choice(120, size=5, replace=False):
            right = rng.random() < 0.5 + worker / 300
            label = truth[task] if right else (truth[task] + rng.integers(1, 3)) % 3
            rows.append((f"t{task}", f"w{worker}", "abc"[label]))
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    agg = DEEMAggregator(hidden_dim=2).fit(frame)
    gold = pd.Series(np.array(list("abc"))[truth], index=[f"t{n}" for n in range(300)])
    plain = DEEMAggregator(auto_hyperparameters=False).fit_predict(frame)
    assert (agg.labels_ == gold).mean() >= (plain == gold).mean() - 0.03
    np.testing.assert_allclose(agg.errors_.groupby("worker").sum().to_numpy(), 1.0)
    assert agg.skills_.between(0, 1).all()
    pd.testing.assert_frame_equal(agg.predict_proba(frame), agg.probas_)


def test_gold_names_the_label_unit() -> None:
    data, truth = copies(0, n=900)
    gold = np.where(np.arange(900) < 150, truth, -1)
    model = DEEM(hidden_dim=2).fit(data, gold=gold)
    assert model.label_unit_ == 0
    assert (
        model.score(data, truth)
        > DEEM(auto_hyperparameters=False).fit(data).score(data, truth) + 0.1
    )


def test_rows_in_another_order_give_the_same_labels() -> None:
    data, _ = copies(3, n=400)
    order = np.random.default_rng(0).permutation(400)
    one = DEEM(hidden_dim=2, tol=1e-9).fit(data).predict_proba(data)
    two = DEEM(hidden_dim=2, tol=1e-9).fit(data[order]).predict_proba(data[order])
    # L-BFGS takes another path to the same, rather flat, top
    np.testing.assert_allclose(two, one[order], atol=1e-2)
    assert (two.argmax(1) == one[order].argmax(1)).mean() > 0.999


def test_parameters_that_do_not_go_together() -> None:
    data, _ = groups(0, n=50)
    with pytest.raises(UnsupportedError, match="gauge='normalised' is for one hidden unit"):
        DEEM(hidden_dim=2, gauge="normalised").fit(data)
    with pytest.raises(ParameterError, match="hidden_dim=0 is not allowed"):
        DEEM(hidden_dim=0).fit(data)

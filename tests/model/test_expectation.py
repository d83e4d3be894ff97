"""The E-step of large matrices says what the plain one says, up to single precision."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.sets.laws import crowd_of
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd import DEEM
from deem_crowd.data.answers import Answers
from deem_crowd.data.index import factorize
from deem_crowd.estimators.information import (
    InformationToCome,
    answer_information,
    information_of,
)
from deem_crowd.model.blocked_rows import BlockedRows
from deem_crowd.model.calibration import within_task_correlation
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import counts_of, expect
from deem_crowd.model.votes import log_odds
from deem_crowd.training import one_unit
from deem_crowd.training.digamma import DigammaSum
from deem_crowd.training.em import Clamp
from deem_crowd.training.likelihood import Likelihood, Settings
from deem_crowd.training.one_unit import train

CPU = torch.device("cpu")


def answers_of(seed: int, n_tasks: int, n_workers: int, k: int, busy: bool = False) -> Answers:
    """Return random answers, three a task; of a busy worker in all tasks, whose row is summed in pieces."""
    rng = np.random.default_rng(seed)
    labels = np.full((n_tasks, n_workers), -1)
    for row in labels:
        row[rng.choice(n_workers, 3, replace=False)] = rng.integers(k, size=3)
    if busy:
        labels[:, 0] = rng.integers(k, size=n_tasks)
    return Answers.from_dense(labels, k, warn_empty=())


def tables(seed: int, n_workers: int, k: int, s: int, scale: float = 1.0) -> tuple:
    drawn = torch.Generator().manual_seed(seed)
    weight = scale * torch.randn((n_workers, k, s), generator=drawn, dtype=torch.float64)
    return torch.log_softmax(weight, 1), torch.randn(s, generator=drawn, dtype=torch.float64)


@given(
    k=st.integers(2, 5),
    m=st.integers(1, 5),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1.0, 60.0]),
)
@settings(max_examples=15, deadline=None)
def test_single_precision_says_what_double_says(k, m, seed, scale) -> None:
    answers = answers_of(seed, 40, 6, k)
    weight, bias = tables(seed, 6, k, k * m, scale)
    single, double = (DesignMatrix(answers, CPU, kind) for kind in (torch.float32, torch.float64))
    found, exact = expect(single, weight, bias), expect(double, weight, bias)
    torch.testing.assert_close(found.states.double(), exact.states, atol=2e-5, rtol=0)
    torch.testing.assert_close(
        found.task_log_likelihood.double(), exact.task_log_likelihood, atol=1e-4, rtol=1e-5
    )
    assert found.total == pytest.approx(exact.total, rel=1e-5, abs=1e-4)
    torch.testing.assert_close(
        counts_of(single, found.states), double.expected_counts(exact.states), atol=2e-4, rtol=1e-5
    )
    assert float(counts_of(single, found.states).min()) >= 0


@given(
    k=st.integers(2, 5),
    m=st.integers(1, 3),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1.0, 5.0, 60.0]),
)
@settings(max_examples=15, deadline=None)
def test_known_classes_count_the_same_in_pieces_as_in_double_precision(k, m, seed, scale) -> None:
    answers = answers_of(seed, 40, 6, k)
    weight, bias = tables(seed, 6, k, k * m, scale)
    gold = torch.from_numpy(np.random.default_rng(seed).integers(-1, k, 40))
    single, double = (DesignMatrix(answers, CPU, kind) for kind in (torch.float32, torch.float64))
    found = expect(single, weight, bias, Clamp(single, gold, m))
    exact = expect(double, weight, bias, Clamp(double, gold, m))
    torch.testing.assert_close(found.states.double(), exact.states, atol=2e-5, rtol=0)
    torch.testing.assert_close(
        found.task_log_likelihood.double(), exact.task_log_likelihood, atol=1e-4, rtol=1e-5
    )
    assert found.total == pytest.approx(exact.total, rel=1e-5, abs=1e-4)
    of_class = found.states.view(40, k, m).sum(2)
    known = torch.nonzero(gold >= 0).squeeze(1)
    assert of_class[known, gold[known]].numpy() == pytest.approx(1.0, abs=1e-6)


def test_two_states_of_workers_whose_rows_are_summed_in_pieces() -> None:
    answers = answers_of(3, 3000, 5, 2, busy=True)
    weight, bias = tables(3, 5, 2, 2)
    single, double = (DesignMatrix(answers, CPU, kind) for kind in (torch.float32, torch.float64))
    states = expect(single, weight, bias).states
    expected = double.expected_counts(states.double())
    torch.testing.assert_close(counts_of(single, states), expected, atol=1e-3, rtol=1e-6)
    torch.testing.assert_close(single.expected_counts(states), expected, atol=1e-3, rtol=1e-6)


def test_no_state_of_two_is_impossible() -> None:
    """However sure the other is: log-probabilities stay finite, and close to those of double precision."""
    answers = Answers.from_dense(np.ones((4, 12), dtype=int), 2, warn_empty=())
    weight = torch.tensor([[-3.0, -0.05], [-0.05, -3.0]], dtype=torch.float64).expand(12, 2, 2)
    bias = torch.zeros(2, dtype=torch.float64)
    for table in (weight, weight.flip(2)):
        single, double = (
            expect(DesignMatrix(answers, CPU, kind), table, bias).states
            for kind in (torch.float32, torch.float64)
        )
        assert bool((single > 0).all())
        torch.testing.assert_close(single.double().log(), double.log(), rtol=1e-5, atol=1e-5)
    # odds beyond single precision
    unlike = torch.tensor([[6.0, -6.0], [-6.0, 6.0]], dtype=torch.float64).expand(12, 2, 2)
    found = expect(DesignMatrix(answers, CPU, torch.float32), unlike, bias)
    assert found.total == pytest.approx(4 * 72)
    torch.testing.assert_close(found.task_log_likelihood, torch.full((4,), 72.0))


def test_known_classes_are_clamped_in_single_precision() -> None:
    answers = answers_of(5, 60, 6, 2)
    design = DesignMatrix(answers, CPU, torch.float32)
    gold = torch.full((60,), -1)
    gold[:10] = torch.arange(10) % 2
    likelihood = Likelihood(design, Settings(), gold)
    weight, bias = tables(5, 6, 2, 2)
    states = likelihood.expected(likelihood_weights(bias, weight)).states
    assert (states[:10].argmax(1) == gold[:10]).all()
    assert (states[:10].amax(1) == 1).all()


def likelihood_weights(bias: torch.Tensor, weight: torch.Tensor):
    from deem_crowd.training.likelihood import Weights

    return Weights(bias, weight)


def test_trigamma_of_many_cells() -> None:
    rng = np.random.default_rng(0)
    counts = torch.from_numpy(rng.gamma(0.5, 20, size=(3000, 3, 3)))
    alpha = torch.from_numpy(rng.uniform(0.01, 30, size=(3, 3)))
    exact = (torch.polygamma(1, counts + alpha) - torch.polygamma(1, alpha)).sum(0)
    torch.testing.assert_close(DigammaSum(counts).slope(alpha), exact, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("k", [2, 3])
def test_extrapolated_pseudo_answers_end_where_steps_end(k, monkeypatch) -> None:
    frame = crowd_of(20_000, 1, k).answers
    design = DesignMatrix(Answers.from_frame(frame), CPU, torch.float64)
    weight = 2.0 * torch.eye(k, dtype=torch.float64).expand(design.n_workers, k, k)
    start = type("Start", (), {"bias": torch.zeros(k, dtype=torch.float64), "weight": weight})()
    steps = train(design, start, Settings(tol=1e-9))
    monkeypatch.setattr("deem_crowd.training.one_unit.LARGE", 1)
    jumped = train(design, start, Settings(tol=1e-9))
    torch.testing.assert_close(jumped.pseudo_answers, steps.pseudo_answers, rtol=5e-3, atol=5e-3)
    torch.testing.assert_close(jumped.energy.bias, steps.energy.bias, rtol=0, atol=5e-3)


@pytest.mark.parametrize("k", [2, 4])
def test_a_large_fit_ends_where_passes_would_lead(k, monkeypatch) -> None:
    monkeypatch.setattr(one_unit, "LARGE", 1)
    jump, jumped = one_unit._reached, []
    monkeypatch.setattr(one_unit, "_reached", lambda *path: jumped.append(1) or jump(*path))
    design = DesignMatrix(Answers.from_frame(crowd_of(20_000, 2, k).answers), CPU, torch.float64)
    weight = 2.0 * torch.eye(k, dtype=torch.float64).expand(design.n_workers, k, k)
    start = type("Start", (), {"bias": torch.zeros(k, dtype=torch.float64), "weight": weight})()
    ended, followed = (train(design, start, Settings(tol=tol)) for tol in (1e-6, 1e-13))
    assert ended.converged
    assert len(jumped) == 2, "each ends with an extrapolated step"
    assert ended.n_passes < followed.n_passes
    near, far = (
        expect(design, fit.energy.weight, fit.energy.bias).states for fit in (ended, followed)
    )
    torch.testing.assert_close(near, far, rtol=0, atol=5e-3)


def test_workers_for_the_first_step_are_the_same_in_any_order() -> None:
    rng = np.random.default_rng(0)
    counts = torch.from_numpy(rng.gamma(0.5, 20, size=(900, 2, 2)))
    order = torch.from_numpy(rng.permutation(900))
    shuffled = torch.cat([torch.zeros(7, 2, 2, dtype=torch.float64), counts[order]])
    found = one_unit._some_workers(counts)
    assert 256 <= len(found) <= 512
    torch.testing.assert_close(one_unit._some_workers(shuffled), found, rtol=0, atol=0)


@pytest.mark.parametrize("k", [2, 5])
def test_a_calibrated_start_knows_who_knows(k) -> None:
    knows = torch.tensor([0.2, 0.5, 0.6, 0.9], dtype=torch.float64)
    number = torch.full((4,), 1e9, dtype=torch.float64)
    beyond = knows * knows.mean()  # how often two agree beyond chance
    right = knows + (1 - knows) / k
    expected = torch.log(right * (k - 1) / (1 - right))
    torch.testing.assert_close(log_odds(beyond + (1 - beyond) / k, number, k), expected)


@pytest.mark.parametrize("soft", [False, True])
def test_information_to_come_is_that_of_the_matrix(soft) -> None:
    answers = answers_of(3, 200, 8, 3)
    rng = np.random.default_rng(4)
    if soft:
        drawn = rng.dirichlet(np.ones(3), size=(60, 5))
        answers = Answers.from_soft(drawn.transpose(0, 2, 1))
    posterior = rng.dirichlet(np.ones(3), size=answers.n_tasks)
    design = DesignMatrix(answers, CPU, torch.float64)
    to_come = InformationToCome(answers, posterior)
    expected = answer_information(design, torch.from_numpy(posterior))
    np.testing.assert_allclose(to_come, expected, rtol=1e-9)
    restored = pickle.loads(pickle.dumps(to_come))
    assert type(restored) is np.ndarray
    np.testing.assert_array_equal(restored, to_come)


def test_what_users_do_to_probabilities_leaves_intervals_alone() -> None:
    labels = np.random.default_rng(5).integers(3, size=(40, 5))
    one, other = (DEEM(3, random_state=0).fit(labels) for _ in range(2))
    one.probas_[:] = 0
    np.testing.assert_array_equal(one.skill_intervals_, other.skill_intervals_)


def test_information_goes_by_the_names_of_states() -> None:
    answers, class_map = answers_of(6, 40, 5, 3), np.array([1, 2, 0])
    states = torch.from_numpy(np.random.default_rng(6).dirichlet(np.ones(3), size=40))
    design = DesignMatrix(answers, CPU, torch.float64)
    named = torch.zeros_like(states)
    named[:, class_map] = states
    found = information_of(answers, design, states, class_map)
    np.testing.assert_allclose(found, answer_information(design, named), rtol=1e-9)
    again = found.renamed(class_map)  # class k is what the class of state k was
    np.testing.assert_allclose(again, answer_information(design, states), rtol=1e-9)


@given(
    low=st.integers(-(2**40), 2**40),
    span=st.integers(1, 3000),
    late=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=10, deadline=None)
def test_numbers_of_a_dense_range_are_coded_by_first_appearance(low, span, late, seed) -> None:
    rng = np.random.default_rng(seed)
    values = low + rng.integers(span, size=2**18 + 7)
    if late:  # not among the first rows
        values[:-5] = low + rng.integers(max(span // 2, 1), size=len(values) - 5)
        values[-5:] = low + np.arange(5) + span
    codes, found = factorize(pd.Series(values), "worker")
    expected, uniques = pd.factorize(values)
    assert (codes == expected).all()
    assert (found == uniques).all()
    assert found.dtype == uniques.dtype


@given(seed=st.integers(0, 999), most=st.integers(1, 12), shuffled=st.booleans())
@settings(max_examples=25, deadline=None)
def test_rows_are_put_in_order_whatever_the_number_of_answers(seed, most, shuffled) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        (n, worker, rng.integers(3))
        for n in range(20)
        for worker in rng.permutation(15)[: rng.integers(1, most + 1)]
    ]
    order = rng.permutation(len(rows)) if shuffled else range(len(rows))
    frame = pd.DataFrame([rows[i] for i in order], columns=["task", "worker", "label"])
    answers = Answers.from_frame(frame, classes=[0, 1, 2]).checked()
    told = set(
        zip(
            answers.tasks[answers.task].tolist(),
            answers.workers[answers.worker].tolist(),
            answers.hard_label.tolist(),
            strict=True,
        )
    )
    assert told == {(int(n), int(worker), int(label)) for n, worker, label in rows}


@pytest.mark.parametrize("k", [2, 3])
def test_blocks_of_tasks_add_up(k, monkeypatch) -> None:
    monkeypatch.setattr("deem_crowd.model.blocked_rows._CACHED", 200)
    answers = answers_of(7, 900, 5, k, busy=True)
    cut, whole = (DesignMatrix(answers, CPU, kind) for kind in (torch.float32, torch.float64))
    assert isinstance(cut.by_code, BlockedRows)
    weight, bias = tables(7, 5, k, k)
    states = expect(cut, weight, bias).states
    expected = whole.expected_counts(states.double())
    torch.testing.assert_close(counts_of(cut, states), expected, atol=1e-3, rtol=1e-6)
    torch.testing.assert_close(cut.expected_counts(states), expected, atol=1e-3, rtol=1e-6)
    torch.testing.assert_close(cut.given, whole.given)
    assert (cut.answered == whole.answered).all()


def test_correlation_in_pieces_is_that_of_all_at_once() -> None:
    answers = answers_of(2, 400, 8, 3)
    weight, bias = tables(2, 8, 3, 3)
    single, double = (DesignMatrix(answers, CPU, kind) for kind in (torch.float32, torch.float64))
    posterior = expect(double, weight, bias).states
    exact = within_task_correlation(double, posterior, weight.exp())
    assert within_task_correlation(single, posterior, weight.exp()) == pytest.approx(
        exact, rel=1e-4
    )
    assert exact > 0

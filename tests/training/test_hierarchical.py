"""Tables drawn around a centre, and probabilities that allow for correlated answers."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from crowdkit.aggregation import OneCoinDawidSkene
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from deem_crowd import DEEM, Answers, DEEMAggregator
from deem_crowd.exceptions import DataError, DataWarning, ParameterError
from deem_crowd.model.calibration import (
    MOST,
    share_of_votes,
    tempered,
    with_votes,
    within_task_correlation,
)
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.votes import first_of_best
from deem_crowd.selection import candidates
from deem_crowd.training import em
from deem_crowd.training.dirichlet import log_marginal
from deem_crowd.training.hierarchical import AccuracyCentre, fit_hierarchical
from deem_crowd.training.ordered_centre import OrderedCentre

CPU = torch.device("cpu")


def design_of(answers: Answers) -> DesignMatrix:
    return DesignMatrix(answers, CPU, torch.float64)


def one_coin(
    seed: int, k: int, per_task: int, n: int, d: int
) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """A crowd in which every worker has one accuracy, Beta(4, 3), and errors are even."""
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(k, size=n), rng.beta(4, 3, d)
    task = np.repeat(np.arange(n), per_task)
    worker = np.concatenate([rng.choice(d, per_task, replace=False) for _ in range(n)])
    wrong = (truth[task] + rng.integers(1, k, len(task))) % k
    label = np.where(rng.random(len(task)) < skill[worker], truth[task], wrong)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    return frame, pd.Series(truth), pd.Series(skill)


def ratings(
    seed: int, k: int, n: int = 300, d: int = 15, per_task: int = 4
) -> tuple[pd.DataFrame, pd.Series]:
    """Workers who see an ordered class with a bias and noise of their own."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    bias, noise = rng.normal(0, 0.4, d), rng.uniform(0.4, 1.2, d)
    task = np.repeat(np.arange(n), per_task)
    worker = np.concatenate([rng.choice(d, per_task, replace=False) for _ in range(n)])
    seen = truth[task] + bias[worker] + noise[worker] * rng.normal(size=len(task))
    label = np.clip(np.round(seen), 0, k - 1).astype(int)
    return pd.DataFrame({"task": task, "worker": worker, "label": label}), pd.Series(truth)


def accuracy(labels: pd.Series, truth: pd.Series) -> float:
    return float((labels == truth.loc[labels.index]).mean())


# ----------------------------------------------------------------------- the evidence


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_evidence_of_tables_is_that_of_scipy(seed) -> None:
    """Against the Dirichlet-multinomial of scipy, less the number of sequences with the same counts."""
    rng = np.random.default_rng(seed)
    counts, alpha = rng.integers(0, 5, (3, 4, 2)), rng.uniform(0.2, 5, (3, 4, 2))
    expected = 0.0
    for i, k in itertools.product(range(3), range(2)):
        column, n = counts[i, :, k], counts[i, :, k].sum()
        sequences = stats.multinomial(n, np.full(4, 0.25)).logpmf(column) - n * np.log(0.25)
        expected += stats.dirichlet_multinomial(alpha[i, :, k], n).logpmf(column) - sequences
    value = log_marginal(torch.tensor(counts, dtype=torch.float64), torch.tensor(alpha)).sum()
    assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("centre", [AccuracyCentre(), OrderedCentre(4)])
def test_a_centre_is_a_table(centre) -> None:
    counts = torch.tensor(np.random.default_rng(0).uniform(0, 9, (5, 4, 4)))
    counts[2] = 0  # a worker of whom nothing is known
    for strength in (2.0, 1024.0):
        middle = centre.update(counts, strength)
        assert (middle > 0).all()
        torch.testing.assert_close(
            middle.sum(1), torch.ones(5, 4, dtype=torch.float64), atol=1e-4, rtol=0
        )
    assert np.isfinite(centre.log_evidence())


# ---------------------------------------------------------------------- what it learns


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "per_task", "n", "d"),
    [(3, 4, 1500, 20), (4, 3, 1000, 20), (10, 3, 1000, 20), (10, 5, 1000, 20)],
)
def test_one_accuracy_a_worker_is_found(k, per_task, n, d) -> None:
    """On one-coin data the default is near the one-coin model, and skills are the true ones."""
    ours, theirs, correlations = [], [], []
    for seed in range(3):
        frame, truth, skill = one_coin(seed, k, per_task, n, d)
        agg = DEEMAggregator(progress=False).fit(frame)
        ours.append(accuracy(agg.labels_, truth))
        theirs.append(accuracy(OneCoinDawidSkene(n_iter=100).fit_predict(frame), truth))
        correlations.append(np.corrcoef(agg.skills_, skill.loc[agg.skills_.index])[0, 1])
    assert np.mean(ours) > np.mean(theirs) - 0.01
    assert np.mean(correlations) > 0.9


def test_strength_tells_one_accuracy_from_tables_of_their_own() -> None:
    frame, _, _ = one_coin(3, 4, 5, 1500, 15)
    rng = np.random.default_rng(0)
    tables = rng.dirichlet(np.full(3, 0.7), (8, 3)) * 0.5 + 0.5 * np.eye(3)
    truth = rng.integers(3, size=1500)
    own = np.stack([[rng.choice(3, p=tables[i, c]) for c in truth] for i in range(8)], axis=1)
    strengths = []
    for answers in (Answers.from_frame(frame), Answers.from_dense(own)):
        design = design_of(answers)
        member = fit_hierarchical(design, em.vote_start(design), AccuracyCentre())
        strengths.append(float(member.pseudo_answers[:, 0].sum()))
    assert strengths[0] > 100 > 20 > strengths[1]


@pytest.mark.parametrize("k", [5, 8])
def test_ordered_classes_gain_by_their_order(k) -> None:
    gaps = []
    for seed in range(3):
        frame, truth = ratings(seed, k)
        for ordered in (False, True):
            labels = DEEMAggregator(ordered=ordered, progress=False).fit_predict(frame)
            gaps.append(float((labels - truth.loc[labels.index]).abs().mean()))
    assert np.mean(gaps[1::2]) < 0.9 * np.mean(gaps[::2])


def test_long_scales_are_read_as_scales() -> None:
    """Six judges who rate from 0 to 100, seldom alike: their order says more than a mean or a median of the ratings.

    There are fewer than ten answers a step, so tables around accuracies are not fitted.
    """
    gaps = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        truth = rng.integers(101, size=160)
        bias, noise = rng.normal(0, 8, 6), rng.uniform(6, 18, 6)
        seen = truth[:, None] + bias + noise * rng.normal(size=(160, 6))
        frame = pd.DataFrame(np.clip(np.round(seen), 0, 100).astype(int)).stack().reset_index()
        frame.columns = ["task", "worker", "label"]
        model = DEEMAggregator(ordered=True, progress=False).fit(frame)
        assert model.selection_.set_index("candidate")["weight"][candidates.ORDERED] > 0
        by_task = frame.groupby("task")["label"]
        found = (model.median_, by_task.mean(), by_task.median())
        gaps.append([float((ratings - truth).abs().mean()) for ratings in found])
    ours, mean, median = np.mean(gaps, 0)
    assert ours < min(mean, median)


def test_labels_of_too_many_steps_are_named_with_the_remedy() -> None:
    frame = pd.DataFrame(
        {"task": np.repeat(np.arange(101), 2), "worker": [0, 1] * 101, "label": range(202)}
    )
    with pytest.warns(DataWarning, match="202 different values.*Round them to 200 steps"):
        DEEMAggregator(ordered=True, n_iter=1, progress=False).fit(frame)


def test_reversed_order_gives_reversed_labels() -> None:
    frame, _ = ratings(1, 5)
    turned = frame.assign(label=4 - frame["label"])
    probas = DEEMAggregator(ordered=True, progress=False).fit(frame).probas_
    mirrored = DEEMAggregator(ordered=True, progress=False).fit(turned).probas_
    np.testing.assert_allclose(mirrored.to_numpy()[:, ::-1], probas.to_numpy(), atol=1e-6)


def test_an_ordered_categorical_is_ordered_by_itself() -> None:
    frame, _ = ratings(2, 5)
    names = ["poor", "fair", "good", "great", "superb"]
    ordered = pd.Categorical.from_codes(frame["label"], names, ordered=True)
    by_category = DEEMAggregator(progress=False).fit(frame.assign(label=ordered)).probas_
    by_number = DEEMAggregator(ordered=True, progress=False).fit(frame).probas_
    np.testing.assert_allclose(by_category.to_numpy(), by_number.to_numpy(), atol=1e-9)


def test_names_have_no_order() -> None:
    frame, _ = ratings(2, 3)
    named = frame.assign(label=frame["label"].map({0: "low", 1: "mid", 2: "high"}))
    with pytest.raises(DataError, match=r"needs labels with an order.*'high', 'low', 'mid'"):
        DEEMAggregator(ordered=True).fit(named)
    with pytest.raises(ParameterError, match="ordered=True is for the model that is chosen"):
        DEEM(ordered=True, hidden_dim=2).fit(np.zeros((3, 3), dtype=int))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_and_idle_workers_change_nothing(seed) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-1, 3, (30, 5))
    matrix[:, 0] = rng.integers(3, size=30)
    design = design_of(Answers.from_dense(matrix, 3))
    member = fit_hierarchical(design, em.vote_start(design), AccuracyCentre())
    order = rng.permutation(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wider = Answers.from_dense(np.column_stack([matrix, np.full(30, -1)])[order], 3)
    shuffled = design_of(wider)
    other = fit_hierarchical(shuffled, em.vote_start(shuffled), AccuracyCentre())
    assert other.bound == pytest.approx(member.bound, abs=1e-6)
    torch.testing.assert_close(
        other.states, member.states[torch.from_numpy(order)], atol=1e-8, rtol=0
    )


# ------------------------------------------------------------------------- calibration


@pytest.mark.parametrize("group", [None, [0, -1, 0, -1], [1, 1, 0, 0]])
def test_correlation_by_its_definition(group) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.integers(-1, 3, (12, 4))
    matrix[:, 0] = rng.integers(3, size=12)
    posterior, tables = (
        rng.dirichlet(np.ones(3), 12),
        rng.dirichlet(np.ones(3), (4, 3)).transpose(0, 2, 1),
    )
    shared = possible = 0.0
    for n, k in itertools.product(range(12), range(3)):
        workers = np.flatnonzero(matrix[n] >= 0)
        c = tables[workers, k, k]
        s, sigma = (matrix[n, workers] == k) - c, np.sqrt(c * (1 - c))
        number = (
            np.arange(4) + 4
            if group is None
            else np.where(np.array(group) < 0, np.arange(4) + 4, group)
        )
        pairs = number[workers][:, None] != number[workers]
        shared += posterior[n, k] * (np.outer(s, s)[pairs]).sum()
        possible += posterior[n, k] * (np.outer(sigma, sigma)[pairs]).sum()
    value = within_task_correlation(
        design_of(Answers.from_dense(matrix, 3)),
        torch.tensor(posterior),
        torch.tensor(tables),
        None if group is None else np.array(group),
    )
    assert value == pytest.approx(np.clip(shared / possible, 0, 1), abs=1e-12)


def test_correlation_is_none_where_sources_are_independent_and_some_where_tasks_are_hard() -> None:
    rng = np.random.default_rng(1)
    n, d = 4000, 6
    truth, hard = rng.integers(2, size=n), rng.normal(0, 1.2, n)
    measured = []
    for difficulty in (np.zeros(n), hard):
        chance = 1 / (1 + np.exp(difficulty - 1.2))
        matrix = np.where(rng.random((n, d)) < chance[:, None], truth[:, None], 1 - truth[:, None])
        tables = np.full((d, 2, 2), chance.mean())
        tables[:, [0, 1], [1, 0]] = 1 - chance.mean()
        known = torch.nn.functional.one_hot(torch.from_numpy(truth), 2).double()
        design = design_of(Answers.from_dense(matrix))
        measured.append(within_task_correlation(design, known, torch.tensor(tables)))
    none, some = measured
    assert none < 0.02
    expected = chance.var() / (chance.mean() * (1 - chance.mean()))
    assert some == pytest.approx(expected, abs=0.03)


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_tempering_keeps_labels_and_shrinks_odds(correlation, seed) -> None:
    rng = np.random.default_rng(seed)
    design = design_of(Answers.from_dense(rng.integers(3, size=(20, 4)), 3))
    posterior = torch.tensor(rng.dirichlet(np.ones(3), 20))
    after = tempered(posterior, design.votes, correlation)
    assert (after.argmax(1) == posterior.argmax(1)).all()
    assert (after.amax(1) <= posterior.amax(1) + 1e-12).all()
    torch.testing.assert_close(after.sum(1), torch.ones(20, dtype=torch.float64))


@settings(deadline=None)
@example(1.0, 1000, 0)
@given(st.floats(0, 1), st.integers(1, 10**6), st.integers(0, 1000))
def test_votes_count_by_the_correlation_and_change_no_label(correlation, n_tasks, seed) -> None:
    rng = np.random.default_rng(seed)
    share = share_of_votes(correlation, n_tasks)
    assert share_of_votes(0.0, n_tasks) <= share <= 1 == share_of_votes(1.0, n_tasks)
    posterior, votes = (torch.tensor(rng.dirichlet(np.ones(3), 20)) for _ in range(2))
    posterior[0] = torch.tensor([0.4, 0.4, 0.2])  # a tie, which the votes settle
    votes[0] = torch.tensor([0.2, 0.3, 0.5])
    posterior[1] = torch.tensor([0.2, 0.7, 0.1])
    votes[1] = torch.tensor([0.4, 0.4, 0.2])  # a tie, which the posterior settles
    posterior[2] = torch.tensor([0.35, 0.35 + 3e-6, 0.3 - 3e-6])  # hardly more than a tie
    votes[2] = torch.tensor([0.5, 0.3, 0.2])
    after = with_votes(posterior, votes, share)
    torch.testing.assert_close(after.sum(1), torch.ones(20, dtype=torch.float64))
    assert (first_of_best(after)[1:] == posterior[1:].argmax(1)).all()
    agree = votes.argmax(1) == posterior.argmax(1)
    whole = torch.lerp(posterior, votes, min(share, MOST))
    torch.testing.assert_close(after[agree], whole[agree])
    order = [2, 0, 1]
    torch.testing.assert_close(
        with_votes(posterior[:, order], votes[:, order], share), after[:, order]
    )


def test_one_answer_a_task_is_not_tempered() -> None:
    design = design_of(Answers.from_dense(np.eye(4, dtype=int) * 3 - 1, 3))
    posterior = torch.full((4, 3), 1 / 3, dtype=torch.float64)
    posterior[:, 0] = 0.5
    posterior[:, 1:] = 0.25
    torch.testing.assert_close(tempered(posterior, design.votes, 0.4), posterior)

"""Skills averaged over their prior: exact where answers make a tree, by enumeration; and what they are worth."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from deem_crowd import DEEM
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import candidates, own_skills
from deem_crowd.selection.opinion_pool import without_label

SKILL = np.array([0.2, 0.5, 0.9])
LOG_PRIOR = np.log([0.2, 0.3, 0.5])


def laid_out(data: np.ndarray, k: int) -> tuple[Answers, DesignMatrix]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # tasks or workers without answers
        answers = Answers.from_dense(data, k)
    return answers, DesignMatrix(answers, torch.device("cpu"), torch.float64)


def enumerated(data: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    """Return the log evidence and the mean skills, from all labels of all tasks."""
    n, d = data.shape
    joint, means = [], []
    for labels in itertools.product(range(k), repeat=n):
        by_worker = np.tile(LOG_PRIOR, (d, 1))
        for task, worker in zip(*np.nonzero(data >= 0), strict=True):
            right = data[task, worker] == labels[task]
            by_worker[worker] += np.log(SKILL if right else (1 - SKILL) / (k - 1))
        joint.append(logsumexp(by_worker, axis=1).sum() - n * np.log(k))
        shares = np.exp(by_worker - logsumexp(by_worker, axis=1, keepdims=True))
        means.append(shares @ SKILL)
    probability = np.exp(np.array(joint) - logsumexp(joint))
    return float(logsumexp(joint)), probability @ np.array(means)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_messages_are_exact_where_answers_make_a_tree(k: int, seed: int) -> None:
    """No two workers meet on two tasks, nor along a circle of tasks."""
    who = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 2), (4, 0), (4, 4)]
    data = np.full((5, 6), -1)  # the last worker answers nothing
    for (task, worker), label in zip(
        who, np.random.default_rng(seed).integers(k, size=9), strict=True
    ):
        data[task, worker] = label
    found = own_skills.Messages(*laid_out(data, k)).pass_on(SKILL, LOG_PRIOR)
    evidence, mean = enumerated(data, k)
    assert found.evidence == pytest.approx(evidence, abs=1e-6)
    np.testing.assert_allclose(found.mean, mean, atol=1e-3)


@pytest.mark.parametrize(("mean", "strength"), [(0.5, 8.4), (0.7, 25.2), (0.95, 25.2)])
def test_nodes_have_the_mean_of_their_prior_and_its_variance_between_cells(
    mean: float, strength: float
) -> None:
    skill, log_mass = own_skills.nodes(mean, strength)
    mass = np.exp(log_mass)
    assert mass.sum() == pytest.approx(1)
    assert mass @ skill == pytest.approx(mean, abs=1e-4)
    lost = mean * (1 - mean) / (strength + 1) - (mass @ skill**2 - mean**2)
    assert (
        0 <= lost <= (1 / len(skill)) ** 2 / 4
    )  # the variance within cells, which is at most that of their ends


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_neither_order_nor_names_nor_a_silent_worker_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d, k = 20, 6, 3
    data = np.where(rng.random((n, d)) < 0.5, rng.integers(k, size=(n, d)), -1)
    data[0] = [0, 1, 2, 0, 1, 2]
    tasks, workers, names = rng.permutation(n), rng.permutation(d), rng.permutation(k)
    moved = np.where(data >= 0, names[data], -1)[tasks][:, workers]
    moved = np.hstack([moved, np.full((n, 1), -1)])
    one, other = laid_out(data, k), laid_out(moved, k)
    before = without_label(*one).posterior(one[1])
    after = without_label(*other).posterior(other[1])
    np.testing.assert_allclose(after[:, names], before[tasks], atol=1e-9)
    weights = [without_label(*each).weights for each in (one, other)]
    np.testing.assert_allclose(*weights, atol=1e-9)


def coins(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw 1,000 tasks of two classes, three answers each by 100 workers of whom the mean is right in 57 %."""
    rng = np.random.default_rng(seed)
    n, d = 1000, 100
    skill, truth = rng.beta(4, 3, d), rng.integers(2, size=n)
    asked = rng.random((n, d)).argsort(1) < 3
    right = rng.random((n, d)) < skill
    return np.where(asked, np.where(right, truth[:, None], 1 - truth[:, None]), -1), truth, skill


def test_labels_are_better_than_the_votes_where_no_label_shows() -> None:
    gains, correlations = [], []
    for seed in range(3):
        data, truth, skill = coins(seed)
        model = DEEM(n_classes=2).fit(data)
        chosen = model.selection_.set_index("candidate")["weight"]
        assert chosen[candidates.COMMON] + chosen[candidates.OWN] == pytest.approx(1)
        ahead = (data == 1).sum(1) - (data == 0).sum(1)
        gains.append((model.labels_ == truth).mean() - ((ahead > 0) == truth).mean())
        correlations.append(np.corrcoef(model.skills_, skill)[0, 1])
    assert np.mean(gains) > 0.02
    assert np.mean(correlations) > 0.3


def test_where_votes_are_more_careful_probabilities_are_theirs_and_labels_stay() -> None:
    rng = np.random.default_rng(5)  # tasks are answered alike for other reasons than a label
    data = np.array([rng.choice(3, 8, p=p) for p in rng.dirichlet(np.full(3, 0.5), size=60)])
    answers, design = laid_out(data, 3)
    pool = without_label(answers, design)
    assert pool.caution == 1
    mean = pool.mean([energy.posterior(design) for energy in pool.energies])
    posterior = pool.posterior(design)
    first, second = mean.topk(2, dim=1).values.T
    clear = first - second > 1e-5
    assert torch.equal(mean.argmax(1)[clear], posterior.argmax(1)[clear])
    shares = (design.votes + 1 / 3) / 9
    agrees = clear & (shares.argmax(1) == mean.argmax(1))
    assert agrees.sum() > 40
    np.testing.assert_allclose(posterior[agrees], shares[agrees], atol=2e-3)


def test_soft_answers_and_very_many_have_one_skill() -> None:
    rng = np.random.default_rng(0)
    soft = Answers.from_soft(rng.dirichlet([1, 1], size=(20, 3)).transpose(0, 2, 1))
    assert not own_skills.affordable(soft, DesignMatrix(soft, torch.device("cpu"), torch.float64))
    answers, design = laid_out(rng.integers(2, size=(20, 3)), 2)
    assert own_skills.affordable(answers, design)
    design.n_answers_in_all = 10**6
    assert not own_skills.affordable(answers, design)

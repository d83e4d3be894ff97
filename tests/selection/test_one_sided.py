"""Sources that speak for one class each, where the answers show no label: who names a rare class says more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import null_model, one_sided


def design_of(frame: pd.DataFrame) -> DesignMatrix:
    return DesignMatrix(Answers.from_frame(frame), torch.device("cpu"), torch.float64)


def rules(rng: np.random.Generator, rates: list[float], n_tasks: int, right: float) -> pd.DataFrame:
    """Four sources a class; each names its class on a task of that class more often than on another, by ``right``."""
    k = len(rates)
    truth = rng.integers(0, k, n_tasks)
    parts = []
    for source in range(4 * k):
        label = source % k
        chance = np.where(truth == label, right * rates[label], rates[label])
        tasks = np.flatnonzero(rng.random(n_tasks) < chance)
        parts.append(pd.DataFrame({"task": tasks, "worker": source, "label": label}))
    return pd.concat(parts, ignore_index=True).assign(truth=lambda d: truth[d["task"]])


def test_ties_go_to_the_class_that_is_named_more_rarely() -> None:
    answers = rules(np.random.default_rng(0), [0.3, 0.05], 600, 2.0)
    design = design_of(answers)
    assert one_sided.are_most(design.answers_named())
    posterior = null_model.common_skill(design, 1).posterior(design)
    votes = design.votes
    ties = (votes[:, 0] == votes[:, 1]) & (votes[:, 0] > 0)
    assert int(ties.sum()) > 20
    assert bool((posterior[ties, 1] > posterior[ties, 0]).all())
    # and that is what the law says of them
    answered = design_tasks(answers)
    truth = answers.groupby("task")["truth"].first().reindex(answered)[ties.numpy()]
    assert (truth == 1).mean() > 0.5


def design_tasks(frame: pd.DataFrame) -> pd.Index:
    return Answers.from_frame(frame).tasks


def test_by_enumeration() -> None:
    """The posterior is Bayes' rule for sources that know the label, or draw from the shares."""
    answers = rules(np.random.default_rng(1), [0.3, 0.1, 0.05], 300, 3.0)
    design = design_of(answers)
    k = design.n_classes
    skill = null_model.skill_from_agreement(*null_model.pair_agreement(design), k)
    skill = max(skill, null_model.USUAL_SKILL)
    knows = (k * skill - 1) / (k - 1)
    shares = (answers["label"].value_counts().sort_index().to_numpy() + 1) / (len(answers) + k)
    given_label = knows * np.eye(k) + (1 - knows) * shares[:, None]
    expected = []
    for _, labels in answers.groupby("task", sort=False)["label"]:
        joint = np.array([np.prod(given_label[labels, state]) for state in range(k)])
        expected.append(joint / joint.sum())
    found = null_model.common_skill(design, 1).posterior(design).numpy()
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_workers_who_choose_among_classes_get_the_majority(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "task": np.repeat(np.arange(60), 5),
            "worker": np.tile(np.arange(5), 60),
            "label": rng.choice(k, 300, p=np.arange(1, k + 1) / (k * (k + 1) / 2)),
        }
    )
    design = design_of(frame)
    assert not one_sided.are_most(design.answers_named())
    posterior = null_model.common_skill(design, 1).posterior(design)
    best = design.votes.amax(1, keepdim=True)
    torch.testing.assert_close(
        (posterior >= posterior.amax(1, keepdim=True) - 1e-9), design.votes == best
    )


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ([[40, 0], [0, 40], [30, 10]], True),  # two of three
        (
            [[40, 0], [0, 40], [3, 1], [1, 3], [2, 2]],
            False,
        ),  # few answers tell that a source names both
        ([[40, 0], [40, 0], [0, 40]], True),
        ([[90, 0], [90, 0], [40, 60]], False),  # all of the same class
        ([[40, 0], [20, 20], [30, 10]], False),
        ([[1, 0], [0, 1], [1, 0]], False),  # single answers tell nothing
        ([[9, 0], [9, 0], [9, 0], [9, 1]], False),  # nearly all answers name one class
        ([[5], [6]], False),  # one class
        ([[0, 0], [0, 0]], False),
    ],
)
def test_which_sources_speak_for_one_class(named: list[list[int]], expected: bool) -> None:
    assert one_sided.are_most(torch.tensor(named, dtype=torch.float64)) is expected


def test_sources_without_answers_change_nothing() -> None:
    named = torch.tensor([[40.0, 0.0], [0.0, 40.0], [20.0, 20.0]])
    more = torch.cat([named, torch.zeros(7, 2)])
    assert one_sided.are_most(named) is one_sided.are_most(more) is True

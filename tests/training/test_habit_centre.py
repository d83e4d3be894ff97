"""Tables of workers who know a class or answer by habit: against sums over the grid, written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.group import Group, Loop
from deem_crowd.training import habit_centre
from deem_crowd.training.em import vote_start
from deem_crowd.training.habit_centre import HabitCentre
from deem_crowd.training.hierarchical import Hierarchical, fit_hierarchical


def counted(k: int, seed: int = 0, n_workers: int = 6) -> torch.Tensor:
    drawn = np.random.default_rng(seed).gamma(0.5, 4.0, (n_workers, k, k))
    return torch.from_numpy(drawn)


def tables_of_the_grid(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return tables, shape (G, K, K), and their prior, from the definition."""
    k = counts.shape[1]
    all_answers = counts.sum((0, 2)) + 1
    all_answers = all_answers / all_answers.sum()
    habits = [(np.full(k, 1 / k), 1.0), (all_answers, 1.0)]
    for often in habit_centre._ONE_CLASS:
        for c in range(k):
            of_class = often * np.eye(k)[c] + (1 - often) * all_answers
            habits.append((of_class, 2 / (len(habit_centre._ONE_CLASS) * k)))
    tables, prior = [], []
    for known in habit_centre._KNOWN:
        for habit, mass in habits:
            tables.append(known * np.eye(k) + (1 - known) * habit[:, None])
            prior.append(mass)
    return np.array(tables), np.array(prior) / np.sum(prior)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("strength", [2.0, 1024.0])
def test_the_centre_is_the_mean_of_the_grid(k: int, strength: float) -> None:
    counts = counted(k)
    centre = HabitCentre(k)
    found = centre.update(counts, strength)
    tables, prior = tables_of_the_grid(counts.numpy())
    effective = counts.numpy() * (1 + strength) / (counts.numpy().sum(1, keepdims=True) + strength)
    joint = np.einsum("ilk,glk->ig", effective, np.log(tables)) + np.log(prior)
    top = joint.max(1, keepdims=True)
    share = np.exp(joint - top)
    marginal = np.log(share.sum(1)) + top[:, 0]
    share /= share.sum(1, keepdims=True)
    expected = np.einsum("ig,glk->ilk", share, tables)
    assert found.numpy() == pytest.approx(expected, abs=1e-9)
    gain = marginal.sum() - (effective * np.log(expected)).sum()
    assert centre.log_evidence() == pytest.approx(gain, abs=1e-6)


def test_columns_sum_to_one_and_follow_the_names_of_classes() -> None:
    counts, order = counted(4, 1), torch.tensor([2, 0, 3, 1])
    one, other = HabitCentre(4), HabitCentre(4)
    for _ in range(3):
        tables = one.update(counts, 8.0)
        renamed = other.update(counts[:, order][:, :, order], 8.0)
    assert tables.sum(1).numpy() == pytest.approx(1.0, abs=1e-12)
    torch.testing.assert_close(renamed, tables[:, order][:, :, order], atol=1e-10, rtol=0)
    assert other.log_evidence() == pytest.approx(one.log_evidence(), abs=1e-8)


def test_workers_without_answers_change_nothing_for_others() -> None:
    counts = counted(3, 2)
    more = torch.cat([counts, torch.zeros(2, 3, 3, dtype=torch.float64)])
    one, other = HabitCentre(3), HabitCentre(3)
    for _ in range(3):
        tables, wider = one.update(counts, 8.0), other.update(more, 8.0)
    torch.testing.assert_close(wider[:6], tables)
    assert other.log_evidence() == pytest.approx(one.log_evidence(), abs=1e-9)


def test_a_habit_is_told_from_knowledge() -> None:
    """One worker names the second class all the time, one is right four times in five, one draws lots."""
    habit, right, lots = torch.zeros(3, 3), torch.full((3, 3), 2.0), torch.full((3, 3), 20 / 3)
    habit[1] = 20.0
    right.fill_diagonal_(16.0)
    counts = torch.stack([habit, right, lots]).double()
    centre = HabitCentre(3)
    for _ in range(5):
        tables = centre.update(counts, 1024.0)
    assert (tables[0, 1] > 0.9).all()
    assert tables[0, 1].std() < 0.02
    assert torch.diagonal(tables[1]).mean() == pytest.approx(0.8, abs=0.05)
    assert torch.diagonal(tables[2]).mean() == pytest.approx(1 / 3, abs=0.08)


def test_habits_that_nobody_has_explain_less_than_those_that_all_have() -> None:
    """Against the answers' own multinomial: workers of one class are explained well, mixed ones no better than that."""
    one_class = 20 * torch.eye(4, dtype=torch.float64).repeat(5, 1)
    found = habit_centre.evidence_without_knowledge(one_class)
    assert (
        -100 < found < 20 * math.log(0.5)
    )  # each of twenty has one of four classes, and then nearly no choice
    even = torch.full((20, 4), 5.0, dtype=torch.float64)
    by_lots = 400 * math.log(0.25)
    assert by_lots - 40 < habit_centre.evidence_without_knowledge(even) < by_lots


def test_names_of_classes_do_not_matter_to_habits_alone() -> None:
    answers = counted(4, 3).sum(2)
    found = habit_centre.evidence_without_knowledge(answers)
    renamed = habit_centre.evidence_without_knowledge(answers[:, [2, 0, 3, 1]])
    assert renamed == pytest.approx(found, abs=1e-8)


class Interrupted(Exception):
    pass


class Noted(Loop):
    """A loop that stops after a pass, or goes on from what another noted."""

    last, begin = 0, None

    def save(self) -> None:
        if self.number == self.last:
            type(self).begin = (self.number, dict(self.values))
            raise Interrupted


class Noting(Group):
    def __init__(self, loop: type[Noted], last: int) -> None:
        self.kind, self.last = loop, last

    def loop(self, **values: Any) -> Loop:
        loop = self.kind(**values)
        loop.__dict__["last"] = self.last
        if self.kind.begin is not None:
            loop.number = self.kind.begin[0]
            loop.values.update(self.kind.begin[1])
        return loop


@pytest.mark.parametrize("last", [2, 20])
def test_a_fit_that_has_a_bound_to_beat_goes_on_where_it_was_interrupted(last: int) -> None:
    def fit(loop: type[Noted], last: int = 0) -> Hierarchical:
        design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
        design.group = Noting(loop, last)
        return fit_hierarchical(design, vote_start(design), HabitCentre(3), beat=-1e9)

    rng = np.random.default_rng(0)
    drawn = {"task": np.repeat(np.arange(100), 3), "worker": rng.integers(20, size=300)}
    frame = pd.DataFrame({**drawn, "label": (drawn["task"] + rng.integers(2, size=300)) % 3})
    answers = Answers.from_frame(frame.drop_duplicates(["task", "worker"]))
    whole = fit(type("Whole", (Noted,), {}))
    stopped = type("Stopped", (Noted,), {})
    with pytest.raises(Interrupted):
        fit(stopped, last)
    again = fit(stopped)
    assert whole.n_passes > last
    assert torch.equal(again.states, whole.states)
    assert again.bound == whole.bound

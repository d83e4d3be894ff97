"""Tables of workers who know a class or answer by habit: against sums over the grid, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deem_crowd.training import habit_centre
from deem_crowd.training.habit_centre import HabitCentre


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

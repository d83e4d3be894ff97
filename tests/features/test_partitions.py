"""Joint fits over several divisions of few tasks, and the held-out classifiers that they begin with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deem_crowd.data.answers import Answers
from deem_crowd.features import guard, joint, partitions
from deem_crowd.features.learners import LogisticLearner, settled
from deem_crowd.features.neighbours import NeighbourLearner
from deem_crowd.features.rows import read
from deem_crowd.model.design import make_design
from deem_crowd.runtime.progress import Progress

pytestmark = pytest.mark.usefixtures("few_fits_throughout")
N, SILENT, BARE = 120, 5, 4
"""Tasks with answers, the first rows without any, and the last tasks without features."""
QUIET = Progress("", "", False)


def drawn(seed=0):
    """Return answers by six workers and the problem: two classes that the first of three features tells apart."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, N)
    x = rng.normal(size=(N, 3))
    x[:, 0] += 4 * truth
    task = np.repeat(np.arange(N), 3)
    worker = np.concatenate([rng.choice(6, 3, replace=False) for _ in range(N)])
    right = rng.random(len(task)) < 0.85
    label = pd.Series(np.where(right, truth[task], 1 - truth[task]), dtype="Int64")
    label[task < SILENT] = pd.NA
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    answers = Answers.from_frame(frame, missing="drop")
    rows = read(pd.DataFrame(x[: N - BARE]), answers.tasks)
    design = make_design(answers, "cpu", "auto", 2)
    fold = partitions.folds(len(rows.place), seed)
    return answers, joint.Problem(design, rows, fold), truth[np.asarray(answers.tasks, dtype=int)]


def fit(answers, problem, n_fits):
    learner = LogisticLearner()
    votes = problem.votes()[problem.rows.place]
    log_q = settled(learner, problem.rows.x, votes, problem.taught(), problem.fold)
    divisions = partitions.divided(problem, learner, log_q, 0, n_fits)
    gains = partitions.begun(answers, divisions, learner, 0, QUIET)
    assert len(gains) == n_fits - 1
    assert all(gain.shape == (N - SILENT,) for gain in gains)
    return partitions.fit(divisions, learner, QUIET)


def test_held_out_classifiers_speak_of_every_row():
    answers, problem, truth = drawn()
    told = guard.held_out(answers, problem, LogisticLearner(), [0], QUIET)
    assert told.gain.shape == told.without.shape == (N - SILENT,)
    assert told.log_q is not None
    assert told.log_q.shape == (N - BARE, 2)
    np.testing.assert_allclose(np.exp(told.log_q).sum(axis=1), 1)
    right = told.log_q.argmax(axis=1) == truth[problem.rows.place]
    assert right.mean() > 0.8  # the rows of tasks without answers among them


def test_the_word_of_a_held_out_classifier_does_not_depend_on_the_answers_to_the_task():
    answers, problem, _ = drawn()
    learner = LogisticLearner(each=True)
    before = guard.held_out(answers, problem, learner, [3], QUIET, settled=True).log_q
    part = guard._asked(answers, [3])[:: guard.PARTS]
    label = answers.hard_label
    turned = replace(answers, label=np.where(np.isin(answers.task, part), 1 - label, label))
    other = joint.Problem(make_design(turned, "cpu", "auto", 2), problem.rows, problem.fold)
    after = guard.held_out(turned, other, learner, [3], QUIET, settled=True).log_q
    held = np.isin(problem.rows.place, part)
    np.testing.assert_array_equal(before[held], after[held])
    assert not np.array_equal(before[~held], after[~held])


def test_gains_are_in_the_order_of_the_tasks():
    answers, problem, _ = drawn()
    first = guard.held_out(answers, problem, LogisticLearner(), [0], QUIET)
    again = guard.held_out(answers, problem, first.learner, [1], QUIET, settled=True)
    assert not np.array_equal(first.gain, again.gain)
    assert np.corrcoef(first.gain, again.gain)[0, 1] > 0.8


def test_a_second_learner_is_asked_beside_what_the_first_was_told_without_features(monkeypatch):
    answers, problem, _ = drawn()
    first = guard.held_out(answers, problem, LogisticLearner(), [0], QUIET)
    alone = guard.held_out(answers, problem, NeighbourLearner(), [0], QUIET)
    fitted = guard._without
    calls = []
    monkeypatch.setattr(guard, "_without", lambda *parts: calls.append(0) or fitted(*parts))
    second = guard.held_out(answers, problem, NeighbourLearner(), [0], QUIET, before=first)
    assert not calls
    np.testing.assert_array_equal(second.gain, alone.gain)
    np.testing.assert_array_equal(second.without, alone.without)


def test_of_many_tasks_some_are_not_asked(monkeypatch):
    monkeypatch.setattr("deem_crowd.features.guard.MOST_TASKS", 20)
    answers, problem, _ = drawn()
    told = guard.held_out(answers, problem, LogisticLearner(), [0], QUIET)
    assert told.gain.shape == (20,)
    assert told.log_q is None


def many_columns():
    """Return answers, one a task, about four classes that the first of 40 columns tell apart."""
    rng, task = np.random.default_rng(0), np.arange(200)
    truth = rng.integers(0, 4, 200)
    x = rng.normal(size=(200, 40)) * 0.4
    x[task, truth] += 1.2
    label = np.where(rng.random(200) < 0.6, truth, rng.integers(0, 4, 200))
    frame = pd.DataFrame({"task": task, "worker": rng.integers(0, 6, 200), "label": label})
    answers = Answers.from_frame(frame)
    rows = read(pd.DataFrame(x), answers.tasks)
    return answers, joint.Problem(
        make_design(answers, "cpu", "auto", 4), rows, partitions.folds(200, 0)
    )


class Chooser(LogisticLearner):
    """Labels choose a penalty that is far too small."""

    def settle(self, x, targets, weights, fold, choose=True):
        told = super().settle(x, targets, weights, fold, choose)
        if len(self._chosen) > 1 and not self._script:
            self._ridge = self._chosen[-1] = 1e-4
            told = super().settle(x, targets, weights, fold, False)
        return told

    def anew(self):
        return Chooser(self._each, self._ridge)


def test_settings_of_votes_stay_where_labels_choose_worse_ones(monkeypatch):
    monkeypatch.setattr("deem_crowd.features.guard._ROUNDS", 2)
    answers, problem = many_columns()
    held = guard.held_out(answers, problem, Chooser(), [0], QUIET)
    steady = guard.steadied(answers, problem, held, [0], QUIET)
    assert steady is not None
    assert guard.clear(steady.gain - held.gain)
    np.testing.assert_array_equal(steady.without, held.without)
    assert set(steady.learner._chosen) == {held.learner._chosen[0]}
    assert guard.steadied(answers, problem, steady, [0], QUIET) is None  # no better than itself


def test_the_mean_of_fits_consists_of_probabilities():
    answers, problem, truth = drawn()
    found = fit(answers, problem, 3)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1)
    np.testing.assert_allclose(found.tables.exp().sum(1), 1)
    np.testing.assert_allclose(found.prior.sum(), 1)
    np.testing.assert_allclose(np.exp(found.log_q).sum(axis=1), 1)
    assert (found.posterior.argmax(axis=1) == truth).mean() > 0.85


def test_one_fit_is_the_joint_fit():
    answers, problem, _ = drawn()
    once = fit(answers, problem, 1)
    learner = LogisticLearner()
    votes = problem.votes()[problem.rows.place]
    log_q = settled(learner, problem.rows.x, votes, problem.taught(), problem.fold)
    plain = joint.fit(problem, learner, log_q)
    np.testing.assert_array_equal(once.posterior, plain.posterior)
    assert torch.equal(once.tables, plain.tables)
    assert not np.array_equal(once.posterior, fit(answers, problem, 2).posterior)


@given(st.integers(1, 10**6))
@settings(max_examples=30, deadline=None)
def test_fits_are_repeated_where_rows_are_few(n_rows):
    number = partitions.number_of_fits(n_rows)
    assert 1 <= number <= partitions.MOST_FITS
    assert number == 1 or number * n_rows <= partitions._ROWS
    assert number >= partitions.number_of_fits(n_rows + 1)


@given(st.integers(2, 200), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_folds_are_even(n_rows, seed):
    sizes = np.bincount(partitions.folds(n_rows, [seed, 1]), minlength=partitions.FOLDS)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("right", "refused"), [(0.75, False), (0.5, True), (0.25, True)])
def test_features_that_are_too_sure_but_point_the_right_way_are_not_refused(right, refused):
    """Answers of two classes, even without features: with them 0.99 for the right one in so many cases."""
    points = np.random.default_rng(0).random((3, 400)) < right
    gains = np.log(np.where(points, 0.99, 0.01) / 0.5)
    assert gains.mean() < 0
    assert guard.harmful(gains) == refused


def test_features_that_help_a_little_are_not_refused():
    assert not guard.harmful(np.random.default_rng(0).normal(0.01, 0.1, (2, 300)))
    assert not guard.harmful(np.full((1, 50), 1e3))

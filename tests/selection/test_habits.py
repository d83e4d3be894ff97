"""Workers who name one class all the time, where each gave few answers."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks import habits as benchmark

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataWarning
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import habits, select
from deem_crowd.selection.candidates import HABITS
from deem_crowd.selection.parts import Parts


def drawn(
    seed: int, n_tasks: int, n_workers: int, lazy: float, n_classes: int = 6, of_task: int = 2
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return answers of skilled workers, Beta(6, 2), and of some who name one class, and the truth."""
    frame, truth = benchmark.draw(n_classes, lazy, of_task, (n_tasks, n_workers), seed)
    return frame, truth.to_numpy()


def right_share(labels: pd.Series, truth: np.ndarray) -> float:
    return float((labels.to_numpy() == truth[labels.index]).mean())


def vote_share(frame: pd.DataFrame, truth: np.ndarray) -> float:
    """Return the share of tasks that most answers name rightly; ties count in part."""
    votes = pd.crosstab(frame["task"], frame["label"])
    top = votes.eq(votes.max(axis=1), axis=0)
    own = np.array([top.loc[t, truth[t]] if truth[t] in top else False for t in top.index])
    return float((own / top.sum(axis=1)).mean())


def tried(model: DEEMAggregator) -> bool:
    assert model.selection_ is not None
    chosen = model.selection_.set_index("candidate")["weight"]
    return bool(chosen.get(HABITS, 0) > 0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lazy", [0.25, 0.4])
def test_their_class_is_not_taken_for_the_truth(seed: int, lazy: float) -> None:
    frame, truth = drawn(seed, 300, 30, lazy)
    model = DEEMAggregator().fit(frame)
    assert tried(model)
    assert right_share(model.labels_, truth) > vote_share(frame, truth) + 0.05
    skills = model.skills_.sort_index()
    n_lazy = int(np.ceil(lazy * 30))
    assert skills.iloc[:n_lazy].max() < skills.iloc[n_lazy:].median()


def test_without_the_model_of_habits_labels_were_worse_than_the_votes() -> None:
    frame, truth = drawn(1, 300, 30, 0.4)
    answers = Answers.from_frame(frame)
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    before = select.select(answers, design, parts=Parts(habits=False)).posterior
    assert before is not None
    labels = pd.Series(before.argmax(1).numpy(), index=answers.tasks)
    assert right_share(labels, truth) < vote_share(frame, truth) - 0.05


@pytest.mark.parametrize("n_classes", [2, 4])
def test_where_nobody_has_a_habit_the_default_is_as_before(n_classes: int) -> None:
    frame, _ = drawn(0, 400, 30, 0.0, n_classes, 3)
    answers = Answers.from_frame(frame)
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    found = [select.select(answers, design, parts=Parts(habits=asked)) for asked in (True, False)]
    with_it, without = (one.posterior for one in found)
    assert with_it is not None
    assert without is not None
    assert torch.equal(with_it, without)


def test_labels_follow_answers_in_any_order_and_under_other_names() -> None:
    frame, _ = drawn(2, 300, 30, 0.25, 4)
    model = DEEMAggregator().fit(frame)
    assert tried(model)
    mixed = DEEMAggregator().fit(frame.sample(frac=1, random_state=0)).probas_
    pd.testing.assert_frame_equal(mixed.loc[model.probas_.index], model.probas_, atol=1e-7)
    names = {0: "d", 1: "b", 2: "a", 3: "c"}
    renamed = DEEMAggregator().fit(frame.assign(label=frame["label"].map(names))).probas_
    same = renamed[[names[c] for c in model.probas_.columns]].to_numpy()
    assert same == pytest.approx(model.probas_.to_numpy(), abs=1e-7)


def test_tables_with_many_answers_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, _ = drawn(0, 300, 30, 0.4)
    assert tried(DEEMAggregator().fit(frame))
    monkeypatch.setattr(habits, "MOST_ANSWERS", 19)  # each gave twenty
    assert not tried(DEEMAggregator().fit(frame))


def test_a_few_more_answers_are_added_to_a_copy_that_was_stored() -> None:
    frame, truth = drawn(3, 1000, 50, 0.25, of_task=3)
    mixed = frame.sample(frac=1, random_state=0)
    first = DEEMAggregator()
    first.partial_fit(mixed.iloc[30:])
    assert tried(first)
    model = pickle.loads(pickle.dumps(first))
    model.partial_fit(mixed.iloc[:30])
    assert model.update_.startswith("tables of")
    whole = DEEMAggregator().fit(frame)
    labels = model.labels_.loc[whole.labels_.index]
    assert (labels == whole.labels_).mean() > 0.99
    assert right_share(labels, truth) > right_share(whole.labels_, truth) - 0.005


def noise(seed: int, n_classes: int) -> pd.DataFrame:
    """Return answers of workers who know nothing: half of them name one class nearly always, half draw lots."""
    rng = np.random.default_rng(seed)
    habit = rng.integers(n_classes, size=30)
    worker = np.concatenate([rng.choice(30, 3, replace=False) for _ in range(300)])
    lots = rng.integers(n_classes, size=900)
    follows = (worker < 15) & (rng.random(900) < 0.9)
    label = np.where(follows, habit[worker], lots)
    return pd.DataFrame({"task": np.repeat(np.arange(300), 3), "worker": worker, "label": label})


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_habits_alone_show_no_label(n_classes: int) -> None:
    for seed in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # that two answers agree as by chance
            model = DEEMAggregator().fit(noise(seed, n_classes))
        assert not tried(model)
        assert any("no label" in sentence for sentence in model.findings())

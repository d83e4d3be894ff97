"""A few known labels choose between readings of the answers, and correct one of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets import kinds, laws
from scipy.special import logsumexp

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection.candidates import CORRECTED, REGRESSION, WITHOUT_GOLD
from deem_crowd.selection.known_labels import taught
from deem_crowd.selection.known_labels.regression import Regression, indicators


def split(data, n, seed=0):
    """Return n known labels, and the others to score on."""
    chosen = np.random.default_rng(seed).permutation(len(data.gold))
    return data.gold.iloc[chosen[:n]], data.gold.iloc[chosen[n:]]


def test_gold_mends_a_reading_that_is_wrong() -> None:
    """Sources that are experts of one field each, with few answers a task: readings without gold do not see that."""
    gained = []
    for seed in range(2):
        data = laws.experts(seed + 900, 400)
        answers = data.answers.sample(frac=0.4, random_state=seed)
        known, others = split(data, 75)
        known = known[known.index.isin(answers["task"])]
        others = others[others.index.isin(answers["task"])]
        with_gold = DEEMAggregator().fit(answers, known)
        assert (with_gold.labels_[known.index] == known).all()
        without = DEEMAggregator().fit(answers)
        gained.append(
            measures.accuracy(with_gold.probas_, others)
            - measures.accuracy(without.probas_, others)
        )
    assert np.mean(gained) > 0.05, gained


def test_gold_does_no_harm_where_the_reading_is_right() -> None:
    for law in (laws.independent, laws.ten_classes):
        data = law(910, 600)
        known, others = split(data, 20)
        with_gold = measures.accuracy(DEEMAggregator().fit(data.answers, known).probas_, others)
        without = measures.accuracy(DEEMAggregator().fit(data.answers).probas_, others)
        assert with_gold > without - 0.015, law


def test_it_is_said_what_gold_chose() -> None:
    data = kinds.family(3)
    known, _ = split(data, 60)
    found = DEEMAggregator().fit(data.answers, known).selection_.set_index("candidate")
    assert (
        found.loc[[WITHOUT_GOLD, REGRESSION, CORRECTED], "why"].str.contains("held-out gold").all()
    )
    assert found["weight"].sum() == pytest.approx(1, abs=1e-9)
    one, _ = split(data, 1)
    assert REGRESSION in set(DEEMAggregator().fit(data.answers, one).selection_["candidate"])


def test_order_and_names_do_not_count() -> None:
    data = laws.clique(911, 150)
    known, _ = split(data, 40)
    rng = np.random.default_rng(1)
    names = {0: "zebra", 1: "ant", 2: "mole"}
    mixed = data.answers.iloc[rng.permutation(len(data.answers))]
    mixed = mixed.assign(label=mixed["label"].map(names))
    first = DEEMAggregator().fit(data.answers, known).probas_
    other = DEEMAggregator().fit(mixed, known.iloc[::-1].map(names)).probas_
    other = other.loc[first.index, [names[k] for k in first.columns]]
    np.testing.assert_allclose(first, other, atol=1e-4)


@pytest.mark.filterwarnings("ignore:two answers to one task agree")
@pytest.mark.parametrize("seed", [1, 3, 4])
def test_order_does_not_count_where_the_answers_show_no_label(seed) -> None:
    """Then the fit without gold says the same of many tasks."""
    rng = np.random.default_rng(seed)
    task, worker = np.nonzero(rng.random((80, 6)) > 0.3)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": rng.integers(2, size=len(task))})
    assert DEEMAggregator().fit(frame).selection_["why"].str.startswith("overruled").any()
    known = pd.Series(rng.integers(2, size=40), index=np.arange(40))
    first = DEEMAggregator().fit(frame, known).probas_
    other = DEEMAggregator().fit(frame.iloc[rng.permutation(len(frame))], known).probas_
    np.testing.assert_allclose(first, other.loc[first.index], atol=1e-6)


@pytest.mark.filterwarnings("ignore:two answers to one task agree")
@pytest.mark.parametrize("seed", [6, 21])
def test_order_does_not_count_where_many_tasks_look_alike(seed) -> None:
    """Two sources of five classes: many tasks have the same answers, or answers that differ in names alone."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(5, size=80)
    said = np.where(rng.random((80, 2)) < 0.5, truth[:, None], rng.integers(5, size=(80, 2)))
    task, worker = np.nonzero(rng.random((80, 2)) > 0.3)
    frame = pd.DataFrame({"task": task, "worker": worker, "label": said[task, worker]})
    known = pd.Series(rng.integers(5, size=80)).loc[np.unique(task)[:40]]
    first = DEEMAggregator().fit(frame, known).probas_
    other = DEEMAggregator().fit(frame.iloc[rng.permutation(len(frame))], known).probas_
    np.testing.assert_allclose(first, other.loc[first.index], atol=1e-6)


def test_files_and_arrays_hold_the_same(tmp_path) -> None:
    data = laws.clique(912, 100)
    known, _ = split(data, 30)
    model = DEEMAggregator().fit(data.answers, known)
    model.save(tmp_path / "model.deem")
    loaded = DEEMAggregator.load(tmp_path / "model.deem")
    np.testing.assert_allclose(
        loaded.predict_proba(data.answers), model.predict_proba(data.answers), atol=1e-12
    )
    open_ = ~data.gold.index.isin(known.index)
    np.testing.assert_allclose(
        model.predict_proba(data.answers)[open_], model.probas_[open_], atol=1e-9
    )
    wide = data.answers.pivot(index="task", columns="worker", values="label")
    y = known.reindex(wide.index).fillna(-1).astype(int).to_numpy()
    arrays = DEEM().fit(wide.to_numpy(), gold=y)
    np.testing.assert_allclose(arrays.probas_, model.probas_.loc[wide.index], atol=1e-4)


def regression(base: bool, penalty: float = 1.0) -> tuple[Regression, Answers, np.ndarray]:
    data = laws.two_answers(4, 120)
    answers = Answers.from_frame(data.answers)
    truth = data.gold.loc[answers.tasks].to_numpy()
    features = indicators(answers, np.arange(answers.n_tasks))
    tables = np.random.default_rng(0).normal(size=(answers.n_workers, 4, 4))
    logits = features @ tables.reshape(-1, 4) if base else None
    found = Regression(features, logits, 0.7, penalty, 2.0)
    return found.fit(np.arange(60), truth[:60], 4), answers, tables


@pytest.mark.parametrize("base", [True, False])
def test_a_regression_is_an_energy(base) -> None:
    found, answers, tables = regression(base)
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    energy = found.energy(tables, np.zeros(4))
    np.testing.assert_allclose(
        energy.posterior(design), found.predict(np.arange(answers.n_tasks)), atol=1e-9
    )


def test_a_regression_is_at_its_maximum() -> None:
    """Against its penalised likelihood, written down again."""
    found, answers, _ = regression(False, 0.5)
    truth = laws.two_answers(4, 120).gold.loc[answers.tasks].to_numpy()[:60]
    features = indicators(answers, np.arange(60)).toarray()
    eye = np.tile(np.eye(4), (answers.n_workers, 1))

    def loss(weight: np.ndarray, skill: np.ndarray, bias: np.ndarray) -> float:
        logits = features @ (weight + np.repeat(skill, 4)[:, None] * eye) + bias
        logits -= logsumexp(logits, axis=1, keepdims=True)
        of_common = 0.5 * 2.0 * ((bias**2).sum() + (skill**2).sum())
        return -logits[np.arange(60), truth].sum() + 0.25 * (weight**2).sum() + of_common

    at = (found._weight, found._skill, found._bias)
    best = loss(*at)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(20):
            assert loss(*(part + size * rng.normal(size=part.shape) for part in at)) > best


def test_few_labels_teach_one_skill_a_source() -> None:
    """Ten classes, 40 known labels: a regression with a table alone has far too many numbers."""
    data = laws.ten_classes(3, 1500)
    answers = Answers.from_frame(data.answers)
    truth = data.gold.loc[answers.tasks].to_numpy()
    features = indicators(answers, np.arange(answers.n_tasks))
    right = []
    for common in (1.0, 1e6):
        found = Regression(features, None, 0.0, 3.0, common).fit(np.arange(40), truth[:40], 10)
        right.append((found.predict(np.arange(40, 1500)).argmax(1) == truth[40:]).mean())
    assert right[0] > right[1] + 0.1


def test_stacking_is_the_best_of_many_mixtures() -> None:
    rng = np.random.default_rng(0)
    chances = rng.uniform(0.05, 0.95, size=(40, 4))
    found = np.array(taught._stacked(chances, np.array(taught._PRIOR)))
    prior = np.array(taught._PRIOR)
    value = lambda v: np.log(chances @ v).sum() + prior @ np.log(v)  # noqa: E731
    others = rng.dirichlet(np.ones(4), size=3000)
    near = np.abs(found + 0.02 * rng.normal(size=(300, 4)))
    near /= near.sum(1, keepdims=True)
    assert value(found) >= max(map(value, [*others, *near])) - 1e-6


def test_soft_answers_and_gold() -> None:
    data = laws.independent(5, 200)
    wide = data.answers.pivot(index="task", columns="worker", values="label").to_numpy()
    soft = (0.8 * np.eye(3)[wide] + 0.2 / 3).transpose(0, 2, 1)
    known = np.full(200, -1)
    known[:40] = data.gold.to_numpy()[:40]
    model = DEEM().fit(soft, gold=known)
    assert (model.labels_[:40] == known[:40]).all()
    assert pd.Series(model.labels_[40:]).eq(data.gold.to_numpy()[40:]).mean() > 0.8


def test_gold_learns_what_a_vote_is_worth_where_the_answers_show_no_label() -> None:
    """Sources that never meet show no label; gold tells good votes from bad ones, and does not train refused models."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 400)
    right = rng.random(400) < 0.85
    frame = pd.DataFrame(
        {
            "task": np.arange(400),
            "worker": rng.integers(0, 6, 400),
            "label": np.where(right, truth, 1 - truth),
        }
    )
    gold = pd.Series(truth[:40], index=np.arange(40))
    model = DEEMAggregator(progress=False).fit(frame, gold)
    weights = model.selection_.set_index("candidate")["weight"]
    assert weights[CORRECTED] > 0.1
    refused = weights.drop([WITHOUT_GOLD, REGRESSION, CORRECTED])
    assert len(refused)
    assert (refused == 0).all()
    others = model.probas_.loc[40:]
    assert measures.accuracy(others, pd.Series(truth, index=np.arange(400)).loc[40:]) > 0.8
    confidence = others.max(axis=1).mean()
    assert 0.7 < confidence < 0.95  # about as often as votes are right

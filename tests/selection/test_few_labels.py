"""One label, three, or labels of one class only: what little is known does not make labels worse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets import kinds, laws
from scipy import sparse

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.estimators import fit
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.group import ALONE
from deem_crowd.selection.candidates import COPIES, HIERARCHY
from deem_crowd.selection.known_labels import taught
from deem_crowd.selection.known_labels.chosen_by_label import answered_otherwise, by_label
from deem_crowd.selection.known_labels.known_tasks import Known
from deem_crowd.selection.known_labels.regression import indicators

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")


def lost(data, known: pd.Series) -> float:
    """Return by how much accuracy on the other tasks is below that without known labels."""
    others = data.gold.drop(known.index)
    without, with_gold = (
        measures.accuracy(DEEMAggregator().fit(data.answers, gold).probas_, others)
        for gold in (None, known)
    )
    return without - with_gold


@pytest.mark.parametrize("law", [kinds.unipolar, kinds.family, laws.clique, laws.copies])
@pytest.mark.parametrize("n", [1, 3])
def test_a_few_labels_keep_what_the_answers_say(law, n) -> None:
    """Silence that is evidence, and sources that repeat others: both were forgotten as soon as a label was known."""
    data = law(21, 300)
    known = data.gold.sample(n, random_state=n)
    assert lost(data, known) < 0.05


@pytest.mark.parametrize("law", [laws.independent, laws.spammers])
def test_labels_of_one_class_do_not_speak_for_it(law) -> None:
    data = law(22, 300)
    known = data.gold[data.gold == 0].iloc[:60]
    assert lost(data, known) < 0.02


def test_as_many_labels_of_a_rare_class_do_not_make_it_frequent() -> None:
    data = kinds.screening(23, 500)
    rare, common = (data.gold[data.gold == k] for k in (1, 0))
    known = pd.concat([rare.iloc[:15], common.iloc[:15]])
    others = data.gold.drop(known.index)
    expected = DEEMAggregator().fit(data.answers, known).probas_.loc[others.index, 1].mean()
    without = DEEMAggregator().fit(data.answers).probas_.loc[others.index, 1].mean()
    assert expected < without + 0.01


@pytest.mark.parametrize("gold", [{}, {"nowhere": 0}])
@pytest.mark.filterwarnings("ignore:gold names 1 task")
def test_labels_of_no_task_change_nothing(gold) -> None:
    data = kinds.unipolar(3, 200)
    for settings in ({}, {"auto_hyperparameters": False}):
        bare = DEEMAggregator(**settings).fit(data.answers).probas_
        pd.testing.assert_frame_equal(
            DEEMAggregator(**settings).fit(data.answers, gold).probas_, bare
        )


def test_an_array_without_known_labels_is_none() -> None:
    said = np.random.default_rng(0).integers(0, 3, (60, 4))
    model = DEEM().fit(said, gold=np.full(60, -1))
    np.testing.assert_array_equal(model.probas_, DEEM().fit(said).probas_)


def chosen(law, seed: int, n: int, rate=None) -> bool:
    data = law(seed, 400)
    answers = Answers.from_frame(data.answers)
    truth = data.gold.loc[answers.tasks].to_numpy()
    odds = np.ones(len(truth)) if rate is None else np.asarray(rate)[truth]
    some = np.random.default_rng(seed).choice(len(truth), n, replace=False, p=odds / odds.sum())
    gold = np.full(len(truth), -1)
    gold[some] = truth[some]
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    return answered_otherwise(design, torch.from_numpy(gold))


@pytest.mark.parametrize("law", [laws.independent, kinds.screening, laws.ten_classes])
def test_random_tasks_are_seldom_taken_for_others(law) -> None:
    assert sum(chosen(law, seed, n) for seed in range(8) for n in (1, 3, 10, 100)) <= 1


def test_tasks_of_one_class_are_answered_otherwise() -> None:
    assert all(chosen(laws.independent, seed, 20, [1, 0, 0]) for seed in range(5))
    assert all(chosen(kinds.screening, seed, 20, [1, 100]) for seed in range(5))


def known_of(told: np.ndarray, label: np.ndarray) -> Known:
    """Return the first tasks of a posterior, with their labels."""
    n = len(label)
    cells = sparse.csr_matrix((n, 2))
    return Known(cells, label, np.ones(n), slice(0, n), np.arange(n), ALONE)


def test_hard_tasks_are_not_chosen_by_label() -> None:
    """Their answers differ from others', and the odds of their labels are as the answers say."""
    told = np.repeat([[0.5, 0.5], [0.95, 0.05]], [50, 150], axis=0)
    gold, prior = known_of(told, np.arange(50) % 2), told.mean(0)
    assert by_label(gold, told, prior, True) is None


def test_rates_of_tasks_chosen_by_label_are_found() -> None:
    """Half of the labels are of a class that has a tenth of the tasks."""
    told = np.repeat([[0.97, 0.03], [0.7, 0.3], [0.97, 0.03]], [25, 25, 250], axis=0)
    gold = known_of(told, np.repeat([0, 1], 25))
    prior = np.array([0.9, 0.1])
    rate = by_label(gold, told, prior, True)
    assert rate is not None
    np.testing.assert_allclose(np.diff(rate), np.log(9), atol=1e-9)
    assert by_label(gold, told, prior, False) is None


@pytest.mark.parametrize("law", [kinds.family, kinds.unipolar, laws.clique])
def test_the_corrected_fit_begins_with_the_fit_without_gold(law, monkeypatch) -> None:
    """With sources that repeat others, too, and where silence is evidence."""
    data = law(24, 300)
    answers = Answers.from_frame(data.answers)
    seen: dict[str, np.ndarray] = {}
    learn = taught.learn

    def spy(gold, free, told, tables, bias, *others):
        seen.update(free=free, tables=tables, bias=bias)
        return learn(gold, free, told, tables, bias, *others)

    monkeypatch.setattr(taught, "learn", spy)
    DEEMAggregator().fit(answers, data.gold.iloc[:1])
    features = indicators(answers, np.arange(answers.n_tasks))
    k = answers.n_classes
    logits = features @ seen["tables"].reshape(-1, k) + seen["bias"]
    assert (logits.argmax(1) == seen["free"].argmax(1)).mean() > 0.97


def test_a_fit_that_denies_its_own_labels_counts_for_little() -> None:
    """EM with all known labels may end elsewhere than with those of the folds, which it is weighed by."""
    rng = np.random.default_rng(5)
    label = rng.integers(0, 2, 60)
    right = np.where(np.eye(2)[label] > 0, 0.9, 0.1)
    even = np.full((60, 2), 0.5)
    gold, tables, prior = known_of(even, label), np.zeros((1, 2, 2)), np.full(2, 0.5)

    def weight(told: np.ndarray) -> float:
        args = gold, even, told, tables, np.log(prior), prior, 0.0, lambda part: right
        return taught.learn(*args).weights[0]

    assert weight(right) > 0.9
    assert weight(1 - right) < 0.1


def test_families_are_found_where_labels_are_known() -> None:
    data = kinds.family(25, 300)
    rows = DEEMAggregator().fit(data.answers, data.gold.iloc[:3]).selection_
    assert COPIES in set(rows["candidate"])


def test_tables_around_accuracies_are_asked_where_labels_are_known() -> None:
    data = laws.ten_classes(26, 400)
    rows = DEEMAggregator().fit(data.answers, data.gold.iloc[:3]).selection_.set_index("candidate")
    assert rows.loc[HIERARCHY, "weight"] > 0


def test_labels_of_one_class_do_not_start_other_tasks_elsewhere(monkeypatch) -> None:
    """Training starts from votes and known labels: workers' columns are of one scale, with gold or without."""
    data = laws.imbalance(51, 400)
    shares: list[float] = []
    first = fit.first_energy

    def spy(answers, design, *others):
        energy = first(answers, design, *others)
        shares.append(float(energy.posterior(design)[:, 0].mean()))
        return energy

    monkeypatch.setattr(fit, "first_energy", spy)
    known = data.gold[data.gold == 0].iloc[:10]
    DEEMAggregator(auto_hyperparameters=False).fit(data.answers)
    without = shares.pop()
    DEEMAggregator().fit(data.answers, known)
    assert min(shares) > without - 0.1

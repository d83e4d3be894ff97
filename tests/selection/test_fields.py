"""Sources that know different fields: the default finds them where pairs of sources show them, and only there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets import laws

from deem_crowd import DEEMAggregator
from deem_crowd.data.answers import Answers
from deem_crowd.insight import tables
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.selection import pairs
from deem_crowd.selection.candidates import FIELDS
from deem_crowd.selection.shared_errors import fields

pytestmark = pytest.mark.filterwarnings("ignore::deem_crowd.exceptions.FindingsWarning")


def chosen(model: DEEMAggregator) -> bool:
    return FIELDS in set(model.selection_["candidate"])


def votes(answers: pd.DataFrame) -> pd.DataFrame:
    return pd.crosstab(answers["task"], answers["label"], normalize="index")


def counted(answers: Answers) -> pairs.Pairs:
    return pairs.count(answers, np.arange(answers.n_workers))


@pytest.mark.filterwarnings("error::deem_crowd.exceptions.FindingsWarning")
@pytest.mark.parametrize("seed", [400, 401])
def test_experts_of_three_fields_are_found(seed) -> None:
    data = laws.experts(seed, 800)
    model = DEEMAggregator().fit(data.answers)
    assert chosen(model)
    accuracy = measures.accuracy(model.probas_, data.gold)
    assert accuracy > measures.accuracy(votes(data.answers), data.gold) + 0.05
    # the oracle, who knows the field of each task, is right in about 94 %
    assert accuracy > 0.87
    assert measures.reliability(model.probas_, data.gold).error < 0.08
    # experts of one field agree more than one skill each explains, and are not taken for copies
    assert not any("repeat one another" in sentence for sentence in model.findings())
    assert not tables.pair_agreement(model)["repeats"].any()


def test_groups_are_the_fields() -> None:
    found = fields.groups(counted(Answers.from_frame(laws.experts(410, 800).answers)))
    assert sorted(sorted(group.tolist()) for group in found) == [
        [d, d + 3, d + 6, d + 9] for d in range(3)
    ]


@pytest.mark.parametrize("law", [laws.copies, laws.clique, laws.blind_spots, laws.tree])
def test_sources_that_repeat_one_another_are_not_experts(law) -> None:
    for seed, n_tasks in ((420, 200), (421, 600)):
        assert not chosen(DEEMAggregator().fit(law(seed, n_tasks).answers))


def test_copies_of_a_weak_source_are_not_experts_of_all_tasks() -> None:
    """Four independent judges, and four copies of a weaker one that the labels may follow."""
    rng = np.random.default_rng(3)
    truth = rng.integers(2, size=400)
    alone = [np.where(rng.random(400) < p, truth, 1 - truth) for p in (0.75, 0.7, 0.8, 0.75)]
    source = np.where(rng.random(400) < 0.62, truth, 1 - truth)
    near = [np.where(rng.random(400) < 0.05, rng.integers(2, size=400), source) for _ in range(4)]
    task, worker = (axis.ravel() for axis in np.indices((400, 8)))
    label = np.column_stack(alone + near).ravel()
    answers = pd.DataFrame({"task": task, "worker": worker, "label": label})
    model = DEEMAggregator().fit(answers)
    assert not chosen(model)
    assert measures.accuracy(model.probas_, pd.Series(truth)) > 0.8


@pytest.mark.parametrize("law", [laws.independent, laws.difficulty, laws.adversaries])
def test_sources_without_fields_are_left_alone(law) -> None:
    assert not chosen(DEEMAggregator().fit(law(430, 400).answers))


def test_pairs_refuse_tables_that_say_something_else() -> None:
    answers = Answers.from_frame(laws.independent(440, 1000).answers)
    design = DesignMatrix(answers, torch.device("cpu"), torch.float64)
    gold = torch.tensor(laws.independent(440, 1000).gold.tolist())
    true = torch.nn.functional.one_hot(gold, 3).double()
    cells = design.expected_counts(true) + 0.5
    table = (cells / cells.sum(1, keepdim=True)).log()
    energy = Energy(true.mean(0).log(), table, table.mean(0))
    assert not fields.misfits(counted(answers), energy)
    blunt = Energy(energy.bias, 0.5 * table, 0.5 * energy.population)
    assert fields.misfits(counted(answers), blunt)


def test_names_and_order_of_rows_change_nothing() -> None:
    data = laws.experts(450, 300)
    here = DEEMAggregator().fit(data.answers)
    renamed = data.answers.assign(
        worker="w" + (11 - data.answers["worker"]).astype(str).str.zfill(2)
    )
    there = DEEMAggregator().fit(renamed.sample(frac=1, random_state=0))
    assert chosen(here)
    assert chosen(there)
    assert np.abs(here.probas_ - there.probas_.loc[here.probas_.index]).max().max() < 1e-6


def test_a_saved_model_says_the_same_of_new_tasks(tmp_path) -> None:
    data = laws.experts(460, 500)
    known = data.answers["task"] < 400
    model = DEEMAggregator().fit(data.answers[known])
    assert chosen(model)
    model.save(tmp_path / "model")
    new = data.answers[~known]
    expected = model.predict_proba(new)
    pd.testing.assert_frame_equal(
        DEEMAggregator.load(tmp_path / "model").predict_proba(new), expected
    )
    assert measures.accuracy(expected, data.gold.loc[400:]) > 0.8


@pytest.mark.parametrize("name", ["_MOST_CELLS", "_MOST_PROBABILITIES"])
def test_what_takes_too_much_memory_is_left_out(name, monkeypatch) -> None:
    data = laws.experts(460, 300)
    assert chosen(DEEMAggregator().fit(data.answers))
    states = 3 * 3
    monkeypatch.setattr(
        fields, name, {"_MOST_CELLS": 12 * 3, "_MOST_PROBABILITIES": 300}[name] * states - 1
    )
    assert not chosen(DEEMAggregator().fit(data.answers))


def test_known_labels_stand() -> None:
    data = laws.experts(470, 400)
    gold = data.gold.iloc[:6]
    model = DEEMAggregator().fit(data.answers, gold)
    assert chosen(model)
    assert (model.labels_.loc[gold.index] == gold).all()

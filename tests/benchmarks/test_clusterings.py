"""The suite of sources without common names: what is drawn, how it is scored, and the peers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deem_crowd_benchmarks import companions, suites
from deem_crowd_benchmarks.peers import consensus_peers
from deem_crowd_benchmarks.running import evaluation, measures
from deem_crowd_benchmarks.running.methods import Method, methods
from deem_crowd_benchmarks.sets import clusterings, label_sets
from deem_crowd_benchmarks.sets.label_set import LabelSet
from scipy import sparse

from deem_crowd.exceptions import ParameterError, PluginError


def small() -> LabelSet:
    """Five sources of names 0 to 2; the last one is the truth under other names, with one task wrong."""
    truth = np.arange(30) % 3
    rng = np.random.default_rng(0)
    columns = [np.where(rng.random(30) < 0.7, truth, rng.integers(3, size=30)) for _ in range(4)]
    last = np.array([2, 0, 1])[truth]
    last[0] = 0
    matrix = np.column_stack([*columns, last])
    frame = pd.DataFrame(
        [(n, i, matrix[n, i]) for n in range(30) for i in range(5)],
        columns=["task", "worker", "label"],
    )
    gold = pd.Series(truth, index=pd.RangeIndex(30, name="task"), name="label")
    return LabelSet("small", frame, gold, named=False)


def test_clusterings_are_drawn_by_their_seed() -> None:
    one, two = clusterings.clustered("wine", 0), clusterings.clustered("wine", 0)
    pd.testing.assert_frame_equal(one.answers, two.answers)
    assert not one.answers.equals(clusterings.clustered("wine", 1).answers)
    assert not one.named
    assert one.answers["worker"].nunique() == 20
    assert len(one.answers) == 20 * len(one.gold)
    names = one.answers.groupby("worker")["label"].nunique()
    assert names.median() == 3
    assert set(names) == {2, 3, 4}


def test_renamed_answers_part_the_tasks_of_each_worker_alike() -> None:
    (source,) = label_sets.sources("renamed:law:independent")
    assert source.name == "independent, renamed"
    assert source.drawn
    found = source.load(3)
    (plain,) = label_sets.sources("law:independent")
    before = plain.load(3)
    assert not found.named
    for worker in before.answers["worker"].unique()[:5]:
        mine = before.answers["worker"] == worker
        pairs = set(zip(before.answers["label"][mine], found.answers["label"][mine], strict=True))
        assert len(pairs) == before.answers["label"][mine].nunique()
    changed = before.answers["label"].to_numpy() != found.answers["label"].to_numpy()
    assert changed.mean() > 0.3
    assert set(found.answers["label"]) <= set(before.answers["label"])
    pd.testing.assert_series_equal(found.gold, before.gold)


def test_names_by_gold() -> None:
    gold = pd.Series(list("aabbb"), index=range(5))
    labels = pd.Series([7, 7, 8, 8, 9], index=range(5))
    assert measures.named_by(gold, labels).fillna("none").tolist() == ["a", "a", "b", "b", "none"]
    some = pd.Series(["a", None, "b"], index=[0, 1, 3])
    assert measures.named_by(some, labels).fillna("none").tolist() == ["a", "a", "b", "b", "none"]


def test_sets_without_names_are_scored_under_the_best_map() -> None:
    found = evaluation.evaluate(small(), Method("best", consensus_peers.BestSingle, sees_gold=True))
    assert found.status == "ok", found.reason
    assert found.measures["accuracy"] == pytest.approx(29 / 30)
    assert found.measures["clustering_accuracy"] == pytest.approx(29 / 30)
    assert found.hits.sum() == 29
    assert not set(found.measures) & {"log_loss", "label_accuracy", "skill_correlation"}


@pytest.mark.parametrize(
    "make",
    [consensus_peers.Consensus, consensus_peers.CoAssociationKMeans],
    ids=lambda m: m.__name__,
)
def test_a_consensus_beats_its_sources(make) -> None:
    label_set = clusterings.clustered("wine", 0)
    found = evaluation.evaluate(label_set, Method("m", make), 0)
    assert found.status == "ok", found.reason
    singles = [
        measures.of_labels(part.set_index("task")["label"], label_set.gold)["nmi"]
        for _, part in label_set.answers.groupby("worker")
    ]
    assert found.measures["nmi"] > np.mean(singles)


@pytest.mark.parametrize(
    ("package", "peer"),
    [
        *(
            ("ensembleclustering", consensus_peers.ClusterEnsembles(solver))
            for solver in ("cspa", "mcla", "hbgf", "nmf")
        ),
        ("ccHBGF", consensus_peers.HybridBipartite()),
    ],
    ids=["cspa", "mcla", "hbgf", "nmf", "ccHBGF"],
)
def test_packages_of_others(package, peer) -> None:
    answers = small().answers
    try:
        __import__(package)
    except ModuleNotFoundError:
        with pytest.raises(PluginError, match=package):
            peer.fit_predict(answers)
        pytest.skip(f"{package} is not installed")
    labels = peer.fit_predict(answers)
    assert labels.index.tolist() == list(range(30))
    assert measures.of_labels(labels, small().gold)["nmi"] > 0.5


def test_graphs_for_metis() -> None:
    places = (np.array([0, 0, 1, 2, 0]), np.array([0, 2, 1, 0, 1]))
    weights = sparse.coo_matrix((np.array([2, 1, 3, 1, 0]), places))  # a stored zero is no edge
    begin, ends, of = consensus_peers.graph_for_metis(weights)
    assert (begin, ends, of) == ([0, 2, 3, 4], [0, 2, 1, 0], [2, 1, 3, 1])
    assert consensus_peers.graph_for_metis(weights.astype(float).tocsc()) == (begin, ends, of)


def test_what_peers_refuse() -> None:
    holes = small().answers.iloc[1:]
    with pytest.raises(ParameterError, match="no missing answers"):
        consensus_peers.HybridBipartite().fit_predict(holes)
    assert consensus_peers.median_names(np.array([[0, 0, 1], [1, 1, -1], [2, 0, 1]])) == 2


def test_the_suite_has_its_ceiling_last() -> None:
    wanted = methods(suites.SUITES["clusterings"].methods)
    assert [m.label for m in wanted if m.sees_gold] == ["best single, by gold"]
    assert wanted[0].make == "clusterings"
    with pytest.raises(ParameterError, match="there is no clusterings:iris"):
        label_sets.sources("clusterings:iris")


def test_names_shuffled_against_true_names(tmp_path, capsys) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=120)
    matrix = np.where(rng.random((120, 6)) < 0.8, truth[:, None], rng.integers(3, size=(120, 6)))
    task, worker = np.nonzero(matrix >= 0)
    label = np.array(list("abc"))[matrix[task, worker]]
    folder = tmp_path / "easy"
    folder.mkdir()
    frame = pd.DataFrame({"task": task, "worker": worker, "label": label})
    frame.to_csv(folder / "labels.csv", index=False)
    gold = pd.DataFrame({"task": range(120), "label": np.array(list("abc"))[truth]})
    gold.to_csv(folder / "truth.csv", index=False)
    apart = tmp_path / "apart"
    apart.mkdir()
    frame[(frame["worker"] < 3) == (frame["task"] < 60)].to_csv(apart / "labels.csv", index=False)
    gold.to_csv(apart / "truth.csv", index=False)
    found = companions.names([str(folder), str(apart)]).set_index("set")
    assert found.loc["easy", "difference"] >= -1
    assert found.loc["easy", "true names"] > 90
    assert "2 parts without a common task" in found.loc["apart", "reason"]
    companions.main(["names", str(folder)])
    assert "easy" in capsys.readouterr().out

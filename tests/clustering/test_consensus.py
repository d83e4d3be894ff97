"""The consensus of sources without common names: labels, number and names of classes, and parameters."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from unnamed_sources import HAND, accuracy, renamed, sources

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.clustering import AgreementClusters, ClusteringAggregator, consensus, naming
from deem_crowd.clustering.own_names import OwnNames
from deem_crowd.exceptions import DataError, ParameterError


@pytest.mark.parametrize(("k", "d", "p"), [(3, 8, 0.7), (6, 6, 0.7), (10, 10, 0.6)])
def test_consensus_is_within_half_a_point_of_common_names(k, d, p) -> None:
    private, common, truth = sources(5, k, d, p, missing=0.1)
    with_common = accuracy(DEEM(n_classes=k).fit(common).predict(common), truth)
    assert accuracy(ClusteringAggregator(k).fit_predict(private), truth) > with_common - 0.005


def test_the_number_of_classes_is_found() -> None:
    private, _, _ = sources(2, 4, 8, 0.8)
    split = private.copy()  # one source tells two halves of a class apart
    split[(private[:, 0] == 1) & (np.arange(len(private)) % 2 == 0), 0] = 4
    agg = ClusteringAggregator(range(2, 7)).fit(split)
    assert agg.n_classes_ == 4
    best = agg.selection_.sort_values("bound").iloc[-1]
    assert best["n_classes"] == 4
    mapped = agg.mapping_.loc[0]["name"]
    assert mapped[1] == mapped[4]


def test_consensus_does_not_depend_on_names_or_rows() -> None:
    private, _, _ = sources(7, 4, 6, 0.7, n=300, missing=0.1)
    one = ClusteringAggregator(4).fit_predict(private)
    two = ClusteringAggregator(4).fit_predict(renamed(private, 1))
    assert adjusted_rand_score(one, two) > 0.98
    again = ClusteringAggregator(4).fit(private)
    pd.testing.assert_series_equal(again.labels_, one)


def test_outputs_are_named_by_the_caller() -> None:
    private, _, _ = sources(4, 3, 5, 0.8, n=200)
    frame = pd.DataFrame(
        [(f"t{n}", f"s{i}", f"{'abc'[private[n, i]]}{i}") for n in range(200) for i in range(5)],
        columns=["task", "worker", "label"],
    )
    agg = ClusteringAggregator(3).fit(frame)
    names = set(agg.probas_.columns)
    assert len({name[-1] for name in names}) == 1  # those of one source
    assert set(agg.labels_) <= names
    assert agg.labels_.index.name == "task"
    assert list(agg.mapping_.index.names) == ["worker", "label"]
    assert len(agg.mapping_) == 15
    assert agg.skills_.between(0.6, 1).all()
    np.testing.assert_allclose(agg.probas_.sum(axis=1), 1)


def test_a_crowd_with_shuffled_names() -> None:
    rng = np.random.default_rng(3)
    private, common, truth = sources(3, 3, 30, 0.75, n=600, missing=0.8)
    labels = ClusteringAggregator(3).fit_predict(private)
    frame = pd.DataFrame(
        {
            "task": np.arange(600)[:, None].repeat(30, 1)[private >= 0],
            "worker": np.arange(30)[None].repeat(600, 0)[private >= 0],
            "label": common[private >= 0],
        }
    )
    named = DEEMAggregator(progress=False).fit_predict(
        frame.sample(frac=1, random_state=int(rng.integers(9)))
    )
    tasks = named.index
    assert accuracy(labels.loc[tasks], truth[tasks]) > accuracy(named, truth[tasks]) - 0.01


def test_what_has_no_consensus_is_said() -> None:
    with pytest.raises(DataError, match="2 distinct rows"):
        ClusteringAggregator(3).fit(np.array([[0, 1], [0, 1], [1, 0]]))
    with pytest.raises(DataError, match="no source uses two names"):
        ClusteringAggregator().fit(np.array([[0, 0], [0, 0]]))
    for bad in ({"n_classes": 0}, {"n_classes": 2.5}, {"n_classes": []}, {"n_starts": -1}):
        with pytest.raises(ParameterError, match=next(iter(bad))):
            ClusteringAggregator(**bad).fit(HAND)


def test_classes_are_named_from_the_vocabulary() -> None:
    """Two sources name halves of four classes, two name all: the consensus of four takes no number for a name."""
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=300)
    matrix = np.column_stack([truth // 2, truth // 2, truth, (truth + 1) % 4])
    agg = ClusteringAggregator(4).fit(matrix)
    assert sorted(agg.probas_.columns) == [0, 1, 2, 3]
    assert accuracy(agg.labels_, truth) == 1
    frame = pd.DataFrame(
        [(n, i, "abcd"[matrix[n, i]]) for n in range(300) for i in range(4)],
        columns=["task", "worker", "label"],
    )
    assert sorted(ClusteringAggregator(4).fit(frame).probas_.columns) == list("abcd")


def test_starts_are_tried_on_a_part_of_many_answers(monkeypatch) -> None:
    private, common, truth = sources(2, 4, 8, 0.7, n=3000, missing=0.1)
    whole = ClusteringAggregator(4).fit(private)
    monkeypatch.setattr(consensus, "_SEARCHED", 2000)
    monkeypatch.setattr(consensus, "_OF_A_NAME", 1)
    part = ClusteringAggregator(4).fit(private)
    assert len(part.labels_) == len(private)
    assert not np.allclose(part.selection_["bound"], whole.selection_["bound"])
    assert adjusted_rand_score(part.labels_, whole.labels_) > 0.99
    with_common = accuracy(DEEM(n_classes=4).fit(common).predict(common), truth)
    assert accuracy(part.labels_, truth) > with_common - 0.005


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_bound_of_tables_around_a_naming(seed) -> None:
    """Without excess it is the bound of free tables; EM ends where naming and posterior agree."""
    private, _, _ = sources(seed, 3, 5, 0.7, n=80, missing=0.2)
    own = OwnNames.of(private)
    start = np.random.default_rng(seed).dirichlet(np.ones(3), 80)
    fit = naming.centred(own, start, "")
    np.testing.assert_allclose(fit.posterior.sum(1), 1)
    np.testing.assert_allclose(fit.counts, own.indicator.T @ fit.posterior)
    named = naming.naming_of(fit.counts, naming.columns_of(own))
    for place in naming.columns_of(own):
        assert named[place].sum(0).max(initial=0) <= 1
        best = max(
            sum(fit.counts[place[i], c] for i, c in enumerate(p) if i < len(place))
            for p in itertools.permutations(range(3))
        )
        assert (named[place] * fit.counts[place]).sum() == pytest.approx(best)


def test_sparse_sources_lean_on_what_the_others_show() -> None:
    """Many sources with few answers each: tables around a naming beat free tables of K × K cells."""
    private, _, truth = sources(0, 5, 60, 0.75, n=300, missing=0.93)
    answered = (private >= 0).any(1)
    free = ClusteringAggregator(5, refine=False).fit(private[answered])
    drawn = ClusteringAggregator(5).fit(private[answered])
    assert accuracy(drawn.labels_, truth[answered]) > accuracy(free.labels_, truth[answered])


def test_parameters_are_shown_and_cloned() -> None:
    for model in (ClusteringAggregator(3, n_starts=2), AgreementClusters(4, min_shared=3)):
        again = clone(model)
        assert repr(again) == repr(model)
        assert again.get_params() == model.get_params()
        assert again.set_params(**type(model)().get_params()).get_params() != model.get_params()
        with pytest.raises(ParameterError, match="no parameter 'k'"):
            model.set_params(k=3)
    assert repr(model) == "AgreementClusters(n_clusters=4, min_shared=3)"


@pytest.mark.parametrize(
    "parameter", [{"n_classes": True}, {"random_state": "x"}, {"random_state": -1}]
)
def test_parameters_of_the_consensus(parameter) -> None:
    with pytest.raises(ParameterError, match=f"{next(iter(parameter))}=.* is not allowed"):
        ClusteringAggregator(**parameter).fit(HAND)


@pytest.mark.parametrize("numbers", [True, False])
def test_a_table_with_a_column_a_source_is_read_as_its_matrix_is(numbers: bool, tmp_path) -> None:
    matrix, _, _ = sources(1, 3, 5, 0.8, n=150)
    tasks = pd.Index([f"t{i}" for i in range(len(matrix))], name="image")
    frame = pd.DataFrame(matrix, index=tasks, columns=[f"run {j}" for j in range(5)])
    table = frame if numbers else frame.apply(lambda column: column.map("abc".__getitem__))
    by_matrix = ClusteringAggregator(n_classes=3).fit(matrix)
    by_table = ClusteringAggregator(n_classes=3).fit(table)
    assert adjusted_rand_score(by_matrix.labels_, by_table.labels_) == 1
    assert by_table.labels_.index.equals(tasks)
    assert list(by_table.skills_.index) == list(frame.columns)
    table.to_csv(tmp_path / "clusterings.csv")
    by_file = ClusteringAggregator(n_classes=3).fit(tmp_path / "clusterings.csv")
    assert adjusted_rand_score(by_table.labels_, by_file.labels_) == 1

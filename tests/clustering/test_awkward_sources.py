"""Sources that are hard to cluster, or no sources: said, refused, and a fit stays as it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from unnamed_sources import sources

from deem_crowd import DEEM
from deem_crowd.clustering import AgreementClusters, ClusteringAggregator, align_sources
from deem_crowd.exceptions import DataError, DataWarning, FormError, ParameterError


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        ([[0], [1]], "all answers come from one source"),
        ([[0, 1, -1, -1], [1, 0, -1, -1], [-1, -1, 0, 1], [-1, -1, 1, 1]], "2 parts without"),
        ([[0, 1], [0, 1], [1, 0]], "n_classes=3 and only 2 distinct rows"),
        ([[0, 1], [1, 0]], "n_classes=3 and only 2 distinct rows"),
    ],
    ids=["one source", "no common tasks", "patterns", "fewer tasks than classes"],
)
def test_bad_input_leaves_a_fit_as_it_was(matrix, text) -> None:
    private, _, _ = sources(1, 3, 4, 0.8, n=60)
    agg = ClusteringAggregator(3).fit(private)
    labels = agg.labels_
    with pytest.raises(DataError, match=text):
        agg.fit(np.array(matrix))
    assert agg.labels_ is labels


def test_all_labels_distinct() -> None:
    """Sources that give each task a label of its own agree on nothing; a consensus is still a partition."""
    matrix = np.column_stack([np.arange(12), np.arange(12)[::-1], np.arange(12)])
    with pytest.warns(DataWarning, match="all labels are distinct: none of the 36 own names"):
        agg = ClusteringAggregator(2).fit(matrix)
    assert agg.labels_.notna().all()
    assert set(agg.labels_) <= set(agg.probas_.columns)
    with pytest.warns(DataWarning, match="all labels are distinct"):
        aligned = align_sources(matrix).answers.to_frame()
    assert (aligned.groupby("task")["label"].nunique() == 1).all()
    with pytest.warns(DataWarning, match="all labels are distinct"):
        grown = AgreementClusters().fit(matrix)
    assert grown.sizes_.tolist() == [1] * 12  # every task is a cluster of its own


def test_more_agreement_clusters_than_there_can_be() -> None:
    matrix = np.array([[0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]])
    for bad in ({"n_clusters": 2.5}, {"n_clusters": 0}, {"min_shared": 1.5}):
        with pytest.raises(ParameterError, match=next(iter(bad))):
            AgreementClusters(**bad).fit(matrix)
    with pytest.warns(DataWarning, match="n_clusters=3, and 2 clusters grew"):
        assert AgreementClusters(3).fit(matrix).sizes_.tolist() == [2, 1]


def test_edges_that_no_pair_of_tasks_has() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (400, 1))
    matrix = np.where(rng.random((400, 6)) < 0.7, truth, rng.integers(0, 3, (400, 6)))
    matrix[rng.random(matrix.shape) < 0.3] = -1
    with pytest.warns(DataWarning, match=r"no cluster grew.*positive='auto'"):
        assert AgreementClusters(positive="auto").fit(matrix).gold_.empty


def test_a_matrix_with_a_row_for_each_source_is_doubted() -> None:
    private, _, _ = sources(1, 3, 4, 0.8, n=60)
    for fit in (
        ClusteringAggregator(2).fit,
        align_sources,
        DEEM().fit,
        DEEM(label_names="own").fit,
    ):
        with pytest.warns(DataWarning, match="4 tasks that 60 workers answered: .* its transpose"):
            fit(private.T)


def test_missing_values_in_a_matrix_are_named() -> None:
    with pytest.raises(DataError, match=r"1 entry is NaN \(first at \(0, 1\)\)"):
        ClusteringAggregator(2).fit(np.array([[0.0, np.nan], [1.0, 0.0]]))
    frame = pd.DataFrame({"task": [1, 1, 2], "worker": ["a", "b", "a"], "label": ["x", None, "y"]})
    with pytest.raises(DataError, match="label"):
        ClusteringAggregator(2).fit(frame)


@pytest.mark.parametrize("read", [align_sources, ClusteringAggregator(2).fit])
def test_what_a_mask_hides_is_no_answer(read) -> None:
    private = np.ma.masked_array([[0, 1], [1, 0], [0, 1]], [[True, False]] + [[False, False]] * 2)
    with pytest.raises(FormError, match=r"masked array with 1 masked entry.*filled\(-1\)"):
        read(private)


def test_sources_with_one_name_are_no_reference() -> None:
    private, _, _ = sources(3, 4, 6, 0.4, n=300)
    beside = np.column_stack([private, np.zeros((300, 3), dtype=int)])
    alone, together = align_sources(private), align_sources(beside)
    assert together.reference == alone.reference
    assert together.mapping["name"].nunique() == 4


def test_a_parameter_that_is_none_comes_with_those_that_are() -> None:
    with pytest.raises(ParameterError, match="has no parameter 'k'. It has: n_classes, n_starts, "):
        ClusteringAggregator().set_params(k=3)

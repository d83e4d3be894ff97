"""Other ways to a consensus of clusterings, as aggregators: fit_predict of a frame (task, worker, label).

All of them, and :class:`Consensus`, are told the same number of classes: the median number of names that sources use.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from deem_crowd.exceptions import ParameterError, PluginError

IntArray = npt.NDArray[np.int64]
_MOST_TASKS = 20_000
"""Tasks beyond which N × N is not laid out."""


class _Peer:
    """Reads the frame into a matrix, finds clusters, and names them by labels that occur."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit_predict(self, data: pd.DataFrame) -> pd.Series:
        """Return a label for each task."""
        matrix, tasks, names = matrix_of(data)
        k = median_names(matrix)
        cluster = np.asarray(self.clusters(matrix, k), dtype=np.int64)
        return pd.Series(names.take(cluster), index=tasks, name="agg_label")

    def clusters(self, matrix: IntArray, k: int) -> Any:
        """Return clusters from 0 to k − 1, shape (N,), from labels (N, D) with −1 for missing."""
        raise NotImplementedError


def matrix_of(data: pd.DataFrame) -> tuple[IntArray, pd.Index, pd.Index]:
    """Return labels as numbers, shape (N, D), −1 for missing, with tasks and names."""
    task, tasks = pd.factorize(data["task"])
    worker, workers = pd.factorize(data["worker"])
    label, names = pd.factorize(data["label"], sort=True)
    matrix = np.full((len(tasks), len(workers)), -1, dtype=np.int64)
    matrix[task, worker] = label
    return matrix, pd.Index(tasks, name="task"), pd.Index(names)


def median_names(matrix: IntArray) -> int:
    """Return the median number of names that sources use."""
    used = [len(np.unique(column[column >= 0])) for column in matrix.T]
    return max(2, int(np.median(used)))


def indicator_of(matrix: IntArray) -> npt.NDArray[np.float32]:
    """Return 1 where a task was given a source's own name, shape (N, columns)."""
    columns = [matrix[:, [i]] == np.unique(own[own >= 0])[None] for i, own in enumerate(matrix.T)]
    return np.hstack(columns).astype(np.float32)


class Consensus:
    """ClusteringAggregator with the number of classes that the peers are told."""

    def __init__(self, average: bool | None = None, random_state: int = 0) -> None:
        self.average = average
        self.random_state = random_state

    def fit_predict(self, data: pd.DataFrame) -> pd.Series:
        """Return a label for each task."""
        from deem_crowd.clustering import ClusteringAggregator

        k = median_names(matrix_of(data)[0])
        self.model_ = ClusteringAggregator(
            k, average=self.average, random_state=self.random_state
        ).fit(data)
        self.probas_, self.skills_ = self.model_.probas_, self.model_.skills_
        return self.model_.labels_


class CoAssociationKMeans(_Peer):
    """k-means on the rows of the co-association matrix: the share of common sources that put two tasks together."""

    def clusters(self, matrix: IntArray, k: int) -> Any:
        """See :class:`_Peer`."""
        from sklearn.cluster import KMeans

        if len(matrix) > _MOST_TASKS:
            raise ParameterError(f"{len(matrix):,} tasks: N × N is laid out up to {_MOST_TASKS:,}.")
        x = indicator_of(matrix)
        given = (matrix >= 0).astype(np.float32)
        together = (x @ x.T) / np.maximum(given @ given.T, 1)
        return KMeans(k, n_init=5, random_state=self.random_state).fit_predict(together)


class ClusterEnsembles(_Peer):
    """CSPA, HGPA, MCLA, HBGF and NMF of the package ensembleclustering (formerly ClusterEnsembles).

    Version 1.0.2 reads sparse graphs in a way that SciPy no longer offers; :func:`graph_for_metis` stands in for that.
    """

    def __init__(self, solver: str = "hbgf", random_state: int = 0) -> None:
        super().__init__(random_state)
        self.solver = solver

    def clusters(self, matrix: IntArray, k: int) -> Any:
        """See :class:`_Peer`."""
        package = _imported("ensembleclustering", "ClusterEnsembles")
        solvers = importlib.import_module(package.cluster_ensembles.__module__)
        labels = np.where(matrix < 0, np.nan, matrix).T
        with (
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
            mock.patch.object(solvers, "to_pymetis_format", graph_for_metis),
        ):
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of pymetis, about its next version
            return package.cluster_ensembles(
                labels, nclass=k, solver=self.solver, random_state=self.random_state
            )


def graph_for_metis(weights: Any) -> tuple[list[int], list[int], list[int]]:
    """Return where each node's edges begin, their other ends, and their weights, from a sparse matrix (n, n)."""
    rows = sparse.csr_matrix(weights, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows.indptr.tolist(), rows.indices.tolist(), rows.data.astype(np.int64).tolist()


class HybridBipartite(_Peer):
    """HBGF of the package ccHBGF; it takes no missing answers."""

    def clusters(self, matrix: IntArray, k: int) -> Any:
        """See :class:`_Peer`."""
        if (matrix < 0).any():
            raise ParameterError("ccHBGF takes no missing answers.")
        package = _imported("ccHBGF")
        consensus = package.find_consensus(matrix, n_clusters=k, random_state=self.random_state)
        return np.unique(consensus, return_inverse=True)[1]


class BestSingle:
    """The clustering that gold rates best: a ceiling for choosing one source, as no method can without gold."""

    def fit_predict(self, data: pd.DataFrame, gold: pd.Series) -> pd.Series:
        """Return the labels of the source with the largest accuracy under the best one-to-one map."""
        wide = data.pivot(index="task", columns="worker", values="label")
        wide = wide.reindex(pd.Index(data["task"].unique(), name="task"))
        best, chosen = -1.0, wide.columns[0]
        for worker in wide.columns:
            table = pd.crosstab(wide[worker], gold.reindex(wide.index)).to_numpy()
            rows, cols = linear_sum_assignment(table, maximize=True)
            if table[rows, cols].sum() > best:
                best, chosen = float(table[rows, cols].sum()), worker
        labels = wide[chosen]
        return labels.fillna(labels.mode().iloc[0]).rename("agg_label")


def _imported(*names: str) -> Any:
    """Return the first package that is installed.

    Raises
    ------
    PluginError
        If none is.
    """
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:  # a package of its own is missing
                raise PluginError(f"{name} cannot be imported: {error}.") from error
    raise PluginError(f"needs the package {' or '.join(names)}, which is not installed.")

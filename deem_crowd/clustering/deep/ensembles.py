"""Base models of Kingdra: an ensemble that is trained without labels, then with pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.clustering.deep import ladder
from deem_crowd.clustering.deep.features import FloatArray, IntArray
from deem_crowd.exceptions import ParameterError
from deem_crowd.runtime.descent import Adam

_CHUNK = 2048
"""Rows of a block that is predicted at once."""
Rows = npt.NDArray[np.float32]


class Ensemble(Protocol):
    """M models that number K clusters as they like."""

    def train(self, cluster: IntArray | None, names: IntArray | None) -> None:
        """Train a round.

        Parameters
        ----------
        cluster : integers, shape (N,), optional
            Pseudo-labels; −1 for rows without one. None: train without labels.
        names : integers, shape (M, clusters), optional
            What each model calls each cluster.
        """

    def probabilities(self, X: Rows) -> FloatArray:
        """Return the outputs of all models, shape (M, n, K)."""


class LadderEnsemble:
    """Ladder networks, trained side by side on the CPU or a GPU.

    Parameters
    ----------
    X : shape (N, P)
    n_clusters, n_models : int
    layers : widths of hidden layers
    term : 'information' or 'dot'
    weights : Weights
    noise, learning_rate : float
    epochs, batch_size : int
        Of a round of training.
    first_epochs : int, optional
        Of the first round; None: ``epochs``.
    generator : torch.Generator
        Draws everything, on the device to be used.
    """

    def __init__(
        self,
        X: Rows,
        n_clusters: int,
        n_models: int,
        *,
        layers: Sequence[int],
        term: ladder.Term,
        weights: ladder.Weights,
        noise: float,
        learning_rate: float,
        epochs: int,
        first_epochs: int | None,
        batch_size: int,
        generator: torch.Generator,
    ) -> None:
        self._generator, self._device = generator, generator.device
        self._x = torch.as_tensor(X, device=self._device)
        self._n_models, self._epochs = n_models, epochs
        self._next_epochs = first_epochs or epochs
        self._batch = min(batch_size, len(X))
        self._term: ladder.Term = term
        self._weights = weights
        widths = [X.shape[1], *layers, n_clusters]
        self.networks = ladder.LadderNetworks(widths, n_models, noise, generator)
        self._optimiser = Adam(self.networks.parameters(), learning_rate)

    def train(self, cluster: IntArray | None, names: IntArray | None) -> None:
        """Train some epochs; see :class:`Ensemble`."""
        labelled = None if cluster is None else _Members(cluster, self._device)
        target = None if names is None else torch.as_tensor(names, device=self._device)
        n_batches = max(1, len(self._x) // self._batch)
        epochs, self._next_epochs = self._next_epochs, self._epochs
        for _ in range(epochs):
            orders = [self._permutation() for _ in range(self._n_models)]
            order = torch.stack(orders)[:, : n_batches * self._batch]
            for rows in order.split(self._batch, dim=1):
                loss = ladder.unsupervised_loss(
                    self.networks, self._x[rows], self._term, self._weights
                )
                if labelled is not None and target is not None:
                    chosen, kind = labelled.draw(self._n_models, self._batch, self._generator)
                    wanted = target[:, kind]
                    loss = loss + ladder.supervised_loss(self.networks, self._x[chosen], wanted)
                self._optimiser.zero_grad()
                loss.backward()
                self._optimiser.step()

    def _permutation(self) -> torch.Tensor:
        return torch.randperm(len(self._x), generator=self._generator, device=self._device)

    def probabilities(self, X: Rows) -> FloatArray:
        """Return the clean outputs; see :class:`Ensemble`."""
        with torch.no_grad():
            parts = [
                self.networks.probabilities(
                    torch.as_tensor(X[begin : begin + _CHUNK], device=self._device)
                )
                for begin in range(0, len(X), _CHUNK)
            ]
        return torch.cat(parts, dim=1).cpu().numpy().astype(np.float64)


class _Members:
    """Draws rows of the clusters in turn, so that every cluster comes equally often."""

    def __init__(self, cluster: IntArray, device: torch.device) -> None:
        order = np.argsort(cluster, kind="stable")
        order = order[cluster[order] >= 0]
        sizes = np.bincount(cluster[order])
        self._rows = torch.as_tensor(order, device=device)
        self._sizes = torch.as_tensor(sizes, device=device)
        self._begin = torch.as_tensor(np.cumsum(sizes) - sizes, device=device)
        self._next = 0

    def draw(
        self, n_models: int, n: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows, shape (M, n), and the cluster of each column, shape (n,)."""
        device = self._rows.device
        kind = (torch.arange(n, device=device) + self._next) % len(self._sizes)
        self._next = (self._next + n) % len(self._sizes)
        share = torch.rand((n_models, n), generator=generator, device=device, dtype=torch.float32)
        place = (share * self._sizes[kind]).long().clamp_max(self._sizes[kind] - 1)
        return self._rows[self._begin[kind] + place], kind


class EstimatorEnsemble:
    """Copies of a scikit-learn estimator, or of a clusterer and a classifier, with seeds of their own."""

    def __init__(
        self, X: Rows, n_clusters: int, n_models: int, base: Any, rng: np.random.Generator
    ) -> None:
        self._x, self._k = X, n_clusters
        first, self._second = base if isinstance(base, tuple) else (base, None)
        for part in base if isinstance(base, tuple) else (base,):
            if not hasattr(part, "fit") or not hasattr(part, "get_params"):
                raise ParameterError(
                    f"base={base!r} is not allowed: 'ladder-im', 'ladder-dot', a scikit-learn estimator, or a pair of "
                    "a clusterer and a classifier."
                )
        seeds = [int(s) for s in rng.integers(2**31 - 1, size=n_models)]
        self._first = [_seeded(first, seed) for seed in seeds]
        self._seeds = seeds
        self._fitted: list[Any] = []

    def train(self, cluster: IntArray | None, names: IntArray | None) -> None:
        """Fit all models anew; see :class:`Ensemble`."""
        if cluster is None or names is None:
            if not self._fitted:  # nothing new could be learned a second time
                self._fitted = [_labelled(model, self._x, self._k) for model in self._first]
            return
        inside = cluster >= 0
        fitted: list[Any] = []
        for model, seed, own in zip(self._first, self._seeds, names, strict=True):
            target = np.where(inside, own[cluster], -1)
            if self._second is not None:
                later = _seeded(self._second, seed)
                fitted.append(later.fit(self._x[inside], target[inside]))
            else:
                fitted.append(_labelled(_seeded(model, seed), self._x, self._k, target))
        self._fitted = fitted

    def probabilities(self, X: Rows) -> FloatArray:
        """Return predict_proba, or 1 for what predict says; see :class:`Ensemble`."""
        probabilities = np.zeros((len(self._fitted), len(X), self._k))
        for place, model in zip(probabilities, self._fitted, strict=True):
            if isinstance(model, _Remembered):
                place[np.arange(len(X)), model.labels(X)] = 1.0
            elif hasattr(model, "predict_proba"):
                p = np.asarray(model.predict_proba(X))
                columns = getattr(model, "classes_", np.arange(p.shape[1]))
                known = np.asarray(columns) >= 0
                place[:, np.asarray(columns)[known]] = p[:, known]
            else:
                place[np.arange(len(X)), np.asarray(model.predict(X))] = 1.0
        return probabilities


class _Remembered:
    """A clusterer that cannot predict: the labels of what it was fitted to."""

    def __init__(self, X: Rows, labels: IntArray) -> None:
        self._x, self._labels = X, labels

    def labels(self, X: Rows) -> IntArray:
        if X.shape == self._x.shape and (X is self._x or np.array_equal(X, self._x)):
            return self._labels
        from sklearn.neighbors import KNeighborsClassifier

        nearest = KNeighborsClassifier(1).fit(self._x, self._labels)
        return np.asarray(nearest.predict(X), dtype=np.int64)


def _seeded(estimator: Any, seed: int) -> Any:
    """Return an unfitted copy with a seed wherever it takes one."""
    from sklearn.base import clone

    copy = clone(estimator)
    names = [n for n in copy.get_params() if n == "random_state" or n.endswith("__random_state")]
    return copy.set_params(**dict.fromkeys(names, seed))


def _labelled(model: Any, X: Rows, k: int, target: IntArray | None = None) -> Any:
    """Fit an estimator, and check that it numbers its clusters from 0 to K − 1."""
    fitted = model.fit(X) if target is None else model.fit(X, target)
    able = hasattr(fitted, "predict") or hasattr(fitted, "predict_proba")
    labels = np.asarray(fitted.predict(X) if hasattr(fitted, "predict") else fitted.labels_)
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= k:
        raise ParameterError(
            f"base={type(model).__name__} gives labels from {labels.min()} to {labels.max()}: Kingdra with "
            f"n_clusters={k} needs integers from 0 to {k - 1}; give base its number of clusters."
        )
    return fitted if able else _Remembered(X, labels.astype(np.int64))

"""An autoencoder, and k-means on its codes.

Layers and start follow Xie, Girshick, Farhadi, *Unsupervised deep embedding for clustering analysis*, ICML 2016, and
the public Keras code: d-500-500-2000-10 and back, ReLU inside, none on the code and the output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from deem_crowd.clustering.deep.features import (
    FloatArray,
    IntArray,
    device_of,
    features,
    generator_of,
    require,
    require_layers,
    tell_of_empty_clusters,
    varying,
)
from deem_crowd.exceptions import DataError
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.runtime.descent import Adam
from deem_crowd.runtime.progress import tracked

_CHUNK = 4096
"""Rows of a block that is encoded at once."""


class Autoencoder(nn.Module):
    """An encoder and its mirror image.

    Parameters
    ----------
    widths : sequence of int
        Of the input, the hidden layers and the code.
    generator : torch.Generator
        Draws weights evenly from ±√(1 / fan-in), on its device; biases start at 0.
    """

    def __init__(self, widths: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = _stack(widths, generator)
        self.decoder = _stack(widths[::-1], generator)

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction, (B, P) to (B, P)."""
        out: Tensor = self.decoder(self.encoder(x))
        return out


def _stack(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layer = nn.Linear(a, b, device="meta", dtype=torch.float32).to_empty(
            device=generator.device
        )
        with torch.no_grad():
            drawn = torch.rand(
                (b, a), generator=generator, device=generator.device, dtype=torch.float32
            )
            layer.weight.copy_((2 * drawn - 1) * a**-0.5)
            layer.bias.zero_()
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield positions of all rows in a random order, ``size`` at a time."""
    order = torch.randperm(n, generator=generator, device=generator.device)
    yield from order.split(size)


def trained(
    widths: Sequence[int],
    x: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> tuple[Autoencoder, list[float]]:
    """Return an autoencoder fitted to rows by Adam, and its mean squared error in each epoch."""
    network = Autoencoder(widths, generator)
    optimiser = Adam(network.parameters(), learning_rate)
    errors = []
    for _ in tracked(range(epochs), "autoencoder", "epochs"):
        total = 0.0
        for rows in batches(len(x), batch_size, generator):
            loss = (network(x[rows]) - x[rows]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        errors.append(total / len(x))
    return network, errors


def encoded(network: Autoencoder, x: Tensor) -> Tensor:
    """Return the codes of all rows, without gradients."""
    with torch.no_grad():
        return torch.cat([network.encoder(part) for part in x.split(_CHUNK)])


REMEDY = (
    "Bring features to one scale, such as [0, 1], train the autoencoder longer (pretrain_epochs), or ask for fewer "
    "clusters."
)
"""What helps where clusters are empty."""


@dataclass(eq=False, repr=False)
class Embedding(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """What estimators with an autoencoder share: parameters, checks, training and codes."""

    n_clusters: int = 10
    layers: Sequence[int] = (500, 500, 2000, 10)
    _: KW_ONLY
    pretrain_epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 0.001
    n_init: int = 20
    device: str = "cpu"
    random_state: int | None = 0

    def _check(self) -> None:
        for name in ("n_clusters", "pretrain_epochs", "batch_size", "n_init"):
            require(name, getattr(self, name), 1)
        require("learning_rate", self.learning_rate, 0, whole=False)
        require_layers(self.layers)

    def _pretrain(
        self, X: npt.ArrayLike
    ) -> tuple[Tensor, Autoencoder, KMeans, torch.Generator, dict[str, Any]]:
        """Return the rows, the autoencoder, k-means on the codes, the generator, and what to keep."""
        self._check()
        array = features(X)
        used = varying(array, self.n_clusters)
        generator = generator_of(self.random_state, device_of(self.device))
        x = torch.as_tensor(array[:, used], device=generator.device)
        network, errors = trained(
            [x.shape[1], *self.layers],
            x,
            epochs=self.pretrain_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            generator=generator,
        )
        seed = int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))
        means = KMeans(self.n_clusters, n_init=self.n_init, random_state=seed)
        codes = encoded(network, x).cpu().numpy().astype(np.float64)
        if not np.isfinite(codes).all():
            raise DataError(
                f"training of the autoencoder diverged: its codes are not finite. Values of features of X reach "
                f"{np.abs(array).max():.3g}. Bring features to one scale, such as [0, 1], or lower learning_rate."
            )
        means.fit(codes)
        kept = {
            "_network": network,
            "_used": used,
            "n_features_in_": array.shape[1],
            "reconstruction_": np.asarray(errors),
        }
        return x, network, means, generator, kept

    @undisturbed
    def transform(self, X: npt.ArrayLike) -> FloatArray:
        """Return the codes, shape (n, width of the last layer)."""
        check_is_fitted(self, "labels_")
        array = features(X, n_features=self.n_features_in_)[:, self._used]
        codes = encoded(self._network, torch.as_tensor(array, device=device_of(self.device)))
        return codes.cpu().numpy().astype(np.float64)


class AutoencoderKMeans(Embedding):
    """k-means on the codes of an autoencoder.

    Parameters
    ----------
    n_clusters : int
    layers : sequence of int
        Widths of the hidden layers and of the code.
    pretrain_epochs, batch_size : int
    learning_rate : float
        Of Adam.
    n_init : int
        Starts of k-means.
    device : str
        'cpu', 'cuda' or another of torch.
    random_state : int
        Draws everything from generators of its own.

    Attributes
    ----------
    labels_ : integers, shape (N,)
    cluster_centers_ : shape (n_clusters, width of the code)
    reconstruction_ : shape (pretrain_epochs,)
        Mean squared error of each epoch.
    n_features_in_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data[:200] / 16
    >>> model = AutoencoderKMeans(10, layers=(32, 8), pretrain_epochs=5).fit(X)
    >>> model.transform(X).shape
    (200, 8)
    """

    @undisturbed
    def fit(self, X: npt.ArrayLike, y: object = None) -> AutoencoderKMeans:
        """Train the autoencoder, and cluster the codes of X, shape (N, P); constant features are left out.

        Raises
        ------
        ParameterError
            For a parameter out of its range.
        DataError, FormError
            For missing values, sparse features, fewer distinct rows than clusters, or training that diverges.
        """
        _, _, means, _, kept = self._pretrain(X)
        self.__dict__.update(kept)
        self.labels_ = means.labels_.astype(np.int64)
        self.cluster_centers_ = means.cluster_centers_
        tell_of_empty_clusters(self.labels_, self.n_clusters, REMEDY)
        return self

    @undisturbed
    def predict(self, X: npt.ArrayLike) -> IntArray:
        """Return the nearest centre of each row's code, shape (n,)."""
        codes = self.transform(X)
        distance = np.square(codes[:, None] - self.cluster_centers_[None]).sum(2)
        return distance.argmin(1).astype(np.int64)

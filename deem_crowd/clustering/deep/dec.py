r"""Deep embedded clustering.

Xie, Girshick, Farhadi, *Unsupervised deep embedding for clustering analysis*, ICML 2016: with codes z and centres μ,

    q_nj ∝ (1 + ‖z_n − μ_j‖² / α)^(−(α+1)/2),     p_nj ∝ q_nj² / Σ_n q_nj,

and codes and centres move to make KL(p ‖ q) smaller, p being held fixed for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from deem_crowd.clustering.deep.autoencoder import REMEDY, Autoencoder, Embedding, batches, encoded
from deem_crowd.clustering.deep.features import (
    FloatArray,
    IntArray,
    require,
    tell_of_empty_clusters,
)
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.runtime.descent import SGD
from deem_crowd.runtime.progress import watched


def soft_assignment(codes: Tensor, centres: Tensor, alpha: float = 1.0) -> Tensor:
    """Return q: Student's t similarities of codes (N, d) to centres (K, d), rows sum to 1."""
    squared = (codes[:, None] - centres[None]).square().sum(2)
    return torch.softmax(-(alpha + 1) / 2 * torch.log1p(squared / alpha), dim=1)


def target_distribution(q: Tensor) -> Tensor:
    """Return p from q of all tasks, (N, K): sharper, and fairer to small clusters; rows sum to 1."""
    weight = q.square() / q.sum(0).clamp_min(torch.finfo(q.dtype).tiny)
    return weight / weight.sum(1, keepdim=True)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p ‖ q) of each row, in nats."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(1)


def _endless(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from batches(n, size, generator)


@dataclass(eq=False, repr=False)
class DEC(Embedding):
    """Deep embedded clustering: an autoencoder's codes, pulled together around centres.

    Parameters
    ----------
    n_clusters : int
    layers : sequence of int
        Widths of the hidden layers and of the code.
    alpha : float
        Degrees of freedom of Student's t.
    pretrain_epochs, batch_size : int
    learning_rate : float
        Of Adam, for the autoencoder.
    update_interval : int
        Steps between two updates of p.
    tol : float
        Training ends where fewer than this share of the labels change from one update to the next.
    max_iter : int
        Most steps.
    n_init : int
        Starts of k-means on the codes.
    device : str
        'cpu', 'cuda' or another of torch.
    random_state : int
        Draws everything from generators of its own.

    Attributes
    ----------
    labels_ : integers, shape (N,)
    cluster_centers_ : shape (n_clusters, width of the code)
    initial_labels_ : integers, shape (N,)
        Those of k-means on the codes of the autoencoder, before the codes moved.
    history_ : DataFrame
        A row for each update of p: ``step``, ``loss`` (mean KL in nats), ``changed`` (share of labels, since the update
        before; NaN at the first).
    reconstruction_ : shape (pretrain_epochs,)
        Mean squared error of each epoch of the autoencoder.
    n_features_in_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data[:200] / 16
    >>> model = DEC(10, layers=(32, 8), pretrain_epochs=5, update_interval=5, max_iter=20).fit(X)
    >>> model.predict_proba(X).shape
    (200, 10)
    """

    _: KW_ONLY
    alpha: float = 1.0
    update_interval: int = 140
    tol: float = 0.001
    max_iter: int = 20_000

    @undisturbed
    def fit(self, X: npt.ArrayLike, y: object = None) -> DEC:
        """Train the autoencoder, then codes and centres, on X, shape (N, P); constant features are left out.

        Raises
        ------
        ParameterError
            For a parameter out of its range.
        DataError, FormError
            For missing values, sparse features, fewer distinct rows than clusters, or training that diverges.
        """
        x, network, means, generator, kept = self._pretrain(X)
        start = torch.as_tensor(means.cluster_centers_, dtype=x.dtype, device=x.device)
        centres = nn.Parameter(start.clone())
        first = soft_assignment(encoded(network, x), centres.detach(), self.alpha).argmax(1)
        labels, history = self._cluster(x, network, centres, generator)
        self.__dict__.update(kept)
        self.initial_labels_ = first.cpu().numpy()
        self.labels_ = labels
        self.cluster_centers_ = centres.detach().cpu().numpy().astype(np.float64)
        self.history_ = history
        tell_of_empty_clusters(labels, self.n_clusters, REMEDY)
        return self

    def _check(self) -> None:
        super()._check()
        require("alpha", self.alpha, 1e-6, whole=False)
        require("update_interval", self.update_interval, 1)
        require("max_iter", self.max_iter, 0)
        require("tol", self.tol, 0, whole=False)

    def _cluster(
        self, x: Tensor, network: Autoencoder, centres: nn.Parameter, generator: torch.Generator
    ) -> tuple[IntArray, pd.DataFrame]:
        """Move encoder and centres; return the labels and the history."""
        parameters = [*network.encoder.parameters(), centres]
        optimiser = SGD(parameters, 0.01, 0.9)
        rows: list[tuple[int, float, float]] = []
        labels: Tensor | None = None
        step = 0
        order = _endless(len(x), self.batch_size, generator)
        with watched("DEC", "steps", total=self.max_iter) as progress:
            while True:
                progress.update(step)
                if step % self.update_interval == 0 or step >= self.max_iter:
                    q = soft_assignment(encoded(network, x), centres.detach(), self.alpha)
                    p, new = target_distribution(q), q.argmax(1)
                    changed = np.nan if labels is None else float((new != labels).float().mean())
                    rows.append((step, float(divergence(p, q).mean()), changed))
                    labels = new
                    if step >= self.max_iter or changed < self.tol:
                        break
                batch = next(order)
                own = soft_assignment(network.encoder(x[batch]), centres, self.alpha)
                loss = divergence(p[batch], own).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                step += 1
        history = pd.DataFrame(rows, columns=["step", "loss", "changed"])
        return labels.cpu().numpy().astype(np.int64), history

    @undisturbed
    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Return q, shape (n, n_clusters)."""
        codes = torch.as_tensor(self.transform(X))
        return soft_assignment(codes, torch.as_tensor(self.cluster_centers_), self.alpha).numpy()

    def predict(self, X: npt.ArrayLike) -> IntArray:
        """Return the likeliest cluster of each row, shape (n,)."""
        return self.predict_proba(X).argmax(1).astype(np.int64)

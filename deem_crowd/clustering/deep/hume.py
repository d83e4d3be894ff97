"""HUME: the labelling of one representation that a linear classifier learns best in another.

Gadetsky, Brbić, *The pursuit of human labeling: a new perspective on unsupervised learning*, NeurIPS 2023. Equation
numbers are those of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from entmax import sparsemax
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from deem_crowd.clustering.deep.features import (
    FloatArray,
    IntArray,
    device_of,
    features,
    generator_of,
    require,
    seed_of,
    tell_of_empty_clusters,
    varying,
)
from deem_crowd.clustering.deep.generalisation import (
    generalisation_score,
    matched,
    reliable_rows,
    vote,
)
from deem_crowd.clustering.deep.inner import LinearFit, largest_rate
from deem_crowd.exceptions import DataError, ParameterError, counted
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.runtime.descent import Adam
from deem_crowd.runtime.progress import tracked

_CELLS = 4_000_000
"""Soft labels that are held at once: labelings beyond that are found in turn."""


@dataclass(frozen=True)
class _Spaces:
    """The two representations on a device: φ1 at unit length, φ2 standardised, with a column of ones."""

    first: Tensor
    second: Tensor


def orthonormal(free: Tensor) -> Tensor:
    """Return matrices with orthonormal rows, shape (R, K, d), from free ones (R, d, K)."""
    q, r = torch.linalg.qr(free)
    sign = torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).detach()
    out: Tensor = (q * torch.where(sign == 0, 1.0, sign)[:, None]).transpose(-1, -2)
    return out


def labelling(w: Tensor, phi: Tensor, temperature: float) -> Tensor:
    """Return sparsemax(W φ1 / T), eq. 3, from (R, K, d) and (n, d) to (R, n, K)."""
    out: Tensor = sparsemax(phi @ w.transpose(-1, -2) / temperature, dim=-1)
    return out


@dataclass(eq=False, repr=False)
class HUME(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Many labelings that generalise from one representation to another, and their majority.

    A labelling is what a linear head says in the first representation; the head is moved until a linear classifier in
    the second one, trained on a part of the rows, predicts the rest. Each random start gives a labelling; they are
    renamed to the one that is predicted best, and vote. Single labelings vary widely: the vote makes the method.

    Parameters
    ----------
    n_clusters : int
        K, at most the number of features of the first representation.
    n_labelings : int
    n_steps : int
        Outer steps of Adam.
    inner_steps : int
        D, steps of gradient descent of the inner classifier.
    entropy : float
        η, the weight of the entropy of the mean labelling: without it one class would do, and with it classes tend to
        be of equal size. The paper's image features took 10.
    temperature : float
        T of the labelling.
    learning_rate : float
        Of the outer steps.
    inner_rate : float
        Of the inner steps, in units of 1 / L, L being a bound of the curvature; above 2 they may diverge.
    subset : int
        Rows of an outer step, drawn anew each time.
    train_share : float
        Share of them that the inner classifier is trained on.
    anneal : sequence of float
        After these shares of the outer steps, temperature and outer rate are divided by 10.
    cv : int
        Folds of the score of a labelling.
    n_neighbors : int
        Nearest rows in the first representation that ``reliable_`` looks at.
    agreement : float
        Share of labelings that ``reliable_`` asks for.
    device : str
        'cpu', 'cuda' or another of torch.
    random_state : int
        Draws everything from generators of its own.

    Attributes
    ----------
    labels_ : integers, shape (N,)
        The majority; ties go to the lower class.
    labelings_ : integers, shape (N, n_labelings)
        Under common names: answers for a model of sources.
    scores_ : shape (n_labelings,)
        Cross-validated accuracy of a linear classifier in the second representation, see :func:`generalisation_score`.
    entropies_ : shape (n_labelings,)
        Entropy of the class sizes, in nats: a score means little beside a low one.
    reliable_ : bool, shape (N,)
        Rows to which at least ``agreement`` of the labelings give the label, as most of their nearest rows have it.
    n_features_in_ : int
        Of the first representation.
    """

    n_clusters: int = 10
    n_labelings: int = 20
    _: KW_ONLY
    n_steps: int = 800
    inner_steps: int = 40
    entropy: float = 3.0
    temperature: float = 0.1
    learning_rate: float = 0.05
    inner_rate: float = 2.0
    subset: int = 500
    train_share: float = 0.9
    anneal: Sequence[float] = ()
    cv: int = 10
    n_neighbors: int = 10
    agreement: float = 0.9
    device: str = "cpu"
    random_state: int | None = 0

    @undisturbed
    def fit(self, phi1: npt.ArrayLike, phi2: npt.ArrayLike) -> HUME:
        """Find the labelings.

        Parameters
        ----------
        phi1 : shape (N, d1)
            The representation whose linear heads label; rows are scaled to unit length. Centre them first where they
            all point the same way.
        phi2 : shape (N, d2)
            The representation in which labelings have to be learnable; its features are standardised. It has to be
            another one: in the same one every linear partition can be learned.

        Raises
        ------
        ParameterError
            For a parameter out of its range.
        DataError, FormError
            For missing values, representations of different rows, fewer features than clusters, or fewer distinct rows.
        """
        self._check()
        first, second = features(phi1, "phi1"), features(phi2, "phi2")
        spaces, used = self._spaces(first, second)
        generator = generator_of(self.random_state, spaces.first.device)
        size = max(1, _CELLS // (min(self.subset, len(first)) * self.n_clusters))
        heads = torch.cat(
            [
                self._search(spaces, min(size, self.n_labelings - begin), generator)
                for begin in range(0, self.n_labelings, size)
            ]
        )
        own = (spaces.first @ heads.transpose(-1, -2)).argmax(-1).T.cpu().numpy()
        seed = seed_of(self.random_state)
        scores = np.array([generalisation_score(y, second, self.cv, seed) for y in own.T])
        names = matched(own, int(scores.argmax()), self.n_clusters)
        labelings = np.stack([m[y] for m, y in zip(names, own.T, strict=True)], axis=1)
        self._heads, self._names, self._used = heads, names, used
        self.labelings_, self.scores_ = labelings, scores
        self.entropies_ = np.array([_entropy(y, self.n_clusters) for y in own.T])
        shares = vote(labelings, self.n_clusters)
        self.labels_ = shares.argmax(1).astype(np.int64)
        self.reliable_ = reliable_rows(
            shares, spaces.first.cpu().numpy(), self.agreement, self.n_neighbors
        )
        self.n_features_in_ = first.shape[1]
        tell_of_empty_clusters(
            self.labels_,
            self.n_clusters,
            "Centre phi1 if its rows all point the same way, bring its features to one scale, raise entropy, or ask "
            "for fewer clusters.",
        )
        return self

    def fit_predict(self, phi1: npt.ArrayLike, phi2: npt.ArrayLike) -> IntArray:
        """Fit, and return ``labels_``."""
        return self.fit(phi1, phi2).labels_

    @undisturbed
    def predict_proba(self, phi1: npt.ArrayLike) -> FloatArray:
        """Return the share of labelings that name each cluster, shape (n, K), from the first representation."""
        check_is_fitted(self, "labels_")
        rows = _unit(features(phi1, "phi1", self.n_features_in_)[:, self._used])
        x = torch.as_tensor(rows, device=self._heads.device)
        own = (x @ self._heads.transpose(-1, -2)).argmax(-1).cpu().numpy()
        named = np.stack([m[y] for m, y in zip(self._names, own, strict=True)], axis=1)
        return vote(named, self.n_clusters)

    def predict(self, phi1: npt.ArrayLike) -> IntArray:
        """Return the majority of the labelings, shape (n,)."""
        return self.predict_proba(phi1).argmax(1).astype(np.int64)

    # ---------------------------------------------------------------- helpers

    def _check(self) -> None:
        for name, least in (("n_clusters", 2), ("n_labelings", 1), ("n_steps", 1), ("cv", 2),
                            ("inner_steps", 1), ("n_neighbors", 1), ("subset", 2)):  # fmt: skip
            require(name, getattr(self, name), least)
        for name in ("entropy", "learning_rate", "inner_rate"):
            require(name, getattr(self, name), 0, whole=False)
        require("temperature", self.temperature, 1e-6, whole=False)
        for name in ("train_share", "agreement"):
            share(name, getattr(self, name))

    def _spaces(
        self, first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]
    ) -> tuple[_Spaces, npt.NDArray[np.bool_]]:
        if len(first) != len(second):
            raise DataError(
                f"phi1 has {len(first)} rows and phi2 {len(second)}: they are two representations of the same rows."
            )
        used = varying(first, self.n_clusters, "phi1")
        other = varying(second, self.n_clusters, "phi2")
        if used.sum() < self.n_clusters:
            raise DataError(
                f"n_clusters={self.n_clusters} and only {counted(int(used.sum()), 'feature')} of phi1 that "
                f"{'varies' if used.sum() == 1 else 'vary'}: the head needs a direction of its own for each cluster. "
                "Add features, or ask for fewer clusters."
            )
        device = device_of(self.device)
        z = second[:, other].astype(np.float64)
        z = (z - z.mean(0)) / z.std(0)
        z = np.column_stack([z, np.ones(len(z))]).astype(np.float32)
        unit = torch.as_tensor(_unit(first[:, used]), device=device)
        return _Spaces(unit, torch.as_tensor(z, device=device)), used

    def _search(self, spaces: _Spaces, n: int, generator: torch.Generator) -> Tensor:
        """Return the heads of n labelings, shape (n, K, d1)."""
        device, d1 = spaces.first.device, spaces.first.shape[1]
        k, d2 = self.n_clusters, spaces.second.shape[1]

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=device, dtype=torch.float32)

        free = nn.Parameter(orthonormal(drawn(n, d1, k)).transpose(-1, -2).contiguous())
        optimiser = Adam([free], self.learning_rate)
        rate = self.inner_rate * largest_rate(spaces.second)
        temperature = self.temperature
        rows, turns = len(spaces.first), {int(a * self.n_steps) for a in self.anneal}
        size = min(self.subset, rows)
        for step in tracked(range(self.n_steps), "HUME", "steps"):
            if step in turns and step:
                temperature /= 10
                optimiser.learning_rate /= 10
            chosen = torch.randperm(rows, generator=generator, device=device)[:size]
            cut = min(max(1, round(self.train_share * size)), size - 1)
            start = drawn(n, d2, k) / d2**0.5
            tau = labelling(orthonormal(free), spaces.first[chosen], temperature)
            value = outer_loss(
                tau, spaces.second[chosen], cut, start, rate, self.inner_steps, self.entropy
            )
            optimiser.zero_grad()
            value.sum().backward()
            if free.grad is not None:  # each labelling is clipped on its own
                norm = free.grad.flatten(1).norm(dim=1).clamp_min(1e-12)
                free.grad *= (1.0 / norm).clamp_max(1.0)[:, None, None]
            optimiser.step()
        with torch.no_grad():
            return orthonormal(free)


def outer_loss(
    tau: Tensor, phi: Tensor, cut: int, start: Tensor, rate: float, steps: int, entropy: float
) -> Tensor:
    """Return the objective of each labelling, eq. 7: the loss on the rows beyond ``cut``, less η times the entropy.

    Parameters
    ----------
    tau : shape (R, n, K)
    phi : shape (n, d)
    cut : int
        Rows before it train the classifier.
    start : shape (R, d, K)
    rate, steps : of gradient descent
    entropy : η
    """
    w: Tensor = LinearFit.apply(  # type: ignore[no-untyped-call]
        tau[:, :cut], phi[:cut], start, rate, steps
    )
    logits = phi[cut:] @ w
    missed = -(tau[:, cut:] * torch.log_softmax(logits, -1)).sum(-1).mean(-1)
    mean = tau.mean(1)
    spread = -torch.xlogy(mean, mean.clamp_min(1e-12)).sum(-1)
    return missed - entropy * spread


def share(name: str, value: Any) -> None:
    """Check that a parameter lies in (0, 1].

    Raises
    ------
    ParameterError
    """
    if not isinstance(value, int | float | np.number) or not 0 < value <= 1:
        raise ParameterError(f"{name}={value!r} is not allowed: a share in (0, 1].")


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-12), dtype=np.float32)


def _entropy(labels: IntArray, k: int) -> float:
    shares = np.bincount(labels, minlength=k) / len(labels)
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())

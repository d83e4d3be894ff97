r"""Latent classes with a table of own names for each source: starts, variational EM, and its bound.

p(x_n) = Σ_k π_k Π_{i ∈ O(n)} T_i[x_ni, k],        T_i[·, k] ~ Dirichlet(α),     π ~ Dirichlet(1)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds
from scipy.special import digamma, gammaln, softmax, xlogy

from deem_crowd.clustering.own_names import FloatArray, IntArray, OwnNames
from deem_crowd.clustering.spectrum import normalised

PASSES, _TOLERANCE = 300, 1e-6
_CHOSEN_AT = (5, 20, 60)
"""Passes at which α is chosen anew."""
_COMPARED_FROM = _CHOSEN_AT[-1]
"""The pass from which bounds are compared: until then α changes, and with it the model that they belong to."""
_CONCENTRATIONS = (0.1, 0.3, 1.0, 3.0)
"""α is one of these, chosen by the bound."""


@dataclass(frozen=True)
class Fit:
    """A fit of latent classes.

    Attributes
    ----------
    posterior : shape (N, K)
    counts : shape (C, K)
        Expected number of tasks of each class that were given each own name.
    prior : shape (K,)
    bound : float
        Of the log evidence, in nats.
    start : str
    """

    posterior: FloatArray
    counts: FloatArray
    prior: FloatArray
    bound: float
    start: str


def distinct_rows(indicator: sparse.csr_matrix) -> IntArray:
    """Return a hash of each distinct row of answers."""
    rng = np.random.default_rng(0)
    keys = rng.integers(1, 2**62, indicator.shape[1], dtype=np.int64)
    pattern = sparse.csr_matrix(
        (np.ones(indicator.nnz, dtype=np.int64), indicator.indices, indicator.indptr),
        shape=indicator.shape,
    )
    return np.unique(pattern @ keys)


def spectral(own: OwnNames, k: int, seed: int) -> FloatArray:
    """Return a partition of the co-association graph, shape (N, K), softened.

    The normalised bipartite graph of tasks and columns has the singular vectors of the co-association graph of the
    tasks, without its N × N entries (Dhillon, KDD 2001); k-means on the leading ones.
    """
    from sklearn.cluster import KMeans

    scaled = normalised(own.indicator)
    rank = min(k, min(scaled.shape) - 1)
    shares = np.full((own.answers.n_tasks, k), 0.1 / k)
    if rank < 1:
        shares[:, 0] += 0.9
        return shares
    first = np.full(min(scaled.shape), 1.0)
    vectors = svds(scaled, k=rank, v0=first)[0]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.maximum(length, 1e-12)
    label = KMeans(k, n_init=5, random_state=seed).fit_predict(vectors)
    shares[np.arange(len(label)), label] += 0.9
    return shares


def expectation_maximisation(
    own: OwnNames, start: FloatArray, name: str, passes: int = PASSES
) -> Fit:
    """Fit tables and class prior from a start by variational EM; the bound never falls for a given α."""
    x, xt = own.indicator, own.indicator.T.tocsr()
    by_source = source_sums(own)
    names = np.asarray(by_source.sum(1)).ravel()
    posterior, alpha, before = start, 1.0, -np.inf
    counts = np.asarray(xt @ posterior)
    for number in range(passes):
        totals = by_source @ counts
        if number in _CHOSEN_AT:
            alpha = max(_CONCENTRATIONS, key=lambda a: _table_evidence(counts, totals, names, a))
            before = -np.inf
        shares = posterior.sum(0) + 1.0
        log_table = digamma(counts + alpha) - digamma(totals + alpha * names[:, None])[own.source]
        log_prior = digamma(shares) - digamma(shares.sum())
        posterior = softmax(np.asarray(x @ log_table) + log_prior, axis=1)
        counts = np.asarray(xt @ posterior)
        if number < _COMPARED_FROM and number < passes - 1:
            continue
        bound = _bound(counts, by_source, names, posterior, alpha)
        if number > _COMPARED_FROM and bound - before < _TOLERANCE * own.answers.n_answers:
            break
        before = bound
    shares = posterior.sum(0) + 1.0
    return Fit(posterior, counts, shares / shares.sum(), bound, name)


def source_sums(own: OwnNames) -> sparse.csr_matrix:
    """Return the matrix that adds up columns of each source, shape (D, C)."""
    n = len(own.source)
    shape = (own.answers.n_workers, n)
    return sparse.csr_matrix((np.ones(n), (own.source, np.arange(n))), shape=shape)


def extended(own: OwnNames, fit: Fit, passes: int) -> Fit:
    """Return a fit of all tasks that begins with the tables of a fit of some of them."""
    by_source = source_sums(own)
    names = np.asarray(by_source.sum(1))
    table = np.log(fit.counts + 1) - np.log(by_source @ fit.counts + names)[own.source]
    start = softmax(np.asarray(own.indicator @ table) + np.log(fit.prior), axis=1)
    return expectation_maximisation(own, start, fit.start, passes)


def _table_evidence(
    counts: FloatArray, totals: FloatArray, names: FloatArray, alpha: float
) -> float:
    """Return Σ log DM of every source's column of counts, in nats."""
    sums = alpha * names[:, None]
    cells = (gammaln(counts + alpha) - gammaln(alpha)).sum()
    seen = names > 0
    return float(cells - (gammaln(totals + sums)[seen] - gammaln(sums)[seen]).sum())


def _bound(
    counts: FloatArray,
    by_source: sparse.csr_matrix,
    names: FloatArray,
    posterior: FloatArray,
    alpha: float,
) -> float:
    """Return the evidence of tables and class prior, and the entropy of the posterior, in nats."""
    value = _table_evidence(counts, by_source @ counts, names, alpha)
    k, shares = posterior.shape[1], posterior.sum(0)
    value += gammaln(k) + gammaln(shares + 1).sum() - gammaln(shares.sum() + k)
    value += gammaln(k + 1)  # the K! ways to number the classes are one partition
    return float(value - xlogy(posterior, posterior).sum())

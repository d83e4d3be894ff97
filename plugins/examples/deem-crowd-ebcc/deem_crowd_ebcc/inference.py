r"""Variational inference of EBCC.

The model, for N tasks, D workers, K classes and M subtypes of each class::

    τ ~ Dirichlet(α)            z_n ~ τ                    the class of task n
    π_k ~ Dirichlet(a_π)        g_n ~ π_{z_n}              its subtype
    V_ikm ~ Dirichlet(β_k)      x_ni ~ V_{i, z_n, g_n}     the answer of worker i

with β_k = a_v at the class itself and b_v elsewhere. With q(z_n = k, g_n = m) = ρ_nkm the other factors are
Dirichlets whose parameters add expected counts to the prior's, and ::

    log ρ_nkm = E[log τ_k] + E[log π_km] + Σ_i E[log V_{i,k,m,x_ni}] + const

(Li, Rubinstein, Cohn, ICML 2019, section 4.) With these factors at their optimum the bound is the log evidence of the
expected counts plus the entropy of ρ, and each sweep can only raise it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import digamma, gammaln, xlogy


@dataclass(frozen=True)
class Prior:
    """Dirichlet parameters.

    Attributes
    ----------
    classes : float array, shape (K,)
        α.
    subtypes : float
        a_π of each subtype.
    right, wrong : float
        a_v and b_v.
    """

    classes: np.ndarray
    subtypes: float
    right: float
    wrong: float


class Counts:
    """The answers as one sparse matrix of ones, tasks × (worker, label).

    Parameters
    ----------
    task, worker, label : integer arrays, shape (R,)
    n_tasks, n_workers, n_classes : int
    """

    def __init__(self, task, worker, label, n_tasks: int, n_workers: int, n_classes: int) -> None:
        self.shape = (n_tasks, n_workers, n_classes)
        columns = worker.astype(np.int64) * n_classes + label
        ones = np.ones(len(task))
        size = (n_tasks, n_workers * n_classes)
        self.by_task = sparse.csr_array((ones, (task, columns)), shape=size)
        self.by_column = self.by_task.T.tocsr()

    def votes(self) -> np.ndarray:
        """Return how many answers each class got, shape (N, K)."""
        n, _, k = self.shape
        table = np.tile(np.eye(k), (self.shape[1], 1))
        return (self.by_task @ table).reshape(n, k)


def start(counts: Counts, n_subtypes: int, rng: np.random.Generator) -> np.ndarray:
    """Return ρ, shape (N, K, M): the shares of the vote, each spread over subtypes by a uniform Dirichlet draw."""
    votes = counts.votes()
    total = votes.sum(1, keepdims=True)
    k = votes.shape[1]
    shares = np.where(total > 0, votes / np.maximum(total, 1), 1 / k)
    spread = rng.dirichlet(np.ones(n_subtypes), size=votes.shape)
    return shares[:, :, None] * spread


def run(
    counts: Counts, rho: np.ndarray, prior: Prior, n_iter: int, tol: float
) -> tuple[np.ndarray, list[float]]:
    """Alternate the updates until a sweep raises the bound by less than ``tol`` nats an answer.

    Returns
    -------
    rho : float array, shape (N, K, M)
    bounds : list of float
        The bound after each update of the Dirichlets; it never falls.
    """
    n, d, k = counts.shape
    m = rho.shape[2]
    beta = np.full((k, k), prior.wrong) + (prior.right - prior.wrong) * np.eye(k)
    # what the bound takes from the priors of all tables, subtypes and classes is the same in each sweep
    at_first = d * m * _log_beta(beta, 1).sum() + _log_beta(prior.classes, 0)
    at_first += _log_beta(np.full((k, m), prior.subtypes), 1).sum()
    bounds: list[float] = []
    threshold = tol * max(counts.by_task.nnz, 1)
    for _ in range(n_iter):
        expected = (counts.by_column @ rho.reshape(n, k * m)).reshape(d, k, k, m)  # i, l, k, m
        tables = expected + beta.T[None, :, :, None]
        by_subtype = rho.sum(0) + prior.subtypes
        by_class = rho.sum((0, 2)) + prior.classes
        evidence = _log_beta(tables, 1).sum() + _log_beta(by_subtype, 1).sum()
        evidence += _log_beta(by_class, 0) - at_first
        bound = float(evidence - xlogy(rho, rho).sum())
        bounds.append(bound)
        if len(bounds) > 1 and bound - bounds[-2] < threshold:
            break
        log_tables = digamma(tables) - digamma(tables.sum(1, keepdims=True))
        log_rho = (counts.by_task @ log_tables.reshape(d * k, k * m)).reshape(n, k, m)
        log_rho += digamma(by_subtype) - digamma(by_subtype.sum(1, keepdims=True))
        log_rho += (digamma(by_class) - digamma(by_class.sum()))[:, None]
        log_rho -= log_rho.max(axis=(1, 2), keepdims=True)
        rho = np.exp(log_rho)
        rho /= rho.sum(axis=(1, 2), keepdims=True)
    return rho, bounds


def _log_beta(parameters: np.ndarray, axis: int) -> np.ndarray:
    """Return log B of the parameters along ``axis``, B the multivariate beta function."""
    return gammaln(parameters).sum(axis) - gammaln(parameters.sum(axis))

"""Do pairs of sources agree as one label would make them? The largest eigenvalue of agreement beyond chance.

A label makes the agreement of two sources a product of their skills, r_ij = s_i s_j: a matrix of rank one, which stands
out of the noise of single pairs long before their squares do (Baik, Ben Arous and Péché, Annals of Probability 33,
2005). Where answers do not depend on the task the largest eigenvalue λ follows the law of Tracy and Widom (Johnstone,
Annals of Statistics 29, 2001): T = (λ − edge) / scale has it, as far as there are many sources that meet often.

Source i stands in the matrix with weight w_i² = 1/√v_i, v_i being the variance of its agreement with all others. With
variances S_ij of the entries, ρ_i = Σ_j S_ij and S_ij ≈ ρ_i ρ_j / Σ ρ, the spectrum of independent entries ends at

    min_x  x √(Σ ρ_i / (x − ρ_i) / Σ ρ),    x > max ρ                                                        (1)

(from Dyson's equation 1/m_i = z − Σ_j S_ij m_j; Ajanki, Erdős and Krüger, Memoirs of the AMS 261, 2019). Entries are
not independent where tasks have many answers: three sources that meet on one task have the mean product
tr Σ_i Σ_j Σ_k, with Σ_i the covariance of i's answers; nor normal where two sources share few tasks, with many classes.
To first order the edge rises by Σ_i y_i r_i / Σ_i y_i with y_i = ρ_i m_i², where r_i adds the third cumulants times
m_j m_k and the fourth times m_i m_j²; and as in a sample covariance the scale grows with it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deem_crowd.data.answers import Answers
from deem_crowd.selection import pairs
from deem_crowd.selection.pairs import FloatArray, Reduce, alone

_LEAST_SOURCES = 3
_FEW_SOURCES = 1.64
"""With n sources T falls short of its law for many sources by this over ∛n. It is fitted to the upper 2.3 % of 20,000
matrices of independent normal entries for each of eleven n from 3 to 200; in the upper 1 % T falls short by more."""
_GRID = 1 + np.geomspace(1e-3, 1e3, 600)


class Departure(NamedTuple):
    """How far pairs of sources agree otherwise than by chance; −∞ if it cannot be told.

    Attributes
    ----------
    eigenvalue : float
        T: without a label it exceeds 0.98 in 5 % of cases at most, 1.51 in 2.3 %, 2.01 in 1 % and 3.1 in 0.13 %.
    total : float
        The sum of agreement beyond chance over all pairs, in standard deviations. It shows a label where sources meet
        too seldom for single pairs to say anything.
    """

    eigenvalue: float = -np.inf
    total: float = -np.inf


def departure(answers: Answers, reduce: Reduce = alone) -> Departure:
    """Return how far the agreement of pairs departs from that of answers without a label.

    Of more than :data:`~deem_crowd.selection.pairs.MAX_SOURCES` sources those with most answers are asked; soft
    answers are not.
    """
    if answers.soft is not None:
        return Departure()
    number = reduce(np.bincount(answers.worker, minlength=answers.n_workers))
    chosen = pairs.most_active(number)
    common, shares, beyond = pairs.centred(answers, chosen, reduce)
    variance, spread = _variance(common, shares)
    meets = variance.sum(1) > 0
    n = int(meets.sum())
    if n < _LEAST_SOURCES:
        return Departure()
    named = np.diag(common) @ shares
    usual = np.sqrt(_products(named[None] / named.sum())[0, 0])
    # a source that says one thing nearly always counts no more than the usual one
    norm = np.maximum(spread, usual)
    met = (common - np.diag(np.diag(common))) @ norm * norm
    weight = np.where(meets, 1 / np.sqrt(np.where(meets, met, 1)), 0)
    weight *= np.sqrt(n / (weight @ variance @ weight))
    root = np.sqrt(weight)
    np.fill_diagonal(beyond, 0)
    total = beyond.sum() / np.sqrt(2 * variance.sum())
    largest = float(np.linalg.eigvalsh(beyond * np.outer(root, root))[-1])
    shaped = variance * np.outer(weight, weight)
    edge, m = _edge(shaped.sum(1))
    of_source, each = shaped.sum(1) * m**2, weight * spread
    skewness, excess = _shape(named)
    rise = skewness * _triples(answers, chosen, (of_source * each, m * each), reduce)
    rise += excess * float(of_source * m @ (shaped**2 / np.maximum(common, 1)) @ m**2)
    rise /= of_source.sum()
    partners = 1 + shaped.sum() ** 2 / (shaped**2).sum() / n
    scale = np.cbrt((edge / 2 + rise) ** 4 / (edge / 2) / partners**2)
    eigenvalue = (largest - edge - rise) / scale + _FEW_SOURCES / np.cbrt(partners)
    return Departure(float(eigenvalue), float(total))


def _products(shares: FloatArray) -> FloatArray:
    """Return tr Σ_i Σ_j, shape (n, n), where Σ_i = diag p_i − p_i p_iᵀ and p, shape (n, K), are shares."""
    square, inner = shares**2, shares @ shares.T
    across = square @ shares.T
    return np.asarray(np.maximum(inner - across - across.T + inner**2, 0))


def _variance(common: FloatArray, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the variances of agreement beyond chance, shape (n, n), and the norms of all Σ_i, shape (n,).

    Over the orders in which each source may have given its answers: a sum over c tasks in common has
    c tr Σ_i Σ_j (1 + (c − 1) / ((n_i − 1) (n_j − 1))).
    """
    products = _products(shares)
    others = np.maximum(np.diag(common) - 1, 1)
    again = 1 + np.maximum(common - 1, 0) / np.outer(others, others)
    variance = common * np.where(products > 1e-9, products, 0) * again
    np.fill_diagonal(variance, 0)
    return variance, np.sqrt(np.diag(products))


def _edge(rho: FloatArray) -> tuple[float, FloatArray]:
    """Return the minimum of (1), and m there, shape (n,); 0 for sources without variance."""
    x = rho.max() * _GRID
    inverse = (rho / (x[:, None] - rho)).sum(1) / rho.sum()
    ends = x * np.sqrt(inverse)
    at = int(ends.argmin())
    m = np.where(rho > 0, 1 / (x[at] - rho), 0) / np.sqrt(inverse[at])
    return float(ends[at]), m


def _shape(named: FloatArray) -> tuple[float, float]:
    """Return tr Σ³ / (tr Σ²)^(3/2), and by how much the kurtosis of (x − p)·(y − p) exceeds 3, 0 at least.

    Of two answers x and y of which so many named each class, shape (K,).
    """
    share = named / named.sum()
    covariance = np.diag(share) - np.outer(share, share)
    square = covariance @ covariance
    product = np.eye(len(share)) - share - share[:, None] + share @ share
    kurtosis = share @ product**4 @ share / (share @ product**2 @ share) ** 2
    skewness = (square * covariance).sum() / np.trace(square) ** 1.5
    return float(skewness), max(float(kurtosis) - 3, 0.0)


def _triples(
    answers: Answers,
    chosen: pairs.Positions,
    values: tuple[FloatArray, FloatArray],
    reduce: Reduce,
) -> float:
    """Return Σ a_i b_j b_k over all triples of different sources that meet on a task, for values a and b, (n,) each."""
    task = np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr))
    of_answer = []
    for value in values:
        of_worker = np.zeros(answers.n_workers)
        of_worker[chosen] = value
        of_answer.append(of_worker[answers.worker])
    a, b = of_answer

    def sums(each: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(task, each, minlength=answers.n_tasks), np.float64)

    one = sums(b)
    total = sums(a) * (one**2 - sums(b * b)) - 2 * sums(a * b) * one + 2 * sums(a * b * b)
    return float(reduce(np.array([total.sum()]))[0])

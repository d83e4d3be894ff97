r"""One accuracy that all workers share, tasks that are easy or hard, and the weight of a classifier beside them.

A worker gives a task its label with a chance that is drawn for the task from Beta(α, β), α = a (1 − ρ) / ρ and
β = (1 − a) (1 − ρ) / ρ, and each other class with an even share of the rest. Of its m answers v_h name class h, and

    p(answers | h) = B(α + v_h, β + m − v_h) / B(α, β) / (K − 1)^(m − v_h),

the beta-binomial in which ρ is the correlation of two answers to a task given its label (Williams, *Biometrics* 31,
1975). Accuracy a, correlation ρ and the scaling of the classifier's probabilities q maximise the likelihood,

    Σ_n log Σ_h softmax(weight · log q(x_n) + offset)_h p(answers_n | h).

q is out of fold, so that its errors do not depend on the answers to the task itself: that tells answers that agree
because they are right from answers that agree because the task misleads. Without ρ the latter would look like
evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import betaln, expit, logit

from deem_crowd.features.logistic import log_softmax
from deem_crowd.features.scaling import MOST, Scaling
from deem_crowd.model import narrow

FloatArray = npt.NDArray[np.float64]

_USUAL_CORRELATION = -3.0
"""Of the prior of logit ρ, normal with variance 1: tasks differ in difficulty, and ρ is mostly 0.02 to 0.12."""
_SMALLEST, _LARGEST = 1e-4, 0.7
_STEP = 1e-4
_THOUSAND = 1_000
"""Fractions of an answer are told apart by thousandths."""
_FIRST = (2.0, 0.6, 0.05)
"""Weight, accuracy and ρ to begin with."""


@dataclass(frozen=True)
class Coin:
    """What was found.

    Attributes
    ----------
    accuracy : float
        a.
    correlation : float
        ρ.
    scaling : Scaling
        What the classifier's word counts.
    """

    accuracy: float
    correlation: float
    scaling: Scaling

    def log_likelihood(self, counts: FloatArray) -> FloatArray:
        """Return log p(answers | label), shape (N, K), of counts of answers, shape (N, K)."""
        pairs, place = _pairs(counts)
        return _beta_binomial(pairs, self.accuracy, self.correlation, counts.shape[1])[place]


def fit(
    counts: FloatArray,
    log_q: FloatArray,
    known: npt.NDArray[np.int64] | None = None,
    held: Coin | None = None,
    near: Scaling | None = None,
) -> Coin:
    """Fit accuracy, correlation and scaling.

    Parameters
    ----------
    counts : shape (M, K)
        Answers to each task by class; they may be fractions.
    log_q : shape (M, K)
        What the classifier says of the tasks, out of fold.
    known : integers, shape (M,), optional
        Known classes, −1 where unknown.
    held : Coin, optional
        Has accuracy and correlation: the scaling alone is fitted.
    near : Scaling, optional
        Where to begin.
    """
    k = counts.shape[1]
    shares = np.log(np.exp(log_q).mean(axis=0))
    log_q = log_q - shares
    pairs, place = _pairs(counts)
    lowest = 1 / k + 0.02
    closed = np.zeros(counts.shape)
    if known is not None:
        closed[known >= 0] = -np.inf
        closed[np.flatnonzero(known >= 0), known[known >= 0]] = 0.0

    def evidence_of(a: float, rho: float) -> FloatArray:
        return _beta_binomial(pairs, a, rho, k)

    fixed = None if held is None else evidence_of(held.accuracy, held.correlation)

    def likelihood(at: FloatArray, of_pair: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        word = log_softmax(at[0] * log_q + at[3:] + shares)
        joint = word + of_pair[place] + closed
        top = narrow.largest(joint)
        posterior = np.exp(joint - top)
        total = narrow.total(posterior)
        return float((top + np.log(total)).sum()), posterior / total, np.exp(word)

    def objective(at: FloatArray) -> tuple[float, FloatArray]:
        a, rho = float(expit(at[1])), float(expit(at[2]))
        now = evidence_of(a, rho) if fixed is None else fixed
        value, posterior, word = likelihood(at, now)
        slope = np.zeros_like(at)
        slope[0] = ((posterior - word) * log_q).sum()
        slope[3:] = (posterior - word).sum(axis=0) - at[3:]
        value -= 0.5 * float((at[3:] ** 2).sum())
        if fixed is not None:
            return -value, -slope
        for j, (other_a, other_rho) in (
            (1, (float(expit(at[1] + _STEP)), rho)),
            (2, (a, float(expit(at[2] + _STEP)))),
        ):
            moved = (evidence_of(other_a, other_rho) - now) / _STEP
            slope[j] = posterior.ravel() @ moved[place].ravel()
        slope[1] += 1 - 2 * a
        slope[2] -= at[2] - _USUAL_CORRELATION
        value += np.log(a) + np.log(1 - a)
        value -= 0.5 * float((at[2] - _USUAL_CORRELATION) ** 2)
        return -value, -slope

    weight, a, rho = _FIRST
    if held is not None:
        a, rho = held.accuracy, held.correlation
    offset = np.zeros(k)
    if near is not None:
        weight, offset = near.weight, near.offset + (near.weight - 1) * shares
        offset = offset - offset.mean()
    begin = np.concatenate([[weight, logit(max(a, lowest)), logit(rho)], offset])
    limits = [(0.0, MOST), (logit(lowest), logit(0.99)), (logit(_SMALLEST), logit(_LARGEST))]
    if held is not None:
        limits[1:] = [(begin[1], begin[1]), (begin[2], begin[2])]
    solution = optimize.minimize(
        objective, begin, jac=True, method="L-BFGS-B", bounds=[*limits, *[(-10.0, 10.0)] * k]
    ).x
    weight, offset = float(solution[0]), solution[3:] - (solution[0] - 1) * shares
    return Coin(
        float(expit(solution[1])),
        float(expit(solution[2])),
        Scaling(weight, offset - offset.mean()),
    )


def _pairs(counts: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the different pairs of (v_h, m), shape (P, 2), and which of them each cell is, shape (N, K)."""
    m = np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)
    mine, all_ = (np.rint(cells.ravel() * _THOUSAND).astype(np.int64) for cells in (counts, m))
    most = int(all_.max(initial=0)) + 1
    codes, place = np.unique(mine * most + all_, return_inverse=True)
    pairs = np.stack(np.divmod(codes, most), axis=1) / _THOUSAND
    return pairs, place.reshape(counts.shape)


def _beta_binomial(pairs: FloatArray, a: float, rho: float, n_classes: int) -> FloatArray:
    """Return log p(answers | label), in nats, of each pair, shape (P,)."""
    right, wrong = pairs[:, 0], pairs[:, 1] - pairs[:, 0]
    alpha, beta = a * (1 - rho) / rho, (1 - a) * (1 - rho) / rho
    evidence: FloatArray = betaln(alpha + right, beta + wrong) - betaln(alpha, beta)
    return evidence - wrong * np.log(max(n_classes - 1, 1))

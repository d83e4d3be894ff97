r"""Known shares of the classes: probabilities moved so that their mean over tasks comes close to those shares.

p'(k | task) ∝ p(k | task) exp(a_k): closest to p in relative entropy among the distributions whose mean over tasks is a
given one (Csiszár, Annals of Probability 3, 1975). One number a class, a_k, makes up for how far the model favours it.

The mean is not set to the known shares π* themselves: among N tasks that were drawn, the share of class k departs from
π*_k by chance, with variance v_k = π*_k (1 − π*_k) / N. Bayes' rule with π* for the model's prior (Saerens, Latinne,
Decaestecker, Neural Computation 14, 2002) gives means m_k, which depart from the drawn shares by the model's mistakes.
These may be as large as the share of tasks that it leaves undecided, τ_k, the mean of p_k (1 − p_k). Both together
estimate the drawn share as π*_k + (m_k − π*_k) v_k / (v_k + τ_k²): where tasks are certain, shares change nothing.
"""

from __future__ import annotations

import torch

from deem_crowd.model.group import ALONE, Group

_RIDGE = 1e-3
"""Strength of the penalty on a. Where all tasks are certain, nothing else keeps a finite."""
_STEPS = 100
_GAIN = 1e-12
"""What a step promises to gain, twice, from which it is the last: values round to about as much."""
_SHORTEST = 1e-9
_ROWS = 2**17
"""Tasks whose probabilities are moved at a time."""


def log_odds(
    posterior: torch.Tensor, prior: torch.Tensor, balance: torch.Tensor, group: Group = ALONE
) -> torch.Tensor:
    """Return a, shape (K,), which brings the mean of posteriors close to the known shares.

    Parameters
    ----------
    posterior : float64, shape (N, K)
        p(label | answers) of the tasks of this process whose labels are not known.
    prior : float64, shape (K,)
        The model's class prior.
    balance : float64, shape (K,)
        π*: above 0, sums to 1.
    group : Group
        The processes that hold further tasks.
    """
    start = torch.log(balance / prior.clamp_min(1e-12))
    n_tasks, after, second, _ = _sums(posterior, start, group)
    if n_tasks == 0:
        return start
    by_chance = balance * (1 - balance) / n_tasks
    undecided = (after - second.diagonal()).clamp_min(0)
    target = balance + (after - balance) * by_chance / (by_chance + undecided**2)
    return _matched(posterior, target / target.sum(), start, group)


def _matched(
    posterior: torch.Tensor, target: torch.Tensor, start: torch.Tensor, group: Group
) -> torch.Tensor:
    """Maximise Σ_k t_k a_k − mean_n log Σ_k p_nk exp(a_k) − ridge / 2 · |a − start|², by Newton's steps."""

    def value(a: torch.Tensor, level: float) -> float:
        return float(target @ a - level - _RIDGE / 2 * ((a - start) ** 2).sum())

    a = start.clone()
    _, mean, second, level = _sums(posterior, a, group)
    here = value(a, level)
    for _ in range(_STEPS):
        slope = target - mean - _RIDGE * (a - start)
        step = torch.linalg.solve(torch.diag(mean + _RIDGE) - second, slope)
        if float(slope @ step) < _GAIN:
            a = a + step
            break
        size = 1.0
        while True:
            there = a + size * step
            _, mean, second, level = _sums(posterior, there, group)
            found = value(there, level)
            if found >= here or size < _SHORTEST:
                break
            size /= 2
        a, here = there, found
    return a - a.mean()


def _sums(
    posterior: torch.Tensor, a: torch.Tensor, group: Group
) -> tuple[int, torch.Tensor, torch.Tensor, float]:
    """Return N, and means over all tasks of p', shape (K,), p' p'ᵀ, shape (K, K), and log Σ_k p_k exp(a_k)."""
    k = len(a)
    sums = torch.zeros(2 + k + k * k, dtype=torch.float64)
    sums[0] = len(posterior)
    for rows in posterior.split(_ROWS):
        there, log_total = _shared_out(rows, a)
        sums[1] += log_total.sum()
        sums[2 : 2 + k] += there.sum(0)
        sums[2 + k :] += (there.T @ there).ravel()
    sums = group.reduce(sums)
    n = int(sums[0])
    means = sums[1:] / max(n, 1)
    return n, means[1 : 1 + k], means[1 + k :].reshape(k, k), float(means[0])


def moved(posterior: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Return p', shape (N, K): p · exp(a), divided by its sums."""
    return _shared_out(posterior, a)[0]


def _shared_out(posterior: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return p', shape (N, K), and log Σ_k p_k exp(a_k), shape (N,)."""
    top = a.max()
    result = posterior * torch.exp(a - top)
    total = result.sum(1)
    lost = total < torch.finfo(total.dtype).tiny / torch.finfo(total.dtype).eps
    result /= total[:, None]
    log_total = total.log_().add_(top)
    if bool(lost.any()):  # certain of classes whose factors are too small to be written
        logits = posterior[lost].log() + a
        log_total[lost] = torch.logsumexp(logits, 1)
        result[lost] = torch.softmax(logits, 1)
    return result, log_total

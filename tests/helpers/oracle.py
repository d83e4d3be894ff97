"""The energy model by brute force: sums over every configuration, in float64, sharing no code with the engine."""

from __future__ import annotations

import itertools

import numpy as np


def log_sum_exp(values) -> float:
    values = np.asarray(values, dtype=np.float64)
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum()))


def minus_energy(b, weight, answers: dict[int, np.ndarray], h: int) -> float:
    """−E(x, h) for answers given as distributions over the classes (one-hot where they are hard)."""
    return float(b[h] + sum(x @ weight[i, :, h] for i, x in answers.items()))


def log_partition(b, weight, observed: list[int]) -> float:
    """log Z_O: every combination of hard answers of the workers in O, and every hidden state."""
    k, eye = weight.shape[1], np.eye(weight.shape[1])
    terms = [
        minus_energy(b, weight, {i: eye[x] for i, x in zip(observed, config, strict=True)}, h)
        for config in itertools.product(range(k), repeat=len(observed))
        for h in range(len(b))
    ]
    return log_sum_exp(terms)


def log_likelihood(b, weight, answers: dict[int, np.ndarray], states=None) -> float:
    """log p(x_O), or log p(x_O, h ∈ states) where gold clamps the hidden unit."""
    states = range(len(b)) if states is None else states
    joint = log_sum_exp([minus_energy(b, weight, answers, h) for h in states])
    return joint - log_partition(b, weight, list(answers))


def posterior(b, weight, answers: dict[int, np.ndarray]) -> np.ndarray:
    """p(h | x_O), shape (S,)."""
    scores = np.array([minus_energy(b, weight, answers, h) for h in range(len(b))])
    return np.exp(scores - log_sum_exp(scores))


def dawid_skene(votes: np.ndarray, matrix: np.ndarray, n_iter: int, start: np.ndarray) -> float:
    """Return the log-likelihood after ``n_iter`` EM steps from posteriors ``start`` (N, K); −1 is missing."""
    n, d = matrix.shape
    k = start.shape[1]
    q = start.copy()
    value = -np.inf
    for _ in range(n_iter):
        prior = q.mean(0)
        tables = np.full((d, k, k), 1e-10)
        for task in range(n):
            for i in range(d):
                if matrix[task, i] >= 0:
                    tables[i, matrix[task, i]] += q[task]
        tables /= tables.sum(1, keepdims=True)
        log_joint = np.tile(np.log(np.maximum(prior, 1e-300)), (n, 1))
        for task in range(n):
            for i in range(d):
                if matrix[task, i] >= 0:
                    log_joint[task] += np.log(tables[i, matrix[task, i]])
        value = sum(log_sum_exp(row) for row in log_joint)
        q = np.exp(log_joint - np.array([[log_sum_exp(row)] for row in log_joint]))
    return value

"""Answers few enough to enumerate, their design matrices, and what is measured of how sources depend on one another."""

from __future__ import annotations

import numpy as np
import torch

from deem_crowd import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.selection import pairs
from deem_crowd.selection.shared_errors import dependence

CPU = torch.device("cpu")


def design_of(answers: Answers) -> DesignMatrix:
    return DesignMatrix(answers, CPU, torch.float64)


def few(seed: int = 0, n: int = 6, d: int = 4, k: int = 2) -> Answers:
    rng = np.random.default_rng(seed)
    data = rng.integers(k, size=(n, d))
    data[rng.random((n, d)) < 0.2] = -1
    return Answers.from_dense(data, k)


def measured(answers: Answers) -> tuple[dependence.Dependence, dependence.Dependence]:
    number = np.bincount(answers.worker, minlength=answers.n_workers).astype(float)
    counted = pairs.count(answers, pairs.most_active(number))
    return dependence.measure(counted, number)

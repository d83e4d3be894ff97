r"""Soft answers of two classes that lie between them, as the ranks of scores do: one factor, from pairs of sources.

Tables of workers take a soft answer for a draw, of which a share p falls on a class. Answers that are spread over
(0, 1) then agree hardly more than by chance, however well they are ordered, and EM finds no label in them. Here a
source's answers are normal given the label, with means 2 δ_i apart and a variance of its own. Sources that err
independently then have a correlation of rank one (Spearman, *American Journal of Psychology* 15, 1904),

    r_ij = λ_i λ_j,        λ_i = δ_i √(4 π (1 − π) / v_i),

where v_i is the variance of source i's answers and π the share of the second class, their mean over all sources. λ
minimises Σ_{i≠j} n_ij (r_ij − λ_i λ_j)² + ν Σ_i (λ_i − λ̄)², with n_ij common tasks and λ̄² the mean of r. The log-odds
of a label are linear in the answers (Fisher's discriminant),

    log p(2 | x_n) / p(1 | x_n) = log π / (1 − π) + Σ_i 2 δ_i (x_ni − m_i) / (v_i (1 − λ_i²)),

with m_i in the middle of the two means: an energy. Families of sources that share errors are found, and count less
(:mod:`deem_crowd.selection.score_families`). Errors that all sources share look like skill, so the odds shrink as
under a correlation of :data:`CORRELATION` between answers to one task.

It is asked where tables show no label, and used where pairs agree more than without a label: the sum of n_ij r_ij is
more than :data:`~deem_crowd.selection.score_families.LEVEL` standard deviations above 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.special import ndtr

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.selection import score_families
from deem_crowd.selection.pairs import MAX_SOURCES

FloatArray = npt.NDArray[np.float64]

CORRELATION = 0.2
_PRIOR_ANSWERS = 10.0
"""As many answers hold each source's variance near that of all."""
_LEAST_SOURCES = 3


@dataclass(frozen=True)
class Factor:
    """A fit.

    Attributes
    ----------
    energy : Energy
    loading : float64, shape (D,)
        λ.
    skills : float64, shape (D,)
        The chance that the likelier class of an answer is right.
    family : integers, shape (D,)
        Number of the family of sources that share errors, −1 for none; their answers count less in the energy.
    """

    energy: Energy
    loading: FloatArray
    skills: FloatArray
    family: npt.NDArray[np.int64]


def find(
    answers: Answers, design: DesignMatrix, group: npt.NDArray[np.int64] | None = None
) -> Factor | None:
    """Return the fit where soft answers of two classes agree as one label would make them, else None.

    Parameters
    ----------
    answers, design : the same data
        N tasks, D workers.
    group : shape (D,), optional
        Number of each worker's group of sources that share errors, −1 for none. None are then sought, and the caller
        makes these answers count less.
    """
    d = answers.n_workers
    if answers.soft is None or answers.n_classes != 2 or not _LEAST_SOURCES <= d <= MAX_SOURCES:
        return None
    second, worker = answers.soft[:, 1].astype(np.float64), answers.worker
    sums = [np.bincount(worker, of, d) for of in (np.ones(len(worker)), second, second**2)]
    number, total, squares = design.reduce_array(np.stack(sums))
    mean = total / np.maximum(number, 1)
    variance = np.maximum(squares / np.maximum(number, 1) - mean**2, 0)
    varies = variance > 1e-9
    if varies.sum() < _LEAST_SOURCES:
        return None
    # a few answers that happen to lie close together would make each of them decisive
    usual = (number * variance)[varies].sum() / number[varies].sum()
    variance = np.where(
        varies, (number * variance + _PRIOR_ANSWERS * usual) / (number + _PRIOR_ANSWERS), variance
    )
    scale = np.sqrt(np.where(varies, variance, 1))
    standard = np.where(varies[worker], (second - mean[worker]) / scale[worker], 0)
    common, product = design.reduce_array(
        np.stack([_crossed(answers, varies[worker].astype(float)), _crossed(answers, standard)])
    )
    if not score_families.shows_label(common, product):
        return None
    given = None if group is None or (group < 0).all() else group
    found = score_families.find(common, product, number, given)
    loading, power = np.where(varies, found.loading, 0), found.power
    family = found.family if given is None else np.full(d, -1)
    share = float(total.sum() / number.sum())
    if not 0 < share < 1:
        return None
    delta = loading * np.sqrt(variance / (4 * share * (1 - share)))
    within = np.where(varies, variance, 1) * (1 - loading**2)
    slope, middle = 2 * delta / within * power, mean - (2 * share - 1) * delta
    skills = share * ndtr((mean + 2 * (1 - share) * delta - 0.5) / np.sqrt(within))
    skills += (1 - share) * ndtr((0.5 - mean + 2 * share * delta) / np.sqrt(within))
    return Factor(_energy(slope, middle, share), loading, np.where(varies, skills, 0.5), family)


def _crossed(answers: Answers, values: FloatArray) -> FloatArray:
    """Return the sums over tasks of products of two workers' values, shape (D, D), 0 on the diagonal."""
    shape = answers.n_tasks, answers.n_workers
    table = sparse.csr_array((values, answers.worker, answers.task_ptr), shape=shape)
    crossed: FloatArray = (table.T @ table).toarray()
    np.fill_diagonal(crossed, 0)
    return crossed


def _energy(slope: FloatArray, middle: FloatArray, share: float) -> Energy:
    """Return the energy whose log-odds are log share / (1 − share) + Σ slope (x − middle)."""
    odds = np.stack([-slope * middle, slope * (1 - middle)], axis=1) / 2
    weight = torch.from_numpy(np.stack([-odds, odds], axis=2))
    bias = torch.log(torch.tensor([1 - share, share], dtype=torch.float64))
    return Energy(bias, weight, weight.mean(0))

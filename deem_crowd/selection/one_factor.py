r"""Soft answers that agree as one label would make them: one factor, from pairs of sources.

Tables of workers count a soft answer as a share p of an answer for each class. Answers that lie between the classes, as
the ranks of scores and most probabilities of classifiers do, then agree hardly more than by chance, however well they
are ordered. Here a source's answers are normal given the label: with mean m_i + δ_i (e_k − π), where m_i is the mean of
all its answers, e_k the unit vector of class k and π the shares of the classes, and with a variance of its own, the
same for all classes. Sources that err independently then have correlations of rank one (Spearman, *American Journal of
Psychology* 15, 1904). With v_i the variance of source i's answers, summed over classes,

    r_ij = Σ_k cov(x_ik, x_jk) / √(v_i v_j) = λ_i λ_j,        λ_i = δ_i √((1 − Σ_k π_k²) / v_i).

λ minimises Σ_{i≠j} n_ij (r_ij − λ_i λ_j)² + ν Σ_i (λ_i − λ̄)², with n_ij common tasks and λ̄² the mean of r. The log-odds
of a label are linear in the answers (Fisher's discriminant),

    log p(k | x_n) = log π_k + Σ_i s_i (x_nik − m_ik − ½ δ_i |e_k − π|²) + const.,

with s_i = δ_i (K − 1) / (v_i max(1 − λ_i², ¼)), so this is an energy. The mean of uncertain probabilities is too even
to be π, so π has the shares of the labels that follow from the energy, by EM. Where classes overlap these drift: they
have weight (1 − φ)², with φ as below, and the mean has the rest. Ranks of scores have the same mean for all sources,
which `share=` sets: there π is this mean.

Errors that all sources share have the same correlations as a label. But a label has K values, around which the sums
u_n = Σ_i s_i (x_ni − m_i) gather, and errors spread these out. With a_n = Σ_i s_i δ_i over the answers to a task, and
φ the part of the common factor that is error, u_n is normal given the label k, with

    mean √(1 − φ) a_n (e_k − π)   and variance   a_n + φ (1 − Σ_k π_k²) a_n² / (K − 1)   in each direction.

φ maximises the likelihood. With ā, the mean of a_n, in place of a_n, the log-odds given u_n are
√(1 − φ) / (1 + φ (1 − Σ_k π_k²) ā / (K − 1)) times those above, with √(1 − φ) δ_i for δ_i in the brackets. Families of
sources that share errors are found, and count less (:mod:`deem_crowd.selection.shared_errors.score_families`). Some of
them cannot be told by correlations alone from a few good sources beside others that share errors. If such a family is
one, its errors spread the sums out, so φ falls once it counts less: below :data:`_CLEARLY` times what it was. Such
families are considered where φ / K is above :data:`_GATHERED`. With less, the sums gather as they are, and where all
sources share a few errors, good ones that were taken for a family would hide these.

One factor is used where pairs agree more than without a label: the sum of n_ij r_ij is more than
:data:`~deem_crowd.selection.shared_errors.score_families.LEVEL` standard deviations above 0.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.selection.pairs import MAX_SOURCES
from deem_crowd.selection.shared_errors import score_families

FloatArray = npt.NDArray[np.float64]

_PRIOR_ANSWERS = 10.0
"""Each source's variance is shrunk towards that of all, which counts as so many answers."""
_LEAST_SOURCES = 2
_OWN = 0.25
"""The part of a source's variance that is its own, at least: the largest of a few loadings may come out near 1."""
_WITHIN = 0.05
"""Share of the variance of a source's answers among those of the same likeliest class, above which tables miss much."""
_STILL = 1e-9
"""Variance up to which all answers of a source are the same."""
_ROUNDS, _SETTLED = 40, 1e-5
"""How often the shares of the classes are found anew at most, and the change below which this ends."""
_SAME = 0.05
"""Up to so many squared standard errors apart, the means of sources are the same, as those of ranks are."""
_GATHERED = 0.025
"""φ / K up to which answers gather around the classes well enough, so that no doubtful family is considered.

φ / K is the variance of shared errors in each direction, for classes of equal size, in units of a_n². The square of the
distance between two classes is 2 (1 − φ) of these, so shared errors have a ninth of this distance as their standard
deviation.
"""
_CLEARLY = 0.5
"""A doubtful family is taken for one if φ falls below this share of what it was once its members count less."""
_PARTS = np.concatenate([[0.0], np.geomspace(0.005, 0.9, 25)])
"""Values of φ that are tried."""


@dataclass(frozen=True)
class Factor:
    """A fit.

    Attributes
    ----------
    energy : Energy
    loading : float64, shape (D,)
        λ.
    family : integers, shape (D,)
        Number of the family of sources that share errors, −1 for none; their answers count less in the energy.
    shared : float
        φ: the part of what all sources have in common that is error.
    """

    energy: Energy
    loading: FloatArray
    family: npt.NDArray[np.int64]
    shared: float


@dataclass(frozen=True)
class _Sources:
    """What the answers of each source are like.

    Attributes
    ----------
    mean : float64, shape (D, K)
        m.
    variance, loading, power : float64, shape (D,)
        v, λ, and what an answer counts. A source whose answers are all the same has v = 1 and λ = 0.
    shares : float64, shape (K,)
        π.
    """

    mean: FloatArray
    variance: FloatArray
    loading: FloatArray
    power: FloatArray
    shares: FloatArray

    @property
    def even(self) -> float:
        """1 − Σ_k π_k²."""
        return float(1 - (self.shares**2).sum())

    @property
    def shift(self) -> FloatArray:
        """δ, shape (D,)."""
        return np.asarray(self.loading * np.sqrt(self.variance / self.even))

    @property
    def within(self) -> FloatArray:
        """Variance of an answer in one direction, given what all have in common, shape (D,)."""
        own = np.maximum(1 - self.loading**2, _OWN)
        return self.variance * own / (len(self.shares) - 1)

    @property
    def slope(self) -> FloatArray:
        """s, shape (D,)."""
        return self.power * self.shift / self.within

    @property
    def off(self) -> FloatArray:
        """|e_k − π|², shape (K,)."""
        return 2 - 2 * self.shares - self.even

    def energy(self, shared: float = 0.0, strength: float = 0.0) -> Energy:
        """Return the energy, for φ and the mean of a_n."""
        k = len(self.shares)
        label = np.sqrt(1 - shared)
        shrunk = label / (1 + shared * self.even * strength / (k - 1))
        odds = np.eye(k) - (self.mean + label / 2 * np.outer(self.shift, self.off))[:, None, :]
        odds *= shrunk * self.slope[:, None, None]
        weight = torch.from_numpy(odds - odds.mean(2, keepdims=True))
        return Energy(torch.from_numpy(np.log(self.shares)), weight, weight.mean(0))


def between_classes(answers: Answers, design: DesignMatrix) -> bool:
    """Tell whether answers are soft, and say much beyond which class is likeliest.

    Part of the variance of a source's answers is among those of the same likeliest class: none of it where hard answers
    were smoothed, ¼ for ranks of scores. The mean of this part over all answers decides.
    """
    if answers.soft is None:
        return False
    d, k = answers.n_workers, answers.n_classes
    soft = answers.soft.astype(np.float64)
    cell = answers.worker.astype(np.int64) * k + soft.argmax(1)
    columns = (*soft.T, (soft**2).sum(1), np.ones(len(cell)))
    counted = np.stack([np.bincount(cell, of, d * k) for of in columns], 1)
    sums: FloatArray = design.reduce_array(counted).reshape(d, k, k + 2)
    within = _scatter(sums).sum(1)
    number, whole = sums[:, :, -1].sum(1), _scatter(sums.sum(1))
    varies = whole > _STILL * number
    parts = within[varies] / whole[varies]
    return bool((number[varies] * parts).sum() > _WITHIN * number[varies].sum())


def _scatter(sums: FloatArray) -> FloatArray:
    """Return sums of squared distances to the mean from sums of answers, of their squares, and numbers: (…, K + 2)."""
    total, squares, number = sums[..., :-2], sums[..., -2], sums[..., -1]
    return np.asarray(np.maximum(squares - (total**2).sum(-1) / np.maximum(number, 1), 0))


def skills(answers: Answers, design: DesignMatrix, posterior: torch.Tensor) -> torch.Tensor:
    """Return how often the likeliest class of each source's soft answers is right by a posterior: float64, shape (D,).

    Classes that are likeliest alike share an answer; a source without answers is an average one.

    Parameters
    ----------
    answers, design : the same data
    posterior : shape (N, K)
    """
    assert answers.soft is not None
    d = answers.n_workers
    likeliest = answers.soft == answers.soft.max(1, keepdims=True)
    task = np.repeat(np.arange(answers.n_tasks), np.diff(answers.task_ptr))
    right = (posterior.double().cpu().numpy()[task] * likeliest).sum(1) / likeliest.sum(1)
    sums = [np.bincount(answers.worker, of, d) for of in (right, np.ones(len(right)))]
    right, number = design.reduce_array(np.stack(sums))
    average = right.sum() / max(number.sum(), 1)
    return torch.from_numpy(np.where(number > 0, right / np.maximum(number, 1), average))


def find(
    answers: Answers, design: DesignMatrix, group: npt.NDArray[np.int64] | None = None
) -> Factor | None:
    """Return the fit where soft answers agree as one label would make them, else None.

    Parameters
    ----------
    answers, design : the same data
        N tasks, D workers.
    group : shape (D,), optional
        Number of each worker's group of sources that share errors, −1 for none. Their answers count less.
    """
    d, k = answers.n_workers, answers.n_classes
    if answers.soft is None or k < 2 or not _LEAST_SOURCES <= d <= MAX_SOURCES:
        return None
    soft, worker = answers.soft.astype(np.float64), answers.worker
    sums = [np.bincount(worker, of, d) for of in (*soft.T, *soft.T**2, np.ones(len(worker)))]
    sums_of = design.reduce_array(np.stack(sums, 1))
    total, squares, number = sums_of[:, :k], sums_of[:, k : 2 * k], sums_of[:, -1]
    given_any = np.maximum(number, 1)[:, None]
    mean = total / given_any
    variance = np.maximum(squares / given_any - mean**2, 0).sum(1)
    varies = variance > _STILL
    shares = total.sum(0) / max(number.sum(), 1)
    if varies.sum() < _LEAST_SOURCES or not (shares > 0).all():
        return None
    # a few answers that happen to lie close together would make each of them decisive
    usual = (number * variance)[varies].sum() / number[varies].sum()
    shrunk = (number * variance + _PRIOR_ANSWERS * usual) / (number + _PRIOR_ANSWERS)
    variance = np.where(varies, shrunk, 1.0)
    scale = np.where(varies, 1 / np.sqrt(variance), 0)
    standard = (soft - mean[worker]) * scale[worker][:, None]
    crossed = functools.reduce(np.add, (_crossed(answers, column) for column in standard.T))
    both = np.stack([_crossed(answers, varies[worker].astype(float)), crossed])
    # answers of K classes that vary in many directions say more of r than one number would
    directions = _directions(design.reduce_array(standard.T @ standard))
    common, product = directions * design.reduce_array(both)
    if not score_families.shows_label(common, product):
        return None
    given = None if group is None or (group < 0).all() else group
    found = score_families.find(common, product, directions * number, given)
    apart = (number * ((mean - shares) ** 2).sum(1) / variance)[varies]

    def read(by: score_families.Partition) -> Factor:
        loading = np.where(varies, by.loading, 0)
        sources = _Sources(mean, variance, loading, by.power, shares)
        if apart.mean() > _SAME:
            sources = _of_labels(design, sources)
        shared, strength = _shared(design, sources)
        return Factor(sources.energy(shared, strength), loading, by.family, shared)

    first = read(found)
    if first.shared <= _GATHERED * k:
        return first
    second = min(map(read, found.doubtful), key=lambda one: one.shared, default=first)
    return second if second.shared < _CLEARLY * first.shared else first


def _of_labels(design: DesignMatrix, sources: _Sources) -> _Sources:
    """Return sources with π moved from the mean of the answers to the shares of the labels, less where φ is large."""
    means = sources.shares
    for _ in range(_ROUNDS):
        before = sources.shares
        sources = replace(sources, shares=_shares(design, sources.energy()))
        if np.abs(sources.shares - before).max() < _SETTLED:
            break
    trusted = (1 - _shared(design, sources)[0]) ** 2
    return replace(sources, shares=trusted * sources.shares + (1 - trusted) * means)


def _directions(moments: FloatArray) -> float:
    """Return in how many directions answers vary, from their second moments, shape (K, K): 1 to K − 1."""
    return float(np.trace(moments) ** 2 / (moments**2).sum())


def _shares(design: DesignMatrix, energy: Energy) -> FloatArray:
    """Return the shares of the labels under an energy, and of one more of each class, shape (K,)."""
    counted = design.total(energy.posterior(design)).numpy() + 1.0
    return np.asarray(counted / counted.sum())


def _shared(design: DesignMatrix, sources: _Sources) -> tuple[float, float]:
    """Return φ, and the mean of a_n."""
    k, shares = len(sources.shares), torch.from_numpy(sources.shares)
    centred = np.eye(k) - sources.mean[:, None, :]
    table = np.concatenate(
        [centred, np.broadcast_to(sources.shift[:, None, None], (*centred.shape[:2], 1))], 2
    )
    sums = design.logits(torch.from_numpy(table * sources.slope[:, None, None])).double().cpu()
    u, a = sums[:, :k], sums[:, k:]
    u, a = u[a[:, 0] > 0], a[a[:, 0] > 0]
    toward, square = u - (u @ shares)[:, None], (u**2).sum(1, keepdim=True)
    found = torch.zeros(len(_PARTS), dtype=torch.float64)
    for i, part in enumerate(_PARTS):
        label = np.sqrt(1 - part) * a
        variance = a + part * sources.even / (k - 1) * a**2
        apart = square - 2 * label * toward + label**2 * torch.from_numpy(sources.off)
        likelihood = torch.logsumexp(shares.log() - apart / (2 * variance), 1)
        found[i] = (likelihood - (k - 1) / 2 * variance[:, 0].log()).sum()
    sums = design.reduce(torch.cat([found, a.sum()[None], torch.tensor([float(len(a))]).double()]))
    return float(_PARTS[int(sums[:-2].argmax())]), float(sums[-2] / sums[-1].clamp_min(1))


def _crossed(answers: Answers, values: FloatArray) -> FloatArray:
    """Return the sums over tasks of products of two workers' values, shape (D, D), 0 on the diagonal."""
    shape = answers.n_tasks, answers.n_workers
    table = sparse.csr_array((values, answers.worker, answers.task_ptr), shape=shape)
    crossed: FloatArray = (table.T @ table).toarray()
    np.fill_diagonal(crossed, 0)
    return crossed

r"""What a few known labels are worth: they choose between readings of the answers, and correct one of them.

Known labels are clamped in EM; besides that they train two conditional models of the label given a task's answers, both
multinomial logistic regressions on indicators of (worker, answer), which is the posterior of an energy of one unit:

    p(k | x_n) ∝ exp( b_k + Σ_{i∈O(n)} W[i, x_ni, k] ),        W[i, l, k] = s_i [l = k] + Δ[i, l, k],

one with skills s and Δ shrunk towards zero, and one with a · W⁰ added to them, where W⁰ are the log-tables of the
fit without gold and a ~ N(a⁰, ½²) rescales them (a⁰ = 1 / the design effect of a mean task): with few labels it is the
fit without gold. The penalties are chosen, and the four readings (the fit without gold is one) weighted, by the
log-likelihood of held-out gold in three folds: the weights v maximise Σ_n log Σ_j v_j p_j(y_n) under a Dirichlet prior
that counts as :data:`_PRIOR` (stacking of predictive distributions; Yao et al., *Bayesian Analysis* 13, 2018). Folds
are dealt in the order of what the fit without gold says of the known labels, and where it says the same of several (it
does where it sees no label at all) by the clamped fit and by the answers that they share with others, so that they
depend on no order of rows and on no names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import nan

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from deem_crowd.data.answers import Answers
from deem_crowd.model.calibration import design_effect
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.group import ALONE, Group
from deem_crowd.selection import candidates as rows
from deem_crowd.selection import null_model
from deem_crowd.selection.candidates import Candidate
from deem_crowd.selection.opinion_pool import OpinionPool, without_label
from deem_crowd.selection.regression import FloatArray, IntArray, Regression, indicators
from deem_crowd.selection.selected import Selected
from deem_crowd.selection.without_tables import read_off

LEAST_GOLD = 8
"""Known labels from which they are asked."""
MOST_WORK = 3e7
"""Answers × classes up to which the fits of the folds are paid for."""
_MOST_CELLS = 10**6
_FOLDS = 3
_PENALTIES = (10.0, 3.0, 1.0, 0.3)
_CORRECTION_PENALTIES = (
    (100.0, 100.0),
    (30.0, 10.0),
    (10.0, 3.0),
    (10.0, 1.0),
    (3.0, 1.0),
    (1.0, 1.0),
)
"""Of Δ, and of skills and class offsets: under the first only the scale of the fit without gold is learned."""
_PRIOR = (0.8, 1.0, 0.1, 1.1)
"""Pseudo-labels for the clamped fit, the fit without gold, the regression, and the corrected fit.

The regression has nothing but the known labels to go by, and counts for little until held-out ones speak for it.
"""
_PRIOR_UNINFORMED = (0.0, 1.8, 0.1, 1.1)
"""The same where the answers show no label: a pool of models that were refused is left out, however gold clamps it."""
_LEAST_CHANCE = 1e-6
_DECIMALS = 4
_PRIME = 2**31 - 1
_ROUNDS = 200


@dataclass(frozen=True)
class Taught:
    """What gold says of four readings: the clamped fit, the fit without gold, the regression and the corrected fit.

    Attributes
    ----------
    weights : tuple of four floats
        They sum to 1.
    energies : tuple of two Energy
        The regression and the corrected fit.
    held_out : tuple of four floats
        Log-likelihood of a held-out label under each, in nats.
    """

    weights: tuple[float, ...]
    energies: tuple[Energy, ...]
    held_out: tuple[float, ...]


def asked(design: DesignMatrix, gold: torch.Tensor | None) -> bool:
    """Tell whether there is enough gold to ask, and not too much work; gold and answers are those of all processes."""
    if gold is None or design.n_classes < 2:
        return False
    cells = design.n_workers * design.n_classes**2
    work = design.n_answers_in_all * design.n_classes
    enough = int(design.reduce((gold >= 0).sum().double())) >= LEAST_GOLD
    return enough and cells <= _MOST_CELLS and work <= MOST_WORK


@dataclass(frozen=True)
class Known:
    """The tasks of all processes whose labels are known, n of them, one process after another.

    Attributes
    ----------
    features : sparse matrix, shape (n, D·K)
        Which (worker, answer) each has.
    label : integers, shape (n,)
    sizes : shape (n,)
        Answers to each.
    mine : slice
        Those of this process.
    places : integers
        Where these stand among its tasks.
    group : Group
    """

    features: sparse.csr_matrix
    label: IntArray
    sizes: FloatArray
    mine: slice
    places: npt.NDArray[np.intp]
    group: Group

    @classmethod
    def of(cls, answers: Answers, gold: IntArray, group: Group = ALONE) -> Known:
        """Return those of this process, ``gold`` of shape (N,) being −1 where a label is unknown, and of the others."""
        places = np.flatnonzero(gold >= 0)
        own = indicators(answers, places)
        sizes = np.diff(answers.task_ptr)[places]
        about = np.stack([gold[places], sizes, np.diff(own.indptr)], 1).astype(np.int64)
        every, begin = group.gathered(torch.from_numpy(about))
        label, of_all, lengths = every.numpy().T
        column, mass = (
            group.gathered(torch.from_numpy(values))[0].numpy()
            for values in (own.indices.astype(np.int64), own.data.astype(np.float64))
        )
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        features = sparse.csr_matrix(
            (mass, column, pointers), shape=(len(label), own.shape[1]), copy=True
        )
        mine = slice(begin, begin + len(places))
        return cls(features, label, of_all.astype(np.float64), mine, places, group)

    def chances(self, posterior: FloatArray) -> FloatArray:
        """Return what a posterior of this process's tasks, shape (N, K), says of all n known labels, shape (n,)."""
        own = posterior[self.places, self.label[self.mine]]
        chances: FloatArray = self.group.gathered(torch.from_numpy(own))[0].numpy()
        return chances

    def of_some(self, n_tasks: int, rows: npt.NDArray[np.intp]) -> IntArray:
        """Return known labels of this process's N tasks, shape (N,), −1 but for some of those that are known."""
        part = np.full(n_tasks, -1, dtype=np.int64)
        kept = np.isin(np.arange(self.mine.start, self.mine.stop), rows)
        part[self.places[kept]] = self.label[self.mine][kept]
        return part


def select(
    answers: Answers,
    design: DesignMatrix,
    gold: torch.Tensor,
    fit: Callable[[torch.Tensor | None], Selected],
) -> Selected:
    """Fit with gold and without, and let gold choose between these and a regression.

    Parameters
    ----------
    answers, design : the same data
        N tasks, D workers, K classes.
    gold : LongTensor, shape (N,)
        Known classes, −1 where unknown.
    fit : callable
        From gold, or None, to what is chosen from the answers with it.
    """
    known = fit(gold)
    if not asked(design, gold) or known.pool is None:
        return known
    free = fit(None)
    apart = free.pool
    if apart is None:
        apart = without_label(answers, design, free.power)
    without = apart.posterior(design)
    if free.pool is None:
        # the answers do not say how much a vote is worth; gold will, by the scale of these
        tables = null_model.common_skill(design, 1, null_model.USUAL_SKILL).weight
    else:
        tables = read_off(design, without, free.tables) if free.weight is None else free.weight

    def clamped(part: IntArray) -> FloatArray:
        posterior = fit(torch.from_numpy(part)).posterior
        assert posterior is not None  # with gold there is always a pool
        return posterior.double().cpu().numpy()

    told = learn(
        Known.of(answers, gold.numpy(), design.group),
        without.double().cpu().numpy(),
        known.pool.posterior(design).double().cpu().numpy(),
        tables.numpy(),
        (design.total(without) / max(design.n_tasks_in_all, 1)).clamp_min(1e-9).numpy(),
        apart.correlation,
        clamped,
        _PRIOR_UNINFORMED if free.pool is None else _PRIOR,
    )
    return _combined(design, gold, known, known.pool, apart, told)


def _combined(
    design: DesignMatrix,
    gold: torch.Tensor,
    known: Selected,
    pool: OpinionPool,
    apart: OpinionPool,
    told: Taught,
) -> Selected:
    """Return the mixture of the pools with gold and without, with their shares of votes, and what gold trained."""
    of_pool, of_apart, regression, corrected = told.weights
    floor = of_pool * pool.floor + of_apart * apart.floor
    shares = [of_pool * (1 - pool.floor) * weight for weight in pool.weights]
    shares += [of_apart * (1 - apart.floor) * weight for weight in apart.weights]
    mixed = OpinionPool(
        (*pool.energies, *apart.energies, *told.energies),
        tuple(share / (1 - floor) for share in (*shares, regression, corrected)),
        floor,
        of_pool * pool.correlation + of_apart * apart.correlation,
        apart.unanswered,
        of_pool * pool.caution + of_apart * apart.caution,
    )
    posterior = mixed.posterior(design)
    settled = gold >= 0
    labels = torch.nn.functional.one_hot(gold[settled], design.n_classes)
    posterior[settled.to(posterior.device)] = labels.to(posterior)
    chosen = [replace(one, weight=of_pool * one.weight) for one in known.candidates]
    names = (rows.WITHOUT_GOLD, rows.REGRESSION, rows.CORRECTED)
    for name, score, weight in zip(names, told.held_out[1:], told.weights[1:], strict=True):
        why = f"weighed by held-out gold: {score:.3f} nats a label, the clamped fit {told.held_out[0]:.3f}"
        chosen.append(Candidate(name, nan, nan, nan, nan, weight, why))
    return replace(
        known,
        candidates=chosen,
        pool=mixed,
        posterior=posterior,
        mean=posterior,
        weight=read_off(design, posterior, known.tables),
    )


def learn(
    gold: Known,
    free: FloatArray,
    told: FloatArray,
    tables: FloatArray,
    prior: FloatArray,
    correlation: float,
    clamped: Callable[[IntArray], FloatArray],
    prior_labels: tuple[float, ...] = _PRIOR,
) -> Taught:
    """Train the conditional models on gold, and weigh them and the clamped fit by held-out gold.

    Parameters
    ----------
    gold : Known
        Of N tasks in this process and those of the others, of D workers and K classes.
    free : shape (N, K)
        Posterior of the fit without gold.
    told : shape (N, K)
        Of the clamped fit, were the tasks' own labels unknown.
    tables : shape (D, K, K)
        Log-tables of that fit, [worker, answer, label].
    prior : shape (K,)
        Its class shares.
    correlation : float
        ρ of the answers to a task given its label.
    clamped : callable
        From other gold, shape (N,), to the posterior of the clamped fit, shape (N, K).
    prior_labels : four floats
        Pseudo-labels for the readings.
    """
    known, features, k = gold.label, gold.features, free.shape[1]
    n = len(known)
    usual = float(1 / design_effect(np.array(max(gold.sizes.mean(), 1.0)), correlation))
    base = features @ tables.reshape(-1, k) + np.log(prior)
    of_free, of_told = gold.chances(free), gold.chances(told)
    fold = np.empty(n, dtype=np.int64)
    fold[_order(features, known, gold.sizes, of_told, of_free, k)] = np.arange(n) % _FOLDS

    shrunk = [Regression(features, None, 0.0, penalty) for penalty in _PENALTIES]
    corrected = [
        Regression(features, base, usual, *penalties) for penalties in _CORRECTION_PENALTIES
    ]
    models = [*shrunk, *corrected]
    chances = np.empty((n, 2 + len(models)))
    chances[:, 1] = of_free
    for number in range(_FOLDS):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not len(test):
            continue
        chances[test, 0] = gold.chances(clamped(gold.of_some(len(free), train)))[test]
        for j, model in enumerate(models, 2):
            predicted = model.fit(train, known[train], k).predict(test)
            chances[test, j] = predicted[np.arange(len(test)), known[test]]
    logs = np.log(np.maximum(chances, _LEAST_CHANCE)).mean(0)
    first = 2 + int(np.argmax(logs[2 : 2 + len(shrunk)]))
    second = 2 + len(shrunk) + int(np.argmax(logs[2 + len(shrunk) :]))
    chosen = [0, 1, first, second]
    everything = np.arange(n)
    energies = tuple(
        models[j - 2].fit(everything, known, k).energy(tables, np.log(prior))
        for j in (first, second)
    )
    weights = _stacked(np.maximum(chances[:, chosen], _LEAST_CHANCE), np.array(prior_labels))
    return Taught(weights, energies, tuple(logs[chosen].tolist()))


def _order(
    features: sparse.csr_matrix,
    known: IntArray,
    sizes: FloatArray,
    told: FloatArray,
    free: FloatArray,
    k: int,
) -> npt.NDArray[np.intp]:
    """Return the order of n known labels by their chances in the fit without gold, (n,), whatever the order of rows.

    Ties, within rounding, go by the number of answers, by the chances in the clamped fit, and then by who gave them.
    """
    of_label = features.T @ np.eye(k)[known]
    same = (features @ of_label)[np.arange(len(known)), known]
    keys = (_marks(features, same, k), told, sizes, free)
    return np.lexsort([np.round(key, _DECIMALS) for key in keys])


def _marks(features: sparse.csr_matrix, start: FloatArray, k: int) -> IntArray:
    """Return numbers, shape (n,), that tell tasks apart by which others share answers and workers, whatever the names.

    An answer's number comes from those of the tasks that have it and of its worker's other answers, a task's from those
    of its answers, three times (Weisfeiler and Leman's refinement, 1968). Sums of integers are exact in any order.
    """
    cells = features.astype(np.float64)
    cells.data = np.rint(cells.data * 10**_DECIMALS)
    cells = cells.astype(np.int64)
    mark = np.rint(start * 10**_DECIMALS).astype(np.int64)
    for _ in range(3):
        of_answer = cells.T @ mark % _PRIME
        of_answer = (
            of_answer + 7 * np.repeat((of_answer**2 % _PRIME).reshape(-1, k).sum(1), k)
        ) % _PRIME
        mark = (31 * mark + cells @ (of_answer * of_answer % _PRIME)) % _PRIME
    return mark


def _stacked(chances: FloatArray, prior: FloatArray) -> tuple[float, ...]:
    """Return the weights of the mixture that makes held-out labels likeliest; ``chances`` has shape (n, 4)."""
    weights = prior / prior.sum()
    for _ in range(_ROUNDS):
        share = chances * weights
        share /= share.sum(1, keepdims=True)
        weights = (share.sum(0) + prior) / (len(chances) + prior.sum())
    return tuple(weights.tolist())

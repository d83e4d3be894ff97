"""Which kind of classifier learns from the features, where the caller names none: the answers tell.

Logistic regression, nearest neighbours and gradient boosting are trained on the shares of votes and asked about the
votes of tasks that they have not seen. Where another kind makes those votes likelier than the regression does, both are
candidates, and the likelihood of held-out answers under the joint model decides (:mod:`deem_crowd.features.guard`):
neighbours smooth noisy votes better at first, and a regression may learn more from the labels later. Likelier means by
more than a standard error, task by task (the one-standard-error rule of Breiman et al., *Classification and Regression
Trees*, 1984); within it the regression stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.features.folds import Folds, splits
from deem_crowd.features.guard import clear
from deem_crowd.features.learners import Learner, LogisticLearner, settled
from deem_crowd.features.neighbours import NeighbourLearner
from deem_crowd.features.sklearn_learner import SklearnLearner

FloatArray = npt.NDArray[np.float64]

ASSOCIATED = 2.4
"""From so many standard errors of :func:`association` features are used: by chance in one case of 120, and in one of 40
where the best of three kinds is asked. Below it, :mod:`deem_crowd.features.relevance` is asked about few rows."""
MOST_ROWS = 5_000
"""With more rows, a part of them decides."""
_MOST_PAIRS = 5 * 10**10
"""Rows² × columns up to which neighbours are searched for."""
_MOST_CELLS = 5 * 10**5
"""Rows × columns × classes up to which trees are grown: they are for tables, and take longest."""
_TREES, _LEAVES, _LEAST_IN_LEAF = 40, 8, 20


def candidates(
    x: Any, targets: FloatArray, weights: FloatArray, fold: Folds, seed: int
) -> list[Learner]:
    """Return the regression, and the kind that is clearly better at telling votes if there is one.

    Parameters
    ----------
    x : shape (M, p), dense or sparse
    targets : shape (M, K)
        Shares of votes.
    weights : shape (M,)
        0 for rows that are not learned from.
    fold : integers, shape (M,)
    seed : int
        Of the trees, and of the part that decides where there are many rows.
    """
    taught = np.flatnonzero(weights > 0)
    few = len(taught) <= MOST_ROWS
    rows = taught if few else np.sort(np.random.default_rng(seed).permutation(taught)[:MOST_ROWS])
    part = (x[rows], targets[rows], weights[rows], fold[rows])
    learners: list[Learner] = [LogisticLearner()]
    best = settled(learners[0], *part)
    for make in _others(x, len(taught), targets.shape[1], seed):
        learner = make()
        told = _unless_worse(learner, part, best)
        if told is not None and clear((targets[rows] * (told - best)).sum(axis=1)):
            learners[1:], best = [learner.anew()], told
    return [learners[0].anew(), *learners[1:]]


def _unless_worse(
    learner: Learner, part: tuple[Any, FloatArray, FloatArray, Folds], best: FloatArray
) -> FloatArray | None:
    """Return log p(label | x) out of fold; None where a learner without settings is clearly worse on the first fold."""
    x, targets, weights, fold = part
    log_q = learner.settle(*part)
    if log_q is not None:
        return log_q
    log_q = np.zeros(targets.shape)
    for number, (rows, held) in enumerate(splits(fold, weights)):
        log_q[held] = learner.fit(x[rows], targets[rows], weights[rows]).log_proba(x[held])
        if number == 0 and clear((targets[held] * (best[held] - log_q[held])).sum(axis=1)):
            return None
    return log_q


def association(log_q: FloatArray, targets: FloatArray, weights: FloatArray) -> float:
    r"""Return how clearly predictions tell targets, in standard errors: the score test of weight zero.

    In the model p(k | x) ∝ exp(o_k + weight · log q_k(x)) the efficient score at weight 0, with the offsets o free, is
    Σ_n Σ_k (t_nk − t̄_k)(log q_nk − mean of log q_k) (Rao's score test; Cox and Hinkley, *Theoretical Statistics*,
    1974). Unlike a gain in likelihood it does not ask that predictions be calibrated, only that they point the right
    way. Where q is out of fold and features say nothing, its standard deviation is 1.4 to 1.5, since two tasks in
    different folds are each predicted from the other, and its mean -0.6 to -1.4 with a few hundred tasks, since a class
    that is frequent in one fold is rarer in the others. It exceeded 2.4 in 0 to 1.3 % of 400 draws.

    Parameters
    ----------
    log_q, targets : shape (M, K)
        What a classifier says that has not seen the row; votes.
    weights : shape (M,)
        0 for rows that count for nothing.
    """
    t, q = targets[weights > 0], log_q[weights > 0]
    each = ((t - t.mean(axis=0)) * (q - q.mean(axis=0))).sum(axis=1)
    error = float(each.std() * np.sqrt(max(len(each), 1)))
    return float(each.sum()) / error if error > 0 else 0.0


def _others(x: Any, n_taught: int, n_classes: int, seed: int) -> Iterator[Callable[[], Learner]]:
    """Yield what makes the learners beside the regression that features of this size leave time for."""
    n, p = x.shape
    if float(n) ** 2 * p <= _MOST_PAIRS:
        yield NeighbourLearner
    grows = n_taught >= 4 * _LEAST_IN_LEAF and isinstance(x, np.ndarray)
    if grows and min(n, MOST_ROWS) * p * n_classes <= _MOST_CELLS:
        yield lambda: SklearnLearner(_trees(seed), seed)


def _trees(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAST_IN_LEAF,
        early_stopping=False,
        random_state=seed,
    )

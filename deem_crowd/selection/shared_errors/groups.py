r"""Groups of sources that share errors, as the user knows them: variants of one model, one prompt, one team.

What two members agree beyond the product of their skills is dependence, as in
:mod:`deem_crowd.selection.shared_errors.dependence`; here it is one number a group, and the skills come from pairs
across groups alone, so that a group does not have to be a minority:

    ρ_g = (½ · 30 + Σ_ij n_ij e_ij) / (30 + Σ_ij n_ij),        e_ij = (r_ij − λ_i λ_j) / (1 − λ_i λ_j) in [0, 1],

over the pairs of the group, with n_ij common tasks: what the user says counts as 30 common tasks on which half of the
agreement is shared. m answers of a group with correlation ρ are worth m / (1 + (m − 1) ρ) independent ones (Kish,
*Survey Sampling*, 1965), so an answer of source i counts 1 / (1 + c_i ρ_g), with c_i the number of other members that
answered the same task, in the mean over its tasks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deem_crowd.data.answers import Answers
from deem_crowd.selection import pairs
from deem_crowd.selection.pairs import MAX_SOURCES, MIN_COMMON, FloatArray, Pairs, Reduce, alone
from deem_crowd.selection.shared_errors import dependence, linkage

IntArray = npt.NDArray[np.int64]

TOLD = 0.5
"""Share of the agreement that a group shares, before anything is seen."""


def power(answers: Answers, group: IntArray, reduce: Reduce = alone) -> FloatArray:
    """Return what an answer of each source should count, shape (D,); 1 for sources that are in no group.

    Parameters
    ----------
    answers : Answers
        N tasks, D workers.
    group : shape (D,)
        Number of each worker's group, −1 for none.
    reduce : callable
        Where other processes hold further tasks.
    """
    correlation = correlations(answers, group, reduce)
    shared = np.where(group >= 0, np.append(correlation, 0.0)[group], 0.0)
    return 1 / (1 + shared * _others(answers, group, reduce))


def correlations(answers: Answers, group: IntArray, reduce: Reduce = alone) -> FloatArray:
    """Return ρ of each group, shape (G,); parameters as of :func:`power`."""
    counted = pairs.count(answers, _asked(answers, group, reduce), reduce, least=1)
    same = linkage.together(group[counted.sources])
    excess = _excess(counted, same)
    correlation = np.zeros(group.max(initial=-1) + 1)
    for number in range(len(correlation)):
        inside = same & (group[counted.sources] == number)[:, None]
        common = np.where(inside, counted.common, 0.0)
        told = TOLD * MIN_COMMON
        correlation[number] = (told + (common * excess).sum() / 2) / (MIN_COMMON + common.sum() / 2)
    return correlation


def clear(answers: Answers, group: IntArray, reduce: Reduce = alone) -> IntArray:
    """Return ``group``, shape (D,), with −1 for members of groups that share next to nothing by their answers.

    Their ρ is nearer to 0 than to :data:`TOLD`. Parameters are those of :func:`power`.
    """
    kept = np.append(correlations(answers, group, reduce) >= TOLD / 2, False)
    return np.where(kept[group], group, -1)


def told(answers: Answers, group: IntArray | None, reduce: Reduce = alone) -> FloatArray | None:
    """Return :func:`power` if a group has two workers or more, else None: a single one repeats nobody."""
    if group is None or np.bincount(group[group >= 0]).max(initial=0) < 2:
        return None
    return power(answers, group, reduce)


def _asked(answers: Answers, group: IntArray, reduce: Reduce) -> npt.NDArray[np.intp]:
    """Return the sources that pairs are made of: members of groups first, then those with most answers."""
    n_answers = reduce(np.bincount(answers.worker, minlength=answers.n_workers))
    order = np.lexsort((np.arange(len(group)), -n_answers, group < 0))
    chosen = order[n_answers[order] > 0][:MAX_SOURCES]
    return np.sort(chosen)


def _excess(counted: Pairs, same: npt.NDArray[np.bool_]) -> FloatArray:
    """Return e, shape (n, n); where a λ is unknown, the mean agreement across groups stands for the product."""
    beyond, common = counted.beyond, counted.common
    across = ~same & ~np.eye(len(common), dtype=bool)
    weight = np.where(across, common, 0.0)
    mean = max(float((weight * beyond).sum() / max(weight.sum(), 1e-9)), 0.0)
    skill = dependence.skills_by(counted, across & (common >= MIN_COMMON))
    product = np.outer(skill, skill)
    product = np.where(np.isfinite(product), product, mean)
    return np.asarray(np.clip((beyond - product) / np.maximum(1 - product, 0.02), 0, 1))


def _others(answers: Answers, group: IntArray, reduce: Reduce) -> FloatArray:
    """Return how many other members of a source's group answered the same task, the mean over its tasks, (D,)."""
    n_groups = int(group.max(initial=-1)) + 1
    member = group[answers.worker]
    inside = np.flatnonzero(member >= 0)
    place = answers.task[inside].astype(np.int64) * n_groups + member[inside]
    _, which, times = np.unique(place, return_inverse=True, return_counts=True)
    worker = answers.worker[inside]
    others = reduce(np.bincount(worker, times[which] - 1.0, minlength=len(group)))
    n_answers = reduce(np.bincount(worker, minlength=len(group)))
    return np.asarray(others / np.maximum(n_answers, 1))

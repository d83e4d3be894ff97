"""What an answer of each source counts where sources repeat one another, as found by the fit or named by the user."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.expectation import counts_of
from deem_crowd.selection import candidates as rows
from deem_crowd.selection.fitting import Training
from deem_crowd.selection.pairs import FloatArray, Pairs
from deem_crowd.selection.shared_errors import dependence, exchangeable, families, groups, linkage
from deem_crowd.selection.shared_errors.families import IntArray
from deem_crowd.training import em
from deem_crowd.training.em import Member

_FOUND = "and its skills contradict what pairs of sources say (correlation {:.2f})"


def found(
    training: Training, answers: Answers, counted: Pairs, number: FloatArray, model: Member
) -> tuple[FloatArray | None, str, IntArray | None]:
    """Return what an answer of each source counts, shape (D,), where sources repeat one another, and why; else None.

    The third is the number of each source's family, shape (D,), −1 for none, where families were found.

    Parameters
    ----------
    training, answers
        The same data.
    counted : Pairs
        Among n of the D sources.
    number : shape (D,)
        Answers of each source.
    model : Member
        The model that may have followed sources that repeat one another.
    """
    design = training.design
    skills = em.chance_corrected_skills(design, model)
    family = exchangeable.find(counted, len(skills))
    if family is not None:
        why = exchangeable.described(family)
        return groups.power(answers, family, design.reduce_array), why, family
    family = families.find(counted, skills)
    if family is not None and _cannot_explain(design, model, counted, family):
        why = families.described(family)
        return groups.power(answers, family, design.reduce_array), why, family
    contradicted = _contradicted(training, counted, number, skills)
    return (None, "", None) if contradicted is None else (*contradicted, None)


def beside(
    training: Training,
    answers: Answers,
    counted: Pairs,
    number: FloatArray,
    told: FloatArray,
    group: IntArray,
) -> tuple[FloatArray, str, IntArray]:
    """Return what an answer of each source counts, shape (D,), where groups are named, why, and all groups, (D,).

    Families beside the named groups are found in the same way as without groups, but by a model in which answers count
    as ``told``. Agreement inside a named group says nothing of other families, so these pairs are left out, unless the
    group shares next to nothing (:func:`groups.clear`).

    Parameters
    ----------
    training, answers, counted, number
        As in :func:`found`.
    told : shape (D,)
        What an answer of each source counts by the named groups.
    group : shape (D,)
        Number of each worker's group, −1 for none.
    """
    design = training.design
    model = training.tables(torch.from_numpy(told))
    skills = em.chance_corrected_skills(design, model)
    open_ = _outside(counted, groups.clear(answers, group, design.reduce_array))
    family = exchangeable.find(counted, len(skills))
    why = "" if family is None else exchangeable.described(family)
    if family is None:
        family = families.find(open_, skills, told)
        if family is not None and not _cannot_explain(design, model, open_, family):
            family = None
        why = "" if family is None else families.described(family)
    if family is not None:
        both = np.where(family >= 0, family, np.where(group >= 0, group + family.max() + 1, -1))
        power = np.minimum(told, groups.power(answers, both, design.reduce_array))
        return power, f"{rows.GROUPED}, and {why}", both
    contradicted = _contradicted(training, open_, number, skills)
    if contradicted is not None:
        return np.minimum(told, contradicted[0]), f"{rows.GROUPED}, {contradicted[1]}", group
    return told, rows.GROUPED, group


def _contradicted(
    training: Training, counted: Pairs, number: FloatArray, skills: FloatArray
) -> tuple[FloatArray, str] | None:
    """Return what answers count, and why, where a model with these skills has taken a clique for the truth."""
    estimates: tuple[dependence.Dependence, ...] = dependence.measure(counted, number)
    if training.taught:
        # where most sources repeat others the second takes them for the truth; gold has told the two apart already
        estimates = estimates[:1]
    for between in estimates:
        if between.contradicts(skills):
            return between.power, _FOUND.format(between.correlation(skills))
    return None


def _outside(counted: Pairs, group: IntArray) -> Pairs:
    """Return the pairs, with no common tasks inside the groups of ``group``, shape (D,)."""
    common = np.where(linkage.together(group[counted.sources]), 0.0, counted.common)
    return Pairs(counted.sources, common, counted.agreed, counted.chance)


def _cannot_explain(
    design: DesignMatrix, model: Member, counted: Pairs, family: npt.NDArray[np.int64]
) -> bool:
    """Tell whether pairs outside families agree more than a model's tables say."""
    counts = counts_of(design, model.states).numpy()
    priors = design.total(model.states).numpy() / max(design.n_tasks_in_all, 1)
    return families.left_over(counted, family, counts, priors) > dependence.EXCESS

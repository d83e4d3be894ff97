r"""A few answers more, without training anew: the tables of the workers whom they concern are updated.

This is incremental EM (Neal and Hinton, *A view of the EM algorithm that justifies incremental, sparse, and other
variants*, 1998). The expected counts C of each energy are kept. The E-step is taken for the tasks that have new
answers, their new counts take the place of the old ones, and each log-table moves as the M-step does between the two,
``W + log T(C + ΔC) − log T(C)``: for the end of EM's path that is its next step, and a mean over the path keeps its
distance from there. So does the class prior of a pool's member. A plain model goes half as far again, to where the next
steps would lead, in proportion to the share of a worker's answers that were there before; tables of its new workers are
``log T(C)``. What the tables say of all tasks is worked out when it is read
(:mod:`deem_crowd.estimators.incremental.all_tasks`). The weights of a pool's members, its correlation and the priors of
tables stay, until there are so many more answers that all is fitted anew (``MOST``). So do the energies that known
labels alone trained, and what they made each reading count; further known labels clamp their tasks in the E-step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.incremental.memory import Memory
from deem_crowd.estimators.incremental.parts import (
    Dirichlet,
    Fixed,
    Known,
    Part,
    average_of,
    part_of,
    single_part,
)
from deem_crowd.estimators.information import information, worth_of, worth_of_few
from deem_crowd.estimators.settings.recipe import Recipe
from deem_crowd.exceptions import counted
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.grown import Addition, extended
from deem_crowd.runtime import threads
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.selection.opinion_pool import OpinionPool
from deem_crowd.selection.selected import Selected
from deem_crowd.training.em import WarmStart

UPDATE, GROWN_WITH = "update_", "_grown_with"
"""The attributes that say how ``partial_fit`` took the last answers, and with which parameters all were fitted."""
MOST = 0.05
"""Share of further answers, or known labels, of those of the last fit, above which all is fitted again."""


@dataclass(frozen=True, eq=False)
class Growth:
    """What an update needs beside the model.

    Attributes
    ----------
    base : DesignMatrix
        Of the answers of the last fit.
    n_tasks : int
        In all.
    n_added : int
        Answers since the last fit.
    n_known : int
        Tasks whose labels were known in the last fit.
    parts : tuple of Part or Fixed
        In the order of the pool's energies; one for a plain model.
    shown : (float64, float64), or None
        Counts, shape (D, K, K), and pseudo-answers, shape (K, K), of the tables that a pool shows.
    worth : float64, shape (3, D)
        Answers of each worker, and the sums of the chance that each is right and of its square.
    """

    base: DesignMatrix
    n_tasks: int
    n_added: int
    n_known: int
    parts: tuple[Part | Fixed, ...]
    shown: tuple[torch.Tensor, torch.Tensor] | None
    worth: torch.Tensor


def going_on(
    last: tuple[Any, pd.Index, pd.Index], memory: Memory, seen: Memory, n_new: int
) -> Any | None:
    """Return the model of the last fit if training may start from it: its classes stand in the same order.

    Nor may it where further answers are too many. A fit to few answers can end at a poor maximum of the likelihood, and
    training that starts there does not leave it.
    """
    model, _, classes = last
    if not classes.equals(seen.answers.classes):
        return None
    growth = getattr(model, "growth", None)
    fitted, since = memory.answers.n_answers, 0
    if growth is not None:
        fitted, since = growth.base.n_answers, growth.n_added
    return None if since + n_new > MOST * fitted else model


@undisturbed
def add_answers(
    model: FittedModel, memory: Memory, new: Answers, known: pd.DataFrame | None
) -> tuple[FittedModel, Memory, str] | None:
    """Add a few answers and known labels to a model.

    Parameters
    ----------
    model : FittedModel
        With its growth.
    memory : Memory
        The answers so far.
    new : Answers
        Hard ones.
    known : DataFrame of (task, label), optional
        All labels that are known now.

    Returns
    -------
    None where there is nothing new or too much, or where it cannot simply be appended (:meth:`Memory.plus`); else the
    model, all answers, and how the update was done.
    """
    growth: Growth = model.growth
    with threads.chosen(growth.base.n_answers * growth.base.n_classes):
        return _added(model, growth, memory, new, known)


def _added(
    model: FittedModel, growth: Growth, before: Memory, new: Answers, known: pd.DataFrame | None
) -> tuple[FittedModel, Memory, str] | None:
    share = (growth.n_added + new.n_answers) / max(growth.base.n_answers, 1)
    if share > MOST:
        return None
    added = before.plus(new, known)
    if added is None:
        return None
    memory, more = added
    if not len(more.tasks) or len(memory.settled.tasks) > (1 + MOST) * growth.n_known:
        return None
    labels = Known(before.settled.at(more.tasks), memory.settled.at(more.tasks))
    n_tasks, n_workers = memory.n_tasks, memory.n_workers
    addition = touched = Addition.of(more.new, growth.base, more.tasks)
    if more.touched is not more.new:
        touched = Addition.of(more.touched, growth.base, more.tasks)
    by = torch.from_numpy(addition.workers)
    parts = tuple(
        part.widened(n_workers).grown(addition, touched, growth.n_tasks, labels)
        for part in growth.parts
    )
    said = [part.posterior(touched, labels) for part in parts]
    pool, shown, found = model.pool, growth.shown, said[0]
    if pool is not None:
        pool = replace(pool, energies=tuple(part.energy for part in parts))
        found = pool.pooled(said, touched.design)
    labels.settle(found)
    if shown is not None:
        assert pool is not None
        mean = found
        if not any(isinstance(part, Fixed) for part in parts):
            mean = pool.mean(said)  # without the share of the votes
            labels.settle(mean)
        counts = extended(shown[0], n_workers)
        counts.index_add_(0, by, addition.design.expected_counts(mean))
        shown = counts, shown[1]
    worth = extended(growth.worth.T, n_workers).T
    worth.index_add_(1, by, worth_of_few(addition.design, found))
    n_added = growth.n_added + new.n_answers
    grown = replace(growth, n_tasks=n_tasks, n_added=n_added, parts=parts, shown=shown, worth=worth)
    tasks, workers = counted(len(touched.tasks), "task"), counted(len(touched.workers), "worker")
    what = "new answers to"
    if (labels.now != labels.before).any():
        what = "new answers to, or known labels of,"
    how = f"tables of {workers}, for {what} {tasks}; labels follow when they are read"
    return _model(model, grown, pool), memory, how


def _model(model: FittedModel, growth: Growth, pool: OpinionPool | None) -> FittedModel:
    """Return the model with the tables, priors, skills and average workers that follow from a growth."""
    answered, first = growth.worth[0].numpy() > 0, growth.parts[0]
    assert isinstance(first, Part)
    bias, weight = first.energy.bias, first.energy.weight
    shown = growth.shown
    if shown is not None and pool is not None:
        growth = replace(growth, parts=tuple(part.averaged(answered) for part in growth.parts))
        pool = replace(pool, energies=tuple(part.energy for part in growth.parts))
        counts, alpha = shown
        bias, weight = pool.prior().log(), Dirichlet(alpha)(counts)
    # tables of both sum to one
    prior, confusion = torch.softmax(bias, 0).numpy(), np.exp(weight.numpy())
    energy = Energy(bias, weight, torch.from_numpy(average_of(confusion, answered)))
    if shown is None:
        growth = replace(growth, parts=(replace(first, energy=energy),))
    priors = np.zeros(model.n_classes)
    priors[model.used] = prior
    return replace(
        model,
        energy=energy,
        pool=pool,
        priors=priors,
        confusion=confusion,
        skills=np.diagonal(confusion, axis1=1, axis2=2) @ prior,
        information=information(growth.worth),
        growth=growth,
    )


def growth_of(
    model: FittedModel,
    design: DesignMatrix,
    posterior: torch.Tensor,
    selected: Selected | None,
    recipe: Recipe,
    end: WarmStart | None,
    known: torch.Tensor | None,
) -> Growth | None:
    """Return what a few more answers need; None where the model cannot take them alone.

    Parameters
    ----------
    model : FittedModel
    design : DesignMatrix
    posterior : shape (N, K)
    selected : Selected, optional
        How the model was chosen, if it was.
    recipe : Recipe
    end : WarmStart, optional
        Where a plain model's training ended.
    known : LongTensor, shape (N,), optional
        Known classes, −1 where unknown.
    """
    settings, p = recipe.settings, posterior.to(design.dtype)
    if type(design) is not DesignMatrix or design.device.type != "cpu":
        return None
    shown = None
    parts: list[Part | Fixed] = []
    if selected is not None:
        if not selected.members or selected.mean is None or selected.pool is None:
            return None
        shown = design.expected_counts(selected.mean), selected.tables.pseudo_answers
        parts += [part_of(member, design, True) for member in selected.members]
        parts += [part_of(member, design, False) for member in selected.apart]
        parts += [Fixed(energy) for energy in selected.pool.energies[len(parts) :]]
    else:
        if end is None:
            return None
        if settings.gauge != "normalised" or settings.n_subtypes > 1 or settings.n_iter == 0:
            return None
        pseudo_tasks = 0.0 if settings.penalty is None else settings.prior_penalty
        parts += [single_part(model.energy, end.pseudo_answers, pseudo_tasks, design, p)]
    worth = worth_of(design, p)
    n_known = 0 if known is None else int((known >= 0).sum())
    return Growth(design, design.n_tasks, 0, n_known, tuple(parts), shown, worth)

r"""A few answers more, without training anew: tasks and workers that they touch are updated, then all posteriors.

This is incremental EM (Neal and Hinton, *A view of the EM algorithm that justifies incremental, sparse, and other
variants*, 1998). The expected counts C of each energy are kept. The E-step is taken for the tasks that have new
answers, their counts take the place of those that they had, and each log-table moves as the M-step does between the
two, ``W + log T(C + ΔC) − log T(C)``: for the end of EM's path that is its next step, and a mean over the path keeps
its distance from there. A plain model goes half as far again, to where the next steps would lead, as far as the workers
had answers before; tables of its new workers are ``log T(C)``. Then a pass over all answers brings the posterior of
every task up to the new tables (``POLISH`` says how often). What a pool's members count, its correlation and the priors
of tables stay, until there are so many more answers that all is fitted anew (``MOST``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.information import information, worth_of, worth_of_few
from deem_crowd.estimators.memory import Memory
from deem_crowd.estimators.parts import Dirichlet, Part, part_of, single_part
from deem_crowd.estimators.recipe import Recipe
from deem_crowd.estimators.revised import Revised
from deem_crowd.exceptions import counted
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.expectation import expect
from deem_crowd.model.grown import Addition, GrownDesign, extended
from deem_crowd.model.votes import best_and_ties
from deem_crowd.runtime import threads
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.selection.opinion_pool import OpinionPool
from deem_crowd.selection.selected import Selected
from deem_crowd.training.em import WarmStart

UPDATE, GROWN_WITH = "update_", "_grown_with"
"""The attributes that say how ``partial_fit`` took the last answers, and with which parameters all were fitted."""
MOST = 0.05
"""Share of further answers, of those of the last fit, above which all is fitted again."""
POLISH = 0.005
"""Share of further answers, since the last pass over all of them, from which there is one more."""


@dataclass(frozen=True, eq=False)
class Growth:
    """What an update needs beside the model.

    Attributes
    ----------
    design : DesignMatrix
        Of all answers so far.
    base : DesignMatrix
        Of those of the last fit.
    additions : tuple of Addition
        And those that came since.
    parts : tuple of Part
        In the order of the pool's energies; one for a plain model.
    shown : (float64, float64), or None
        Counts, shape (D, K, K), and pseudo-answers, shape (K, K), of the tables that a pool shows.
    worth : float64, shape (3, D)
        Answers of each worker, and the sums of the chance that each is right and of its square.
    posterior : Revised, shape (N, K)
        In the dtype of the matrix.
    label : Revised, integers, shape (N,)
        −1 without answers.
    silent : LongTensor, shape (m,)
        The tasks without answers.
    waiting : int
        Answers since the last pass over all of them.
    """

    design: DesignMatrix
    base: DesignMatrix
    additions: tuple[Addition, ...]
    parts: tuple[Part, ...]
    shown: tuple[torch.Tensor, torch.Tensor] | None
    worth: torch.Tensor
    posterior: Revised
    label: Revised
    silent: torch.Tensor
    waiting: int = 0

    @classmethod
    def begun(
        cls,
        design: DesignMatrix,
        parts: tuple[Part, ...],
        posterior: torch.Tensor,
        shown: tuple[torch.Tensor, torch.Tensor] | None,
        worth: torch.Tensor,
    ) -> Growth:
        """Return where a fit ends."""
        silent = torch.from_numpy(np.flatnonzero(design.by_task.lengths() == 0))
        label = _labels(posterior, design, silent)
        said, named = Revised.of(posterior), Revised.of(label)
        return cls(design, design, (), parts, shown, worth, said, named, silent)

    @property
    def n_added(self) -> int:
        """Answers since the last fit."""
        return sum(addition.design.n_answers for addition in self.additions)


def many(model: object, memory: Memory, n_new: int) -> bool:
    """Tell whether further answers are too many for a model to go on from where the last fit of all ended.

    A fit to few answers can end at a poor maximum of the likelihood, and training that starts there does not leave it.
    """
    growth = getattr(model, "growth", None)
    fitted, since = memory.answers.n_answers, 0
    if growth is not None:
        fitted, since = growth.base.n_answers, growth.n_added
    return since + n_new > MOST * fitted


@undisturbed
def add_answers(
    model: FittedModel, memory: Memory, new: Answers
) -> tuple[FittedModel, Memory, str] | None:
    """Add a few answers to a model.

    Parameters
    ----------
    model : FittedModel
        With its growth.
    memory : Memory
        The answers so far, none of whose labels are known.
    new : Answers
        Hard ones.

    Returns
    -------
    None where they are too many, or change answers that were given, or name classes that the model does not know;
    else the model, all answers, and how the update was done.
    """
    growth: Growth = model.growth
    with threads.chosen(growth.base.n_answers * growth.base.n_classes):
        return _added(model, growth, memory, new)


def _added(
    model: FittedModel, growth: Growth, memory: Memory, new: Answers
) -> tuple[FittedModel, Memory, str] | None:
    share = (growth.n_added + new.n_answers) / max(growth.base.n_answers, 1)
    if new.n_answers == 0 or share > MOST:
        return None
    added = memory.plus(new)
    if added is None:
        return None
    memory, more = added
    n_tasks, n_workers = memory.n_tasks, memory.n_workers
    addition = Addition.of(more.new, growth.base, more.tasks)
    touched = addition
    if more.touched is not more.new:
        touched = Addition.of(more.touched, growth.base, more.tasks)
    additions = _joined((*growth.additions, addition), memory, growth.base)
    n_given = extended(growth.design.n_given, n_workers)
    n_given.index_add_(0, addition.workers, addition.design.n_given)
    design = GrownDesign(growth.base, additions, n_tasks, n_workers, n_given)
    known = growth.design.n_tasks
    parts = tuple(part.widened(n_workers).grown(addition, touched, known) for part in growth.parts)
    waiting = growth.waiting + new.n_answers
    whole = waiting >= POLISH * growth.base.n_answers
    pool = model.pool
    parts = tuple(part.averaged(design) for part in parts)
    if pool is not None:
        pool = replace(pool, energies=tuple(part.energy for part in parts))
    at = touched.tasks
    silent = growth.silent[torch.isin(growth.silent, at, invert=True)]
    none = touched.design.silent()
    silent = torch.cat([silent, at[none]])
    if whole:
        every = _of_all(parts, pool, design)
        posterior, label = Revised.of(every), Revised.of(_labels(every, design, silent))
        found = every[at]
    else:
        found = _posterior(parts, pool, touched.design, touched.workers).to(growth.base.dtype)
        posterior = growth.posterior.with_rows(at, found, n_tasks)
        label = growth.label.with_rows(at, _labels(found, touched.design, none), n_tasks)
    worth = extended(growth.worth.T, n_workers).T
    worth.index_add_(1, addition.workers, worth_of_few(addition.design, found))
    shown = growth.shown
    if shown is not None:
        counts = extended(shown[0], n_workers)
        assert pool is not None
        addition.add_counts(_mean(parts, pool, touched), counts)
        shown = counts, shown[1]
    grown = Growth(
        design,
        growth.base,
        additions,
        parts,
        shown,
        worth,
        posterior,
        label,
        silent,
        0 if whole else waiting,
    )
    what = "all tasks" if whole else f"{counted(len(at), 'task')} with new answers"
    how = f"tables of {counted(len(addition.workers), 'worker')}, then labels of {what}"
    return replace(_model(model, grown, pool, design), growth=grown), memory, how


def _joined(
    additions: tuple[Addition, ...], memory: Memory, like: DesignMatrix
) -> tuple[Addition, ...]:
    """Lay out the last additions as one where the one before has no more than twice the answers of those after it.

    So a stream of calls leaves a few additions, each more than twice as large as what follows.
    """
    joined, n_answers = 1, additions[-1].design.n_answers
    for addition in additions[-2::-1]:
        if addition.design.n_answers > 2 * n_answers:
            break
        joined, n_answers = joined + 1, n_answers + addition.design.n_answers
    if joined == 1:
        return additions
    n_calls = sum(addition.n_calls for addition in additions[-joined:])
    together = Addition.of(memory.rows(n_calls), like, n_calls=n_calls)
    return (*additions[:-joined], together)


def _of_all(parts: tuple[Part, ...], pool: OpinionPool | None, design: GrownDesign) -> torch.Tensor:
    """Return p(label | x_n), shape (N, K), of all tasks."""
    energies = [part.energy for part in parts]
    found = [energy.fold(design.states(energy.weight, energy.bias)) for energy in energies]
    return found[0] if pool is None else pool.pooled(found, design)


def _posterior(
    parts: tuple[Part, ...],
    pool: OpinionPool | None,
    design: DesignMatrix,
    workers: torch.Tensor,
) -> torch.Tensor:
    """Return p(label | x_n), shape (N, K), of a matrix over some of the workers."""
    energies = [part.energy for part in parts]
    energies = [replace(energy, weight=energy.weight[workers]) for energy in energies]
    if pool is None:
        (energy,) = energies
        return energy.fold(expect(design, energy.weight, energy.bias).states)
    return replace(pool, energies=tuple(energies)).posterior(design)


def _mean(parts: tuple[Part, ...], pool: OpinionPool, touched: Addition) -> torch.Tensor:
    """Return the members' mean, without the votes, of the tasks that have new answers."""
    energies = [replace(part.energy, weight=part.energy.weight[touched.workers]) for part in parts]
    return pool.mean([energy.posterior(touched.design) for energy in energies])


def _model(
    model: FittedModel, growth: Growth, pool: OpinionPool | None, design: DesignMatrix
) -> FittedModel:
    """Return what the parts say of workers and classes."""
    if growth.shown is None or pool is None:
        energy = growth.parts[0].energy
    else:
        counts, alpha = growth.shown
        weight = Dirichlet(alpha)(counts)
        average = weight[design.answered].exp().mean(0).log()
        energy = Energy(torch.log(pool.prior()), weight, average)
    prior, confusion, skills = energy.reading(design)
    priors = np.zeros(model.n_classes)
    priors[model.used] = prior.numpy()
    return replace(
        model,
        energy=energy,
        pool=pool,
        priors=priors,
        confusion=confusion.numpy(),
        skills=skills.numpy(),
        information=information(growth.worth),
    )


def _labels(p: torch.Tensor, design: DesignMatrix, silent: torch.Tensor) -> torch.Tensor:
    """Return the likeliest class of each task of a matrix, shape (n,), −1 without answers; ties as in ``best_class``.

    ``silent``, shape (m,), are the tasks that have none.
    """
    if not p.shape[1]:
        return torch.full((len(p),), -1, dtype=torch.int64, device=p.device)
    best, open_, tied = best_and_ties(p)
    if len(open_):
        best[open_] = torch.where(tied, design.votes[open_], -1.0).argmax(1)
    best[silent] = -1
    return best


def growth_of(
    model: FittedModel,
    design: DesignMatrix,
    posterior: torch.Tensor,
    selected: Selected | None,
    recipe: Recipe,
    end: WarmStart | None,
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
    """
    settings, p = recipe.settings, posterior.to(design.dtype)
    if type(design) is not DesignMatrix or design.device.type != "cpu":
        return None
    if selected is not None:
        if not selected.members or selected.mean is None:
            return None
        shown = design.expected_counts(selected.mean), selected.tables.pseudo_answers
        parts = tuple(part_of(member, design) for member in selected.members)
        return Growth.begun(design, parts, p, shown, worth_of(design, p))
    if end is None:
        return None
    if settings.gauge != "normalised" or settings.n_subtypes > 1 or settings.n_iter == 0:
        return None
    pseudo_tasks = 0.0 if settings.penalty is None else settings.prior_penalty
    part = single_part(model.energy, end.pseudo_answers, pseudo_tasks, design, p)
    return Growth.begun(design, (part,), p, None, worth_of(design, p))

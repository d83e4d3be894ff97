"""Where training begins: with the votes, with what is known of labels, or where a model of fewer answers stopped."""

from __future__ import annotations

import numpy as np
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.fitted import FittedModel, IntArray
from deem_crowd.estimators.settings.recipe import Recipe
from deem_crowd.model import votes
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.group import Group
from deem_crowd.training.em import WarmStart
from deem_crowd.training.one_unit import LARGE

ONE = "one unit"
"""What the part of a model of one unit is called among others."""


def continued(
    present: FittedModel | None, answers: Answers, used: IntArray, recipe: Recipe
) -> dict[str, WarmStart]:
    """Return where the parts of a model stopped that this fit may go on from, with new workers as average ones."""
    if present is None or not np.array_equal(present.used, used):
        return {}
    if not np.array_equal(present.class_map, np.arange(len(used))):
        return {}
    ours = recipe.plain and not recipe.automatic
    return {
        name: warm_start.widened(answers.n_workers)
        for name, warm_start in present.warm_starts.items()
        if warm_start.energy.n_workers <= answers.n_workers
        and (name != ONE or (ours and warm_start.energy.n_subtypes == recipe.settings.n_subtypes))
    }


def if_any(gold: IntArray | None, group: Group) -> IntArray | None:
    """Return known labels, or None where no process has any, so that these change nothing."""
    known = gold is not None and (gold >= 0).any()
    return gold if float(group.reduce(torch.tensor(float(known)).double())) > 0 else None


def first_energy(
    answers: Answers,
    design: DesignMatrix,
    recipe: Recipe,
    gold: torch.Tensor | None,
    generator: torch.Generator,
) -> Energy:
    """Return the energy of the votes, and of what is known of labels, that training starts from.

    Parameters
    ----------
    answers : Answers
    design : DesignMatrix
        Of these answers.
    recipe : Recipe
    gold : LongTensor, shape (N,), optional
        Known class of each task, −1 where unknown.
    generator : Generator
        Of the noise, for starts that have some.
    """
    m = recipe.settings.n_subtypes
    skill, own = votes.start(
        answers,
        design,
        m,
        recipe.init_method,
        recipe.use_weighted,
        generator,
        _saves(design, recipe),
    )
    weight = own.addcmul_(skill[:, None, None], votes.diagonal(design.n_classes, m)[None])
    if gold is not None:
        weight = _taught(weight, design, gold, m)
    population = weight.mean(0) if len(weight) else weight.new_zeros(weight.shape[1:])
    bias = torch.zeros(design.n_classes * m, dtype=torch.float64)
    return Energy(bias, weight, population, m)


def _taught(weight: torch.Tensor, design: DesignMatrix, gold: torch.Tensor, m: int) -> torch.Tensor:
    """Let each worker's answers to tasks with gold speak against the start, which then counts as K answers.

    Where most workers are wrong about a label, the vote would start training on the wrong side, and the likelihood has
    a maximum there as well. All of a worker's columns are then normalised, those of classes without gold too. Otherwise
    these would have larger entries, and tasks would start in classes that no known label names.
    """
    known = torch.nn.functional.one_hot(gold.clamp_min(0), design.n_classes) * (gold >= 0)[:, None]
    states = known.repeat_interleave(m, dim=1).to(design.device, design.dtype) / m
    counts = design.expected_counts(states).cpu()
    cells = counts + design.n_classes * torch.softmax(weight, 1)
    taught = torch.log(cells / cells.sum(1, keepdim=True))
    return torch.where(counts.sum((1, 2), keepdim=True) > 0, taught, weight)


def _saves(design: DesignMatrix, recipe: Recipe) -> bool:
    """Whether the fit is large enough for a start that saves passes to pay."""
    work = design.n_answers_in_all * design.n_classes * recipe.settings.n_subtypes
    learned = recipe.settings.penalty == "learned" and recipe.settings.n_iter > 0
    return recipe.plain and not recipe.automatic and learned and work >= LARGE

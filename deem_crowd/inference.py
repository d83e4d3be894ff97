"""From answers to a fitted model and from a fitted model to posteriors: what both public classes share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd import alignment, evidence, initialization, training
from deem_crowd.answers import Answers
from deem_crowd.energy import Energy
from deem_crowd.exceptions import DataWarning
from deem_crowd.memory import require
from deem_crowd.passes import Passes, resolve_device, resolve_dtype

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """All that decides a fit besides the answers."""

    settings: training.Settings = field(default_factory=training.Settings)
    init_method: initialization.InitMethod = "mv"
    use_weighted: bool = True
    device: str | torch.device = "auto"
    dtype: str = "auto"
    random_state: int | None = None


@dataclass(frozen=True)
class FittedModel:
    """A trained energy and how to read it.

    Attributes
    ----------
    energy : Energy
        Over the classes that were answered.
    used : integers, shape (K',)
        Which of the K classes those are.
    class_map : integers, shape (K',)
        ``class_map[j]`` is the position in ``used`` of the class that hidden state group j stands for.
    n_classes : int
        K.
    priors : shape (K,)
    confusion, skills : shapes (D, K', K') as [worker, answer, label], and (D,)
    fit : training.Fit
    """

    energy: Energy
    used: IntArray
    class_map: IntArray
    n_classes: int
    priors: FloatArray
    confusion: FloatArray
    skills: FloatArray
    fit: training.Fit
    recipe: Recipe

    def with_class_map(self, class_map: IntArray) -> FittedModel:
        """Return the same model read with another mapping of states to classes; all readings carry it."""
        undo = np.argsort(self.class_map)
        shift = class_map[undo]  # where each class reported so far goes
        priors = self.priors.copy()
        priors[self.used[shift]] = self.priors[self.used]
        confusion = self.confusion.copy()
        confusion[:, :, shift] = self.confusion
        right = np.diagonal(confusion, axis1=1, axis2=2)
        return replace(
            self,
            class_map=class_map,
            priors=priors,
            confusion=confusion,
            skills=(right * priors[self.used]).sum(axis=1),
        )

    def spread(self, states: torch.Tensor) -> FloatArray:
        """Bring a posterior over K' state groups, shape (N, K'), to the K classes, shape (N, K)."""
        posterior = np.zeros((len(states), self.n_classes))
        posterior[:, self.used[self.class_map]] = states.to("cpu", torch.float64).numpy()
        return posterior

    def full_confusion(self) -> FloatArray:
        """Return p(answer | label) over all K classes, shape (D, K, K) as [worker, answer, label].

        Of a label that nobody ever gave nothing can be known: its column is uniform.
        """
        d, k = len(self.confusion), self.n_classes
        full = np.zeros((d, k, k))
        unused = np.setdiff1d(np.arange(k), self.used)
        full[:, :, unused] = 1.0 / max(k, 1)
        full[:, self.used[:, None], self.used[None, :]] = self.confusion
        return full

    def posterior(self, answers: Answers, workers: IntArray, classes: IntArray) -> FloatArray:
        """Return p(label | answers) for tasks old or new, shape (N, K).

        Parameters
        ----------
        answers : Answers
            About N tasks.
        workers : integers, shape (number of workers in ``answers``,)
            The number each has in this model, −1 for workers it does not know: they count as average.
        classes : integers, shape (number of classes in ``answers``,)
            The class, 0..K-1, that each stands for.
        """
        position = np.full(self.n_classes, -1, dtype=np.int64)
        position[self.used] = np.arange(len(self.used))
        recoded = _recode(
            answers, workers, position[classes], self.energy.n_workers, len(self.used)
        )
        energy = self.energy
        energy = replace(energy, weight=torch.cat([energy.weight, energy.population[None]]))
        passes = _passes(recoded, self.recipe, energy.n_states)
        return self.spread(energy.posterior(passes))


def fit_answers(
    answers: Answers,
    recipe: Recipe,
    gold: IntArray | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[FittedModel, FloatArray]:
    """Fit the exact model.

    Parameters
    ----------
    answers : Answers
        N tasks, D workers, K classes.
    recipe : Recipe
    gold : integers, shape (N,), optional
        Known class of each task, −1 where unknown.
    progress : callable, optional
        As in :func:`deem_crowd.training.train`.

    Returns
    -------
    FittedModel
    posterior : float64, shape (N, K)
        p(label | answers, gold). A task without answers gets the class prior.

    Raises
    ------
    MemoryNeedError
        Before anything is allocated, if tables and posteriors would not fit.
    """
    compact, used = _only_used_classes(answers)
    m = recipe.settings.n_subtypes
    n_states = len(used) * m
    passes = _passes(compact, recipe, n_states)
    known: torch.Tensor | None = None
    if gold is not None and len(used):
        position = np.full(answers.n_classes + 1, -1, dtype=np.int64)
        position[used] = np.arange(len(used))
        known = torch.from_numpy(position[gold])
    energy = _start(compact, passes, recipe, known)
    fit = training.train(passes, energy, recipe.settings, known, progress)
    likelihood = training.Likelihood(passes, recipe.settings, known)
    states = likelihood.posterior_of(fit.energy)
    empty = known is None and _says_nothing(fit, states, passes, recipe.settings)
    if empty:
        fit.energy = evidence.common_skill(passes, m)
        states = likelihood.posterior_of(fit.energy)
    folded = fit.energy.fold(states).to("cpu", torch.float64)
    class_map = np.arange(len(used))
    if known is None and len(used) > 1:
        vote = initialization.vote_shares(passes).cpu().numpy()
        class_map = alignment.match(folded.numpy().T @ vote)
    identity = np.arange(len(used))
    priors = np.zeros(answers.n_classes)
    if len(used):
        priors[used] = fit.energy.class_prior(passes).to("cpu", torch.float64).numpy()
    model = FittedModel(
        energy=fit.energy,
        used=used,
        class_map=identity,
        n_classes=answers.n_classes,
        priors=priors,
        confusion=fit.energy.confusion(passes).numpy(),
        skills=fit.energy.skills(passes).numpy(),
        fit=fit,
        recipe=recipe,
    )
    if not np.array_equal(class_map, identity):
        model = model.with_class_map(class_map)
    _warn_not_converged(fit, recipe.settings)
    if empty or recipe.settings.penalty != "learned":
        _warn_chance(compact, passes)
    return model, model.spread(folded)


def best_class(posterior: FloatArray, answers: Answers, gold: IntArray | None = None) -> IntArray:
    """Return the most probable class of each task, shape (N,); −1 for tasks with neither answers nor gold.

    Ties go to the first class, within 1e-6, so that they do not depend on the order of the rows.
    """
    if posterior.shape[1] == 0:
        return np.full(len(posterior), -1, dtype=np.int64)
    best = initialization.first_of_best(torch.from_numpy(posterior)).numpy().astype(np.int64)
    unanswered = np.diff(answers.task_ptr) == 0
    if gold is not None:
        unanswered &= gold < 0
    best[unanswered] = -1
    return best


def _passes(answers: Answers, recipe: Recipe, n_states: int) -> Passes:
    device = resolve_device(recipe.device)
    n_entries = answers.n_answers * (answers.n_classes if answers.is_soft else 1)
    dtype = resolve_dtype(recipe.dtype, n_entries, n_states)
    tables = 8 * answers.n_workers * answers.n_classes * n_states
    work = 8 * tables + 3 * dtype.itemsize * answers.n_tasks * n_states + 24 * n_entries
    require(
        work,
        f"the model of {answers.n_workers:,} workers × {answers.n_classes:,} answers × {n_states:,} states "
        f"over {answers.n_tasks:,} tasks",
        "Merge rare labels or leave out workers with few answers.",
    )
    return Passes(answers, device, dtype)


def _start(answers: Answers, passes: Passes, recipe: Recipe, gold: torch.Tensor | None) -> Energy:
    generator = torch.Generator().manual_seed(int(recipe.random_state or 0))
    m = recipe.settings.n_subtypes
    skill, own = initialization.start(
        answers, passes, m, recipe.init_method, recipe.use_weighted, generator
    )
    weight = own.addcmul_(skill[:, None, None], initialization.diagonal(passes.n_classes, m)[None])
    if gold is not None:
        weight = _taught(weight, passes, gold, m)
    population = weight.mean(0) if len(weight) else weight.new_zeros(weight.shape[1:])
    bias = torch.zeros(passes.n_classes * m, dtype=torch.float64)
    return Energy(bias, weight, population, m)


def _taught(weight: torch.Tensor, passes: Passes, gold: torch.Tensor, m: int) -> torch.Tensor:
    """Let each worker's answers to tasks with gold speak against the start, which then counts as K answers.

    Where most workers are wrong about a label, the vote would start training on the wrong side, and the likelihood has
    a maximum there as well.
    """
    known = torch.nn.functional.one_hot(gold.clamp_min(0), passes.n_classes) * (gold >= 0)[:, None]
    states = known.repeat_interleave(m, dim=1).to(passes.device, passes.dtype) / m
    counts = passes.counts(states).cpu()
    cells = counts + passes.n_classes * torch.softmax(weight, 1)
    taught = torch.log(cells / cells.sum(1, keepdim=True))
    return torch.where(counts.sum(1, keepdim=True) > 0, taught, weight)


def _only_used_classes(answers: Answers) -> tuple[Answers, IntArray]:
    """Leave out classes that nobody ever answered: they have no evidence, and no share in anything."""
    k = answers.n_classes
    soft = answers.soft
    mass = np.bincount(answers.hard_label, minlength=k) if soft is None else soft.sum(axis=0)
    used = np.flatnonzero(mass > 0)
    if len(used) == k:
        return answers, used
    classes = answers.classes.take(used)
    if soft is not None:
        return replace(answers, soft=soft[:, used], classes=classes), used
    position = np.zeros(k, dtype=np.int32)
    position[used] = np.arange(len(used), dtype=np.int32)
    return replace(answers, label=position[answers.hard_label], classes=classes), used


def _recode(
    answers: Answers, workers: IntArray, classes: IntArray, n_workers: int, n_classes: int
) -> Answers:
    """Number workers and classes as the model does; unknown workers become number ``n_workers``.

    Answers with a class of which the model knows nothing say nothing and are left out, with a warning.
    """
    worker = np.where(workers < 0, n_workers, workers)[answers.worker].astype(np.int32)
    task_ptr, label, soft = answers.task_ptr, answers.label, answers.soft
    if soft is not None:
        spread = np.zeros((len(soft), n_classes))
        spread[:, classes[classes >= 0]] = soft[:, classes >= 0]
        keep = spread.sum(axis=1) > 0
        soft = spread
    else:
        label = classes[answers.hard_label].astype(np.int32)
        keep = label >= 0
    if not keep.all():
        warnings.warn(
            f"{int((~keep).sum())} answers give a class that nobody gave when the model was fitted: "
            "they are left out.",
            DataWarning,
            stacklevel=5,
        )
        kept = np.concatenate([[0], np.cumsum(keep)])
        task_ptr = kept[task_ptr].astype(task_ptr.dtype)
        worker = worker[keep]
        label = None if label is None else label[keep]
        soft = None if soft is None else soft[keep]
    return replace(
        answers,
        task_ptr=task_ptr,
        worker=worker,
        label=label,
        soft=soft,
        workers=pd.RangeIndex(n_workers + 1),
        classes=pd.RangeIndex(n_classes),
    )


def _warn_not_converged(fit: training.Fit, settings: training.Settings) -> None:
    if not fit.converged and fit.n_passes >= settings.n_iter > 0:
        from sklearn.exceptions import ConvergenceWarning

        warnings.warn(
            f"training stopped after {fit.n_passes} passes before a pass gained less than "
            f"tol={settings.tol:g} nats an answer. Raise n_iter (epochs), or tol.",
            ConvergenceWarning,
            stacklevel=5,
        )


def _says_nothing(
    fit: training.Fit, states: torch.Tensor, passes: Passes, settings: training.Settings
) -> bool:
    """Whether the answers are explained as well without a hidden label; asked of the learned penalty only."""
    if settings.penalty != "learned" or settings.gauge != "normalised" or fit.n_passes == 0:
        return False
    counts = passes.counts(states).cpu()
    gained = evidence.label_evidence(
        counts, states.cpu(), fit.pseudo_answers, settings.prior_penalty
    )
    return gained <= 0


def _warn_chance(answers: Answers, passes: Passes) -> None:
    """Warn where two answers to a task agree no more often than answers to different tasks would."""
    agreed, chance, pairs = evidence.pair_agreement(passes)
    if pairs == 0 or answers.n_classes < 2 or answers.is_soft:
        return
    scatter = float(np.sqrt(chance * (1 - chance) / pairs))
    if agreed <= chance + 2 * scatter and pairs >= 10:
        warnings.warn(
            f"two answers to one task agree in {agreed:.1%} of cases, and {chance:.1%} are expected by chance: "
            "the answers carry hardly any information about the labels.",
            DataWarning,
            stacklevel=5,
        )


def history(model: FittedModel) -> dict[str, Any]:
    """Return the training history: log-likelihood per task (nats) at each pass."""
    return {"log_likelihood": list(model.fit.log_likelihood)}

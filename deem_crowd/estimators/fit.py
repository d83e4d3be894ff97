"""From answers to a fitted model: what both public classes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers
from deem_crowd.data.doubts import of_scores
from deem_crowd.estimators import deep, grouped, many_classes
from deem_crowd.estimators.balance import balanced, shares
from deem_crowd.estimators.deep import Outcome
from deem_crowd.estimators.fitted import FittedModel, FloatArray, IntArray
from deem_crowd.estimators.incremental.growth import growth_of
from deem_crowd.estimators.information import information_of
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.estimators.ordering import classes_in_order, warn_of_many_steps
from deem_crowd.estimators.settings.recipe import Recipe
from deem_crowd.estimators.starts import ONE, continued, first_energy, if_any
from deem_crowd.exceptions import DataWarning
from deem_crowd.model import votes
from deem_crowd.model.design import DesignMatrix, make_design
from deem_crowd.model.energy import Energy
from deem_crowd.model.group import ALONE, Group
from deem_crowd.model.named_classes import NamedClasses, NamedPosterior
from deem_crowd.model.units import MAX_JOINT_STATES
from deem_crowd.runtime.ambient import undisturbed
from deem_crowd.runtime.progress import Progress, only_stage
from deem_crowd.runtime.threads import as_many_threads_as_pay
from deem_crowd.runtime.warning import warn
from deem_crowd.selection import null_model, one_factor, one_sided, select
from deem_crowd.selection.candidates import Candidate, fallen_back
from deem_crowd.selection.known_labels import taught
from deem_crowd.selection.opinion_pool import OpinionPool, counting, without_label
from deem_crowd.selection.parts import Parts
from deem_crowd.selection.selected import Selected
from deem_crowd.training import likelihood as training
from deem_crowd.training import one_unit
from deem_crowd.training.em import WarmStart
from deem_crowd.training.ending import entropy_of

_FIRST = 2**13
"""Answers among which all classes of many occur, if they do."""


@undisturbed
@as_many_threads_as_pay
def fit_any(
    answers: Answers,
    recipe: Recipe,
    gold: IntArray | None = None,
    progress: Progress | None = None,
    present: FittedModel | SparseModel | None = None,
    keep: bool = False,
    group: Group = ALONE,
) -> tuple[FittedModel | SparseModel, FloatArray | NamedPosterior]:
    """Fit the model of a recipe: with sparse tables where classes are many (:mod:`.many_classes`), else as
    :func:`fit_answers`, which says what the parameters are.

    Returns
    -------
    FittedModel, or SparseModel
    posterior : float64, shape (N, K), or NamedPosterior
    """
    if many_classes.suits(answers, recipe, group) and not classes_in_order(answers, recipe.ordered):
        compact, used = only_used_classes(answers, gold, group)
        if many_classes.suits(compact, recipe, group):
            k = answers.n_classes
            return _of_many_classes(compact, used, k, recipe, gold, progress, group)
    goes_on = present if isinstance(present, FittedModel) else None
    return fit_answers(answers, recipe, gold, progress, goes_on, group, keep)


def _of_many_classes(
    answers: Answers,
    used: IntArray,
    n_classes: int,
    recipe: Recipe,
    gold: IntArray | None,
    progress: Progress | None,
    group: Group,
) -> tuple[SparseModel, NamedPosterior]:
    known = None if (told := if_any(gold, group)) is None else _among(used, n_classes)[told]
    model, posterior, uninformed, converged = many_classes.fit(
        answers, used, n_classes, recipe, known, progress, group
    )
    if not recipe.automatic and not converged:
        one_unit.warn_passes(len(model.log_likelihood()), recipe.settings)
    if uninformed:
        _warn_of_chance(*NamedClasses(answers, group=group).pair_agreement())
    return model, posterior


@undisturbed
@as_many_threads_as_pay
def fit_answers(
    answers: Answers,
    recipe: Recipe,
    gold: IntArray | None = None,
    progress: Progress | None = None,
    present: FittedModel | None = None,
    group: Group = ALONE,
    keep: bool = False,
) -> tuple[FittedModel, FloatArray]:
    """Fit the model of a recipe, with tables of K² numbers a worker.

    Parameters
    ----------
    answers : Answers
        N tasks, D workers, K classes.
    recipe : Recipe
    gold : integers, shape (N,), optional
        Known class of each task, −1 where unknown.
    progress : Progress, optional
        What is told how far training is.
    present : FittedModel, optional
        A model of some of these answers, whose workers are the first of these: training goes on from there as far as
        its end does not depend on its start.
    group : Group
        The processes that hold further tasks of the same workers and classes, and fit with these; for models of one
        unit only. Whether ``gold`` is None is the same in all.
    keep : bool
        Whether the model keeps what a few more answers need (:mod:`deem_crowd.estimators.incremental.growth`).

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
    gold = if_any(gold, group)
    compact, used = only_used_classes(answers, gold, group)
    n_states = _n_states(recipe, len(used))
    balance = shares(recipe.class_balance, answers.classes, used)
    keep = keep and balance is None  # a few more answers would move all probabilities
    design = make_design(compact, recipe.device, recipe.dtype, n_states, group)
    place = _among(used, answers.n_classes)
    known = None if gold is None or not len(used) else torch.from_numpy(place[gold])
    generator = recipe.generator()
    warm_starts = continued(present, compact, used, recipe)
    begin = warm_starts.get(ONE)
    pool: OpinionPool | None = None
    candidates: tuple[Candidate, ...] = ()
    ends: dict[str, WarmStart] = {}
    selected: Selected | None = None
    if recipe.automatic and design.n_answers_in_all > 0:
        found, selected = _chosen(compact, design, recipe, known, generator, progress, warm_starts)
        pool, ends, uninformed = selected.pool, selected.warm_starts, selected.posterior is None
        rows = selected.candidates
        if uninformed and pool is not None:
            rows = fallen_back(rows, pool.weights[-1], selected.power is not None)
        candidates = tuple(rows)
    elif recipe.plain or design.n_answers_in_all == 0:
        start = begin.energy if begin else first_energy(compact, design, recipe, known, generator)
        alpha = begin.pseudo_answers if begin else None
        found, uninformed, ends[ONE] = _plain(design, start, recipe, known, progress, alpha)
    else:
        start = first_energy(compact, design, recipe, known, generator)
        found = deep.fit(compact, design, start, recipe, generator, known, progress)
        uninformed = False
    class_map = identity = np.arange(len(used))
    if known is None and len(used) > 1:
        class_map = votes.match(votes.agreement_with_votes(found.posterior, design).numpy())
    as_found = not keep and len(used) == answers.n_classes and np.array_equal(class_map, identity)
    posterior = found.posterior.to("cpu", torch.float64)
    if not keep:
        design.__dict__.pop("votes", None)  # as large as a posterior, and not asked for again
    priors = np.zeros(answers.n_classes)
    if len(used):
        priors[used] = found.prior.numpy()
    model = FittedModel(
        energy=found.energy,
        used=used,
        class_map=identity,
        n_classes=answers.n_classes,
        priors=priors,
        confusion=found.confusion.numpy(),
        skills=found.skills.numpy(),
        history=found.history,
        device=recipe.device,
        dtype=recipe.dtype,
        network=found.network,
        units=found.units,
        label_unit=found.label_unit,
        readings=found.readings,
        pool=pool,
        candidates=candidates,
        warm_starts=ends,
        pairs=None if selected is None else selected.pairs,
    )
    if not np.array_equal(class_map, identity):
        model = model.with_class_map(class_map)
    elif keep and len(used) == answers.n_classes and not uninformed:
        growth = growth_of(model, design, posterior, selected, recipe, ends.get(ONE), known)
        model = replace(model, growth=growth)
    model = replace(model, information=information_of(compact, design, found.posterior, class_map))
    if uninformed or not recipe.plain or recipe.settings.penalty != "learned":
        _warn_chance(compact, design)
    if balance is not None:
        return balanced(model, posterior, balance, design, answers, gold)
    return model, posterior.numpy() if as_found else model.spread(posterior)


def _among(used: IntArray, n_classes: int) -> IntArray:
    """Return the place of each class among the used ones, −1 for others and, at the end, for no class, (K + 1,)."""
    place = np.full(n_classes + 1, -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    return place


def _n_states(recipe: Recipe, n_classes: int) -> int:
    """Return how many states the widest table of a fit has."""
    n_states = n_classes * (2 if recipe.automatic else recipe.settings.n_subtypes)
    if recipe.hidden_dim == 1:
        return n_states
    together = n_states**recipe.hidden_dim
    return together if together <= MAX_JOINT_STATES else n_states * recipe.hidden_dim


def _chosen(
    answers: Answers,
    design: DesignMatrix,
    recipe: Recipe,
    known: torch.Tensor | None,
    generator: torch.Generator,
    progress: Progress | None,
    warm_starts: Mapping[str, WarmStart],
) -> tuple[Outcome, Selected]:
    """Choose the model from the answers; without a posterior, these say nothing about a label."""
    ordered = classes_in_order(answers, recipe.ordered)
    if ordered:
        warn_of_many_steps(answers.n_classes)
    group = grouped.numbers(recipe.groups, answers.workers)
    counted_pairs = select.counting_pairs(answers, design)

    def chosen(gold: torch.Tensor | None) -> Selected:
        first = gold is known
        begin = None
        if gold is not None and design.anywhere(bool((gold >= 0).any())):
            # the start has learned from gold
            start = first_energy(answers, design, recipe, gold, generator)
            begin = training.Likelihood(design, recipe.settings, gold).posterior_of(start)
        return select.select(
            answers,
            design,
            gold,
            begin,
            recipe.settings.n_iter,
            progress if first else None,
            warm_starts if first else None,
            ordered,
            group,
            Parts(in_order=recipe.ordered is not False),
            counted_pairs,
        )

    selected = chosen(None) if known is None else taught.select(answers, design, known, chosen)
    history = selected.tables.log_likelihood
    if selected.pool is None or selected.weight is None:
        apart = even = without_label(answers, design, selected.power)
        if selected.power is not None:
            even = counting(apart, 1 / torch.from_numpy(selected.power))
        outcome = _outcome(design, even.mean_energy(), history, apart.posterior(design))
        # answers are probabilities, which tell each source's own skill
        if apart.smoothed < 1:
            own = one_factor.skills(answers, design, outcome.posterior)
            outcome = replace(outcome, skills=own)
        return outcome, replace(selected, pool=apart)
    weight = selected.weight
    average = weight[design.answered].exp().mean(0).log()
    shown = Energy(torch.log(selected.pool.prior()), weight, average)
    outcome = _outcome(design, shown, history, selected.posterior)
    skills = selected.skills
    if skills is None and selected.posterior is not None:
        skills = one_sided.skills(design, selected.posterior, outcome.skills)
    return (outcome if skills is None else replace(outcome, skills=skills)), selected


def _outcome(
    design: DesignMatrix,
    energy: Energy,
    log_likelihood: list[float],
    posterior: torch.Tensor | None = None,
) -> Outcome:
    """Return what a single energy says; ``posterior`` stands in for its own if given."""
    if posterior is None:
        posterior = energy.posterior(design)
    return Outcome.of(design, energy, posterior, {"log_likelihood": list(log_likelihood)})


def _plain(
    design: DesignMatrix,
    start: Energy,
    recipe: Recipe,
    known: torch.Tensor | None,
    progress: Progress | None,
    pseudo_answers: torch.Tensor | None,
) -> tuple[Outcome, bool, WarmStart]:
    """Fit one unit exactly; also return whether the answers say nothing about a label, and where training stopped."""
    report = only_stage(progress, recipe.settings.n_iter)
    fit = one_unit.train(design, start, recipe.settings, known, report, pseudo_answers)
    warm_start = WarmStart(fit.energy, fit.pseudo_answers)
    likelihood = training.Likelihood(design, recipe.settings, known)
    end = training.Weights(fit.energy.bias, fit.energy.weight)
    ended = likelihood.expected(end)
    states = ended.states
    uninformed = False
    if known is None and _may_prefer_no_label(fit, recipe.settings):
        last = likelihood.evaluation(end, ended) if fit.last is None else fit.last
        uninformed = _prefers_no_label(fit, last, recipe.settings)
    if uninformed:
        fit.energy = null_model.common_skill(design, recipe.settings.n_subtypes)
        states = likelihood.posterior_of(fit.energy)
    one_unit.warn_not_converged(fit, recipe.settings)
    outcome = _outcome(design, fit.energy, fit.log_likelihood, fit.energy.fold(states))
    return outcome, uninformed, warm_start


def only_used_classes(
    answers: Answers, gold: IntArray | None, group: Group = ALONE
) -> tuple[Answers, IntArray]:
    """Leave out classes that neither an answer nor gold names: they have no evidence, and no share in anything."""
    k = answers.n_classes
    soft = answers.soft
    if group is ALONE and soft is None and _all_occur(answers.hard_label[:_FIRST], k):
        return answers, np.arange(k)
    mass = ids.tally(answers.hard_label, k) if soft is None else soft.sum(axis=0)
    if gold is not None:
        mass = mass + np.bincount(gold[gold >= 0], minlength=k)
    used = np.flatnonzero(group.reduce(torch.from_numpy(mass).double()).numpy() > 0)
    if len(used) == k or not len(used):  # where nobody answered anything, all are alike
        return answers, np.arange(k)
    place = np.full(k, -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    return answers.select(classes=(place, answers.classes.take(used))), used


def _all_occur(label: npt.NDArray[np.int32], k: int) -> bool:
    """Tell whether all classes are among labels."""
    return k <= len(label) and bool((np.bincount(label, minlength=k) > 0).all())


def _may_prefer_no_label(fit: one_unit.Fit, settings: training.Settings) -> bool:
    """Whether a fit without a hidden label is asked for: of the learned penalty only."""
    return settings.penalty == "learned" and settings.gauge == "normalised" and fit.n_passes > 0


def _prefers_no_label(
    fit: one_unit.Fit, last: training.Evaluation, settings: training.Settings
) -> bool:
    """Whether the answers are explained as well without a hidden label, given the states of the last pass."""
    bias, weight = last.at
    entropy = entropy_of(last.counts, last.states, last.log_likelihood, weight, bias)
    alpha, kappa = fit.pseudo_answers, settings.prior_penalty
    return null_model.label_evidence(last.counts, last.states, entropy, alpha, kappa) <= 0


def _warn_chance(answers: Answers, design: DesignMatrix) -> None:
    """Warn where two answers to a task agree no more often than answers to different tasks would."""
    if answers.n_classes < 2 or answers.is_soft:
        return
    _warn_of_chance(*null_model.pair_agreement(design), of_scores(answers.classes))


def _warn_of_chance(agreed: float, chance: float, pairs: float, more: str = "") -> None:
    if pairs == 0:
        return
    scatter = float(np.sqrt(chance * (1 - chance) / pairs))
    if agreed <= chance + 2 * scatter and pairs >= 10:
        warn(
            f"two answers to one task agree in {agreed:.1%} of cases, and {chance:.1%} are expected by chance: "
            f"the answers carry hardly any information about the labels.{more}",
            DataWarning,
        )

"""Fits beyond one hidden unit trained exactly: several units, multinomial layers, training by samples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from deem_crowd.data.answers import Answers
from deem_crowd.estimators.fitted import network_posterior
from deem_crowd.estimators.settings.recipe import LayerRecipe, Recipe
from deem_crowd.model import units
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.network import Batches, Network
from deem_crowd.model.units import UnitReading, Units
from deem_crowd.runtime.progress import Progress, only_stage
from deem_crowd.samplers import DiscreteLangevin, Gibbs
from deem_crowd.samplers.base import Sampler
from deem_crowd.training import contrastive, joint, pretrain
from deem_crowd.training.likelihood import Likelihood
from deem_crowd.training.one_unit import warn_not_converged

# What a worker's empirical table starts with: answers of the average worker.
_PRIOR_ANSWERS = 2.0


@dataclass
class Outcome:
    """What a fit found, before hidden states have names.

    Attributes
    ----------
    energy : Energy
        Of the label's unit.
    posterior : float64 Tensor, shape (N, K)
        p(state group | answers, gold).
    prior, confusion, skills : float64 Tensors, shapes (K,), (D, K, K), (D,)
    history : dict of lists
    network, units, label_unit, readings
        As in :class:`deem_crowd.estimators.fitted.FittedModel`.
    """

    energy: Energy
    posterior: Tensor
    prior: Tensor
    confusion: Tensor
    skills: Tensor
    history: dict[str, list[float]] = field(default_factory=dict)
    network: Network | None = None
    units: Units | None = None
    label_unit: int = 0
    readings: tuple[UnitReading, ...] = ()

    @classmethod
    def of(
        cls,
        design: DesignMatrix,
        energy: Energy,
        posterior: Tensor,
        history: dict[str, list[float]],
    ) -> Outcome:
        """Return what an energy says by its tables, beside a posterior on any device."""
        prior, confusion, skills = energy.reading(design)
        return cls(energy, posterior.to("cpu", torch.float64), prior, confusion, skills, history)


def fit(
    answers: Answers,
    design: DesignMatrix,
    start: Energy,
    recipe: Recipe,
    generator: torch.Generator,
    gold: Tensor | None,
    progress: Progress | None,
) -> Outcome:
    """Fit a recipe that is not plain.

    Parameters
    ----------
    answers, passes : the same data
    start : Energy
        Of the first unit.
    recipe : Recipe
    generator : torch.Generator
        On the CPU, for starts; training draws from one of its own on the device.
    gold : LongTensor, shape (N,), optional
    progress : Progress, optional

    Raises
    ------
    UnsupportedError
        If the sampler cannot serve the model, or the layers would be too large.
    """
    if recipe.layers is not None:
        return _layered(answers, design, start, recipe, recipe.layers, generator, gold, progress)
    begin = units.start(start, recipe.hidden_dim, generator, answers)
    if recipe.sampler is None and begin.tractable:
        report = only_stage(progress, recipe.settings.n_iter)
        trained_units, exact = joint.train_units(design, begin, recipe.settings, gold, report)
        warn_not_converged(exact, recipe.settings)
        return _several(
            trained_units, design, recipe, gold, {"log_likelihood": exact.log_likelihood}
        )
    network = Network(begin, None, recipe.settings.gauge == "normalised")
    trained = _by_samples(
        answers, design, network, recipe.sampler or Gibbs(), recipe, gold, progress
    )
    trained_units = trained.network.units()
    if recipe.hidden_dim == 1:
        return _single(trained_units, design, recipe, gold, trained.history)
    return _several(trained_units, design, recipe, gold, trained.history)


def _by_samples(
    answers: Answers,
    design: DesignMatrix,
    network: Network,
    sampler: Sampler,
    recipe: Recipe,
    gold: Tensor | None,
    progress: Progress | None,
) -> contrastive.DivergenceFit:
    how = recipe.divergence
    epochs = min(how.n_epochs(answers.n_tasks), recipe.settings.n_iter)
    if recipe.layers is not None and recipe.layers.init == "units" and how.epochs is None:
        epochs = 0  # layers that were trained already: going on by samples is for those who ask
    batches = Batches(
        answers, design.device, design.dtype, dense=True if recipe.layers is not None else None
    )
    return contrastive.train_by_samples(
        batches,
        design,
        network,
        sampler,
        recipe.settings,
        replace(how, epochs=epochs),
        recipe.generator(design.device),
        gold,
        only_stage(progress, epochs),
    )


def _single(
    units: Units,
    design: DesignMatrix,
    recipe: Recipe,
    gold: Tensor | None,
    history: dict[str, list[float]],
) -> Outcome:
    """Read one unit without layers: its tables are the confusion matrices."""
    combined = joint.combine(units)
    population = units.population[:, :-1] + units.population[:, -1:]
    energy = Energy(combined.bias, combined.weight, population, units.n_subtypes)
    states = Likelihood(design, recipe.settings, gold).posterior_of(energy)
    return Outcome.of(design, energy, energy.fold(states), history)


def _several(
    several: Units,
    design: DesignMatrix,
    recipe: Recipe,
    gold: Tensor | None,
    history: dict[str, list[float]],
) -> Outcome:
    """Find the label among several units, and read what it says."""
    readings = units.read_units(several, design, units.unit_posteriors(several, design))
    label = 0 if gold is not None else units.label_unit(readings)
    energy = several.unit_energy(label)
    states = Likelihood(design, recipe.settings, gold).posterior_of(energy)
    posterior = energy.fold(states).to("cpu", torch.float64)
    return _empirical(
        Outcome(
            energy=energy,
            posterior=posterior,
            prior=posterior.mean(0),
            confusion=torch.zeros(0),
            skills=torch.zeros(0),
            history=history,
            units=several,
            label_unit=label,
            readings=tuple(readings),
        ),
        design,
    )


def _layered(
    answers: Answers,
    design: DesignMatrix,
    start: Energy,
    recipe: Recipe,
    layers: LayerRecipe,
    generator: torch.Generator,
    gold: Tensor | None,
    progress: Progress | None,
) -> Outcome:
    """Train layers and units together, by samples."""
    stack = layers.build(answers.n_classes, answers.n_workers, generator)
    if layers.init == "units":
        start = pretrain.pretrain(answers, design, start, stack, recipe.settings, generator)
    elif stack.n_outputs != answers.n_workers:
        # outputs are not workers: they all start as the average one
        weight = start.population.expand(stack.n_outputs, *start.population.shape).clone()
        start = Energy(start.bias, weight, start.population, start.n_subtypes)
    begin = units.start(start, recipe.hidden_dim, generator)
    network = Network(begin, stack)
    trained = _by_samples(
        answers, design, network, recipe.sampler or DiscreteLangevin(), recipe, gold, progress
    )
    network = trained.network.eval()
    batches = Batches(answers, design.device, design.dtype, dense=True)
    posteriors = [network_posterior(network, batches, u) for u in range(recipe.hidden_dim)]
    top = network.units()
    readings: tuple[UnitReading, ...] = ()
    label = 0
    if recipe.hidden_dim > 1:
        on_device = [p.to(design.device, design.dtype) for p in posteriors]
        readings = tuple(units.read_units(top, design, on_device))
        label = 0 if gold is not None else units.label_unit(list(readings))
    posterior = posteriors[label]
    if gold is not None:
        known = gold >= 0
        posterior[known] = torch.nn.functional.one_hot(gold[known], answers.n_classes).double()
    outcome = Outcome(
        energy=top.unit_energy(label),
        posterior=posterior,
        prior=posterior.mean(0) if len(posterior) else torch.zeros(answers.n_classes).double(),
        confusion=torch.zeros(0),
        skills=torch.zeros(0),
        history=trained.history,
        network=network.to("cpu"),
        units=top if recipe.hidden_dim > 1 else None,
        label_unit=label,
        readings=readings,
    )
    return _empirical(outcome, design)


def _empirical(outcome: Outcome, design: DesignMatrix) -> Outcome:
    """Fill in confusion matrices and skills from expected counts, each worker starting as the average one."""
    posterior = outcome.posterior.to(design.device, design.dtype)
    counts = design.expected_counts(posterior).cpu()
    pooled = counts.sum(0)
    pooled = (pooled + 1e-3) / (pooled + 1e-3).sum(0, keepdim=True)
    cells = counts + _PRIOR_ANSWERS * pooled
    outcome.confusion = cells / cells.sum(1, keepdim=True)
    right = torch.diagonal(outcome.confusion, dim1=1, dim2=2)
    outcome.skills = (right * outcome.prior).sum(-1)
    return outcome

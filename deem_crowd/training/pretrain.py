"""A start for multinomial layers: hidden units, trained layer after layer on what the layer before returns.

A layer with softmax whose weights are those of D' hidden units returns the posteriors of these units: D' opinions
that the workers' answers share. The label is then one unit over opinions instead of one over workers, which is what
workers that fall into groups ask for (Hinton, Osindero, Teh, Neural Computation 18, 2006; for ensembles Shaham et al.,
ICML 2016).
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import UnsupportedError
from deem_crowd.model import units, votes
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.layers import Layers, MultinomialLayer
from deem_crowd.training import joint, one_unit
from deem_crowd.training.likelihood import Settings


def pretrain(
    answers: Answers,
    design: DesignMatrix,
    start: Energy,
    layers: Layers,
    settings: Settings,
    generator: torch.Generator,
) -> Energy:
    """Set the layers to units trained on what comes before, and return the label's unit trained on what they return.

    Parameters
    ----------
    answers, passes : the same data
    start : Energy
        Of one unit over the workers; the first unit of the first layer starts there.
    layers : Layers
        They are changed in place.
    settings : Settings
    generator : torch.Generator
        For the start of the other units.

    Returns
    -------
    Energy
        Of one unit over the D' outputs of the last layer.

    Raises
    ------
    UnsupportedError
        If the units of a layer have too many joint states to be trained exactly.
    """
    device, dtype = design.device, design.dtype
    # epochs are of the training by samples that may follow
    settings = replace(settings, n_iter=Settings.n_iter if settings.n_iter else 0)
    vote = votes.vote_shares(design)
    for layer in layers.layers:
        assert isinstance(layer, MultinomialLayer)
        _pretrain_layer(layer, design, start, settings, generator)
        answers = _through(layer, answers)
        design = DesignMatrix(answers, device, dtype)
        start = _vote_start(design, vote)
    if design.n_workers < 3:
        return start  # two views of a label do not identify it, three do: training would drift away from the vote
    # a handful of outputs is no population to learn a prior from
    penalty = 1.0 if settings.penalty == "learned" else settings.penalty
    top = Settings(penalty=penalty, n_iter=settings.n_iter, tol=settings.tol)
    return one_unit.train(design, start, top).energy


def _pretrain_layer(
    layer: MultinomialLayer,
    design: DesignMatrix,
    start: Energy,
    settings: Settings,
    generator: torch.Generator,
) -> None:
    begin = units.start(start, layer.n_outputs, generator)
    if not begin.tractable:
        raise UnsupportedError(
            f"preprocessing_init='units' trains the {layer.n_outputs} outputs of a layer as hidden units of "
            f"{begin.n_states} states, with {begin.n_joint_states:,} joint states; {units.MAX_JOINT_STATES:,} are the "
            "limit. Use narrower preprocessing_layer_widths, or another preprocessing_init."
        )
    trained, _ = joint.train_units(design, begin, settings)
    vote = votes.vote_shares(design).cpu().numpy()
    with torch.no_grad():
        for output, posterior in enumerate(units.unit_posteriors(trained, design)):
            energy = trained.unit_energy(output)
            named = votes.match(posterior.to("cpu", torch.float64).numpy().T @ vote)
            # weight[k, k', i, j] of answer k of worker i to class k' of output j
            layer.weight[:, named, :, output] = energy.weight.permute(1, 2, 0)
            layer.offset[named, output] = energy.bias


def _through(layer: MultinomialLayer, answers: Answers) -> Answers:
    """Return the outputs of a layer as soft answers of D' workers."""
    coded = answers.one_hot(torch.float64)
    with torch.no_grad():
        outputs, present = layer(coded, coded.sum(1) > 0)
    values = torch.where(present[:, None, :], outputs, torch.zeros_like(outputs)).numpy()
    return Answers.from_soft(
        values, tasks=answers.tasks, workers=pd.RangeIndex(layer.n_outputs), warn_empty=()
    )


def _vote_start(design: DesignMatrix, vote: Tensor) -> Energy:
    """Return one unit over the outputs whose tables are how they answer where the workers' vote is what it is."""
    counts = design.expected_counts(vote.to(design.device, design.dtype)).cpu()
    cells = counts + counts.sum(0) / counts.sum().clamp_min(1e-300) + 1e-3
    weight = torch.log(cells / cells.sum(1, keepdim=True))
    return Energy(torch.zeros(design.n_classes).double(), weight, weight.mean(0))

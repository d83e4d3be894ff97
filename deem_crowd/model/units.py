r"""Several hidden units: one carries the label, the others take up dependence that the label does not explain.

With H units of S states each, and a visible bias a, the energy of the answers that exist is::

    E_O(x, h) = − Σ_u b[u, h_u] − Σ_{i∈O} ( a[i, x_i] + Σ_u W[i, x_i, u, h_u] )

Given the answers the units are independent, so that the posterior of one unit sums the others out by itself:
``p(h_u | x) = softmax_s( b[u, s] + Σ_{i∈O} W[i, x_i, u, s] )``, and the free energy is a sum over units. Only the
partition function joins them; it is exact by enumeration of the S^H joint states (Maymon, Buznah, Shaham,
arXiv 2601.20556, for the energy).

Every weight is that of the average worker plus the worker's own deviation from it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deem_crowd.data.answers import Answers
from deem_crowd.model import votes
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.energy import Energy
from deem_crowd.model.rows import softmax

# The likelihood is exact by enumeration up to this many joint states S^H.
MAX_JOINT_STATES = 1024
# Pseudo-answers of the average worker that a worker's skill starts with when units are compared.
_PRIOR_ANSWERS = 2.0


@dataclass
class Units:
    """Weights of H units of S states each.

    Attributes
    ----------
    bias : float64 Tensor, shape (H, S)
    population : float64 Tensor, shape (K, H·S + 1)
        Of the average worker: W, unit after unit, and in the last column a.
    own : float64 Tensor, shape (D, K, H·S + 1)
        What a worker's weights are away from it.
    n_subtypes : int
        M; states k·M … k·M + M − 1 of a unit belong together.
    """

    bias: Tensor
    population: Tensor
    own: Tensor
    n_subtypes: int = 1

    @property
    def n_units(self) -> int:
        """H."""
        return int(self.bias.shape[0])

    @property
    def n_states(self) -> int:
        """S."""
        return int(self.bias.shape[1])

    @property
    def n_joint_states(self) -> int:
        """S^H."""
        return self.n_states**self.n_units

    @property
    def tractable(self) -> bool:
        """Whether the joint states are few enough to be enumerated."""
        return self.n_joint_states <= MAX_JOINT_STATES

    @property
    def weight(self) -> Tensor:
        """W and a of every worker, shape (D, K, H·S + 1)."""
        return self.population + self.own

    def unit_energy(self, unit: int) -> Energy:
        """Return the energy of one unit alone: all that its posterior needs."""
        columns = slice(unit * self.n_states, (unit + 1) * self.n_states)
        return Energy(
            self.bias[unit].clone(),
            self.weight[:, :, columns].clone(),
            self.population[:, columns].clone(),
            self.n_subtypes,
        )


def joint_states(n_units: int, n_states: int) -> Tensor:
    """Return the states of all units in every joint state, shape (S^H, H), the first unit slowest."""
    states = list(itertools.product(range(n_states), repeat=n_units))
    return torch.tensor(states, dtype=torch.int64).reshape(len(states), n_units)


def joint_map(n_units: int, n_states: int) -> Tensor:
    """Return which unit states make up each joint state, ones and zeros, float64, shape (H·S, S^H)."""
    states = joint_states(n_units, n_states)
    coded = torch.nn.functional.one_hot(states, n_states).flatten(1)
    return coded.T.to(torch.float64)


def start(
    energy: Energy, n_units: int, generator: torch.Generator, answers: Answers | None = None
) -> Units:
    """Return H units of which the first starts as ``energy`` and the others from noise, N(0, 0.01²).

    Parameters
    ----------
    energy : Energy
        Of one unit; in the normalised gauge or not.
    n_units : int
        H.
    generator : torch.Generator
    answers : Answers, optional
        Of the energy's workers: noise then falls to them whatever the order of the rows.
    """
    d, k, s = energy.weight.shape
    population = torch.zeros((k, n_units * s + 1), dtype=torch.float64)
    own = torch.zeros((d, k, n_units * s + 1), dtype=torch.float64)
    population[:, :s] = energy.population
    own[:, :, :s] = energy.weight - energy.population
    shape = (d, k, (n_units - 1) * s)
    if answers is None:
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    else:
        noise = votes.worker_noise(shape, answers, generator)
    own[:, :, s:-1] = votes.NOISE * noise
    bias = torch.zeros((n_units, s), dtype=torch.float64)
    bias[0] = energy.bias
    return Units(bias, population, own, energy.n_subtypes)


@dataclass(frozen=True)
class UnitReading:
    """What speaks for a unit being the label.

    Attributes
    ----------
    score : float
        Mean over workers of log(κ + 0.05), κ the worker's skill corrected for chance; higher is likelier the label.
    skills : float64 array, shape (D,)
        κ, in [0, 1].
    breadth : float
        Effective share of the workers that are coupled to the unit (participation ratio of the squared weights).
    """

    score: float
    skills: np.ndarray
    breadth: float


def read_units(units: Units, design: DesignMatrix, posteriors: list[Tensor]) -> list[UnitReading]:
    """Say of each unit how far the workers follow it, as :func:`label_unit` compares them.

    The label is what all workers speak about, each with some skill. A clique's unit is followed closely by few and
    hardly by the others. The mean of the *logarithm* of skills, a geometric mean, tells the two apart where
    the mean of the skills, or agreement with majority vote, would follow the clique.

    Parameters
    ----------
    units : Units
    design : DesignMatrix
        N tasks, D workers.
    posteriors : list of Tensors, shape (N, K)
        p(class | x) of each unit.
    """
    vote = votes.vote_shares(design).cpu().numpy()
    readings = []
    for unit, posterior in enumerate(posteriors):
        counts = design.expected_counts(posterior).cpu().numpy()
        mapping = votes.match(posterior.to("cpu", torch.float64).numpy().T @ vote)
        named = np.empty_like(counts)
        named[:, :, mapping] = counts
        given = named.sum((1, 2))
        pooled = named.sum(0) / max(given.sum(), 1.0)
        shrunk = named + _PRIOR_ANSWERS * pooled
        prior = pooled.sum(0)
        tables = shrunk / np.maximum(shrunk.sum(1, keepdims=True), 1e-300)
        skill = (np.diagonal(tables, axis1=1, axis2=2) * prior).sum(1)
        chance = 1.0 / max(len(prior), 1)
        kappa = np.clip((skill - chance) / max(1.0 - chance, 1e-12), 0.0, 1.0)
        weight = given / (given + 10.0)
        score = float((weight * np.log(kappa + 0.05)).sum() / max(weight.sum(), 1e-300))
        readings.append(UnitReading(score, kappa, _breadth(units, unit)))
    return readings


def label_unit(readings: list[UnitReading]) -> int:
    """Return the unit with the highest score; the first of equals."""
    return int(np.argmax([reading.score for reading in readings]))


def unit_posteriors(units: Units, design: DesignMatrix) -> list[Tensor]:
    """Return p(class | x) of each unit, shapes (N, K): exact, the other units are summed out."""
    posteriors = []
    for unit in range(units.n_units):
        energy = units.unit_energy(unit)
        posteriors.append(energy.fold(softmax(energy.state_logits(design))[0]))
    return posteriors


def _breadth(units: Units, unit: int) -> float:
    weight = units.unit_energy(unit).weight
    centred = weight - weight.mean(1, keepdim=True)
    centred = centred - centred.mean(2, keepdim=True)
    size = centred.square().sum((1, 2))
    total = float(size.square().sum()) * len(size)
    return float(size.sum()) ** 2 / total if total > 0 else 0.0

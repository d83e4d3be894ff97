r"""Exact training of several hidden units, by enumeration of their joint states.

Maximised is ``Σ_n log p(x_n) − λ/2 · Σ own² − ε/2 · (Σ population² + Σ b²)``: workers deviate from the average
worker as draws from N(0, 1/λ), and ε keeps what is shared finite. The joint states are the states of one big unit
whose table is ``a[i, l] + Σ_u W[i, l, u, h_u]``, so that likelihood and gradient are those of
:mod:`deem_crowd.training.likelihood`, summed back onto the units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.units import Units, joint_map
from deem_crowd.training.lbfgs import Monitor, Vector, lbfgs
from deem_crowd.training.likelihood import Likelihood, Settings, Weights
from deem_crowd.training.one_unit import Fit

# λ where the penalty is not given: deviations of about one nat.
OWN_PENALTY = 1.0
SHARED_PENALTY = 0.1


def own_penalty(settings: Settings) -> float:
    """Return λ: 1 for 'learned', the number given, or next to nothing for None."""
    if settings.penalty == "learned":
        return OWN_PENALTY
    return 1e-6 if settings.penalty is None else float(settings.penalty)


def log_likelihood(units: Units, design: DesignMatrix) -> float:
    """Return Σ_n log p(x_n), exact, in nats."""
    settings = Settings(gauge="free", penalty=None)
    likelihood = _likelihood(units, design, settings, None)
    return likelihood.gradient(combine(units))[1]


def combine(units: Units) -> Weights:
    """Return bias and table of the one big unit whose states are the joint states, the first unit slowest."""
    joint = joint_map(units.n_units, units.n_states)
    weight = units.weight
    return Weights(
        units.bias.reshape(-1) @ joint,
        weight[:, :, :-1] @ joint + weight[:, :, -1:],
    )


def train_units(
    design: DesignMatrix,
    start: Units,
    settings: Settings,
    gold: torch.Tensor | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[Units, Fit]:
    """Fit several units by exact maximum (penalised) likelihood, with L-BFGS.

    Parameters
    ----------
    design : DesignMatrix
        Answers of D workers on N tasks.
    start : Units
    settings : Settings
        ``gauge`` is 'free'; ``penalty`` is λ.
    gold : LongTensor, shape (N,), optional
        Known classes, −1 where unknown: they clamp the first unit.
    progress : callable, optional
        Called with (passes so far, log-likelihood per task) after each pass.

    Returns
    -------
    Units
    Fit
        Its energy is that of the first unit.
    """
    joint = joint_map(start.n_units, start.n_states)
    likelihood = _likelihood(start, design, settings, gold)
    log = Monitor(design.n_tasks, design.n_answers, settings.n_iter, settings.tol, progress)
    strength = own_penalty(settings)
    shapes = (start.bias.shape, start.population.shape, start.own.shape)
    sizes = [int(np.prod(shape)) for shape in shapes]

    def unpack(vector: Vector) -> Units:
        parts = torch.split(torch.from_numpy(np.ascontiguousarray(vector)), sizes)
        bias, population, own = (p.view(s) for p, s in zip(parts, shapes, strict=True))
        return Units(bias, population, own, start.n_subtypes)

    def objective(vector: Vector) -> tuple[float, float, Vector]:
        units = unpack(vector)
        _, log_likelihood, gradient = likelihood.gradient(combine(units))
        by_weight = _fold(gradient.weight, joint)
        value = log_likelihood - 0.5 * strength * float(units.own.square().sum())
        shared = float(units.population.square().sum()) + float(units.bias.square().sum())
        value -= 0.5 * SHARED_PENALTY * shared
        parts = (
            (joint @ gradient.bias).view(shapes[0]) - SHARED_PENALTY * units.bias,
            by_weight.sum(0) - SHARED_PENALTY * units.population,
            by_weight - strength * units.own,
        )
        return value, log_likelihood, torch.cat([part.reshape(-1) for part in parts]).numpy()

    begin = torch.cat([t.reshape(-1) for t in (start.bias, start.population, start.own)]).numpy()
    units = start
    if settings.n_iter > 0 and design.n_answers > 0:
        units = unpack(lbfgs(objective, begin, np.ones(len(begin)), log))
    fit = Fit(
        units.unit_energy(0),
        likelihood.pseudo_answers,
        log.log_likelihood,
        log.objective,
        log.n_passes,
        log.converged,
    )
    return units, fit


def _fold(by_joint: torch.Tensor, joint: torch.Tensor) -> torch.Tensor:
    """Sum a gradient of shape (D, K, S^H) back onto the units and the visible bias, shape (D, K, H·S + 1)."""
    return torch.cat([by_joint @ joint.T, by_joint.sum(2, keepdim=True)], 2)


def _likelihood(
    units: Units, design: DesignMatrix, settings: Settings, gold: torch.Tensor | None
) -> Likelihood:
    # the first unit is the slowest of the joint states, so that its classes are runs of them
    per_class = units.n_subtypes * units.n_states ** (units.n_units - 1)
    plain = replace(settings, n_subtypes=per_class, gauge="free", penalty=None)
    return Likelihood(design, plain, gold)

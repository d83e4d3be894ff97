"""Samplers: draws from the model's distribution of answers, for training where its likelihood is not tractable."""

from __future__ import annotations

from deem_crowd.samplers.base import BlockEnergy, Sampler, TaskEnergy, TractableEnergy
from deem_crowd.samplers.dlp import DiscreteLangevin
from deem_crowd.samplers.exact import Exact
from deem_crowd.samplers.gibbs import Gibbs
from deem_crowd.samplers.gwg import GibbsWithGradients

BUILT_IN: dict[str, type[Sampler]] = {
    "dlp": DiscreteLangevin,
    "exact": Exact,
    "gibbs": Gibbs,
    "gwg": GibbsWithGradients,
}
"""The samplers that come with the engine, by the name under which the plugin registers them."""

__all__ = [
    "BUILT_IN",
    "BlockEnergy",
    "DiscreteLangevin",
    "Exact",
    "Gibbs",
    "GibbsWithGradients",
    "Sampler",
    "TaskEnergy",
    "TractableEnergy",
]

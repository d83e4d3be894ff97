"""Samplers: draws from the model's distribution of answers, for training where its likelihood is not tractable.

``deem_crowd.samplers`` is both this package and, like ``deem_crowd.aggregators``, the question which samplers are
registered: ``deem_crowd.samplers()``. A package can only answer if its module is callable, so this one is.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING

from deem_crowd.samplers.base import BlockEnergy, Sampler, TaskEnergy, TractableEnergy
from deem_crowd.samplers.gibbs import Exact, Gibbs
from deem_crowd.samplers.gwg import GibbsWithGradients
from deem_crowd.samplers.langevin import DiscreteLangevin

if TYPE_CHECKING:
    from deem_crowd.plugins.discovery import Entry

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


class _CallablePackage(types.ModuleType):
    def __call__(self) -> Mapping[str, Entry]:
        """Return the registered samplers, as :func:`deem_crowd.plugins.registry.samplers` does."""
        from deem_crowd.plugins import registry

        return registry.samplers()


sys.modules[__name__].__class__ = _CallablePackage

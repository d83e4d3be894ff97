"""The plugin through which DEEM and its samplers register themselves, like anybody else's."""

from __future__ import annotations

from collections.abc import Mapping

from deem_crowd.plugins.hookspecs import Offer, hookimpl


@hookimpl
def deem_crowd_aggregators() -> Mapping[str, Offer]:
    """Offer DEEM by its address, so that listing aggregators does not import torch."""
    return {
        "deem": (
            "deem_crowd.estimators.aggregator:DEEMAggregator",
            "DEEM: energy model with one hidden label unit, fitted by exact likelihood",
        )
    }


@hookimpl
def deem_crowd_samplers() -> Mapping[str, Offer]:
    """Offer the built-in samplers by their addresses, for the same reason."""
    module = "deem_crowd.samplers"
    return {
        "dlp": (f"{module}:DiscreteLangevin", "discrete Langevin proposal: all answers at once"),
        "exact": (f"{module}:Exact", "ancestral draws, where the partition function is tractable"),
        "gibbs": (f"{module}:Gibbs", "block Gibbs: hidden units, then answers; no layers"),
        "gwg": (f"{module}:GibbsWithGradients", "Gibbs with gradients: one answer at a time"),
    }

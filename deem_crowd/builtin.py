"""The plugin through which DEEM registers itself, like any other aggregator."""

from __future__ import annotations

from collections.abc import Mapping

from deem_crowd.hookspecs import Offer, hookimpl


@hookimpl
def deem_crowd_aggregators() -> Mapping[str, Offer]:
    """Offer DEEM by its address, so that listing aggregators does not import torch."""
    return {
        "deem": (
            "deem_crowd.aggregator:DEEMAggregator",
            "DEEM: energy model with one hidden label unit, fitted by exact likelihood",
        )
    }

"""The plugin through which the consensus of sources without common names registers itself."""

from __future__ import annotations

from collections.abc import Mapping

from deem_crowd.plugins.hookspecs import Offer, hookimpl


@hookimpl
def deem_crowd_aggregators() -> Mapping[str, Offer]:
    """Offer ClusteringAggregator by its address, so that listing aggregators does not import it."""
    return {
        "clusterings": (
            "deem_crowd.clustering:ClusteringAggregator",
            "consensus of sources that share no names: clusterings, renamed classes",
        )
    }

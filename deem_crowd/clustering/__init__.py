"""Sources without common names: maps between vocabularies, tasks beyond dispute, and consensus of clusterings.

What learns from features (``Kingdra``) needs torch, and is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deem_crowd.clustering.agreement_clusters import AgreementClusters
from deem_crowd.clustering.alignment import SourceAlignment, align_sources
from deem_crowd.clustering.consensus import ClusteringAggregator

if TYPE_CHECKING:
    from deem_crowd.clustering.deep.kingdra import Kingdra

_LATE = {"Kingdra": "deem_crowd.clustering.deep.kingdra"}

__all__ = [
    "AgreementClusters",
    "ClusteringAggregator",
    "Kingdra",
    "SourceAlignment",
    "align_sources",
]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

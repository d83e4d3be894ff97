"""Sources without common names: maps between vocabularies, tasks beyond dispute, and consensus of clusterings.

What learns from features (``Kingdra``, ``HUME``, ``DEC``, ``AutoencoderKMeans``) needs torch, and
is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deem_crowd.clustering.agreement_clusters import AgreementClusters
from deem_crowd.clustering.alignment import SourceAlignment, align_sources
from deem_crowd.clustering.consensus import ClusteringAggregator

if TYPE_CHECKING:
    from deem_crowd.clustering.deep.autoencoder import AutoencoderKMeans
    from deem_crowd.clustering.deep.dec import DEC
    from deem_crowd.clustering.deep.generalisation import generalisation_score
    from deem_crowd.clustering.deep.hume import HUME
    from deem_crowd.clustering.deep.kingdra import Kingdra

_LATE = {
    "DEC": "dec",
    "HUME": "hume",
    "AutoencoderKMeans": "autoencoder",
    "Kingdra": "kingdra",
    "generalisation_score": "generalisation",
}

__all__ = [
    "DEC",
    "HUME",
    "AgreementClusters",
    "AutoencoderKMeans",
    "ClusteringAggregator",
    "Kingdra",
    "SourceAlignment",
    "align_sources",
    "generalisation_score",
]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(f"deem_crowd.clustering.deep.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

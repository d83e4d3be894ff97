"""Sources without common names: maps between vocabularies, tasks beyond dispute, and consensus of clusterings."""

from deem_crowd.clustering.agreement_clusters import AgreementClusters
from deem_crowd.clustering.alignment import SourceAlignment, align_sources
from deem_crowd.clustering.consensus import ClusteringAggregator

__all__ = ["AgreementClusters", "ClusteringAggregator", "SourceAlignment", "align_sources"]

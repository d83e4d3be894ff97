"""crowd-kit's base class of aggregators, without the embeddings, texts and images that its package loads."""

from __future__ import annotations

from deem_crowd.runtime.deferred import defer

defer("crowdkit.aggregation")

from crowdkit.aggregation.base import BaseClassificationAggregator  # noqa: E402
from crowdkit.aggregation.utils import named_series_attrib  # noqa: E402

__all__ = ["BaseClassificationAggregator", "named_series_attrib"]

"""Checks for authors of plugins: one line in their test suite, ``check_sampler(MySampler)`` or one of its siblings.

Each check that fails raises a :class:`ConformanceError` that says what was seen and what to correct.
"""

from __future__ import annotations

from deem_crowd.testing.adapters import check_adapter
from deem_crowd.testing.aggregators import check_aggregator
from deem_crowd.testing.conformance import ConformanceError
from deem_crowd.testing.samplers import check_sampler

__all__ = ["ConformanceError", "check_adapter", "check_aggregator", "check_sampler"]

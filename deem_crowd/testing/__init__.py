"""Checks for authors of plugins: one line in their test suite.

>>> from deem_crowd.testing import check_aggregator, check_adapter, check_sampler  # doctest: +SKIP
>>> def test_it_is_a_sampler(): check_sampler(MySampler)  # doctest: +SKIP

Each check that fails raises a :class:`ConformanceError` that says what was seen and what to mend.
"""

from __future__ import annotations

from deem_crowd.testing.adapters import check_adapter
from deem_crowd.testing.aggregators import check_aggregator
from deem_crowd.testing.conformance import ConformanceError
from deem_crowd.testing.samplers import check_sampler

__all__ = ["ConformanceError", "check_adapter", "check_aggregator", "check_sampler"]

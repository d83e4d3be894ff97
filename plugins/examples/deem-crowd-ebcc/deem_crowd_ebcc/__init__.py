"""Enhanced Bayesian classifier combination for deem-crowd."""

from __future__ import annotations

from deem_crowd_ebcc.aggregator import EBCC

__all__ = ["EBCC"]

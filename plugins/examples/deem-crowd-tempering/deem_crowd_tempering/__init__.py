"""Parallel tempering for deem-crowd."""

from __future__ import annotations

from deem_crowd_tempering.sampler import ParallelTempering

__all__ = ["ParallelTempering"]

"""What the entry point names: the hook that offers the sampler, by address."""

from __future__ import annotations

from deem_crowd import hookimpl


@hookimpl
def deem_crowd_samplers():
    """Offer parallel tempering."""
    return {
        "tempering": (
            "deem_crowd_tempering.sampler:ParallelTempering",
            "parallel tempering: several temperatures side by side, for models with distant modes",
        )
    }

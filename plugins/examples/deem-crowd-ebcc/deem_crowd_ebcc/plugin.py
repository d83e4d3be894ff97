"""What the entry point names: the hook that offers the aggregator, by address, so that listing it imports little."""

from __future__ import annotations

from deem_crowd import hookimpl


@hookimpl
def deem_crowd_aggregators():
    """Offer EBCC."""
    return {
        "ebcc": (
            "deem_crowd_ebcc.aggregator:EBCC",
            "EBCC: variational Bayes with several subtypes per class (Li et al., ICML 2019)",
        )
    }

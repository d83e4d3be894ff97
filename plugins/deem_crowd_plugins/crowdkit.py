"""crowd-kit's categorical aggregators under short names: its own classes, with its own parameters.

Nothing of crowd-kit is imported before one of them is built.
"""

from __future__ import annotations

from collections.abc import Mapping

from deem_crowd.plugins.hookspecs import Offer, hookimpl
from deem_crowd.runtime.progress import quiet_in_notebooks

_CLASSES = {
    "mv": ("MajorityVote", "majority vote, optionally weighted by given skills"),
    "ds": ("DawidSkene", "Dawid-Skene: a confusion matrix per worker, by expectation-maximisation"),
    "onecoin-ds": ("OneCoinDawidSkene", "one-coin Dawid-Skene: one accuracy per worker"),
    "glad": ("GLAD", "GLAD: worker ability times task difficulty"),
    "mace": ("MACE", "MACE: a worker either knows the label or spams"),
    "mmsr": ("MMSR", "M-MSR: robust rank-one completion of the workers' covariance"),
    "kos": ("KOS", "Karger-Oh-Shah message passing; two classes only"),
    "wawa": ("Wawa", "worker agreement with aggregate: a vote weighted by agreement"),
    "zbs": ("ZeroBasedSkill", "zero-based skill: iteratively weighted majority vote"),
    "gold-mv": (
        "GoldMajorityVote",
        "gold majority vote: weighted by accuracy on gold; fit needs true_labels",
    ),
}


@hookimpl
def deem_crowd_aggregators() -> Mapping[str, Offer]:
    """Offer crowd-kit's classes by address, each with a line about it."""
    quiet_in_notebooks()
    return {
        name: (f"crowdkit.aggregation.classification:{attribute}", f"crowd-kit's {description}")
        for name, (attribute, description) in _CLASSES.items()
    }

"""What to do next: which task to have answered, which answer to doubt, which labels to keep.

All functions take a fitted :class:`deem_crowd.DEEMAggregator` or :class:`deem_crowd.DEEM`, any aggregator with
``probas_``, or such a frame itself.
"""

from __future__ import annotations

from deem_crowd.decide.ceal import CEAL, pseudo_labels, thresholds
from deem_crowd.decide.cleaning import Cleaned, clean
from deem_crowd.decide.consensus import Consensus
from deem_crowd.decide.keep import Reliable, coverage_curve, reliable
from deem_crowd.decide.oracles import OracleError
from deem_crowd.decide.pairs import next_pairs
from deem_crowd.decide.rad import RAD
from deem_crowd.decide.suspects import suspect_answers, suspect_labels
from deem_crowd.decide.tasks import next_tasks

__all__ = [
    "CEAL",
    "RAD",
    "Cleaned",
    "Consensus",
    "OracleError",
    "Reliable",
    "clean",
    "coverage_curve",
    "next_pairs",
    "next_tasks",
    "pseudo_labels",
    "reliable",
    "suspect_answers",
    "suspect_labels",
    "thresholds",
]

"""What to do next: which task to have answered, which answer to doubt, which labels to keep.

All functions take a fitted :class:`deem_crowd.DEEMAggregator` or :class:`deem_crowd.DEEM`, any aggregator with
``probas_``, or such a frame itself.
"""

from __future__ import annotations

from deem_crowd.decide.consensus import Consensus
from deem_crowd.decide.tasks import next_pairs, next_tasks

__all__ = ["Consensus", "next_pairs", "next_tasks"]

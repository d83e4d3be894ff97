"""What fitted objects say of what to do next; the functions themselves are in :mod:`deem_crowd.decide`."""

from __future__ import annotations

import importlib
from typing import Any

import pandas as pd


def _decide() -> Any:
    """Import the room above when it is asked for: a fit needs none of it."""
    return importlib.import_module("deem_crowd.decide")


class Decisions:
    """Which task to have answered next, which answer to doubt, which labels to keep.

    Each method is the function of :mod:`deem_crowd.decide` that has its name, takes the same options, and raises the
    same errors. The answers are those of the fit; a model that was read from a file has none, and is given them by
    ``answers=``.
    """

    def next_tasks(
        self, n: int, strategy: Any = "least_confidence", **options: Any
    ) -> pd.DataFrame:
        """Return the n tasks whose next answer is worth most, best first; see :func:`deem_crowd.decide.next_tasks`."""
        table: pd.DataFrame = _decide().next_tasks(self, n, strategy, **options)
        return table

    def next_pairs(
        self, n: int, strategy: Any = "expected_information", **options: Any
    ) -> pd.DataFrame:
        """Return the n pairs of a task and a worker that are worth most; see :func:`deem_crowd.decide.next_pairs`."""
        table: pd.DataFrame = _decide().next_pairs(self, n, strategy, **options)
        return table

    def suspect_answers(self, n: int | None = None, **options: Any) -> pd.DataFrame:
        """Return the n answers most likely wrong, the worst first; see :func:`deem_crowd.decide.suspect_answers`."""
        table: pd.DataFrame = _decide().suspect_answers(self, n, **options)
        return table

    def suspect_labels(self, n: int | None = None, **options: Any) -> pd.DataFrame:
        """Return the n labels most likely wrong, the worst first; see :func:`deem_crowd.decide.suspect_labels`."""
        table: pd.DataFrame = _decide().suspect_labels(self, n, **options)
        return table

    def reliable(self, precision: float = 0.95, **options: Any) -> Any:
        """Return the largest set of labels with that precision; see :func:`deem_crowd.decide.reliable`."""
        return _decide().reliable(self, precision, **options)

    def coverage_curve(self, gold: Any = None, **options: Any) -> pd.DataFrame:
        """Return the precision for every number of labels kept; see :func:`deem_crowd.decide.coverage_curve`."""
        table: pd.DataFrame = _decide().coverage_curve(self, gold, **options)
        return table

    def pseudo_labels(self, threshold: float = 0.05, **options: Any) -> pd.Series:
        """Return labels sure enough to be used as if known; see :func:`deem_crowd.decide.pseudo_labels`."""
        labels: pd.Series = _decide().pseudo_labels(self, threshold, **options)
        return labels

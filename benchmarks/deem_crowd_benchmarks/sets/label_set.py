"""Answers with gold, and where they come from: what is handed from one part of the harness to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

COLUMNS = ("task", "worker", "label")


@dataclass(frozen=True)
class LabelSet:
    """Answers, and what is true.

    Attributes
    ----------
    name : str
    answers : DataFrame, R rows
        Long format: ``task``, ``worker``, ``label``.
    gold : Series
        True labels of some or all tasks, index ``task``.
    kind : str
        What sort of set it is; sets of a kind are averaged together.
    soft : DataFrame, R rows, optional
        The same answers as probabilities: ``task``, ``worker``, a column for each class. ``answers`` then holds the
        likeliest classes, for aggregators that take no probabilities.
    features : DataFrame, index ``task``, optional
        For aggregators that take some.
    new : DataFrame, index ``task``, optional
        Features of things without any answer, whose gold labels test the classifiers that were learned.
    named : bool
        Whether a label means the same to all workers. Where it does not, labels are scored under the best one-to-one
        map to the true classes.
    """

    name: str
    answers: pd.DataFrame
    gold: pd.Series
    kind: str = "data"
    soft: pd.DataFrame | None = None
    named: bool = True
    features: pd.DataFrame | None = None
    new: pd.DataFrame | None = None

    @property
    def digest(self) -> str:
        """A fingerprint of answers and gold: the same for the same content in the same order."""
        parts = [pd.util.hash_pandas_object(self.answers[list(COLUMNS)], index=False)]
        parts.append(pd.util.hash_pandas_object(self.gold.astype(str), index=True))
        if self.soft is not None:
            parts.append(pd.util.hash_pandas_object(self.soft, index=False))
        for table in (self.features, self.new):
            if table is not None:
                parts.append(pd.util.hash_pandas_object(table, index=True))
        mixed = np.concatenate([p.to_numpy(np.uint64) for p in parts])
        order = np.arange(1, len(mixed) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return f"{int((mixed ^ order).sum(dtype=np.uint64)):016x}"


def numbered(truth: npt.NDArray[Any]) -> pd.Series:
    """Return true labels, shape (N,), as gold of the tasks 0..N-1."""
    return pd.Series(truth, index=pd.RangeIndex(len(truth), name="task"), name="label")


@dataclass(frozen=True)
class Source:
    """Where a label set comes from: it is read or drawn when needed.

    Attributes
    ----------
    name : str
        Of the label set.
    kind : str
    load : callable
        From a seed to the :class:`LabelSet`. It can be pickled, since a process of its own may be told to call it.
    drawn : bool
        Whether the seed makes a difference.
    large : bool
        Whether each run draws its own copy in its own process, instead of being handed one.
    """

    name: str
    kind: str
    load: Callable[[int], LabelSet]
    drawn: bool = False
    large: bool = False

"""Indexes of the dtype of the column that they are made of.

pandas 2 makes dates, durations and periods of a column of objects that holds nothing else, with a FutureWarning, where
pandas 3 leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import pandas as pd


def as_index(values: pd.Series) -> pd.Index:
    """Return values as an Index of their dtype and name; tuples stay tuples."""
    return pd.Index(values, dtype=values.dtype, tupleize_cols=False)


def by_column(frame: pd.DataFrame, column: Hashable) -> pd.DataFrame:
    """Return a frame with one of its columns as the index, of the dtype that the column has."""
    return frame.drop(columns=[column]).set_axis(as_index(frame[column]), axis=0)


def places_of(values: pd.Index, known: pd.Index) -> npt.NDArray[np.intp]:
    """Return where values stand among distinct ones, shape (n,), −1 for nowhere; text is no date."""
    if isinstance(values.dtype, pd.ArrowDtype) and not isinstance(known.dtype, pd.ArrowDtype):
        # pandas 2 finds no dates of Arrow's among its own
        values = values.astype(object).infer_objects()
    if isinstance(known.dtype, pd.IntervalDtype):
        # pandas looks nothing up among intervals that overlap, and finds numbers in the intervals around them
        known = known.astype(object)
    return known.get_indexer(values)


def are_among(values: pd.Index, known: pd.Index) -> npt.NDArray[np.bool_]:
    """Tell which values are among others that are distinct, shape (n,), as :func:`places_of` finds them."""
    return places_of(values, known) >= 0

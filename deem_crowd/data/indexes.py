"""Indexes of the dtype of the column that they are made of.

pandas 2 makes dates, durations and periods of a column of objects that holds nothing else, with a FutureWarning, where
pandas 3 leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Hashable

import pandas as pd


def as_index(values: pd.Series) -> pd.Index:
    """Return values as an Index of their dtype and name; tuples stay tuples."""
    return pd.Index(values, dtype=values.dtype, tupleize_cols=False)


def by_column(frame: pd.DataFrame, column: Hashable) -> pd.DataFrame:
    """Return a frame with one of its columns as the index, of the dtype that the column has."""
    return frame.drop(columns=[column]).set_axis(as_index(frame[column]), axis=0)

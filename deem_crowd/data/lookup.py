"""Columns as indexes of their own dtype, and ids that are found whatever the dtypes.

pandas 2 makes dates, durations and periods of a column of objects that holds nothing else, with a FutureWarning, where
pandas 3 leaves it as it is. Both read text as a date where they look it up among dates.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index


def as_index(values: pd.Series) -> pd.Index:
    """Return values as an Index of their dtype and name; tuples stay tuples."""
    return pd.Index(values, dtype=values.dtype, tupleize_cols=False)


def by_column(frame: pd.DataFrame, column: Hashable) -> pd.DataFrame:
    """Return a frame with one of its columns as the index, of the dtype that the column has."""
    return frame.drop(columns=[column]).set_axis(as_index(frame[column]), axis=0)


def places_of(values: pd.Index, known: pd.Index) -> npt.NDArray[np.integer[Any]]:
    """Return where values stand among distinct ones, shape (n,), −1 for nowhere; text is no date."""
    # Among intervals pandas finds numbers, too, and nothing where they overlap.
    if values.dtype != known.dtype or isinstance(known.dtype, pd.IntervalDtype):
        values, known = (pd.Index(ids.astype(object), dtype=object) for ids in (values, known))
    return index.places(values, known)


def are_among(values: pd.Index, known: pd.Index) -> npt.NDArray[np.bool_]:
    """Tell which values are among others that are distinct, shape (n,), as :func:`places_of` finds them."""
    return places_of(values, known) >= 0


def followed_by(first: pd.Index, more: pd.Index) -> pd.Index:
    """Return ids and others behind them; objects stay what they are, where pandas makes dates and numbers of them."""
    if first.dtype != object:
        return first.append(more)
    both = np.concatenate([first.to_numpy(), more.to_numpy(dtype=object)])
    return pd.Index(both, dtype=object, name=first.name, tupleize_cols=False)


def written_shortly(values: pd.Index) -> pd.Index:
    """Return 32-bit floats as the 64-bit ones that are written alike: 0.1, where Python shows 0.10000000149011612.

    For what is shown; to look ids up, :func:`deem_crowd.data.index.class_places` knows both. Others stay as they are.
    """
    if values.dtype != np.float32:
        return values
    return pd.Index(values.to_numpy().astype(str).astype(np.float64), name=values.name)

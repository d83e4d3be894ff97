"""What counts as missing in a column of ids or labels: NaN, None, NaT and NA, however pandas holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


def missing_rows(values: pd.Series) -> npt.NDArray[np.integer[Any]]:
    """Return the positions, shape (m,), of NaN / None / NaT / NA entries."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iub":
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(nan_missing(values).isna().to_numpy())


def nan_missing(values: pd.Series) -> pd.Series:
    """Return values in which NaN is missing also where pandas tells it from a missing number: Arrow's, and Float64."""
    if isinstance(values.dtype, np.dtype) or not pd.api.types.is_float_dtype(values.dtype):
        return values
    nan = np.isnan(values.to_numpy(dtype=np.float64, na_value=0.0))
    return values.mask(nan) if nan.any() else values

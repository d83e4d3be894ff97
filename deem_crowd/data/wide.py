"""Wide frames, one row a task and one column a source: class numbers as a matrix; columns that hold no answers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.arrays import whole_numbers
from deem_crowd.data.doubts import known_by_name
from deem_crowd.data.frames import COLUMNS
from deem_crowd.exceptions import DataError, DataWarning, FormError, first_few
from deem_crowd.runtime.warning import warn

FEW = 10
"""A column with fewer answers is not judged by its values."""


def is_frame(data: Any) -> bool:
    """Tell whether ``data`` is a frame of pandas or polars, without importing polars for the question."""
    polars = sys.modules.get("polars")  # whoever holds one of its frames has imported it
    return isinstance(data, pd.DataFrame) or (
        polars is not None and isinstance(data, (polars.DataFrame, polars.LazyFrame))
    )


def is_long(frame: Any) -> bool:
    """Tell whether a frame of pandas or polars has the columns of the long format."""
    schema = getattr(frame, "collect_schema", None)
    names = frame.columns if schema is None else schema().names()
    return set(COLUMNS) <= set(names)


def frame_matrix(data: Any) -> tuple[npt.NDArray[np.int64], pd.Index]:
    """Read a wide frame of class numbers.

    Parameters
    ----------
    data : DataFrame of pandas or polars, N rows, D columns
        Classes 0..K-1; −1, NaN, NA or null where a source gave no answer.

    Returns
    -------
    matrix : int64, shape (N, D)
        −1 where there is no answer.
    columns : Index, length D

    Raises
    ------
    FormError
        If a column holds other things than numbers.
    DataError
        If two columns have one name, numbers are not whole or too large, or a column looks like ids or notes.
    """
    frame = _as_pandas(data)
    names = frame.columns
    if not names.is_unique:
        twice = names[names.duplicated()].unique()
        raise DataError(f"columns of the frame occur more than once: {first_few(twice)}.")
    other = [name for name, kind in zip(names, frame.dtypes, strict=True) if not _is_number(kind)]
    if other:
        raise FormError(
            f"columns {first_few(other)} of the frame hold no numbers ({frame[other[0]].dtype}). DEEM takes classes "
            "0..K-1, one column a source; for other labels pass deem_crowd_adapters.from_wide(df), which takes task= "
            "for a column of ids."
        )
    matrix = whole_numbers(_filled(frame))
    row, column = np.nonzero(matrix >= 0)
    distinct, codes = np.unique(matrix[row, column], return_inverse=True)
    odd = odd_columns(column, codes, names, len(distinct))
    if odd is not None:
        places, text = odd
        raise DataError(
            f"{text} If it holds no answers, leave it out: df.drop(columns={list(names.take(places[:3]))!r}); if it "
            "does, pass the array: df.to_numpy()."
        )
    if said := known_by_name(names):
        warn(said, DataWarning)
    return matrix, names


def _as_pandas(data: Any) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "collect"):  # a lazy frame
        data = data.collect()
    # a column with nulls becomes floats, with NaN for null
    return pd.DataFrame({name: data[name].to_pandas() for name in data.columns})


def _is_number(dtype: Any) -> bool:
    return bool(pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype))


def _filled(frame: pd.DataFrame) -> npt.NDArray[Any]:
    """Return the frame as one array of numbers, −1 where it has no value."""
    kinds = set(frame.dtypes)
    if len(kinds) == 1 and isinstance(next(iter(kinds)), np.dtype):
        array = frame.to_numpy()
        return np.where(np.isnan(array), -1, array) if array.dtype.kind == "f" else array
    columns = [
        frame.iloc[:, i].astype("Float64").to_numpy(np.float64, na_value=-1)
        for i in range(frame.shape[1])
    ]
    array = np.column_stack(columns) if columns else np.zeros((len(frame), 0))
    return np.where(np.isnan(array), -1, array)


def odd_columns(
    column: npt.NDArray[Any], codes: npt.NDArray[Any], names: pd.Index, n_codes: int
) -> tuple[npt.NDArray[np.intp], str] | None:
    """Find columns of ten answers or more whose values are nearly all distinct, or stand in no other column.

    Parameters
    ----------
    column, codes : integers, shape (R,)
        The column of each answer, 0..D-1, and its value, 0..n_codes-1.
    names : Index, length D
    n_codes : int

    Returns
    -------
    (positions, text), or None
        Which columns, and what they look like, for an error.
    """
    d = len(names)
    n_answers = np.bincount(column, minlength=d)
    if d < 2 or n_answers.max(initial=0) < FEW:
        return None
    holder, value = np.divmod(pd.unique(column.astype(np.int64) * n_codes + codes), n_codes)
    n_distinct = np.bincount(holder, minlength=d)
    is_shared = np.bincount(value, minlength=n_codes) > 1
    n_shared = np.bincount(holder, weights=is_shared[value], minlength=d)
    repeats = n_distinct <= n_answers / 2
    distinct = (n_distinct > 0.9 * n_answers) & repeats.any()
    alone = (n_shared == 0) & (n_shared > 0).any()
    one_sided = n_distinct == 1
    if one_sided.sum() > d / 2:  # labelling functions, of which one may be alone with its class
        alone &= ~one_sided
    odd = np.flatnonzero((n_answers >= FEW) & (distinct | alone))
    if not len(odd):
        return None
    verb = "looks like no worker" if len(odd) == 1 else "look like no workers"
    return odd, (
        f"{len(odd)} of {d} columns {verb}: {first_few(names.take(odd))}. {n_distinct[odd[0]]} of the "
        f"{n_answers[odd[0]]} values of {names[odd[0]]!r} are distinct, and {int(n_shared[odd[0]])} of these stand in "
        "another column."
    )

"""Arguments that several decisions share, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.exceptions import DataError, ParameterError, first_few


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of at least ``least``.

    Raises
    ------
    ParameterError
    """
    if not isinstance(value, (int, np.integer)) or value is True or value < least:
        raise ParameterError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def share(name: str, value: Any) -> float:
    """Return a number above 0 and below 1.

    Raises
    ------
    ParameterError
    """
    if not isinstance(value, (int, float, np.number)) or not 0 < float(value) < 1:
        raise ParameterError(f"{name} must be a number between 0 and 1, not {value!r}.")
    return float(value)


def non_negative(name: str, value: Any) -> float:
    """Return a finite number of at least 0.

    Raises
    ------
    ParameterError
    """
    number = float(value) if isinstance(value, (int, float, np.number)) else -1.0
    if not 0 <= number < np.inf:
        raise ParameterError(f"{name} must be a number of at least 0, not {value!r}.")
    return number


def costs_of(costs: Any, ids: pd.Index, what: str) -> npt.NDArray[np.float64]:
    """Return the cost of one answer for each task or worker, shape (len(ids),).

    Parameters
    ----------
    costs : number, Series or mapping from id to number, or None
        None is a cost of 1 each.
    what : 'task' or 'worker'

    Raises
    ------
    DataError
        If a cost is missing, not a number, or not above 0.
    """
    if costs is None:
        return np.ones(len(ids))
    if isinstance(costs, (pd.Series, Mapping)):
        series = costs if isinstance(costs, pd.Series) else pd.Series(dict(costs), dtype=object)
        place = series.index.get_indexer(ids)
        values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64)
        cost = np.where(place < 0, np.nan, np.append(values, np.nan)[place])
    else:
        if not isinstance(costs, (int, float, np.number)):
            raise DataError(
                f"costs is a {type(costs).__name__}; pass a number, or a Series or mapping from {what} to number."
            )
        cost = np.full(len(ids), float(costs))
    absent = np.flatnonzero(np.isnan(cost))
    if len(absent):
        raise DataError(
            f"costs are missing for {len(absent)} of {len(ids)} {what}s: {first_few(ids.take(absent))}. Give each "
            f"{what} a cost{', or leave it out with exclude' if what == 'task' else ''}."
        )
    wrong = np.flatnonzero(~((cost > 0) & np.isfinite(cost)))
    if len(wrong):
        raise DataError(
            f"costs of {len(wrong)} {what}s are not above 0: {first_few(ids.take(wrong))} "
            f"({first_few(cost[wrong])}). A cost is a positive number."
        )
    return cost

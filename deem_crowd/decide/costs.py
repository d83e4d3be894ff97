"""What one answer costs, for each task or worker, in any form a caller has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.gold import in_pandas
from deem_crowd.data.lookup import are_among, places_of
from deem_crowd.decide import checks
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    MissingColumnError,
    counted,
    first_few,
)
from deem_crowd.runtime.warning import warn


def costs_of(costs: Any, ids: pd.Index, what: str) -> npt.NDArray[np.float64]:
    """Return the cost of one answer for each task or worker, shape (len(ids),).

    Parameters
    ----------
    costs : number, Series or mapping from id to number, table, or None
        A table has a column (or index) of ids, called ``what``, and one of costs: the only other one, or that called
        ``cost``. None is a cost of 1 each.
    what : 'task' or 'worker'

    Raises
    ------
    DataError
        If a cost is missing, not a number, or not above 0.
    FormError, MissingColumnError
        If a table has other columns, or it is no form that is known.
    """
    if costs is None:
        return np.ones(len(ids))
    costs = in_pandas(costs, what)
    if isinstance(costs, pd.DataFrame):
        costs = _column(costs, what)
    if isinstance(costs, pd.Series | Mapping):
        cost = _by_id(costs, ids, what)
    elif isinstance(costs, int | float | np.number) and costs is not True:
        cost = np.full(len(ids), float(costs))
    else:
        raise FormError(
            f"costs is a {type(costs).__name__}; pass a number, a Series or mapping from {what} to number, or a table "
            f"with columns {what!r} and 'cost'."
        )
    absent = np.flatnonzero(np.isnan(cost))
    if len(absent):
        raise DataError(
            f"costs are missing for {len(absent)} of {counted(len(ids), what)}: {first_few(ids.take(absent))}. Give "
            f"each {what} a cost{', or leave it out with exclude=' if what == 'task' else ''}."
        )
    wrong = np.flatnonzero(~((cost > 0) & np.isfinite(cost)))
    if len(wrong):
        raise DataError(
            f"costs of {counted(len(wrong), what)} are not above 0: {first_few(ids.take(wrong))} "
            f"({first_few(cost[wrong])}). A cost is a positive number."
        )
    return cost


def purse_of(budget: float | None, cost: npt.NDArray[np.float64], n: int) -> tuple[float, int]:
    """Return how much may be spent, infinite without a budget, and how many of n answers that buys at most.

    A budget that buys none is a warning.

    Raises
    ------
    ParameterError
    """
    if budget is None:
        return np.inf, n
    purse = checks.non_negative("budget", budget) * (1 + 1e-9)  # 0.3 buys three answers of 0.1
    if not len(cost):
        return purse, n
    least = cost.min()
    if least > purse:
        warn(
            f"budget={budget:g} buys no answer: the cheapest costs {least:g}. Raise budget= or lower costs=.",
            DataWarning,
        )
    return purse, min(n, int(purse // least))


def bought(cost: npt.NDArray[np.float64], purse: float) -> npt.NDArray[np.int64]:
    """Return which of M answers are bought, taking them in the order given.

    An answer that costs more than what is left is skipped.

    Parameters
    ----------
    cost : floats, shape (M,)
        Above 0.
    purse : float
    """
    places = []
    least = np.minimum.accumulate(cost[::-1])[::-1]  # of this and all later ones
    for place, one in enumerate(cost):
        if least[place] > purse:
            break
        if one <= purse:
            places.append(place)
            purse -= one
    return np.array(places, dtype=np.int64)


def _column(frame: pd.DataFrame, what: str) -> pd.Series:
    """Return the costs in a frame, by task or worker."""
    if what not in frame:
        raise MissingColumnError(
            f"costs as a table needs a column {what!r} and one of costs; found {first_few(frame.columns, 20)}. Rename "
            f"the column of the {what}s, or pass a Series whose index holds them."
        )
    others = [name for name in frame.columns if name != what]
    named = [name for name in others if name == "cost"] or others
    if not named:
        raise FormError(
            f"costs as a table has no column of numbers beside {what!r}. Add one, 'cost'."
        )
    if len(named) > 1:
        raise FormError(
            f"costs as a table has {len(named)} columns beside {what!r}, and not one that is called 'cost': "
            f"{first_few(named, 20)}. Pass the one that is meant: costs=frame.set_index({what!r})[{named[0]!r}]."
        )
    return pd.Series(frame[named[0]].array, index=pd.Index(frame[what].array, tupleize_cols=False))


def _by_id(
    costs: pd.Series | Mapping[Any, Any], ids: pd.Index, what: str
) -> npt.NDArray[np.float64]:
    """Return the cost of each id, NaN where it has none, shape (len(ids),)."""
    if isinstance(costs, Mapping):
        index = pd.Index(list(costs), tupleize_cols=False)
        costs = pd.Series(list(costs.values()), index=index, dtype=object)
    twice = costs.index[costs.index.duplicated()].unique()
    if len(twice):
        raise DataError(
            f"costs name {counted(len(twice), what)} more than once: {first_few(twice)}. Keep one cost of each."
        )
    if len(ids) and not are_among(costs.index, ids).any():
        checks.refuse_other_kind("costs", costs.index, ids, what)
    place = places_of(ids, costs.index)
    values = pd.to_numeric(costs, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    words = np.append(np.isnan(values) & costs.notna().to_numpy(), False)[place] & (place >= 0)
    if words.any():
        rows = np.flatnonzero(words)
        raise DataError(
            f"costs of {counted(len(rows), what)} are no numbers: {first_few(ids.take(rows))} "
            f"({first_few(costs.iloc[place[rows]])}). A cost is a positive number, with a point for decimals."
        )
    return np.where(place < 0, np.nan, np.append(values, np.nan)[place])

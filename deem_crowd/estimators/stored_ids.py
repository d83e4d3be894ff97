"""Ids of tasks, workers and classes in model files: in JSON, in their own type, and checked when they are read."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.estimators.checkpoint import Reader
from deem_crowd.exceptions import UnsupportedError


def plain_index(index: pd.Index, what: str) -> dict[str, Any]:
    """Return ids in a form that JSON holds.

    Raises
    ------
    UnsupportedError
        For ids of a type that cannot be written.
    """
    if isinstance(index, pd.RangeIndex):
        return {
            "dtype": "range",
            "values": [index.start, index.stop, index.step],
            "name": index.name,
        }
    if isinstance(index, pd.CategoricalIndex):
        categories = plain_index(pd.Index(index.categories), what)
        codes = [int(code) for code in index.codes]
        shape = {"categories": categories, "ordered": bool(index.ordered)}
        return {"dtype": "category", "values": codes, "name": index.name, **shape}
    if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
        values: list[Any] = [int(value) for value in index.asi8]
    else:
        values = [_plain_id(value, what) for value in index]
    if not _is_id_dtype(str(index.dtype)):
        raise UnsupportedError(
            f"{what} ids are of dtype {index.dtype}, which a model file cannot hold. Use strings or numbers as ids."
        )
    return {"dtype": str(index.dtype), "values": values, "name": index.name}


def _plain_id(value: Any, what: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, tuple):
        return {"tuple": [_plain_id(item, what) for item in value]}
    if isinstance(value, datetime.datetime | datetime.date):
        return {type(value).__name__: value.isoformat()}
    raise UnsupportedError(
        f"{what} {value!r} is a {type(value).__name__}, which a model file cannot hold. Use strings or numbers as ids."
    )


def read_index(stored: Any, length: int | None, reader: Reader, what: str) -> pd.Index:
    """Return the ids that :func:`plain_index` stored.

    Raises
    ------
    FormError
    """
    try:
        name, dtype, values = stored["name"], stored["dtype"], stored["values"]
        if not _is_id_dtype(dtype):
            raise ValueError(f"ids of dtype {str(dtype)[:60]!r} are not written by this package")
        if dtype == "range":
            index: pd.Index = _read_range(values, name)
        elif dtype == "category":
            categories = read_index(stored["categories"], None, reader, what)
            index = pd.CategoricalIndex(
                pd.Categorical.from_codes(values, categories, ordered=stored["ordered"]), name=name
            )
        elif dtype.startswith(("datetime64", "timedelta64")):
            index = _read_times(values, dtype, name)
        else:
            index = pd.Index(
                [_read_id(value) for value in values], dtype=dtype, name=name, tupleize_cols=False
            )
        twice = index.has_duplicates
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise reader.damaged(f"the {what}s cannot be read: {error}") from error
    if (length is not None and len(index) != length) or twice:
        raise reader.damaged(f"there are {len(index)} {what}s, not {length} different ones")
    return index


def plain_groups(groups: Any) -> Any:
    """Return lists of workers' ids by the name of their group in a form that JSON holds; None as it is.

    Raises
    ------
    UnsupportedError
        For ids of a type that cannot be written.
    """
    if not isinstance(groups, Mapping):
        return groups
    return {
        name: [_plain_id(member, "worker") for member in members]
        for name, members in groups.items()
    }


def read_groups(stored: Any, reader: Reader) -> dict[str, list[Any]] | None:
    """Return the lists of ids that :func:`plain_groups` stored.

    Raises
    ------
    FormError
    """
    if stored is None:
        return None
    try:
        return {name: [_read_id(member) for member in members] for name, members in stored.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise reader.damaged(f"the groups cannot be read: {error}") from error


def plain_shares(shares: Any) -> Any:
    """Return shares by class in a form that JSON holds: pairs, or a list; None as it is.

    Raises
    ------
    UnsupportedError
        For labels of a type that cannot be written.
    """
    if shares is None:
        return None
    if isinstance(shares, pd.Series | Mapping):
        pairs = [[_plain_id(name, "label"), float(share)] for name, share in shares.items()]
        return {"by label": pairs}
    return [float(share) for share in shares]


def read_shares(stored: Any, reader: Reader) -> Any:
    """Return the shares that :func:`plain_shares` stored.

    Raises
    ------
    FormError
    """
    if not isinstance(stored, dict):
        return stored
    try:
        return {_read_id(name): float(share) for name, share in stored["by label"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise reader.damaged(f"the class balance cannot be read: {error}") from error


_ID_DTYPES = re.compile(
    r"range|category|object|str|string|bool|boolean|u?int(8|16|32|64)|U?Int(8|16|32|64)|float(16|32|64)|Float(32|64)"
    r"|(datetime|timedelta)64\[(s|ms|us|ns)(, [\w/+:-]+)?\]|(large_)?string\[(python|pyarrow|pyarrow_numpy)\]"
    r"|(u?int(8|16|32|64)|halffloat|float|double|bool|date32\[day\]|(timestamp|duration)\[[\w, =/+:-]+\])\[pyarrow\]"
)
"""The dtypes of ids that a file may name; others could ask for any amount of memory."""


def _is_id_dtype(dtype: Any) -> bool:
    return isinstance(dtype, str) and _ID_DTYPES.fullmatch(dtype) is not None


def _read_range(values: list[int], name: Any) -> pd.Index:
    start, stop, step = values
    return pd.RangeIndex(start, stop, step, name=name)


def _read_times(values: list[int], dtype: str, name: Any) -> pd.Index:
    unit = dtype.partition("[")[2].rstrip("]").split(",")[0].strip()
    raw = np.asarray(values, dtype=np.int64)
    if dtype.startswith("timedelta64"):
        return pd.TimedeltaIndex(raw.view(f"m8[{unit}]"), name=name)
    index = pd.DatetimeIndex(raw.view(f"M8[{unit}]"), name=name)
    zone = dtype.partition(",")[2].rstrip("]").strip()
    return index.tz_localize("UTC").tz_convert(zone) if zone else index


def _read_id(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "tuple":
        return tuple(_read_id(item) for item in inner)
    if kind == "Timestamp":
        return pd.Timestamp(inner)
    if kind == "datetime":
        return datetime.datetime.fromisoformat(inner)
    if kind == "date":
        return datetime.date.fromisoformat(inner)
    raise ValueError(f"an id of kind {kind!r}")

"""Ids of tasks, workers and classes in model files: in JSON, in their own type, and checked when they are read."""

from __future__ import annotations

import datetime
import decimal
import math
import operator
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.exceptions import UnsupportedError, counted, first_few


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
        categories = plain_index(index.categories, what)
        codes = [int(code) for code in index.codes]
        shape = {"categories": categories, "ordered": bool(index.ordered)}
        return {"dtype": "category", "values": codes, "name": index.name, **shape}
    if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
        values: list[Any] = [int(value) for value in index.asi8]
    elif _is_id_dtype(str(index.dtype)):
        values = plain_ids(index, what)
    else:
        raise UnsupportedError(
            f"{what} ids are of dtype {index.dtype}, which a model file cannot hold. {_as_text(what)}"
        )
    return {"dtype": str(index.dtype), "values": values, "name": index.name}


def plain_ids(ids: Iterable[Any], what: str) -> list[Any]:
    """Return single ids in a form that JSON holds.

    Raises
    ------
    UnsupportedError
        Naming those that cannot be written.
    """
    values, strange = [], []
    for one in ids:
        try:
            values.append(_plain_id(one))
        except _StrangeId as error:
            strange.append((one, error.kind))
    if strange:
        kinds = dict.fromkeys(kind.__name__ for _, kind in strange)
        raise UnsupportedError(
            f"{counted(len(strange), f'{what} id')} ({first_few([one for one, _ in strange])}) cannot be written to a "
            f"model file, which holds numbers, text, dates, times, UUIDs, bytes, and tuples of these, but no "
            f"{' and no '.join(kinds)}. {_as_text(what)}"
        )
    return values


def _as_text(what: str) -> str:
    if what == "column":
        return "Name the columns by text before fit: df.columns = df.columns.astype(str)."
    return f"Make them text before fit: df['{what}'] = df['{what}'].astype(str)."


class _StrangeId(Exception):
    """An id, or a part of it, is of a type that is not written."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind.__name__)
        self.kind = kind


def _plain_id(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(float(value))}
    kind = type(value)
    if isinstance(value, tuple):
        return {"tuple": [_plain_id(item) for item in value]}
    if kind in _WRITTEN:
        return {kind.__name__: _WRITTEN[kind](value)}
    raise _StrangeId(kind)


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
    return {name: plain_ids(members, "worker") for name, members in groups.items()}


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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
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
        shares = dict(shares.items())
        names, values = plain_ids(shares, "label"), shares.values()
        return {"by label": [[n, float(v)] for n, v in zip(names, values, strict=True)]}
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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
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
    read = _READ.get(kind)
    if read is None:
        raise ValueError(f"an id of kind {str(kind)[:60]!r}")
    return read(inner)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where text is written")
    return value


def _read_decimal(value: Any) -> decimal.Decimal:
    try:
        read = decimal.Decimal(_text(value))
    except decimal.InvalidOperation:
        raise ValueError(f"{_text(value)[:60]!r} is no number") from None
    if read.is_nan():
        raise ValueError("an id that is no number")
    return read


def _read_float(value: Any) -> float:
    if value not in ("inf", "-inf"):
        raise ValueError("a number that is written as text")
    return float(value)


_WRITTEN: dict[type, Callable[[Any], Any]] = {
    uuid.UUID: str,
    decimal.Decimal: str,
    bytes: bytes.hex,
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    pd.Timestamp: pd.Timestamp.isoformat,
    pd.Timedelta: pd.Timedelta.isoformat,
    frozenset: lambda value: sorted(map(_plain_id, value), key=repr),
}
"""Types of ids that JSON has no form for, and how each is written; subclasses of them are not written."""
_READ: dict[str, Callable[[Any], Any]] = {
    "tuple": lambda inner: tuple(_read_id(item) for item in inner),
    "frozenset": lambda inner: frozenset(_read_id(item) for item in inner),
    "float": _read_float,
    "UUID": lambda inner: uuid.UUID(_text(inner)),
    "Decimal": _read_decimal,
    "bytes": lambda inner: bytes.fromhex(_text(inner)),
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": lambda inner: datetime.timedelta(*map(operator.index, inner)),
    "Timestamp": lambda inner: pd.Timestamp(_text(inner)),
    "Timedelta": lambda inner: pd.Timedelta(_text(inner)),
}

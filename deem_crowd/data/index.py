"""Ids and labels of any dtype → integer codes and back, without merging or splitting what the caller means.

Shared by everything that reads somebody's data: one place decides what counts as missing, which values
collide (1 and ``'1'``, ``True`` and 1) and in which order classes stand.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import nested
from deem_crowd.data.missing import nan_missing
from deem_crowd.data.numbering import numbered
from deem_crowd.exceptions import DataError, FormError, counted, first_few

IntArray = npt.NDArray[np.integer[Any]]

# What pandas' infer_dtype calls an object column whose values are all of one kind.
_ONE_KIND = frozenset(
    {"string", "bytes", "integer", "floating", "boolean", "decimal", "complex", "empty"}
    | {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period", "interval"}
)


_NUL_MERGES = int(pd.__version__.split(".")[0]) < 3


def _kind(value: Any) -> str:
    """Name the kind of a scalar; numpy and Python numbers of one sort are the same kind."""
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, numbers.Integral):
        return "int"
    if isinstance(value, numbers.Real):
        return "float"
    return type(value).__name__


_UNPADDED = re.compile(r"^0+(?=\d+$)")
"""The zeros at the front that a text loses where it is read as a number."""


def _refuse_collisions(values: npt.NDArray[np.object_], column: str) -> None:
    """Raise :class:`DataError` if two values of different kinds could be meant as one.

    Values collide when they are equal across kinds (``True == 1 == 1.0``) or read the same (1, ``'1'`` and ``'01'``).
    """
    if pd.api.types.infer_dtype(values, skipna=True) in _ONE_KIND:
        return
    distinct: dict[tuple[str, Any], Any] = {}
    for value in values[~pd.isna(values)]:  # None is missing, and not the text 'None'
        distinct.setdefault((_kind(value), value), value)
    if len({kind for kind, _ in distinct}) == 1:
        return
    seen: dict[Any, Any] = {}
    pairs: list[str] = []
    for (kind, value), original in distinct.items():
        for key in (("value", value), ("text", _UNPADDED.sub("", str(value)))):
            other = seen.setdefault(key, (kind, original))
            if other[0] != kind:
                pairs.append(f"{other[1]!r} ({other[0]}) and {original!r} ({kind})")
                break
    if pairs:
        shown = "; ".join(pairs[:5]) + ("; …" if len(pairs) > 5 else "")
        remedy = f"df['{column}'].astype(str)"
        if any(isinstance(value, str) and _UNPADDED.match(value) for value in values):
            remedy = f"pd.read_csv(path, dtype={{'{column}': str}})"
        elif {kind for kind, _ in distinct} == {"int", "float"}:  # 1.0 as text is not 1
            whole = all(abs(value) < 2**63 and value == int(value) for _, value in distinct)
            remedy = f"df['{column}'].astype('{'Int64' if whole else 'float64'}')"
        raise DataError(
            f"column '{column}' mixes kinds that read or compare alike: {shown} ({len(pairs)} such "
            f"pair{'s' if len(pairs) > 1 else ''}). Convert the column to one dtype first, e.g. {remedy}."
        )


def class_places(known: pd.Index, values: pd.Index) -> IntArray:
    """Return where each value stands among known ones, −1 where it does not.

    Floats of one precision are found among those of another: 0.1 among the labels of a float32 column.
    """
    found: IntArray = known.get_indexer(values)
    values = values.infer_objects()
    lost = np.flatnonzero(found < 0)
    widths = [_float_bytes(index) for index in (known, values)]
    if len(lost) and None not in widths and widths[0] != widths[1]:
        short = known.astype("float32")
        if short.is_unique:
            found[lost] = short.get_indexer(values.take(lost).astype("float32"))
    return found


def _float_bytes(values: pd.Index) -> int | None:
    """Return how many bytes each of some floats takes; None of anything else."""
    dtype = values.dtype
    dtype = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
    return int(getattr(dtype, "itemsize", 0)) if pd.api.types.is_float_dtype(dtype) else None


def refuse_collisions(old: pd.Index, new: pd.Index, column: str) -> None:
    """Raise :class:`DataError` if ids of one Index and of another could be meant as one, but are not equal."""
    if old.dtype == new.dtype and old.dtype != object:
        return
    both = np.concatenate([old.to_numpy(dtype=object), new.to_numpy(dtype=object)])
    _refuse_collisions(both, column)


def factorize(values: pd.Series, column: str) -> tuple[IntArray, pd.Index]:
    """Code ``values`` by first appearance.

    Parameters
    ----------
    values : Series, shape (R,)
        Ids or labels of any hashable kind. Missing entries get the code −1.
    column : str
        Its name, for messages and for the index returned.

    Returns
    -------
    codes : integers, shape (R,)
    uniques : Index, shape (U,)
        The distinct values in order of first appearance, in the dtype of ``values``.

    Raises
    ------
    DataError
        If values of different kinds collide.
    FormError
        If values are not hashable.
    """
    codes: IntArray
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iu":
        codes, numbers_ = numbered(values.to_numpy())
        return codes, pd.Index(numbers_, name=column)
    values = nan_missing(values)
    if isinstance(values.dtype, pd.ArrowDtype):
        values = _plain(values, column)
    if values.dtype == np.float16:  # pandas has no Index of them
        raise _no_ids(column, values.dtype, "df['{}'].astype('float32')")
    if values.dtype == np.longdouble and values.dtype != np.float64:
        raise _no_ids(column, values.dtype, "df['{}'].astype('float64')")
    if values.dtype == object:
        raw = values.to_numpy()
        try:
            _refuse_collisions(raw, column)
            codes, distinct = pd.factorize(raw, use_na_sentinel=True)
            if _NUL_MERGES:
                return _torn_apart(raw, codes, distinct, column)
        except TypeError as error:
            require_hashable(raw, f"column '{column}'")
            raise FormError(f"column '{column}' holds values that are no ids: {error}.") from error
        uniques = pd.Index(distinct, tupleize_cols=False, dtype=object)
    else:
        codes, uniques = pd.factorize(values, use_na_sentinel=True)
        uniques = pd.Index(uniques)
        if isinstance(uniques, pd.IntervalIndex) and uniques.is_overlapping:
            what = f"intervals that overlap ({first_few(uniques)})"
            raise _no_ids(column, what, "df['{}'].astype(str)")
        if isinstance(uniques, pd.CategoricalIndex) and uniques.categories.dtype == object:
            _refuse_collisions(np.asarray(uniques, dtype=object), column)
    return codes, uniques.rename(column)


def among(values: pd.Index, known: pd.Index) -> npt.NDArray[np.bool_]:
    """Tell which values are among others of their dtype, shape (n,); Arrow looks for text, without making objects."""
    if values.is_(known):
        return np.ones(len(values), dtype=bool)
    if isinstance(values.dtype, pd.StringDtype) and values.dtype == known.dtype:
        return places(values, known) >= 0
    return np.asarray(values.isin(known))


def places(values: pd.Index, known: pd.Index) -> IntArray:
    """Return where values stand among distinct ones, shape (n,), −1 for nowhere; Arrow looks for text of one dtype."""
    if not isinstance(values.dtype, pd.StringDtype) or values.dtype != known.dtype:
        return known.get_indexer(values)
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.index_in(pa.array(values.array), value_set=pa.array(known.array)).fill_null(-1)
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _plain(values: pd.Series, column: str) -> pd.Series:
    """Return a column of an Arrow dtype that pandas can number; dictionaries become categories.

    Raises
    ------
    FormError
    """
    import pyarrow as pa
    from pyarrow import types

    kind = values.dtype.pyarrow_dtype  # type: ignore[union-attr]
    inner = kind.value_type if types.is_dictionary(kind) else kind
    if (
        types.is_nested(inner)
        or isinstance(inner, pa.BaseExtensionType)
        or types.is_float16(inner)
        or types.is_string_view(inner)
        or types.is_binary_view(inner)
        or types.is_interval(inner)
    ):
        raise _no_ids(column, kind, "df['{}'].astype(str)")
    return values.astype(object).astype("category") if types.is_dictionary(kind) else values


def _no_ids(column: str, what: Any, remedy: str) -> FormError:
    return FormError(
        f"column '{column}' holds {what}, which cannot be ids or labels. Convert it first, e.g. "
        f"{remedy.format(column)}."
    )


def _torn_apart(
    raw: npt.NDArray[np.object_], codes: IntArray, uniques: npt.NDArray[np.object_], column: str
) -> tuple[IntArray, pd.Index]:
    """Return codes in which texts that differ in what follows a NUL differ, too; pandas 2 takes them for one."""
    there = codes >= 0
    if bool((uniques[codes[there]] == raw[there]).all()):
        return codes, pd.Index(uniques, tupleize_cols=False, dtype=object, name=column)
    table: dict[Any, int] = {}
    own: IntArray = codes.copy()
    own[there] = [table.setdefault(value, len(table)) for value in raw[there]]
    distinct = np.empty(len(table), dtype=object)
    distinct[:] = list(table)
    return own, pd.Index(distinct, tupleize_cols=False, dtype=object, name=column)


def require_hashable(values: Iterable[Any], what: str) -> None:
    """Raise :class:`FormError` if some values cannot be ids or labels; ``what`` says whose they are."""
    bad = [v for v in values if not is_hashable(v)]
    lists = bad and all(isinstance(value, (list, set, np.ndarray)) for value in bad)
    if lists and "worker" in what:
        raise FormError(
            f"{what} holds {counted(len(bad), 'list')} ({first_few(bad)}): several answers in one row. Give each "
            "answer a row of its own: df.explode([WORKER, LABEL]), with the names of the columns of workers and "
            "labels. If a list is one id, make it a tuple."
        )
    if lists and "label" in what:
        raise FormError(
            f"{what} holds {counted(len(bad), 'list')} ({first_few(bad)}): several labels in one answer. Aggregate "
            "them with crowd-kit's BinaryRelevance(DEEMAggregator()), one yes-or-no question a label, or give one row "
            "a label."
        )
    if "label" in what and (counts := nested.advice_on_counts(bad, what, "df['label']")):
        raise FormError(counts)
    if bad and all(isinstance(value, dict) and value for value in bad):
        key = str(next(iter(bad[0])))
        raise FormError(
            f"{what} holds {counted(len(bad), 'object')} ({first_few(bad)}), which cannot be ids or labels. Name what "
            f"counts in each, as in df[COLUMN].str[{key!r}]; in JSON lines by its path, COLUMN.{key}."
        )
    if bad:
        raise FormError(
            f"{what} holds {counted(len(bad), 'value that is', 'values that are')} not hashable ({first_few(bad)}), "
            "and so cannot be ids or labels. Convert them first, e.g. lists to tuples."
        )


def is_hashable(value: Any) -> bool:
    """Tell whether a value can be an id or a label; a tuple may hold a list."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def sorted_order(values: pd.Index) -> IntArray:
    """Return the permutation, shape (U,), that puts distinct ``values`` in their canonical order.

    Categories keep their declared order, sortable values are sorted, anything else is ordered by kind and text.
    Sets compare as parts of one another, which is no order to sort by.
    """
    if isinstance(values, pd.CategoricalIndex):
        return np.argsort(values.codes, kind="stable")
    try:
        if values.dtype == object and any(map(_holds_sets, values)):
            raise TypeError
        return np.asarray(values.argsort())
    except TypeError:
        keys = [(_kind(v), _text(v)) for v in values]
        return np.asarray(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def _holds_sets(value: Any) -> bool:
    return isinstance(value, frozenset) or (
        isinstance(value, tuple) and any(map(_holds_sets, value))
    )


def _text(value: Any) -> str:
    """Return a text in which sets stand in an order of their own, whatever the seed of hashes."""
    if isinstance(value, (frozenset, tuple)):
        parts = [f"{_kind(part)} {_text(part)}" for part in value]
        return ", ".join(parts if isinstance(value, tuple) else sorted(parts))
    return str(value)


def take(values: pd.Index, codes: IntArray, name: str) -> pd.Series:
    """Return ``values[codes]`` as a Series named ``name``, missing where a code is −1.

    The dtype is that of ``values``; only where something is missing do plain integers and booleans become the
    nullable ``Int64``, ``UInt64`` … and ``boolean``, which lose no digit.
    """
    absent = codes < 0
    if not absent.any():
        return pd.Series(values.take(codes), dtype=values.dtype, name=name)
    series = pd.Series(values, dtype=values.dtype)
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iub":
        letters = {"i": "Int", "u": "UInt"}.get(values.dtype.kind)
        nullable = f"{letters}{8 * values.dtype.itemsize}" if letters else "boolean"
        series = series.astype(pd.api.types.pandas_dtype(nullable))
    picked = series.reindex(np.where(absent, -1, codes))
    return picked.reset_index(drop=True).rename(name)


def numbers_in_text(names: pd.Index) -> npt.NDArray[np.float64] | None:
    """Return the numbers that names are, shape (K,), if all are texts of finite numbers; else None."""
    if not all(isinstance(name, str) for name in names):
        return None
    numbers = pd.to_numeric(names.to_series(), errors="coerce").to_numpy(np.float64)
    return numbers if np.isfinite(numbers).all() else None


def require_order(classes: pd.Index) -> None:
    """Raise :class:`DataError` if classes have no order of their own: neither numbers nor ordered categories."""
    if isinstance(classes, pd.CategoricalIndex):
        if classes.ordered:
            return
    elif pd.api.types.is_numeric_dtype(classes.infer_objects()):  # numbers in a column of objects
        return
    kind, convert = "names", ""
    if numbers_in_text(classes) is not None:
        kind, convert = "numbers written as text", ", df['label'] = pd.to_numeric(df['label'])"
    raise DataError(
        f"ordered=True needs labels with an order, and these are {kind} ({first_few(classes)}). Pass numbers{convert}, "
        "or an ordered categorical: df['label'] = pd.Categorical(df['label'], ['low', 'mid', 'high'], ordered=True)."
    )


def counting_sort(codes: IntArray, n_codes: int) -> tuple[IntArray, IntArray]:
    """Stable counting sort.

    Parameters
    ----------
    codes : integers in 0..n_codes-1, shape (R,)
    n_codes : int

    Returns
    -------
    pointers : shape (n_codes + 1,)
        Group ``c`` stands at ``order[pointers[c]:pointers[c + 1]]``.
    order : shape (R,)
        Positions into ``codes``; equal codes keep their order. int32 where it fits.
    """
    n = len(codes)
    index = np.int32 if max(n, n_codes) < 2**31 - 1 else np.int64
    if n == 0 or n_codes == 0:
        return np.zeros(n_codes + 1, dtype=index), np.zeros(0, dtype=index)
    if max(n, n_codes) <= 2**16:
        # numpy sorts numbers of 16 bits by their digits; few of them fit into the cache
        pointers: IntArray = np.zeros(n_codes + 1, dtype=index)
        np.cumsum(np.bincount(codes, minlength=n_codes), out=pointers[1:])
        return pointers, np.argsort(codes.astype(np.uint16), kind="stable").astype(index)
    from scipy import sparse  # conversion of a sparse matrix to rows is this sort, in C, in O(R)

    columns = np.arange(n, dtype=index)
    rows = codes.astype(index, copy=False)
    matrix = sparse.coo_array((np.ones(n, dtype=np.int8), (rows, columns)), shape=(n_codes, n))
    csr = matrix.tocsr()
    return csr.indptr, csr.indices


def tally(codes: IntArray, n_codes: int) -> npt.NDArray[np.int64]:
    """Return how often each of the codes 0..n_codes-1 occurs, shape (n_codes,).

    :func:`numpy.bincount` of some at a time: of all it makes a copy in 8 bytes each.
    """
    size = max(n_codes, 2**20)
    number = np.zeros(n_codes, dtype=np.int64)
    for begin in range(0, len(codes), size):
        number += np.bincount(codes[begin : begin + size], minlength=n_codes)
    return number

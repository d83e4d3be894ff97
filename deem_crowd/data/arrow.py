"""Arrow columns as pandas Series and as codes, without losing a type: the one way from Arrow to ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deem_crowd.data import index as ids
from deem_crowd.data.dictionaries import TEXT, Dictionaries
from deem_crowd.data.lookup import as_index
from deem_crowd.data.numbering import Numbering, numbered
from deem_crowd.exceptions import DataError, FormError

_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}

_PLAIN = frozenset(
    {
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.uint8(),
        pa.uint16(),
        pa.uint32(),
        pa.uint64(),
    }
    | TEXT
)


def require_plain(kind: pa.DataType, name: str, where: str) -> None:
    """Check that a column's type is one that ids and labels can have.

    Raises
    ------
    FormError
        For lists, structs, maps, unions, calendar intervals, half floats, and dictionaries of such.
    """
    encoded = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    inner = kind.value_type if encoded else kind
    if pa.types.is_nested(inner) or pa.types.is_interval(inner):
        raise FormError(
            f"{where}: column {name!r} holds {kind}; ids and labels are plain values. Convert it to text or numbers; "
            "where a row holds several answers, give each a row of its own (in pandas: df.explode([WORKER, LABEL]))."
        )
    if pa.types.is_float16(inner):
        raise FormError(
            f"{where}: column {name!r} holds {kind}, of which pandas makes no ids. Convert it to float32, which holds "
            "the same numbers."
        )


def series(column: pa.ChunkedArray) -> pd.Series:
    """Return an Arrow column, shape (R,), as a Series that holds the same values.

    Integers and booleans with nulls become pandas' nullable ones (floats would lose digits), dictionaries
    become categoricals. Arrow's unordered dictionaries stand in whatever order the rows came, and the order
    of classes must not depend on that: their categories are sorted. Ordered dictionaries keep their order.
    """
    if pa.types.is_run_end_encoded(column.type):
        column = pa.chunked_array(
            [pc.run_end_decode(chunk) for chunk in column.chunks], type=column.type.value_type
        )
    if pa.types.is_dictionary(column.type):
        return _categorical(column)
    if column.null_count and column.type in _NULLABLE:
        nullable = _NULLABLE[column.type]
        return column.to_pandas(types_mapper=lambda _: nullable)
    return column.to_pandas()


def _categorical(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if not kind.ordered:
        # A dictionary may hold a value twice, or null, or differ from chunk to chunk.
        column = column.cast(kind.value_type).dictionary_encode()
    column = column.unify_dictionaries()
    if not column.num_chunks:
        none = series(pa.chunked_array([], type=kind.value_type))
        return pd.Series(pd.Categorical([], categories=none, ordered=kind.ordered))
    categories = as_index(series(pa.chunked_array([column.chunk(0).dictionary])))
    codes = pc.fill_null(
        pa.chunked_array([chunk.indices.cast(pa.int64()) for chunk in column.chunks]), -1
    )
    values = pd.Categorical.from_codes(
        codes.to_numpy(), categories=categories, ordered=kind.ordered
    )
    if not kind.ordered:
        values = values.reorder_categories(categories.take(ids.sorted_order(categories)))
    return pd.Series(values)


class ColumnCoder:
    """Codes the batches of one Arrow column in turn; holds 4 bytes a row and the distinct values.

    The codes and values are those that :func:`deem_crowd.data.index.factorize` gives the whole column as a Series.

    Parameters
    ----------
    name : str
        The column's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._type: pa.DataType | None = None  # of the values; the widest so far
        self._is_dictionary = False
        self._extension: pa.DataType | None = (
            None  # uuid and the like; values are coded as they are stored
        )
        self._categories: pa.Array | None = None  # of an ordered dictionary
        self._dictionaries = Dictionaries()
        self._numbers: Numbering | None = Numbering()  # in their place, of whole numbers ...
        self._integers: list[pa.Array] = []  # ... where they lie too far apart for it
        self.n_rows = 0

    @property
    def kind(self) -> pa.DataType:
        """The type of the values: the widest that was announced."""
        return pa.null() if self._type is None else self._type

    def expect(self, kind: pa.DataType, where: str) -> None:
        """Take note of the column's type in a file; all files need one kind of values, of any width.

        Raises
        ------
        FormError
            If the values are lists or structs.
        DataError
            If the kind differs from that of the files before.
        """
        require_plain(kind, self.name, where)
        if pa.types.is_dictionary(kind):
            self._is_dictionary = True
            kind = kind.value_type
        if isinstance(kind, pa.BaseExtensionType):
            self._extension = kind
            kind = kind.storage_type
        if str(kind).startswith(("decimal32", "decimal64")):
            kind = pa.decimal128(kind.precision, kind.scale)  # Arrow cannot number the short ones
        if self._type is None or pa.types.is_null(self._type):
            common = kind
        elif pa.types.is_null(kind) or kind == self._type:
            common = self._type
        elif _kind(kind) == _kind(self._type):
            common = _widest(self._type, kind)
        else:
            raise DataError(
                f"{where}: column {self.name!r} is {kind}, and was {self._type} in the files before. "
                "Write all parts with one type."
            )
        if common != self._type:
            self._dictionaries.widen(lambda values: self._widened(values, common, where))
            for part in self._integers:
                self._widened(part, common, where)
            if self._numbers is not None and self._numbers.n_distinct:
                self._widened(pa.array(self._numbers.distinct), common, where)
            self._type = common

    def add(self, column: pa.Array, where: str) -> None:
        """Code one batch of rows, whose type was announced by :meth:`expect`.

        Raises
        ------
        DataError
            If ordered categories contradict the order of the batches before.
        """
        if pa.types.is_dictionary(column.type):
            if self._takes_dictionary(column):
                values = column.dictionary.cast(self._type)
                self._add_encoded(pa.DictionaryArray.from_arrays(column.indices, values))
                return
            if column.type.ordered:
                self._keep_order(column.dictionary, where)
            column = column.cast(column.type.value_type)
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        try:
            column = column.cast(self._type)
        except pa.ArrowInvalid as error:  # above 2**63, beside signed integers
            raise DataError(
                f"{where}: column {self.name!r} holds values that are no {self._type}, which other files need: "
                f"{error}. Write all parts with one type, or these ids as text."
            ) from error
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if pa.types.is_integer(column.type) and not self._dictionaries.n_rows:
            self._add_integers(column)
            self.n_rows += len(column)
            return
        if pa.types.is_null(column.type):  # Arrow would make null a value of the dictionary
            indices = pa.nulls(len(column), pa.int32())
            chunk = pa.DictionaryArray.from_arrays(indices, column[:0])
        else:
            chunk = column.dictionary_encode()
        self._add_encoded(chunk)

    def _takes_dictionary(self, column: pa.DictionaryArray) -> bool:
        """Tell whether text comes with a dictionary that can be taken: then its rows need not be looked through."""
        kind, values = column.type, column.dictionary
        return (
            not kind.ordered
            and kind.index_type == pa.int32()
            and {kind.value_type, self._type} <= TEXT
            and not values.null_count
        )

    def _add_encoded(self, chunk: pa.DictionaryArray) -> None:
        self._dictionaries.add(chunk)
        self.n_rows += len(chunk)

    def _add_integers(self, column: pa.Array) -> None:
        """Code whole numbers at once, or keep them where they lie too far apart."""
        if self._numbers is not None:
            there = column.drop_null() if column.null_count else column
            if column.type != pa.uint64() and self._numbers.add(there.to_numpy()):
                if column.null_count:
                    self._numbers.skip(column.is_valid().to_numpy(zero_copy_only=False))
                return
            distinct = pa.array(self._numbers.distinct)
            codes = self._numbers.codes()
            if len(codes):
                before = distinct.take(pa.array(codes, mask=codes < 0))
                self._integers.append(_narrowed(before.cast(self._type)))
            self._numbers = None
        self._integers.append(_narrowed(column))

    def _widened(self, values: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
        try:
            return values.cast(kind)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{where}: column {self.name!r} is {kind}, and values of the files before do not fit: {error}. "
                "Write all parts with one type."
            ) from error

    def _keep_order(self, categories: pa.Array, where: str) -> None:
        """Remember the order of ordered categories; one list must contain the other in the same order."""
        if self._categories is None or categories.equals(self._categories):
            self._categories = categories
            return
        longer, shorter = self._categories, categories
        if len(longer) < len(shorter):
            longer, shorter = shorter, longer
        place = pc.index_in(shorter.cast(longer.type), value_set=longer).to_numpy(
            zero_copy_only=False
        )
        if np.isnan(place.astype(float)).any() or (np.diff(place) <= 0).any():
            raise DataError(
                f"{where}: column {self.name!r} has the ordered categories {categories.to_pylist()}, and "
                f"{self._categories.to_pylist()} in the files before. Write all parts with one order."
            )
        self._categories = longer

    def coded(self) -> tuple[npt.NDArray[np.int32], pd.Index]:
        """Return all codes by first appearance, shape (R,), −1 where missing, and the distinct values.

        Raises
        ------
        DataError
            If distinct values read or compare alike.
        """
        if not self.n_rows:
            kind = self._type or pa.string()
            empty = series(pa.chunked_array([], type=kind))
            return np.zeros(0, dtype=np.int32), ids.factorize(empty, self.name)[1]
        codes, values = self._distinct()
        n_distinct = len(values)
        if (codes < 0).any():
            # the Series needs a type that can be missing, as the whole column's would be
            values = pa.concat_arrays([values, pa.nulls(1, values.type)])
        if self._categories is not None:
            place = pc.index_in(values, value_set=self._categories.cast(values.type))
            values = pa.DictionaryArray.from_arrays(place, self._categories, ordered=True)
        elif self._is_dictionary:
            values = values.dictionary_encode()
        elif self._extension is not None:
            values = pa.ExtensionArray.from_storage(self._extension, values)
        told = series(pa.chunked_array([values]))
        if values.type in _PLAIN:  # distinct values of one kind stay distinct
            return codes, pd.Index(told)[:n_distinct].rename(self.name)
        rank, uniques = ids.factorize(told, self.name)
        if np.array_equal(rank[:n_distinct], np.arange(n_distinct)):
            return codes, uniques
        return np.append(rank[:n_distinct], -1).astype(np.int32)[codes], uniques

    def _distinct(self) -> tuple[npt.NDArray[np.int32], pa.Array]:
        """Return the place of each row's value among the distinct ones, shape (R,), −1 where missing, and these."""
        if self._numbers is not None and self._numbers.n_rows:
            distinct = pa.array(self._numbers.distinct).cast(self._type)
            return self._numbers.codes(), distinct
        if not self._integers:
            return self._dictionaries.coded()
        widest = pa.int32() if all(p.type == pa.int32() for p in self._integers) else self._type
        column = pa.concat_arrays([part.cast(widest) for part in self._integers])
        self._integers.clear()
        if not column.null_count:
            found, distinct = numbered(column.to_numpy())
            return found.astype(np.int32, copy=False), pa.array(distinct).cast(self._type)
        there = column.is_valid().to_numpy(zero_copy_only=False)
        codes = np.full(len(column), -1, dtype=np.int32)
        codes[there], distinct = numbered(column.drop_null().to_numpy())
        return codes, pa.array(distinct).cast(self._type)


def _narrowed(column: pa.Array) -> pa.Array:
    """Return integers in 32 bits where they fit."""
    if column.type == pa.int32():
        return column
    least, most = pc.min_max(column).values()
    fits = not least.is_valid or (least.as_py() >= -(2**31) and most.as_py() < 2**31)
    return column.cast(pa.int32()) if fits else column


def _kind(kind: pa.DataType) -> str:
    """Name what values of an Arrow type are to Python."""
    for name in ("integer", "floating", "boolean", "decimal"):
        if getattr(pa.types, f"is_{name}")(kind):
            return name
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)


def _widest(one: pa.DataType, other: pa.DataType) -> Any:
    """Return a type that holds the values of two types of one kind."""
    if {one, other} == {pa.string(), pa.large_string()}:
        return pa.large_string()
    if pa.types.is_integer(one) and pa.types.is_signed_integer(one) != pa.types.is_signed_integer(
        other
    ):
        return pa.int64()
    return (
        pa.unify_schemas(
            [pa.schema([("x", one)]), pa.schema([("x", other)])], promote_options="permissive"
        )
        .field(0)
        .type
    )

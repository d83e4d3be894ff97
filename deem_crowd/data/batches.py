"""Arrow record batches in the long format → coded columns, batch by batch: never a Python object for an id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from deem_crowd.data.arrow import ColumnCoder
from deem_crowd.data.frames import refuse_shared
from deem_crowd.exceptions import DataError, MissingColumnError, counted, first_few

COLUMNS = ("task", "worker", "label")
Coded = tuple[npt.NDArray[np.int32], pd.Index]


class LongTable:
    """Codes the batches of a long table in turn; holds 12 bytes a row and the distinct ids.

    Parameters
    ----------
    names : mapping
        What the columns ``task``, ``worker`` and ``label`` are called.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.names = {part: part for part in COLUMNS} | dict(names or {})
        refuse_shared(self.names)
        self._coders = {part: ColumnCoder(part) for part in COLUMNS}

    @property
    def columns(self) -> list[str]:
        """What the three columns are called, each name once."""
        return list(dict.fromkeys(self.names.values()))

    def kind(self, part: str) -> pa.DataType:
        """Return the type that the values of a column have in all that was announced: the widest of them."""
        return self._coders[part].kind

    def expect(self, schema: pa.Schema, where: str = "the table") -> None:
        """Take note of the columns' types, before the first batch that has them.

        Raises
        ------
        MissingColumnError, FormError, DataError
        """
        require_columns(schema, self.names.values(), where)
        for part, name in self.names.items():
            self._coders[part].expect(schema.field(name).type, where)

    def add(self, batch: pa.RecordBatch, where: str = "the table") -> None:
        """Code a batch.

        Raises
        ------
        DataError
            If a task or a worker is missing, or a column holds text that is no UTF-8.
        """
        for part, name in self.names.items():
            column = batch.column(name)
            require_text(column, name, where)
            coder = self._coders[part]
            if part != "label":
                refuse_missing(column, name, coder.n_rows, where)
            coder.add(column, where)

    def coded(self) -> tuple[Coded, Coded, Coded]:
        """Return task, worker and label of all rows, each as codes, shape (R,), and its ids; a missing label is −1."""
        task, worker, label = (self._coders[part].coded() for part in COLUMNS)
        return task, worker, label


def require_columns(schema: pa.Schema, names: Iterable[str], where: str) -> None:
    """Raise :class:`MissingColumnError` if a table lacks columns."""
    lacking = [name for name in names if name not in schema.names]
    if lacking:
        raise MissingColumnError(
            f"{where}: column {', '.join(map(repr, lacking))} is missing; found {first_few(schema.names, 20)}."
        )


def require_text(column: pa.Array, name: str, where: str) -> None:
    """Raise if a column that is said to be text is no UTF-8, or is damaged otherwise."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{where}: column {name!r} cannot be read ({str(error).strip()}). Write text as UTF-8."
        ) from error


def refuse_missing(column: pa.Array, name: str, n_before: int, where: str) -> None:
    """Raise if ids are missing in a batch that stands after ``n_before`` rows."""
    missing = pc.is_null(column, nan_is_null=True)
    if pc.any(missing).as_py():
        rows = n_before + np.flatnonzero(missing.to_numpy(zero_copy_only=False))
        raise DataError(
            f"{where}: column {name!r} is missing in {counted(len(rows), 'row')} (rows {first_few(rows)} of all). "
            "Drop or repair those rows."
        )

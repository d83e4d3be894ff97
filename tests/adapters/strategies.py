"""Columns of every kind of id and label, for round trips."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
from hypothesis import strategies as st

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(
        [
            "",
            " ",
            "\t",
            "a\nb",
            "a\r",
            '"',
            'a"b',
            ",",
            "NA",
            "null",
            "None",
            "nan",
            "007",
            "-0",
            "1.0",
            "é",
            "e\u0301",
        ]
    ),
)
VALUES = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "int64[pyarrow]": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "boolean": st.booleans(),
    "float64": st.floats(allow_nan=False).map(lambda x: x + 0.0),
    "str": TEXT,
    "string": TEXT,
    "string[pyarrow]": TEXT,
    "category": TEXT,
    "datetime64[ns]": st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1)),
    "huge": st.integers(2**64, 2**70),
    "tuple": st.tuples(st.integers(0, 3), TEXT),
    "date": st.dates(),
    "bytes": st.binary(max_size=4),
}


@st.composite
def column(draw: st.DrawFn, size: int, kind: str | None = None) -> pd.Series:
    kind = draw(st.sampled_from(sorted(VALUES))) if kind is None else kind
    pool = draw(st.lists(VALUES[kind], min_size=1, max_size=5, unique=True))
    picks = draw(st.lists(st.sampled_from(range(len(pool))), min_size=size, max_size=size))
    values = [pool[i] for i in picks]
    if kind == "category":
        return pd.Series(pd.Categorical(values, categories=[*pool, "\x00unused"]))
    if kind in ("huge", "tuple", "date", "bytes"):
        out = np.empty(size, dtype=object)
        out[:] = values
        return pd.Series(out)
    return pd.Series(values, dtype=kind)


@st.composite
def long_frames(draw: st.DrawFn, max_rows: int = 12) -> pd.DataFrame:
    """Long frames, each column of some dtype, no (task, worker) pair twice."""
    size = draw(st.integers(1, max_rows))
    frame = pd.DataFrame({name: draw(column(size)) for name in ("task", "worker", "label")})
    return frame[~frame.duplicated(["task", "worker"])].reset_index(drop=True)

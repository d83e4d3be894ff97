"""What a caller has handed in: a place, a frame of polars, or a table of Arrow."""

from __future__ import annotations

import os
import sys
from typing import Any

import pandas as pd


def is_place(data: Any) -> bool:
    """Tell whether ``data`` is a path or an open file."""
    return isinstance(data, (str, os.PathLike)) or hasattr(data, "read")


def is_polars(data: Any) -> bool:
    """Tell whether ``data`` is a polars frame, without importing polars for the question."""
    polars = sys.modules.get("polars")  # who holds a polars frame has imported it
    return polars is not None and isinstance(data, (polars.DataFrame, polars.LazyFrame))


def is_arrow(data: Any) -> bool:
    """Tell whether ``data`` is a table, batch or stream of Arrow, whichever library made it."""
    return not isinstance(data, pd.DataFrame) and (
        hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")
    )

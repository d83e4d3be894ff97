"""One door for every format: recognise what is given, or say what would be taken."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.answers import COLUMNS, Answers
from deem_crowd.exceptions import FormError


def to_answers(data: Any, **options: Any) -> Answers:
    """Turn any supported form into :class:`~deem_crowd.Answers`.

    Parameters
    ----------
    data
        Answers (returned as they are); a long pandas frame; a polars frame; an Arrow table or record batch; a path to
        CSV, TSV, JSON lines or parquet; an integer array (N, D) or a soft array (N, K, D); torch tensors likewise.
    **options
        Of the reader that fits: ``missing``, ``duplicates``, ``classes`` for long formats, ``n_classes`` for arrays.

    Raises
    ------
    FormError
        If the form is not recognised; a wide frame is not guessed at, call :func:`from_wide`.
    DataError
    """
    if isinstance(data, Answers):
        return data
    if isinstance(data, pd.DataFrame):
        return Answers.from_frame(data, **options)
    if isinstance(data, (str, os.PathLike)):
        from deem_crowd_adapters.files import from_file

        return from_file(data, **options)
    module = type(data).__module__.split(".")[0]
    if module == "polars":
        from deem_crowd_adapters.tables import from_polars

        return from_polars(data, **options)
    if module == "pyarrow":
        from deem_crowd_adapters.tables import from_arrow

        return from_arrow(data, **options)
    if module == "torch" or isinstance(data, np.ndarray):
        return (Answers.from_soft if data.ndim == 3 else Answers.from_dense)(data, **options)
    raise FormError(
        f"a {type(data).__name__} is none of the forms that can be read: a frame (pandas, polars), an Arrow table or a "
        f"path (CSV, TSV, JSON lines, parquet) with columns {', '.join(COLUMNS)}; an integer array (tasks, workers) "
        "with −1 for missing; an array (tasks, classes, workers) of probabilities."
    )

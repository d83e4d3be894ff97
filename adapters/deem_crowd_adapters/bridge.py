"""Any answers → the dense tensor that a model of one's own takes, and its output → the caller's ids."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data import index as ids
from deem_crowd.exceptions import DataError, FormError, counted_of, first_few
from deem_crowd_adapters.dispatch import to_answers


class DensePredictions(NamedTuple):
    """A dense tensor of answers, and the three indexes to read it by."""

    predictions: torch.Tensor
    """int64, shape (N, D): class 0..K-1, −1 missing. Soft: floats, shape (N, K, D), zeros missing."""
    tasks: pd.Index
    """The task of each row, length N."""
    workers: pd.Index
    """The worker of each column, length D."""
    classes: pd.Index
    """The label of each class, length K."""

    def labels(self, predicted: npt.ArrayLike) -> pd.Series:
        """Return class numbers, shape (N,), as labels: a Series ``agg_label`` indexed by task.

        Parameters
        ----------
        predicted : integers, shape (N,)
            The class 0..K-1 of each task, −1 for none; an array or a tensor.

        Raises
        ------
        FormError, DataError
        """
        codes = _array(predicted)
        if codes.shape != (len(self.tasks),) or (codes.size and codes.dtype.kind not in "iu"):
            raise FormError(
                f"expected integers of shape ({len(self.tasks)},), one class a task, got {codes.dtype} of "
                f"shape {codes.shape}. For probabilities use .probas(p)."
            )
        bad = (codes < -1) | (codes >= len(self.classes))
        if bad.any():
            raise DataError(
                f"{counted_of(int(bad.sum()), len(codes), 'class number', 'is', 'are')} not in "
                f"−1..{len(self.classes) - 1}: {first_few(np.unique(codes[bad]))}."
            )
        series = ids.take(self.classes, codes.astype(np.int64), "agg_label")
        return series.set_axis(self.tasks)

    def probas(self, predicted: npt.ArrayLike) -> pd.DataFrame:
        """Return probabilities, shape (N, K), as a frame: index ``task``, columns ``label``.

        Raises
        ------
        FormError
        """
        values = _array(predicted)
        if values.shape != (len(self.tasks), len(self.classes)):
            raise FormError(
                f"expected shape ({len(self.tasks)}, {len(self.classes)}), tasks × classes, got {values.shape}."
            )
        return pd.DataFrame(values.astype(np.float64), index=self.tasks, columns=self.classes)


def to_dense(
    data: Any, *, soft: bool = False, dtype: torch.dtype | None = None, **options: Any
) -> DensePredictions:
    """Return answers in whatever form as the dense prediction tensor, with the indexes to read it.

    Parameters
    ----------
    data
        Anything that :func:`to_answers` takes: Answers, a long table, an array, a file …
    soft : bool
        Ask for distributions, shape (N, K, D); hard answers become one-hot.
    dtype : torch dtype, optional
        Of the soft tensor; float32 if omitted.
    options
        Passed on to :func:`to_answers`, e.g. ``missing="drop"`` or ``format="wide"``.

    Returns
    -------
    DensePredictions
        ``predictions``, ``tasks``, ``workers``, ``classes``.

    Raises
    ------
    MemoryNeedError
        If the N·D or N·K·D entries do not fit; raised before they are allocated.
    FormError
        If the answers are soft and ``soft`` is not set.
    DataError, ParameterError
    """
    answers = to_answers(data, **options)
    if answers.is_soft and not soft:
        raise FormError(
            "these answers are soft, they have no (N, D) matrix of labels. Ask for to_dense(data, soft=True)."
        )
    predictions = answers.one_hot(dtype) if soft else answers.dense()
    return DensePredictions(predictions, answers.tasks, answers.workers, answers.classes)


def _array(predicted: Any) -> npt.NDArray[Any]:
    if isinstance(predicted, torch.Tensor):
        predicted = predicted.detach().cpu().numpy()
    return np.asarray(predicted)

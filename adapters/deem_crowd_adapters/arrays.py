"""Arrays in, and the dense tensor out for people who bring their own model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.answers import Answers
from deem_crowd.exceptions import FormError
from deem_crowd_adapters.dispatch import to_answers


class DensePredictions(NamedTuple):
    """A dense prediction tensor with missing entries, and the three indexes to read it.

    Attributes
    ----------
    predictions : Tensor
        int64, shape (N, D), −1 where missing; or float32, shape (N, K, D), zeros where missing.
    tasks, workers, classes : Index, lengths N, D, K
        ``predictions[n, i] == k`` says that ``workers[i]`` gave ``tasks[n]`` the label ``classes[k]``.
    """

    predictions: torch.Tensor
    tasks: pd.Index
    workers: pd.Index
    classes: pd.Index


def from_dense(predictions: npt.ArrayLike, n_classes: int | None = None, **ids: Any) -> Answers:
    """Integer matrix, shape (N, D), labels 0..K-1 and −1 for missing.

    See :meth:`deem_crowd.Answers.from_dense` for the parameters and the errors raised.
    """
    return Answers.from_dense(predictions, n_classes, **ids)


def from_soft(predictions: npt.ArrayLike, n_classes: int | None = None, **ids: Any) -> Answers:
    """Soft predictions, shape (N, K, D): a distribution per task and worker, zeros or NaN where missing.

    See :meth:`deem_crowd.Answers.from_soft` for the parameters and the errors raised.
    """
    return Answers.from_soft(predictions, n_classes, **ids)


def to_dense(data: Any, *, soft: bool = False, **options: Any) -> DensePredictions:
    """Return the dense prediction tensor of a long frame, or of anything else that can be read.

    Parameters
    ----------
    data : DataFrame, table, path or Answers
        As :func:`to_answers` takes it.
    soft : bool
        Give (N, K, D) one-hot (or soft) predictions instead of the (N, D) labels.
    **options
        Passed to :func:`to_answers`.

    Returns
    -------
    DensePredictions

    Raises
    ------
    FormError
        If the answers are soft and ``soft`` is False.
    MemoryNeedError
        Before anything is allocated, if N·D (or N·K·D) entries do not fit.
    DataError
    """
    answers = to_answers(data, **options)
    if answers.is_soft and not soft:
        raise FormError("these answers are soft: pass soft=True for the (N, K, D) tensor.")
    predictions = answers.one_hot() if soft else answers.dense()
    return DensePredictions(predictions, answers.tasks, answers.workers, answers.classes)

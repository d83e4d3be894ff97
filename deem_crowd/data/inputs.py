"""What :class:`deem_crowd.DEEM` accepts as predictions and as vectors of classes, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataError, FormError, first_few
from deem_crowd.model import votes
from deem_crowd.model.design import DesignMatrix


def as_answers(
    predictions: npt.ArrayLike | Answers,
    n_classes: int | None,
    warn_empty: tuple[str, ...] = ("task", "worker"),
) -> Answers:
    """Read integers of shape (N, D), distributions of shape (N, K, D), or take answers as they are."""
    if isinstance(predictions, Answers):
        if n_classes is not None and predictions.n_classes != n_classes:
            raise DataError(
                f"the answers have {predictions.n_classes} classes, but n_classes={n_classes}."
            )
        return predictions
    if _is_three_dimensional(predictions):
        return Answers.from_soft(predictions, n_classes, warn_empty=warn_empty)
    return Answers.from_dense(predictions, n_classes, warn_empty=warn_empty)


def _is_three_dimensional(predictions: Any) -> bool:
    if hasattr(predictions, "ndim"):
        return bool(predictions.ndim == 3)
    try:
        return np.ndim(predictions) == 3
    except ValueError:  # ragged: from_dense says so
        return False


def class_vector(values: npt.ArrayLike, answers: Answers, name: str) -> npt.NDArray[np.int64]:
    """Check a vector of classes, shape (N,), −1 where unknown."""
    if hasattr(values, "detach"):  # a tensor, perhaps on another device
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.ndim != 1 or len(array) != answers.n_tasks:
        raise FormError(
            f"{name} has shape {array.shape}; one class per task is needed: shape ({answers.n_tasks},)."
        )
    whole = array.dtype.kind in "iub" or (
        array.dtype.kind == "f" and bool(np.isfinite(array).all() and (array % 1 == 0).all())
    )
    if not whole:
        raise FormError(
            f"{name} has dtype {array.dtype}; classes are whole numbers 0..{answers.n_classes - 1}, "
            "−1 where unknown."
        )
    array = array.astype(np.int64)
    bad = (array < -1) | (array >= answers.n_classes)
    if bad.any():
        raise DataError(
            f"{name} holds {int(bad.sum())} values that are no class: {first_few(np.unique(array[bad]))} "
            f"(rows {first_few(np.flatnonzero(bad))}). Classes are 0..{answers.n_classes - 1}."
        )
    return array


def agreement(
    posterior: npt.NDArray[np.float64], align_to: npt.ArrayLike, answers: Answers
) -> npt.NDArray[np.float64]:
    """Return how much of the posterior falls on each class of a reference, shape (K, K) as [class, reference]."""
    if np.ndim(align_to) < 2:
        return votes.agreement(posterior, class_vector(align_to, answers, "align_to"))
    voters = as_answers(align_to, answers.n_classes, warn_empty=())
    if voters.n_tasks != len(posterior):
        raise FormError(
            f"align_to is about {voters.n_tasks} tasks, and there are {len(posterior)}."
        )
    design = DesignMatrix(voters, torch.device("cpu"), torch.float64)
    return posterior.T @ votes.vote_shares(design).numpy()

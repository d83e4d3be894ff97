"""How good labels and probabilities are, over the tasks whose true label is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics

from deem_crowd.exceptions import DataError, first_few

CLIP = 1e-15
"""No probability counts as less: one wrong certainty would cost infinitely much."""

TIE = 1e-9
"""Probabilities that differ by no more are tied."""


def accuracy(predicted: pd.Series | pd.DataFrame, gold: pd.Series) -> float:
    r"""Return the share of right answers; a tie counts as the chance that a fair draw settles it rightly.

    With :math:`T_n` the classes that share the highest probability of task n and :math:`y_n` its true label,

    .. math:: \frac{1}{|G|} \sum_{n \in G} \frac{[y_n \in T_n]}{|T_n|}

    over the tasks G that have both a gold label and a prediction. Nothing then hangs on the order of columns.

    Parameters
    ----------
    predicted : DataFrame, shape (N, K), or Series, length N
        Probabilities (index task, columns the classes), or labels, one class a task. A missing label is wrong.
    gold : Series
        True labels, index task; missing values mean unknown.

    Returns
    -------
    float
        In [0, 1]; NaN if no task has gold.
    """
    known, rows = _known(predicted.index, gold)
    if not len(known):
        return float("nan")
    if isinstance(predicted, pd.Series):
        answered = predicted.to_numpy(dtype=object)[rows]
        return float(
            np.mean([not pd.isna(a) and a == b for a, b in zip(answered, known, strict=True)])
        )
    values, column = _probabilities(predicted, known, rows)
    tied = values >= values.max(axis=1, keepdims=True) - TIE
    hit = (column >= 0) & tied[np.arange(len(tied)), column]
    return float(np.mean(hit / tied.sum(axis=1)))


def log_loss(probas: pd.DataFrame, gold: pd.Series) -> float:
    r"""Return the mean surprise at the true label, in nats; lower is better.

    .. math:: -\frac{1}{|G|} \sum_{n \in G} \ln p_n(y_n)

    over the tasks G that have both gold and probabilities, by :func:`sklearn.metrics.log_loss`. Probabilities
    are raised to at least ``CLIP`` first, and the row divided by its new sum. A gold label that is no column
    has probability zero, hence ``CLIP``.

    Parameters
    ----------
    probas : DataFrame, shape (N, K)
        Probabilities, index task, columns the classes.
    gold : Series
        True labels, index task; missing values mean unknown.

    Returns
    -------
    float
        In [0, −ln CLIP]; NaN if no task has gold.

    Raises
    ------
    DataError
        If probabilities of tasks with gold are missing.
    """
    known, rows = _known(probas.index, gold)
    if not len(known):
        return float("nan")
    values, column = _probabilities(probas, known, rows)
    n_classes = values.shape[1]
    # One column of zeros stands for every label that has none, and lets K = 1 pass scikit-learn's checks.
    values = np.column_stack([values, np.zeros(len(values))])
    column = np.where(column < 0, n_classes, column)
    values = np.clip(values, CLIP, None)
    values /= values.sum(axis=1, keepdims=True)
    return float(metrics.log_loss(column, values, labels=np.arange(n_classes + 1)))


def agreement(labels: pd.Series, reference: pd.Series | pd.DataFrame) -> float:
    """Return the share of tasks on which ``labels`` say what ``reference`` says, in [0, 1].

    Parameters
    ----------
    labels : Series, length N
        Labels, index task.
    reference : Series, length N, or DataFrame, shape (N, K)
        Labels, or probabilities (for a vote: the shares), whose ties count as in :func:`accuracy`.
    """
    return accuracy(reference, labels)


def _known(
    tasks: pd.Index, gold: pd.Series
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.integer]]:
    """Return the gold labels of those ``tasks`` that have one, and the rows of these tasks."""
    if not gold.index.is_unique:
        twice = gold.index[gold.index.duplicated()].unique()
        raise DataError(
            f"gold names {len(twice)} tasks more than once ({first_few(twice)}): keep one row per task."
        )
    given = gold[gold.notna().to_numpy()]
    rows = tasks.get_indexer(given.index)
    here = rows >= 0
    return given.to_numpy(dtype=object)[here], rows[here]


def _probabilities(
    probas: pd.DataFrame, known: npt.NDArray[np.object_], rows: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.integer]]:
    """Return the rows of ``probas`` asked for, and the column of each known label (−1 if it has none)."""
    values = probas.to_numpy(dtype=np.float64)[rows]
    absent = np.isnan(values).any(axis=1)
    if absent.any():
        raise DataError(
            f"{int(absent.sum())} tasks have no probabilities "
            f"({first_few(probas.index[rows[absent]])})."
        )
    return values, probas.columns.get_indexer(pd.Index(known, tupleize_cols=False))

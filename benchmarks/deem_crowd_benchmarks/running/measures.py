"""How good labels and probabilities are, over the tasks whose true label is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment
from sklearn import metrics

from deem_crowd.data.lookup import as_index
from deem_crowd.exceptions import DataError, counted, first_few

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
    right = hits(predicted, gold)
    return float(right.mean()) if len(right) else float("nan")


def hits(predicted: pd.Series | pd.DataFrame, gold: pd.Series) -> npt.NDArray[np.float64]:
    """Return what each task adds to :func:`accuracy`, in [0, 1], in the order of ``gold``, shape (|G|,)."""
    known, rows = _known(predicted.index, gold)
    if not len(known):
        return np.empty(0)
    if isinstance(predicted, pd.Series):
        answered = predicted.to_numpy(dtype=object)[rows]
        pairs = zip(answered, known, strict=True)
        return np.array([float(not pd.isna(a) and a == b) for a, b in pairs])
    values, column = _probabilities(predicted, known, rows)
    tied = values >= values.max(axis=1, keepdims=True) - TIE
    hit = (column >= 0) & tied[np.arange(len(tied)), column]
    return np.asarray(hit / tied.sum(axis=1), dtype=np.float64)


def scored(
    labels: pd.Series, probas: pd.DataFrame | None, gold: pd.Series
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return what each task adds to :func:`accuracy` and whether it has a label, in the order of ``gold``.

    Both have shape (|G|,). A task that was left open adds nothing, whatever its probabilities.

    Parameters
    ----------
    labels : Series, length N
        Index task; missing where a task was left open.
    probas : DataFrame, shape (N, K), optional
        They decide, where there are any; a tie counts as the chance that a fair draw settles it rightly.
    gold : Series
        Index task; missing values mean unknown.
    """
    _, rows = _known(labels.index, gold)
    answered = labels.notna().to_numpy()[rows]
    return hits(labels if probas is None else probas, gold) * answered, answered


def named_by(gold: pd.Series, labels: pd.Series) -> pd.Series:
    """Return the labels under the one-to-one map to true classes that makes most of them right.

    Labels that are left over become missing, and count as wrong.

    Parameters
    ----------
    gold : Series
        Index task; missing values mean unknown.
    labels : Series
        Index task.
    """
    known, rows = _known(labels.index, gold)
    if not len(known):
        return labels
    given, names = pd.factorize(labels)
    true, classes = pd.factorize(known)
    table = np.zeros((len(names), len(classes)))
    inside = given[rows] >= 0
    np.add.at(table, (given[rows][inside], true[inside]), 1.0)
    place, cols = linear_sum_assignment(table, maximize=True)
    target = np.full(len(names) + 1, None, dtype=object)
    target[place] = np.asarray(classes, dtype=object)[cols]
    return pd.Series(target[given], index=labels.index, name=labels.name)


def of_labels(labels: pd.Series, gold: pd.Series) -> dict[str, float]:
    r"""Return what can be said of labels alone, over the tasks with gold.

    ``label_accuracy``
        Share of right labels as they are; where a method settled ties, that is in it.
    ``balanced_accuracy``, ``macro_f1``
        The mean over the true classes of recall, and over true and given classes of F1
        (:func:`sklearn.metrics.balanced_accuracy_score`, :func:`sklearn.metrics.f1_score`).
    ``clustering_accuracy``
        The share of right labels under the best renaming of the given classes to true ones, found by the Hungarian
        method (:func:`scipy.optimize.linear_sum_assignment`).
    ``nmi``, ``ari``
        Normalised mutual information (arithmetic mean) and adjusted Rand index, both blind to names.

    Parameters
    ----------
    labels : Series
        Index task. A missing label is a class of its own, and wrong.
    gold : Series
        Index task; missing values mean unknown.

    Returns
    -------
    dict of str to float
        NaN if no task has gold.
    """
    known, rows = _known(labels.index, gold)
    names = ("label_accuracy", "balanced_accuracy", "macro_f1", "clustering_accuracy", "nmi", "ari")
    if not len(known):
        return dict.fromkeys(names, float("nan"))
    answered = labels.to_numpy(dtype=object)[rows]
    codes, _ = pd.factorize(np.concatenate([known, answered]), use_na_sentinel=False)
    true, given = codes[: len(known)], codes[len(known) :]
    classes = np.unique(true)
    recall = metrics.recall_score(true, given, labels=classes, average="macro", zero_division=0)
    table = metrics.cluster.contingency_matrix(true, given)
    best = linear_sum_assignment(table, maximize=True)
    return {
        "label_accuracy": float((true == given).mean()),
        "balanced_accuracy": float(recall),
        "macro_f1": float(metrics.f1_score(true, given, average="macro", zero_division=0)),
        "clustering_accuracy": float(table[best].sum() / len(true)),
        "nmi": float(metrics.normalized_mutual_info_score(true, given)),
        "ari": float(metrics.adjusted_rand_score(true, given)),
    }


def brier(probas: pd.DataFrame, gold: pd.Series) -> float:
    r"""Return the Brier score, in [0, 2]; lower is better.

    .. math:: \frac{1}{|G|} \sum_{n \in G} \sum_k (p_n(k) - [k = y_n])^2

    (Brier, Monthly Weather Review 78, 1950.) A gold label that is no column is a class of probability zero.

    Parameters and errors as in :func:`log_loss`.
    """
    known, rows = _known(probas.index, gold)
    if not len(known):
        return float("nan")
    values, column = _probabilities(probas, known, rows)
    at = np.where(column >= 0, values[np.arange(len(values)), column], 0.0)
    return float(np.mean((values**2).sum(axis=1) - 2 * at + 1))


class Reliability(NamedTuple):
    """How often labels are right, by how sure the method is of them; each array has one entry a bin."""

    tasks: npt.NDArray[np.int64]
    """Tasks in the bin."""
    confidence: npt.NDArray[np.float64]
    """Their mean highest probability; 0 in an empty bin."""
    accuracy: npt.NDArray[np.float64]
    """The share of them that is right, ties settled fairly; 0 in an empty bin."""

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over tasks of |confidence − accuracy| of their bins, in [0, 1].

        Naeini, Cooper and Hauskrecht, AAAI 2015.
        """
        n = self.tasks.sum()
        return (
            float((self.tasks * np.abs(self.confidence - self.accuracy)).sum() / n)
            if n
            else float("nan")
        )


def reliability(probas: pd.DataFrame, gold: pd.Series, n_bins: int = 15) -> Reliability:
    """Return the reliability curve over ``n_bins`` bins of equal width in [0, 1].

    Parameters and errors as in :func:`log_loss`.
    """
    known, rows = _known(probas.index, gold)
    if not len(known):
        empty = np.zeros(n_bins)
        return Reliability(empty.astype(np.int64), empty, empty)
    values, _ = _probabilities(probas, known, rows)
    top, right = values.max(axis=1), hits(probas, gold)
    place = np.clip(np.ceil(top * n_bins).astype(int) - 1, 0, n_bins - 1)
    tasks = np.bincount(place, minlength=n_bins)
    some = np.maximum(tasks, 1)
    return Reliability(
        tasks,
        np.bincount(place, top, minlength=n_bins) / some,
        np.bincount(place, right, minlength=n_bins) / some,
    )


MIN_GOLD = 5
"""Workers with fewer answers to tasks with gold say too little of their skill to be compared."""


def skill_correlation(skills: pd.Series, answers: pd.DataFrame, gold: pd.Series) -> float:
    """Return Spearman's rank correlation of the workers' skills with their accuracy on gold, in [−1, 1].

    Parameters
    ----------
    skills : Series
        Index worker, on any scale.
    answers : DataFrame
        Long format.
    gold : Series
        Index task.

    Returns
    -------
    float
        Over the workers with ``MIN_GOLD`` answers to tasks with gold; NaN where fewer than three have them, or all
        are alike.
    """
    given = gold[gold.notna().to_numpy()]
    rows = given.index.get_indexer(as_index(answers["task"]))
    here = rows >= 0
    right = answers["label"].to_numpy(object)[here] == given.to_numpy(object)[rows[here]]
    measured = pd.Series(right.astype(float)).groupby(answers["worker"].to_numpy(object)[here])
    accuracy = measured.mean()[measured.size() >= MIN_GOLD]
    both = pd.concat([skills.rename("skill"), accuracy.rename("accuracy")], axis=1, join="inner")
    both = both.dropna().astype(float)
    if len(both) < 3 or (both.nunique() < 2).any():
        return float("nan")
    correlation: Any = stats.spearmanr(both["skill"], both["accuracy"])
    return float(correlation.statistic)


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


def tied_tasks(probas: pd.DataFrame) -> int:
    """Return how many tasks have several classes that share the highest probability; ``probas`` has shape (N, K)."""
    values = probas.to_numpy(dtype=np.float64)
    if values.size == 0:
        return 0
    tied = values >= values.max(axis=1, keepdims=True) - TIE
    return int((tied.sum(axis=1) > 1).sum())


def _known(
    tasks: pd.Index, gold: pd.Series
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.integer]]:
    """Return the gold labels of those ``tasks`` that have one, and the rows of these tasks."""
    if not gold.index.is_unique:
        twice = gold.index[gold.index.duplicated()].unique()
        raise DataError(
            f"gold names {counted(len(twice), 'task')} more than once ({first_few(twice)}): keep one row per task."
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
            f"{counted(int(absent.sum()), 'task has', 'tasks have')} no probabilities "
            f"({first_few(probas.index[rows[absent]])})."
        )
    return values, probas.columns.get_indexer(pd.Index(known, tupleize_cols=False))

"""Batches of tasks with features: of tasks that score about alike, those that are unlike one another."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.lookup import by_column
from deem_crowd.data.masks import refuse_masked
from deem_crowd.exceptions import DataError, FormError, ParameterError, counted, first_few
from deem_crowd.features.rows import in_pandas

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Diversity = Literal["k-center", "k-means++"]

# Two scores are about alike if the lower is at least this share of the higher.
_ALIKE = 0.8


def feature_matrix(features: Any, tasks: pd.Index, some: IntArray | None = None) -> FloatArray:
    """Return the features of ``tasks`` as float64, shape (N, P), or of ``some`` of them.

    Parameters
    ----------
    features : DataFrame indexed by task or with a column ``task``, or array of N rows in the order of ``tasks``
    tasks : Index, length N
    some : integers, optional
        The numbers of those that may be asked; the others need no row in a frame.

    Raises
    ------
    FormError, DataError
        For another shape, tasks without a row or with two, or values that are not finite.
    """
    if hasattr(features, "tocsr"):
        raise FormError(
            "features are sparse: pass features.toarray(), or fewer columns, such as those of TruncatedSVD."
        )
    features, n_rows = in_pandas(features, tasks), len(tasks)
    remedy = "leave features out"
    if some is not None:
        tasks, remedy = tasks.take(some), "leave them out with exclude="
    if isinstance(features, pd.DataFrame):
        if "task" in features.columns:
            features = by_column(features, "task")
        twice = features.index[features.index.duplicated()].unique()
        if len(twice):
            raise DataError(
                f"features give {counted(len(twice), 'task')} more than one row: {first_few(twice)}. Keep one of them."
            )
        place = features.index.get_indexer(tasks)
        absent = np.flatnonzero(place < 0)
        if len(absent):
            raise DataError(
                f"features have no row for {len(absent)} of {counted(len(tasks), 'task')}: "
                f"{first_few(tasks.take(absent))}. Give them a row, or {remedy}."
            )
        features, n_rows = features.iloc[place], len(tasks)
    refuse_masked(features, "features", "Fill them in: features.filled(…).")
    try:
        matrix = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError):
        raise FormError(
            "features are not all numbers. Leave out columns of text, or encode them."
        ) from None
    if matrix.ndim != 2 or len(matrix) != n_rows:
        raise FormError(
            f"features have shape {matrix.shape}; one row a task is needed: ({n_rows}, number of features), or a "
            "DataFrame indexed by task."
        )
    if len(matrix) > len(tasks) and some is not None:
        matrix = matrix[some]
    wrong = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(wrong):
        raise DataError(
            f"features of {counted(len(wrong), 'task')} are missing or infinite: {first_few(tasks.take(wrong))}. Fill "
            "them in."
        )
    return matrix


def batch(
    features: FloatArray,
    scores: FloatArray,
    ties: FloatArray,
    n: int,
    method: Diversity,
    rng: np.random.Generator,
) -> IntArray:
    """Choose n of M ranked tasks by score, and those that score about alike by how far they lie apart; shape (n,).

    Tasks whose score is more than 5/4 of the n-th best come first, as they are ranked. :func:`diverse` chooses
    the others, in its order, among the tasks from 4/5 of the n-th best score on. An answer helps its own task most, so
    that no distance makes up for a label that is nearer to being settled. Where the n-th best score is 0, tasks that
    score 0 are compared by ``ties``.

    Parameters
    ----------
    features, scores, method
        As for :func:`diverse`.
    ties : shape (M,)
        What ranks tasks of one score; non-negative.
    """
    last = _nth(scores, n)
    if last == 0:
        scores = np.where(scores > 0, 1 + 2 * ties.max(initial=0.0), ties)
        last = _nth(scores, n)
    above = np.flatnonzero(_ALIKE * scores > last)
    alike = np.flatnonzero((scores >= _ALIKE * last) & (_ALIKE * scores <= last))
    both = np.concatenate([above, alike])
    return both[diverse(features[both], scores[both], n, method, rng, len(above))]


def _nth(scores: FloatArray, n: int) -> float:
    """Return the n-th best score, or the lowest where there are fewer."""
    return float(
        np.partition(scores, -n)[-n] if 0 < n < len(scores) else scores.min(initial=np.inf)
    )


def diverse(
    features: FloatArray,
    scores: FloatArray,
    n: int,
    method: Diversity,
    rng: np.random.Generator,
    given: int = 0,
) -> IntArray:
    """Choose n of M tasks that lie apart, shape (n,), in the order of choice.

    The first is the one of the highest score. Then 'k-center' takes the task farthest from all chosen ones (the greedy
    2-approximation of Gonzalez, 1985; for active learning Sener and Savarese, ICLR 2018), and 'k-means++' draws a task
    with a chance in proportion to its score times its squared distance (Arthur and Vassilvitskii, 2007).

    Parameters
    ----------
    features : shape (M, P)
        Distances are Euclidean, so features of unlike scale should be standardised.
    scores : shape (M,)
        Non-negative.
    given : int
        So many tasks, the first ones, are chosen already.
    """
    if method not in ("k-center", "k-means++"):
        raise ParameterError(f"diversify must be 'k-center' or 'k-means++', not {method!r}.")
    chosen = list(range(given))
    if not given and len(scores):
        chosen = [int(np.argmax(scores))]
    free = np.ones(len(scores), dtype=bool)
    distance = np.full(len(scores), np.inf)
    for one in chosen[:-1]:
        free[one] = False
        distance = np.minimum(distance, _squared(features, one))
    while len(chosen) < min(n, len(scores)):
        last = chosen[-1]
        free[last] = False
        distance = np.minimum(distance, _squared(features, last))
        weight = distance if method == "k-center" else distance * scores
        weight = np.where(free, weight, -1.0)
        total = weight[free].sum()
        if total <= 0:  # what is left repeats what was chosen: go by score
            pick = int(np.argmax(np.where(free, scores, -1.0)))
        elif method == "k-center":
            pick = int(np.argmax(weight))
        else:
            pick = int(rng.choice(len(scores), p=np.where(free, weight, 0.0) / total))
        chosen.append(pick)
    return np.array(chosen[:n], dtype=np.int64)


def _squared(features: FloatArray, one: int) -> FloatArray:
    """Return the squared distance of every task from one, shape (M,)."""
    return np.asarray(((features - features[one]) ** 2).sum(axis=1))

"""Which labels to keep: the largest set of tasks with a given precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import xlogy

from deem_crowd.decide import checks
from deem_crowd.decide.consensus import Consensus
from deem_crowd.decide.diversity import feature_matrix
from deem_crowd.decide.suspects import label_codes, label_values
from deem_crowd.decide.together import correlation
from deem_crowd.exceptions import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ALLOWED = 3
"""Mistakes among the gold tasks of the first set that is looked at."""


@dataclass(frozen=True)
class Reliable:
    """The tasks whose labels are kept.

    Attributes
    ----------
    labels : Series
        Label of each kept task, index ``task``, the surest first.
    confidence : Series
        Posterior of each of these labels.
    coverage : float
        Share of all tasks that is kept.
    expected_precision : float
        Expected share of right labels among them; NaN if none is kept.
    lower_bound : float
        The precision is at least this with the confidence asked for.
    threshold : float
        The least confidence among them; NaN if none is kept.
    """

    labels: pd.Series
    confidence: pd.Series
    coverage: float
    expected_precision: float
    lower_bound: float
    threshold: float


def reliable(
    agg: Any,
    precision: float = 0.95,
    *,
    confidence: float = 0.95,
    gold: Any = None,
    answers: Any = None,
    features: Any = None,
    n_neighbours: int = 10,
) -> Reliable:
    """Return the largest set of tasks whose expected precision is at least ``precision``.

    The surest tasks are taken as long as the mean of their posteriors is at least ``precision``. Without gold the lower
    bound is the lower of two. The first takes the posteriors at their word: the number of right labels is a sum of
    independent draws with these chances, and Hoeffding's and the normal approximation's smaller deviation is
    subtracted. The second, where the answers are known, does the same with the share v of a task's m answers that give
    the label, smoothed as (m v + 1/K) / (m + 1): where workers err independently, a further answer agrees with a label
    at most as often as the label is right. Where answers err together, all answers to a task may count as one only,
    (v + 1/K) / 2. The mean of the two shares is taken, with weight (1 − √ρ)² for the first, ρ being the correlation of
    answers to a task under the posterior: in so many pairs neither answer follows what the task suggests to everybody
    (:mod:`deem_crowd.model.calibration`). Neither bound can see errors that most workers share; only gold can.

    With gold the model only orders the tasks, by what the members of its pool say (:attr:`Consensus.evidence`). Ten
    sets of increasing size are looked at, from the first whose gold tasks are enough to show the precision even if
    three of them are wrong (or, where no set has so many, if none is): else one mistake among the first few would end
    the search. The result is the last set before the first whose lower Clopper-Pearson bound is below ``precision``.
    Tests in an order that is fixed beforehand need no correction for their number (Maurer, Hothorn and Lehmacher, 1995;
    for choices of thresholds: Angelopoulos, Bates, Candès, Jordan and Lei, *Learn then test*, 2021).

    Parameters
    ----------
    agg : fitted DEEMAggregator or DEEM, aggregator with ``probas_``, or DataFrame
        See :meth:`Consensus.of`.
    precision : float
        Between 0 and 1.
    confidence : float
        How sure the lower bound is to be, between 0 and 1.
    gold : Series or mapping from task to label, or DataFrame with columns task and label, optional
        True labels of a random sample of tasks, which the model was not fitted with. Where the true label is one that
        nobody gave, the model's label counts as wrong, with a warning.
    answers : DataFrame, Answers or array, optional
        Of a DEEM, what it was fitted to.
    features : array of shape (N, P), or DataFrame indexed by task, optional
        The posterior of a task is multiplied by the mean posterior of its nearest neighbours over the prior, so that
        tasks whose neighbours have the same label are surer; where neighbours are alike no more than others, nothing
        changes. Not done if the model's labels rest on features already, which would then count twice.
    n_neighbours : int

    Raises
    ------
    NotFittedError, ParameterError, DataError, FormError
    """
    checks.share("precision", precision)
    checks.share("confidence", confidence)
    consensus = Consensus.of(agg, answers)
    sureness, by, order = _surest_first(consensus, features, n_neighbours, gold is not None)
    sizes = np.arange(1, len(order) + 1)
    expected = np.cumsum(sureness[order]) / sizes
    if gold is None:
        kept = int(sizes[expected >= precision].max(initial=0))
        lower = _without_gold(consensus, sureness, order, confidence)[:kept]
    else:
        right, rated = _on_gold(gold, consensus, order)
        ends = _able(_candidate_sizes(by[order]), rated, precision, confidence)
        lower = _clopper_pearson(right[ends - 1], rated[ends - 1], confidence)
        lower = lower[np.cumprod(lower >= precision) > 0]
        kept = int(ends[: len(lower)].max(initial=0))
    chosen = order[:kept]
    index = consensus.tasks.take(chosen)
    labels = label_values(consensus, consensus.labels[chosen]).rename("agg_label")
    labels.index = index
    return Reliable(
        labels,
        pd.Series(sureness[chosen], index=index, name="confidence"),
        kept / consensus.n_tasks if consensus.n_tasks else 0.0,
        float(expected[kept - 1]) if kept else np.nan,
        float(lower[-1]) if kept else np.nan,
        float(sureness[chosen].min()) if kept else np.nan,
    )


def coverage_curve(
    agg: Any,
    gold: Any = None,
    *,
    confidence: float = 0.95,
    answers: Any = None,
    features: Any = None,
    n_neighbours: int = 10,
) -> pd.DataFrame:
    """Return the precision for every number of tasks that may be kept, the surest by the posterior first.

    Parameters
    ----------
    agg, confidence, answers, features, n_neighbours
        As in :func:`reliable`.
    gold : Series or mapping from task to label, or DataFrame with columns task and label, optional
        True labels of all tasks or some.

    Returns
    -------
    DataFrame
        A row for each size of the set: ``coverage``; ``threshold``, the least confidence in it;
        ``expected_precision`` and its ``lower_bound``, without gold; with gold ``precision``, over the gold
        tasks in the set (missing where there are none).

    Raises
    ------
    NotFittedError, ParameterError, DataError, FormError
    """
    checks.share("confidence", confidence)
    consensus = Consensus.of(agg, answers)
    sureness, _, order = _surest_first(consensus, features, n_neighbours, False)
    sizes = np.arange(1, len(order) + 1)
    curve = pd.DataFrame(
        {
            "coverage": sizes / max(consensus.n_tasks, 1),
            "threshold": sureness[order],
            "expected_precision": np.cumsum(sureness[order]) / sizes,
            "lower_bound": _without_gold(consensus, sureness, order, confidence),
        }
    )
    if gold is not None:
        right, rated = _on_gold(gold, consensus, order)
        curve["precision"] = np.where(rated > 0, right / np.maximum(rated, 1), np.nan)
    return curve


# ------------------------------------------------------------------ helpers


def _surest_first(
    consensus: Consensus, features: Any, n_neighbours: int, by_members: bool
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return how sure each task's label is, what tasks are ordered by, and those with a label, the surest first.

    Shapes (N,), (N,) and (number of labelled tasks,).
    """
    sureness = by = _sureness(consensus, consensus.posterior, features, n_neighbours)
    if by_members and consensus.evidence is not None:
        by = _sureness(consensus, consensus.evidence, features, n_neighbours)
    labelled = np.flatnonzero(consensus.labels >= 0)
    return sureness, by, labelled[np.argsort(-by[labelled], kind="stable")]


def _sureness(
    consensus: Consensus, posterior: FloatArray, features: Any, n_neighbours: int
) -> FloatArray:
    """Return how sure each task's label is by a posterior of shape (N, K), shape (N,)."""
    if features is not None:
        matrix = feature_matrix(features, consensus.tasks)
        if consensus.source is None or not consensus.source.features:
            posterior = _sharpened(posterior, matrix, n_neighbours)
    labelled = np.flatnonzero(consensus.labels >= 0)
    sureness = np.zeros(consensus.n_tasks)
    sureness[labelled] = posterior[labelled, consensus.labels[labelled]]
    return sureness


def _sharpened(posterior: FloatArray, features: FloatArray, n_neighbours: int) -> FloatArray:
    """Return p(label | answers, neighbours), shape (N, K): features and answers independent given the label.

    What the neighbours say of a task is their mean posterior, with pseudo-neighbours at the mean of all. These are as
    many as make the posteriors of the tasks themselves likeliest, Σ_n Σ_k p_n(k) log q_n(k); where features tell
    nothing only the mean of all is left, and the posterior stays.
    """
    from sklearn.neighbors import NearestNeighbors

    n = min(checks.count("n_neighbours", n_neighbours), len(features) - 1)
    if n < 1:
        return posterior
    nearest = NearestNeighbors(n_neighbors=n).fit(features).kneighbors(return_distance=False)
    overall, near = posterior.mean(axis=0), posterior[nearest].mean(axis=1)

    def local(share: float) -> FloatArray:
        return share * near + (1 - share) * overall

    def misfit(share: float) -> float:
        return -float(xlogy(posterior, local(share)).sum())

    # convex in the share; one pseudo-neighbour at least
    share = minimize_scalar(misfit, bounds=(0.0, n / (n + 1)), method="bounded").x
    said = local(share)
    ratio = np.divide(said, overall, out=np.zeros_like(said), where=overall > 0)
    sharpened = posterior * ratio
    return np.asarray(sharpened / sharpened.sum(axis=1, keepdims=True))


def _without_gold(
    consensus: Consensus, sureness: FloatArray, order: IntArray, confidence: float
) -> FloatArray:
    """Return the lower bound for each beginning of ``order``: by the posteriors, or by the votes if that is lower."""
    by_model = _lower_bounds(sureness[order], confidence)
    if consensus.answers is None:
        return by_model
    given, k = consensus.answers, len(consensus.classes)
    agree = given.label == consensus.labels[given.task]
    votes = np.bincount(given.task, agree, minlength=consensus.n_tasks)
    answers = np.bincount(given.task, minlength=consensus.n_tasks)
    smooth = 1 / max(k, 1)
    apart = (1 - correlation(consensus) ** 0.5) ** 2
    support = apart * (votes + smooth) / (answers + 1)
    support += (1 - apart) * (votes / np.maximum(answers, 1) + smooth) / 2
    support = np.where((answers > 0) & (sureness < 1.0), support, sureness)
    return np.minimum(by_model, _lower_bounds(support[order], confidence))


def _lower_bounds(sureness: FloatArray, confidence: float) -> FloatArray:
    """Return a lower bound of the mean of independent draws, for each beginning of a list of chances, shape (m,).

    The normal approximation, with the variance of a Poisson binomial and half a unit of continuity; Hoeffding's bound
    where that is nearer the mean.
    """
    sizes = np.arange(1, len(sureness) + 1)
    mean = np.cumsum(sureness) / sizes
    variance = np.cumsum(sureness * (1 - sureness))
    deviation = stats.norm.ppf(confidence) * np.sqrt(variance) / sizes + 0.5 / sizes
    hoeffding = np.sqrt(np.log(1 / (1 - confidence)) / (2 * sizes))
    return np.asarray(np.clip(mean - np.minimum(deviation, hoeffding), 0.0, 1.0))


def _on_gold(
    gold: Any, consensus: Consensus, order: IntArray
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return, for each beginning of ``order``, how many gold tasks are right in it, and how many there are."""
    truth = label_codes(gold, consensus, "gold")[order]
    if not (truth >= 0).any():
        raise DataError("gold names no task that has a label here.")
    right = (truth >= 0) & (truth == consensus.labels[order])
    return np.cumsum(right).astype(np.float64), np.cumsum(truth >= 0).astype(np.int64)


def _clopper_pearson(
    right: FloatArray, rated: npt.NDArray[np.int64], confidence: float
) -> FloatArray:
    """Return the lower Clopper-Pearson bound of a share, one-sided, shape (m,); 0 where nothing is right."""
    bound = stats.beta.ppf(1 - confidence, np.maximum(right, 1), rated - right + 1)
    return np.asarray(np.where(right > 0, bound, 0.0))


def _able(
    ends: IntArray, rated: npt.NDArray[np.int64], precision: float, confidence: float
) -> IntArray:
    """Return the sizes with so many gold tasks that they can show a precision, a few mistakes allowed if possible."""
    for wrong in (_ALLOWED, 0):
        right = np.maximum(rated[ends - 1] - wrong, 0).astype(np.float64)
        able = _clopper_pearson(right, rated[ends - 1], confidence) >= precision
        if able.any():
            return ends[able]
    return ends[:0]


def _candidate_sizes(sureness: FloatArray) -> IntArray:
    """Return up to ten sizes, in tenths of a list from the surest to the least sure, that split no ties."""
    tenths = np.ceil(np.linspace(0.1, 1.0, 10) * len(sureness)).astype(np.int64)
    last = np.flatnonzero(np.diff(sureness, append=-1.0)) + 1
    return np.unique(last[np.searchsorted(last, tenths)])

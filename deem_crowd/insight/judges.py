"""Judges against gold: each source and the consensus on a few known labels, and what follows for all tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special, stats

from deem_crowd.exceptions import DataError, DataWarning, ParameterError, counted
from deem_crowd.insight.pairs import MAX_WORKERS, MIN_COMMON
from deem_crowd.insight.reliability import wilson
from deem_crowd.insight.results import AnswersLike, Model, Results, results_of
from deem_crowd.runtime.warning import warn

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class JudgeReport:
    """Sources and consensus against gold.

    Attributes
    ----------
    consensus : Series
        Of the consensus labels: ``gold_answers``, ``accuracy`` with ``low`` and ``high``, ``kappa``.
    sources : DataFrame
        Index ``worker``, the same columns for each source that answered tasks with gold: the number of those answers,
        the share that is right with its Wilson interval, and Cohen's κ with gold.
    confusion : DataFrame
        Counts: rows are consensus labels (index ``answer``), columns true labels, by gold (``label``).
    source_confusion : DataFrame
        The same for each source, as ``errors_`` has it: index (``worker``, ``answer``), columns true labels, by gold;
        only rows that occur.
    prevalence : DataFrame
        Index ``label``: ``consensus``, the share of the labels; ``gold``, the share in gold; ``corrected``, the share
        among all tasks by prediction-powered inference, with ``low`` and ``high``. The corrected shares sum to 1.
    effective_sources : float
        How many independent sources the D sources with answers on gold are worth, errors that all share included:
        D² / Σ_ij ρ_ij, D at most, with ρ_ij the correlation of the errors of two sources on gold. Pairs with fewer than
        ten common tasks with gold count as independent; NaN if no two sources that err have as many.
    n_gold : int
        Tasks with gold that are compared.
    level : float
        Of the intervals.
    """

    consensus: pd.Series
    sources: pd.DataFrame
    confusion: pd.DataFrame
    source_confusion: pd.DataFrame
    prevalence: pd.DataFrame
    effective_sources: float
    n_gold: int
    level: float

    def __repr__(self) -> str:
        best = self.sources["accuracy"].max()
        return "\n".join(
            [
                f"{counted(self.n_gold, 'task')} with gold: consensus {self.consensus['accuracy']:.3f} right "
                f"[{self.consensus['low']:.3f}, {self.consensus['high']:.3f}], kappa {self.consensus['kappa']:.3f}; "
                f"best of {counted(len(self.sources), 'source')} {best:.3f}; "
                + (
                    "not known how many independent ones they are worth"
                    if np.isnan(self.effective_sources)
                    else f"worth {self.effective_sources:.1f} independent ones"
                ),
                self.prevalence.round(3).to_string(),
            ]
        )


def judge_report(
    model: Model, gold: Any, *, answers: AnswersLike = None, level: float = 0.95
) -> JudgeReport:
    """Compare each source and the consensus with a few gold labels, and correct the prevalence of each class by them.

    The tasks with gold have to be a random sample of all tasks, and not to have been given to ``fit``.

    The corrected share of a class is that of prediction-powered inference: with f the posterior and y gold (0 or 1),
    λ mean(f) over the tasks without gold + mean(y − λ f) over those with it, and its variance is the sum of the
    variances of the two means (Angelopoulos et al., Science 382, 2023). λ, common to all classes, makes the variance
    least (PPI++, arXiv 2311.01453): useless labels get λ = 0, and gold alone counts. Intervals are Student's; those
    of a class that no gold label names, or that all name, also cover Wilson's interval by gold alone.

    Parameters
    ----------
    model : DEEMAggregator or DEEM, fitted
    gold : Series, dict, DataFrame or array
        Known labels, as fit takes them.
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; only a model that comes from a file needs it.
    level : float
        Of the intervals, between 0 and 1.

    Raises
    ------
    NotFittedError, MissingAnswersError, FormError
    DataError
        If fewer than two tasks with answers have gold that fit has not seen.
    ParameterError
    """
    if not 0 < level < 1:
        raise ParameterError(f"level={level!r} is not between 0 and 1, such as 0.95.")
    results = results_of(model, answers)
    truth = results.gold(gold)
    if truth is None:
        raise DataError("judge_report compares with gold: pass gold={task: label}.")
    if results.known is not None:
        seen = (truth >= 0) & (results.known >= 0)
        if seen.any():
            warn(
                f"the gold of {counted(int(seen.sum()), 'task')} was given to fit, which is certain to be right "
                "there: left out of the comparison.",
                DataWarning,
            )
            truth = results.unseen(truth)
    truth = np.where(results.label >= 0, truth, -1)
    n_gold = int((truth >= 0).sum())
    if n_gold < 2:
        raise DataError(
            "judge_report needs 2 tasks at least with answers and gold that fit has not seen, and there "
            f"{'is 1' if n_gold else 'are none'}. Label some of the tasks."
        )
    z = float(special.ndtri((1 + level) / 2))
    data = results.answers
    rated = truth >= 0
    k = data.n_classes
    table = np.bincount(results.label[rated] * k + truth[rated], minlength=k * k).reshape(k, k)
    rows, columns = data.classes.rename("answer"), data.classes.rename("label")
    sources, source_confusion = _sources(results, truth, z)
    return JudgeReport(
        consensus=_scores(table[None], z).iloc[0].rename("consensus"),
        sources=sources,
        confusion=pd.DataFrame(table, index=rows, columns=columns),
        source_confusion=source_confusion,
        prevalence=_prevalence(results, truth, level),
        effective_sources=independent_errors(results, truth),
        n_gold=n_gold,
        level=level,
    )


def _scores(tables: npt.NDArray[Any], z: float) -> pd.DataFrame:
    """Return accuracy, its interval and κ for counts [source, answer, gold]."""
    total = tables.sum(axis=(1, 2)).astype(np.float64)
    right = np.trace(tables, axis1=1, axis2=2)
    accuracy = right / np.maximum(total, 1)
    chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / np.maximum(total, 1) ** 2
    room = 1 - chance
    low, high = wilson(right, total, z)
    kappa = np.where(room > 1e-12, (accuracy - chance) / np.where(room > 1e-12, room, 1), np.nan)
    return pd.DataFrame(
        {
            "gold_answers": total.astype(np.int64),
            "accuracy": accuracy,
            "low": low,
            "high": high,
            "kappa": kappa,
        }
    )


def _sources(results: Results, truth: IntArray, z: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores and confusion counts of the sources that answered tasks with gold."""
    data = results.answers
    k = data.n_classes
    true_label = truth[data.task]
    rated = true_label >= 0
    workers, place = np.unique(data.worker[rated], return_inverse=True)
    code = (place * k + results.hard_answer[rated]) * k + true_label[rated]
    rows, times = np.unique(code, return_counts=True)
    scores, size = [], max(1, int(2e7) // max(k * k, 1))
    for start in range(0, len(workers), size):  # a bounded number of whole tables at a time
        part = (rows >= start * k * k) & (rows < (start + size) * k * k)
        tables = np.zeros((min(size, len(workers) - start), k, k), dtype=np.int64)
        tables.reshape(-1)[rows[part] - start * k * k] = times[part]
        scores.append(_scores(tables, z))
    table = pd.concat(scores).set_axis(data.workers.take(workers)) if scores else pd.DataFrame()
    pairs, row = np.unique(rows // k, return_inverse=True)
    counts = np.zeros((len(pairs), k), dtype=np.int64)
    counts[row, rows % k] = times
    levels: list[Any] = [data.workers, data.classes]
    codes = [workers[pairs // k].tolist(), (pairs % k).tolist()]
    index = pd.MultiIndex(levels=levels, codes=codes, names=["worker", "answer"])
    columns = data.classes.rename("label")
    return table, pd.DataFrame(counts, index=index, columns=columns)


def _prevalence(results: Results, truth: IntArray, level: float) -> pd.DataFrame:
    """Return the share of each class, as the labels have it and corrected by gold."""
    k = results.answers.n_classes
    rated = truth >= 0
    known = np.eye(k)[truth[rated]]
    on_gold, elsewhere = results.posterior[rated], results.posterior[~rated]
    share, error = prediction_powered_mean(known, on_gold, elsewhere)
    reach = float(stats.t.ppf((1 + level) / 2, len(known) - 1)) * error
    low, high = share - reach, share + reach
    least, most = wilson(known.sum(axis=0), len(known), float(special.ndtri((1 + level) / 2)))
    # where gold shows no spread Student's interval would be too narrow
    alike = known.std(axis=0) == 0
    low, high = (
        np.where(alike, np.minimum(low, least), low),
        np.where(alike, np.maximum(high, most), high),
    )
    labelled = results.label[results.label >= 0]
    return pd.DataFrame(
        {
            "consensus": np.bincount(labelled, minlength=k) / max(len(labelled), 1),
            "gold": known.mean(axis=0),
            "corrected": _as_shares(share),
            "low": np.clip(low, 0, 1),
            "high": np.clip(high, 0, 1),
        },
        index=results.answers.classes,
    )


def _as_shares(estimates: FloatArray) -> FloatArray:
    """Return the nearest shares to estimates that sum to 1, of which some may lie below 0 (Euclidean projection)."""
    falling = np.sort(estimates)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(falling) + 1)
    return np.maximum(estimates - excess[np.flatnonzero(falling > excess)[-1]], 0)


def prediction_powered_mean(
    known: FloatArray, on_known: FloatArray, elsewhere: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the mean of y over a population, and its standard error, shape (K,) each; see :func:`judge_report`.

    Parameters
    ----------
    known : shape (n, K)
        y of a random sample.
    on_known, elsewhere : shapes (n, K), (N, K)
        Predictions of y for the sample, and for the others.
    """
    n, others = len(known), len(elsewhere)
    if others == 0:
        return known.mean(axis=0), known.std(axis=0, ddof=1) / np.sqrt(n)
    spread = np.concatenate([on_known, elsewhere]).var(axis=0).sum() * (1 + n / others)
    together = ((known - known.mean(axis=0)) * (on_known - on_known.mean(axis=0))).mean(axis=0)
    weight = float(np.clip(together.sum() / spread, 0, 1)) if spread > 0 else 0.0
    rest = known - weight * on_known
    mean = weight * elsewhere.mean(axis=0) + rest.mean(axis=0)
    variance = weight**2 * elsewhere.var(axis=0) / others + rest.var(axis=0, ddof=1) / n
    return mean, np.sqrt(variance)


def independent_errors(results: Results, truth: IntArray) -> float:
    """Return Kish's effective number of sources by the correlation of their errors on gold; see :class:`JudgeReport`.

    Negative correlations count as they are. On few tasks chance makes about half of the correlations positive; if only
    these counted, independent sources would seem to be worth far fewer.
    """
    data = results.answers
    true_label = truth[data.task]
    rated = true_label >= 0
    number = np.bincount(data.worker[rated], minlength=data.n_workers)
    sources = np.flatnonzero(number)
    sources = sources[np.argsort(-number[sources], kind="stable")[:MAX_WORKERS]]
    column = np.full(data.n_workers, -1)
    column[sources] = np.arange(len(sources))
    kept = rated & (column[data.worker] >= 0)
    tasks, row = np.unique(data.task[kept], return_inverse=True)
    given = np.zeros((len(tasks), len(sources)))
    wrong = np.zeros_like(given)
    given[row, column[data.worker[kept]]] = 1
    wrong[row, column[data.worker[kept]]] = (results.hard_answer != true_label)[kept]
    common = given.T @ given
    n = np.maximum(common, 1)
    rate = wrong.T @ given / n  # of the row's errors, on tasks that the column answered, too
    covariance = wrong.T @ wrong / n - rate * rate.T
    spread = rate * (1 - rate)
    scale = np.sqrt(spread * spread.T)
    told = (common >= MIN_COMMON) & (scale > 1e-12)
    np.fill_diagonal(told, False)
    if len(sources) > 1 and not told.any():
        return float("nan")
    shared = float(np.where(told, covariance / np.where(told, scale, 1), 0).sum())
    return len(sources) ** 2 / (len(sources) + max(shared, 0.0))

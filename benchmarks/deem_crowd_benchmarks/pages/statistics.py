"""What rows of results say together: means, ranks, wins, and which differences are more than noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from deem_crowd_benchmarks.running.evaluation import LOWER_IS_BETTER
from deem_crowd_benchmarks.running.runs import Row, read_hits

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.05
"""Of all tests and intervals: 95 %."""

N_BOOTSTRAP = 2000
_TIED = 1e-9


def per_set(rows: Sequence[Row], measure: str = "accuracy") -> pd.DataFrame:
    """Return one measure, the mean over seeds: index (kind, set), columns the methods, NaN where a run failed.

    Rows and columns stand in the order in which they first appear.
    """
    sets = list(dict.fromkeys((row["kind"], row["set"]) for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    index = pd.MultiIndex.from_tuples(sets, names=["kind", "set"])
    values: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        at = sets.index((row["kind"], row["set"])), methods.index(row["method"])
        values.setdefault(at, []).append(row.get(measure, np.nan))
    table = np.full((len(sets), len(methods)), np.nan)
    for at, values_there in values.items():
        table[at] = np.mean(values_there)
    return pd.DataFrame(table, index=index, columns=methods)


def ranks(table: pd.DataFrame, measure: str = "accuracy") -> pd.DataFrame:
    """Return the rank of each method on each set, 1 for the best; equal values share the mean of their ranks.

    A method that failed on a set is last there, level with others that failed.
    """
    lower = measure in LOWER_IS_BETTER
    filled = table.fillna(np.inf if lower else -np.inf).round(9)
    return filled.rank(axis=1, ascending=lower, method="average")


def wins(table: pd.DataFrame, measure: str = "accuracy") -> pd.Series:
    """Return on how many sets each method is best; where several are, each counts."""
    best = table.min(axis=1) if measure in LOWER_IS_BETTER else table.max(axis=1)
    near: pd.DataFrame = (table.sub(best, axis=0)).abs() <= _TIED
    return near.sum()


def standing(table: pd.DataFrame) -> pd.Series:
    """Return how far each method is above the yardstick on the sets it was scored on, the best first.

    The yardstick of a set is the mean of the methods that were scored on all sets (of all methods, if there are none),
    so that these come in the order of their means, and a method gains nothing by failing on hard sets. Methods without
    any score have NaN and come last.
    """
    whole = table.loc[:, table.notna().all()]
    yardstick = (whole if whole.shape[1] else table).mean(axis=1)
    above = table.sub(yardstick, axis=0).mean().round(12)
    return above.sort_values(ascending=False, kind="stable")


class Interval(NamedTuple):
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


def accuracy_intervals(rows: Sequence[Row], out: Path) -> dict[tuple[str, str, str], Interval]:
    """Return the accuracy of each (kind, set, method) with a bootstrap interval over tasks.

    Tasks are drawn anew; seeds are averaged. Sets without kept hits are absent. The percentile bootstrap of Efron and
    Tibshirani (1993).
    """
    intervals = {}
    for (kind, name), table in _hits(rows, out).items():
        for method, by_data in table.items():
            values = np.concatenate(list(by_data.values()))
            # a new one each time: no interval depends on the methods before it
            rng = np.random.default_rng(0)
            low, high = np.quantile(_means(values, rng), [LEVEL / 2, 1 - LEVEL / 2])
            intervals[kind, name, method] = Interval(float(values.mean()), float(low), float(high))
    return intervals


def differences(rows: Sequence[Row], out: Path, reference: str) -> dict[str, Interval]:
    """Return by how much each method's mean accuracy over sets is above the reference's, with an interval.

    A paired bootstrap of two levels: sets are drawn anew, and within each set tasks, the same ones for both methods.
    Only sets on which both were scored count.
    """
    tables = _hits(rows, out)
    gaps = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        # sorted by name, so that draws do not depend on the order of sets
        pairs = [
            _paired(t[method], t[reference])
            for _, t in sorted(tables.items())
            if method in t and reference in t and t[method].keys() == t[reference].keys()
        ]
        if method == reference or not pairs:
            continue
        gaps[method] = two_levels(pairs, _means)
    return gaps


def two_levels(
    parts: Sequence[FloatArray],
    drawn: Callable[[FloatArray, np.random.Generator], FloatArray],
) -> Interval:
    """Return the mean over sets of the means of their values, with an interval: sets are drawn anew.

    ``drawn`` gives the mean of one set's values in each of N_BOOTSTRAP draws of these. A set that is drawn twice brings
    the same draw of its values both times: the interval is wider than with a draw for each time.
    """
    rng = np.random.default_rng(0)
    draws = np.stack([drawn(part, rng) for part in parts])  # (sets, N_BOOTSTRAP)
    chosen = rng.integers(len(parts), size=(len(parts), N_BOOTSTRAP))
    means = np.take_along_axis(draws, chosen, axis=0).mean(axis=0)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    return Interval(float(np.mean([part.mean() for part in parts])), float(low), float(high))


class Ranking(NamedTuple):
    """Friedman's test over sets, and Nemenyi's critical difference of mean ranks.

    Demšar, JMLR 7 (2006). Only sets on which every method was scored take part.
    """

    mean_ranks: pd.Series
    """Best first."""
    n_sets: int
    p_value: float
    """Friedman's: that all methods are alike. NaN where it cannot be asked (fewer than three methods or two sets)."""
    critical_difference: float
    """Mean ranks that differ by less are not told apart at the level of 5 %."""

    def groups(self) -> list[list[str]]:
        """Return the largest groups of methods, two at least, whose mean ranks are not told apart."""
        names, values = list(self.mean_ranks.index), self.mean_ranks.to_numpy()
        groups: list[list[str]] = []
        for i in range(len(names)):
            last = int(np.flatnonzero(values <= values[i] + self.critical_difference)[-1])
            if last > i and not (groups and names[last] in groups[-1]):
                groups.append(names[i : last + 1])
        return groups


def ranking(table: pd.DataFrame, measure: str = "accuracy") -> Ranking:
    """Return :class:`Ranking` of a table as :func:`per_set` gives it; methods that failed on most sets are left out."""
    kept = table.loc[:, table.notna().mean() > 0.5].dropna()
    n, k = kept.shape
    mean_ranks = (
        ranks(kept, measure).mean().sort_values(kind="stable") if n else pd.Series(dtype=float)
    )
    if n < 2 or k < 2:
        return Ranking(mean_ranks, n, float("nan"), float("nan"))
    p_value = float("nan")
    if k >= 3 and (kept.round(9).nunique(axis=1) > 1).any():
        p_value = float(stats.friedmanchisquare(*(kept[m].round(9) for m in kept)).pvalue)
    q = stats.studentized_range.ppf(1 - LEVEL, k, np.inf) / np.sqrt(2)
    return Ranking(mean_ranks, n, p_value, float(q * np.sqrt(k * (k + 1) / (6 * n))))


def wilcoxon(table: pd.DataFrame, reference: str) -> pd.Series:
    """Return the p-value that each method is level with the reference over sets, corrected for their number.

    Wilcoxon's signed-rank test, zero differences divided between the sides, with Holm's correction (Scandinavian
    Journal of Statistics 6, 1979). NaN where fewer than two sets have both.
    """
    p_values = {}
    for method in table.columns.drop(reference):
        both = table[[reference, method]].dropna()
        difference = (both[method] - both[reference]).round(9)
        if len(both) < 2:
            p_values[method] = float("nan")
        elif not difference.any():
            p_values[method] = 1.0
        else:
            p_values[method] = float(stats.wilcoxon(difference, zero_method="zsplit").pvalue)
    return holm(pd.Series(p_values, dtype=float))


def holm(p_values: pd.Series) -> pd.Series:
    """Return p-values corrected by Holm's step-down method; NaN stay and do not count."""
    given = p_values.dropna().sort_values(kind="stable")
    factor = np.arange(len(given), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(given.to_numpy() * factor), 1.0)
    return pd.Series(corrected, index=given.index).reindex(p_values.index)


def slope(n_answers: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the slope of log seconds against log answers, by least squares: 1 is a cost that follows the answers."""
    x, y = np.log(np.asarray(n_answers, float)), np.log(np.asarray(seconds, float))
    return float(stats.linregress(x, y).slope) if len(np.unique(x)) > 1 else float("nan")


def _hits(
    rows: Sequence[Row], out: Path
) -> dict[tuple[str, str], dict[str, dict[str, FloatArray]]]:
    """Return, by (kind, set), method and fingerprint of the data, the hits of the tasks with gold.

    Where seeds draw other data, each has a fingerprint of its own; where only the method is seeded, seeds are averaged.
    A method that failed with one of the seeds of a set is absent there, as in :func:`per_set`.
    """
    grouped: dict[tuple[str, str], dict[str, dict[str, list[FloatArray]]]] = {}
    failed = {(row["kind"], row["set"], row["method"]) for row in rows if row["status"] != "ok"}
    for row in rows:
        if (row["kind"], row["set"], row["method"]) in failed:
            continue
        if (hits := read_hits(out, row)) is not None:
            by_data = grouped.setdefault((row["kind"], row["set"]), {}).setdefault(
                row["method"], {}
            )
            by_data.setdefault(row["digest"], []).append(hits.astype(np.float64))
    return {
        key: {
            method: {digest: np.mean(by_data[digest], axis=0) for digest in sorted(by_data)}
            for method, by_data in by_method.items()
        }
        for key, by_method in grouped.items()
    }


def _paired(one: dict[str, FloatArray], other: dict[str, FloatArray]) -> FloatArray:
    """Return the differences of two methods task by task, of the same data each."""
    return np.concatenate([one[digest] - other[digest] for digest in one])


def _means(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the means of N_BOOTSTRAP draws of the tasks with replacement.

    Tasks with equal values are drawn together, as multinomial counts: the law is the same and the cost is that of the
    number of different values, which is small.
    """
    kinds, counts = np.unique(values, return_counts=True)
    drawn = rng.multinomial(len(values), counts / len(values), size=N_BOOTSTRAP)
    return np.asarray(drawn @ kinds / len(values))

"""Rows of the suites ``labelling``, ``suspects`` and ``coverage`` → tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd_benchmarks.decisions import of_decisions
from deem_crowd_benchmarks.runs import Row
from deem_crowd_benchmarks.statistics import LEVEL, N_BOOTSTRAP, Interval
from deem_crowd_benchmarks.tables import DASH, Table, number

FloatArray = npt.NDArray[np.float64]

REFERENCE = "random"
_LEVELS = 20
_LEAST_GAIN = 0.01


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return the tables of all rows that belong to these suites."""
    found: list[Table] = []
    for suite, mine in of_decisions(rows):
        if suite == "labelling":
            found += [
                _labelling(mine),
                _per_set(mine, "area", "Mean accuracy along the budget, %", 100),
            ]
        elif suite == "suspects":
            found += [
                _suspects(mine),
                _per_set(mine, "auc", "Suspect answers: area under the ROC curve", 1),
            ]
        else:
            found += [_per_set(mine, "aurc", "Area under risk against coverage", 1, lower=True)]
            found += [_kept(mine)]
    return [table for table in found if table.rows]


def _labelling(rows: Sequence[Row]) -> Table:
    areas = _matrix(rows, "area")
    saved = savings(rows)
    table = Table(
        "Buying answers",
        ["strategy", "area %", "above random, points", "saved, of all %", "saved, of those after the first %"],
        note="Area: mean accuracy of DEEM's labels along the budget, which starts from one answer a task. Saved: how "
        "many fewer answers reach the accuracy that random buying reaches in the second half of its budget, on sets on "
        "which that gains a point at least; what is not reached counts as if it were at the end of the budget. Means "
        "over sets and seeds, with a 95 % bootstrap interval that draws sets and, within them, seeds.",
    )  # fmt: skip
    for name in areas.columns:
        cells = [name, number(100 * float(areas[name].groupby("set").mean().mean()), ".2f")]
        if name == REFERENCE or REFERENCE not in areas:
            table.rows.append([*cells, DASH, DASH, DASH])
            continue
        cells.append(_interval(areas[name] - areas[REFERENCE], "+.2f"))
        for kind in ("all", "after_first"):
            column = saved.get((name, kind))
            cells.append(DASH if column is None else _interval(column, ".0f"))
        table.rows.append(cells)
    return table


def savings(rows: Sequence[Row]) -> dict[tuple[str, str], pd.Series]:
    """Return the share of answers saved against random buying, by (strategy, 'all' or 'after_first').

    Each is a Series, index ``set``; sets on which random buying gains less than a point are left out. Curves are made
    monotone first (isotonic regression), and answers are added up over seeds.
    """
    by_run = {(row["set"], row["seed"], row["strategy"]): row for row in rows}
    spent: dict[tuple[str, str], list[FloatArray]] = {}
    gains: dict[str, list[float]] = {}
    for (name, seed, strategy), row in by_run.items():
        base = by_run.get((name, seed, REFERENCE))
        if strategy == REFERENCE:
            curve = _monotone(row["accuracy"])
            gains.setdefault(name, []).append(float(curve[-1] - curve[0]))
        elif base is not None:
            spent.setdefault((strategy, name), []).append(needed(base, row))
    found: dict[tuple[str, str], dict[str, float]] = {}
    for (strategy, name), parts in spent.items():
        if np.mean(gains[name]) < _LEAST_GAIN:
            continue
        plain, mine, first = np.sum(parts, axis=0)
        found.setdefault((strategy, "all"), {})[name] = 1 - mine / plain
        found.setdefault((strategy, "after_first"), {})[name] = 1 - (mine - first) / (plain - first)
    return {key: pd.Series(values).rename_axis("set") for key, values in found.items()}


def needed(base: Row, row: Row) -> FloatArray:
    """Return how many answers two curves need for the same accuracy, in the mean over levels, and the first ones.

    Levels are what ``base`` has reached with so many answers, from the middle of its budget to the end. Shape (3,).
    """
    first, last = base["answers"][0], base["answers"][-1]
    grid = np.linspace((first + last) / 2, last, _LEVELS)
    curves = [(np.array(r["answers"], dtype=float), _monotone(r["accuracy"])) for r in (base, row)]
    levels = np.interp(grid, *curves[0])
    plain, mine = (_reached(answers, accuracy, levels).mean() for answers, accuracy in curves)
    return np.array([plain, mine, first])


def _reached(answers: FloatArray, accuracy: FloatArray, levels: FloatArray) -> FloatArray:
    """Return how many answers first reach each level, linear between fits; the last if none does."""
    found = np.full(len(levels), answers[-1])
    for i, level in enumerate(levels):
        above = np.flatnonzero(accuracy >= level - 1e-12)
        if not len(above):
            continue
        j = int(above[0])
        found[i] = answers[j]
        if j and accuracy[j] > accuracy[j - 1]:
            share = (level - accuracy[j - 1]) / (accuracy[j] - accuracy[j - 1])
            found[i] = answers[j - 1] + max(share, 0.0) * (answers[j] - answers[j - 1])
    return found


def _monotone(accuracy: Sequence[float]) -> FloatArray:
    from sklearn.isotonic import IsotonicRegression

    places = np.arange(len(accuracy))
    return np.asarray(IsotonicRegression().fit_transform(places, np.array(accuracy)))


def _suspects(rows: Sequence[Row]) -> Table:
    table = Table(
        "Suspect answers",
        ["score", "AUC", "sets where it is best", "precision of the first 5 %", "of as many as are wrong"],
        note="Means over sets that all scores have. Answers to tasks with gold; ties count by their expectation.",
    )  # fmt: skip
    auc = _means(rows, "auc").dropna()
    best = (auc.sub(auc.max(axis=1), axis=0).abs() < 1e-9).sum()
    for name in auc.columns:
        cells = [name, number(float(auc[name].mean()), ".4f"), str(int(best[name]))]
        for measure in ("precision", "r_precision"):
            values = _means(rows, measure).reindex(auc.index)
            cells.append(number(float(values[name].mean()), ".3f"))
        table.rows.append(cells)
    return table


def _kept(rows: Sequence[Row]) -> Table:
    table = Table(
        "What reliable(0.95) keeps, without gold",
        ["set", "share of tasks", "precision on gold", "lower bound", "bound held"],
        note="The bound is one of 95 %, by the model or by the votes, whichever is lower.",
        text_columns={0, 4},
    )
    mine = [row for row in rows if row["strategy"] == "deem"]
    for row in mine:
        precision, bound = row.get("kept_precision"), row.get("kept_bound")
        cells = [row["set"], number(row["kept"], ".2f")]
        if precision is None or bound is None:
            table.rows.append([*cells, DASH, DASH, DASH])
            continue
        held = "yes" if precision >= bound else "no"
        table.rows.append([*cells, number(precision, ".3f"), number(bound, ".3f"), held])
    rated = [row for row in table.rows if row[4] != DASH]
    if rated:
        held_on = sum(row[4] == "yes" for row in rated)
        table.note += f" It held on {held_on} of the {len(rated)} sets where something was kept."
    return table


def _per_set(
    rows: Sequence[Row], measure: str, title: str, scale: float, lower: bool = False
) -> Table:
    values = _means(rows, measure) * scale
    form = ".2f" if scale == 100 else ".4f"
    table = Table(title, ["set", *values.columns])
    whole = values.dropna()
    means = pd.DataFrame([whole.mean()], index=["mean"]) if len(whole) > 1 else values[:0]
    for name, row in pd.concat([values, means]).iterrows():
        cells = [number(float(v), form) for v in row]
        shown = row.dropna()
        if len(shown):
            best = number(float(shown.min() if lower else shown.max()), form)
            table.best |= {(len(table.rows), i + 1) for i, c in enumerate(cells) if c == best}
        table.rows.append([str(name), *cells])
    return table


def _matrix(rows: Sequence[Row], measure: str) -> pd.DataFrame:
    """Return a measure: index (set, seed), columns strategies, in order of first appearance."""
    frame = pd.DataFrame([(r["set"], r["seed"], r["strategy"], r.get(measure)) for r in rows])
    wide = frame.pivot_table(index=[0, 1], columns=2, values=3, sort=False, dropna=False)
    names = list(dict.fromkeys(r["strategy"] for r in rows))
    return wide.reindex(columns=names).rename_axis(index=["set", "seed"]).astype(float)


def _means(rows: Sequence[Row], measure: str) -> pd.DataFrame:
    return _matrix(rows, measure).groupby("set", sort=False).mean()


def bootstrap(values: pd.Series, seed: int = 0) -> Interval:
    """Return the mean over sets of the means over seeds, with an interval: sets are drawn anew, and seeds in them."""
    rng = np.random.default_rng(seed)
    groups = [part.to_numpy(dtype=float) for _, part in values.dropna().groupby("set")]
    draws = np.stack(
        [
            part[rng.integers(len(part), size=(N_BOOTSTRAP, len(part)))].mean(axis=1)
            for part in groups
        ]
    )
    chosen = rng.integers(len(groups), size=(len(groups), N_BOOTSTRAP))
    means = np.take_along_axis(draws, chosen, axis=0).mean(axis=0)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    return Interval(float(np.mean([part.mean() for part in groups])), float(low), float(high))


def _interval(values: pd.Series, form: str) -> str:
    if not values.notna().any():
        return DASH
    value, low, high = (number(100 * part, form) for part in bootstrap(values))
    return f"{value} [{low}, {high}]"

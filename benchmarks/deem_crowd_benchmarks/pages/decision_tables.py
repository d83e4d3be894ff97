"""Rows of the suites ``labelling``, ``suspects`` and ``coverage`` → tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd_benchmarks.buying import savings
from deem_crowd_benchmarks.buying.decisions import of_decisions
from deem_crowd_benchmarks.buying.savings import REFERENCE
from deem_crowd_benchmarks.pages.statistics import N_BOOTSTRAP, Interval, two_levels
from deem_crowd_benchmarks.pages.tables import DASH, Table, number
from deem_crowd_benchmarks.running.runs import Row

FloatArray = npt.NDArray[np.float64]


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return the tables of all rows that belong to these suites."""
    made: list[Table] = []
    for suite, mine in of_decisions(rows):
        if suite == "labelling":
            made += [
                _labelling(mine),
                _per_set(mine, "area", "Mean accuracy along the budget, %", 100),
                _saved_per_set(mine),
            ]
        elif suite == "suspects":
            made += [
                _suspects(mine),
                _per_set(mine, "auc", "Suspect answers: area under the ROC curve", 1),
            ]
        else:
            made += [_per_set(mine, "aurc", "Area under risk against coverage", 1, lower=True)]
            made += [_kept(mine), _checked(mine)]
    return [table for table in made if table.rows]


def _labelling(rows: Sequence[Row]) -> Table:
    areas = _matrix(rows, "area")
    saved = savings.table(rows)
    table = Table(
        "Buying answers",
        ["strategy", "area %", "above random, points", "random needs", "needs", "saved %", "saved of those bought %"],
        note="Area: mean accuracy of DEEM's labels along the budget, which starts from one answer a task. Needs: "
        "answers a task to the accuracy with which random buying ends (the mean of the last fifth of its curve), by "
        "monotone means of the curves of all seeds, on sets on which random buying gains a point at least; what is not "
        "reached counts as if it were at the end of the budget. Those bought come after the first answer to each task. "
        "Means over sets, with a 95 % bootstrap interval that draws sets and, for areas, seeds in them.",
    )  # fmt: skip
    for name in areas.columns:
        cells = [name, number(100 * float(areas[name].groupby("set").mean().mean()), ".2f")]
        mine = saved[saved["strategy"] == name].set_index("set")
        if name == REFERENCE or REFERENCE not in areas:
            table.rows.append([*cells, *[DASH] * 5])
            continue
        cells.append(_interval(areas[name] - areas[REFERENCE], "+.2f"))
        for kind in ("random", "needed"):
            cells.append(number(float(mine[kind].mean()), ".2f") if len(mine) else DASH)
        cells += [_interval(mine[kind], ".0f") for kind in ("saved", "saved_bought")]
        table.rows.append(cells)
    return table


def _saved_per_set(rows: Sequence[Row]) -> Table:
    saved = savings.table(rows)
    table = Table("Answers saved of those bought, %", ["set"])
    if saved.empty:
        return table
    wide = saved.pivot_table(index="set", columns="strategy", values="saved_bought", sort=False)
    table.header += list(wide.columns)
    for name, row in wide.iterrows():
        table.rows.append([str(name), *(number(100 * float(v), ".0f") for v in row)])
    table.rows.append(["median", *(number(100 * float(v), ".0f") for v in wide.median())])
    return table


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


def _checked(rows: Sequence[Row]) -> Table:
    cover, held = _means(rows, "checked"), _means(rows, "checked_held")
    cover = cover.dropna(axis=1, how="all")
    table = Table(
        "What reliable(0.95) keeps with half of the gold as a sample: share of tasks",
        ["set", *cover.columns],
    )
    for name, row in cover.iterrows():
        table.rows.append([str(name), *(number(float(v), ".2f") for v in row)])
    if not cover.empty:
        table.rows.append(["mean", *(number(float(v), ".2f") for v in cover.mean())])
        right = "; ".join(
            f"{name} {number(100 * float(held[name].mean()), '.0f')} %" for name in cover.columns
        )
        table.note = (
            "Means over draws of the sample. Draws in which nothing was kept, or the precision was 0.95 or more: "
            f"{right}."
        )
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


def bootstrap(values: pd.Series) -> Interval:
    """Return the mean over sets of the means over seeds, with an interval: sets are drawn anew, and seeds in them."""

    def drawn(part: FloatArray, rng: np.random.Generator) -> FloatArray:
        return np.asarray(part[rng.integers(len(part), size=(N_BOOTSTRAP, len(part)))].mean(axis=1))

    groups = [part.to_numpy(dtype=float) for _, part in values.dropna().groupby("set")]
    return two_levels(groups, drawn)


def _interval(values: pd.Series, form: str) -> str:
    if not values.notna().any():
        return DASH
    value, low, high = (number(100 * part, form) for part in bootstrap(values))
    return f"{value} [{low}, {high}]"

"""Rows of results → tables: what the terminal, Markdown and HTML all show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from deem_crowd_benchmarks.pages import decision_tables, statistics
from deem_crowd_benchmarks.pages.tables import DASH, Table, number
from deem_crowd_benchmarks.running.evaluation import LOWER_IS_BETTER
from deem_crowd_benchmarks.running.runs import Row

SCALE = "scale"
"""The kind of the sets that are there to measure time and memory on."""
_PEER = "ds"
"""The method that speed is compared with."""

COVERAGE = "coverage"
"""The measure that is shown where a method left tasks open, and nowhere else."""

_STATUS = {"time": "time limit", "memory": "memory limit"}


@dataclass
class Summary:
    """All tables of a report.

    Attributes
    ----------
    overview : Table, or None where no accuracy was measured
    details : list of Table
        A measure each, one row a set.
    scaling, samplers, failures : Table or None
    ranking : statistics.Ranking
    accuracies : DataFrame, index (kind, set), columns methods
    decisions : list of Table
        Of the suites ``labelling``, ``suspects`` and ``coverage``.
    warnings : list of str
        Warnings of runs, each after its set and method.
    """

    overview: Table | None
    details: list[Table]
    scaling: Table | None
    samplers: Table | None
    failures: Table | None
    ranking: statistics.Ranking
    accuracies: pd.DataFrame
    decisions: list[Table] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def summarise(rows: Sequence[Row], out: Path, reference: str | None = None) -> Summary:
    """Return the tables of rows.

    Parameters
    ----------
    rows : list of dict
        As :func:`deem_crowd_benchmarks.running.runs.read_rows` gives them.
    out : Path
        Their folder.
    reference : str, optional
        The method that others are compared with; the first one if it is None or was not run.
    """
    measured = [row for row in rows if "method" in row]
    scored = [row for row in measured if row["kind"] != SCALE]
    accuracies = statistics.per_set(scored) if scored else pd.DataFrame()
    accuracies = accuracies.dropna(how="all")
    methods = list(accuracies.columns)
    base = reference if reference in methods else (methods[0] if methods else None)
    details = []
    if len(accuracies):
        details = [
            _detail(scored, accuracies, measure, title, percent)
            for measure, title, percent in _DETAILS
        ]
    return Summary(
        _overview(scored, out, accuracies, str(base)) if len(accuracies) else None,
        [table for table in details if table.rows],
        _scaling([row for row in measured if row["kind"] == SCALE]),
        _samplers([row for row in rows if "sampler" in row]),
        _failures(rows),
        statistics.ranking(accuracies) if len(accuracies) else statistics.ranking(pd.DataFrame()),
        accuracies,
        decision_tables.tables(rows),
        _warnings(rows),
    )


_DETAILS = (
    ("accuracy", "Accuracy, %", True),
    (COVERAGE, "Coverage: tasks with gold that have a label, %", True),
    ("test_accuracy", "Accuracy of the learned classifier on new things, %", True),
    ("log_loss", "Log-loss, nats", False),
    ("ece", "Expected calibration error, %", True),
    ("brier", "Brier score", False),
    ("label_accuracy", "Accuracy of the labels as returned, %", True),
    ("balanced_accuracy", "Balanced accuracy, %", True),
    ("macro_f1", "Macro F1, %", True),
    ("clustering_accuracy", "Clustering accuracy (best renaming of classes), %", True),
    ("nmi", "Normalised mutual information, %", True),
    ("ari", "Adjusted Rand index, %", True),
    ("skill_correlation", "Rank correlation of skills with accuracy on gold", False),
    ("seconds", "Seconds, data to labels", False),
    ("peak_mb", "Peak memory above the data, MB", False),
)


def _overview(rows: Sequence[Row], out: Path, accuracies: pd.DataFrame, base: str) -> Table:
    kinds = list(dict.fromkeys(accuracies.index.get_level_values("kind")))
    kinds = kinds if len(kinds) > 1 else []
    ranking = statistics.ranking(accuracies)
    wins = statistics.wins(accuracies)
    p_values = statistics.wilcoxon(accuracies, base)
    above = statistics.differences(rows, out, base)
    others = {
        m: statistics.per_set(rows, m).reindex(accuracies.index)
        for m in ("log_loss", "ece", "seconds", COVERAGE)
    }
    failed = bool(accuracies.isna().any(axis=None))
    open_tasks = bool((others[COVERAGE] < 1).any(axis=None))
    table = Table(
        "Overview",
        ["method", "accuracy %", *(f"{kind} %" for kind in kinds), f"above {base}, points", "p", "mean rank",
         "wins", "log-loss", "ECE %", "seconds", *(["coverage %"] if open_tasks else [])],
        note=(
            f"Means over {_sets(len(accuracies))}; where a method lacks some, brackets say over how many. Seconds are "
            f"geometric means. Above {base}: on the sets that both were scored on, with a 95 % interval (paired "
            "bootstrap over sets and tasks). p: Wilcoxon's signed-rank test over sets against "
            f"{base}, Holm-corrected. Wins: sets on which it is best, shared ones included. "
            + ("Methods that failed on some sets are ranked by their accuracy compared with the others' on the same "
               "sets. " if failed else "")
            + ("Tasks without a label count as wrong. " if open_tasks else "")
            + _words(ranking)
        ),
    )  # fmt: skip
    above_others = statistics.standing(accuracies)
    ranked = accuracies.notna().mean() > 0.5
    for method in sorted(above_others.index, key=lambda m: not ranked[m]):
        column = accuracies[method]
        cells = [method, _mean(column, ".1f", 100)]
        cells += [_mean(column.xs(kind, level="kind"), ".1f", 100) for kind in kinds]
        interval = above.get(method)
        cells.append(
            DASH
            if interval is None
            else "{} [{}, {}]".format(*(number(100 * value, "+.1f") for value in interval))
        )
        p = p_values.get(method, float("nan"))
        cells.append(number(p, ".3f"))
        cells.append(number(ranking.mean_ranks.get(method, float("nan")), ".2f"))
        cells.append(str(int(wins[method])) if column.notna().any() else DASH)
        cells.append(_mean(others["log_loss"][method], ".3f"))
        cells.append(_mean(others["ece"][method], ".1f", 100))
        cells.append(_mean(others["seconds"][method], ".3f", geometric=True))
        if open_tasks:
            cells.append(_mean(others[COVERAGE][method], ".1f", 100))
        table.rows.append(cells)
    return table


def _words(ranking: statistics.Ranking) -> str:
    if np.isnan(ranking.critical_difference):
        return ""
    text = (
        f"Mean ranks over the {_sets(ranking.n_sets)} that all ranked methods were scored on; ranks that differ by "
        f"less than {ranking.critical_difference:.2f} are not told apart (Nemenyi, 5 %)"
    )
    if not np.isnan(ranking.p_value):
        text += f"; Friedman's test that all are alike: p = {ranking.p_value:.2g}"
    return text + "."


def _detail(
    rows: Sequence[Row], accuracies: pd.DataFrame, measure: str, title: str, percent: bool
) -> Table:
    values = statistics.per_set(rows, measure).reindex(accuracies.index)
    if values.isna().all(axis=None) or (measure == COVERAGE and not (values < 1).any(axis=None)):
        return Table(title, [])
    scale = 100 if percent else 1
    form = ".1f" if percent or measure == "peak_mb" else ".3f"
    methods = list(values.columns)
    table = Table(title, ["set", *methods])
    for (_, name), (_, row) in zip(values.index, values.iterrows(), strict=True):
        _add(table, str(name), row * scale, form, measure in LOWER_IS_BETTER)
    kinds = list(dict.fromkeys(values.index.get_level_values("kind")))
    if len(values) > 1:
        for kind in kinds if len(kinds) > 1 else []:
            part = values.xs(kind, level="kind")
            _add(
                table,
                f"mean of {kind}",
                _whole_mean(pd.DataFrame(part)) * scale,
                form,
                measure in LOWER_IS_BETTER,
            )
        _add(table, "mean", _whole_mean(values) * scale, form, measure in LOWER_IS_BETTER)
        table.note = "No mean where a method lacks a set."
    return table


def _whole_mean(values: pd.DataFrame) -> pd.Series:
    return values.mean().where(values.notna().all())


def _add(table: Table, name: str, values: pd.Series, form: str, lower: bool) -> None:
    cells = [number(v, form) for v in values]
    there = values.dropna()
    if len(there):
        best = number(there.min() if lower else there.max(), form)
        table.best |= {(len(table.rows), i + 1) for i, c in enumerate(cells) if c == best}
    table.rows.append([name, *cells])


def _scaling(rows: Sequence[Row]) -> Table | None:
    if not rows:
        return None
    methods = list(dict.fromkeys(row["method"] for row in rows))
    sizes = {row["set"] for row in rows}
    plain = all(name.endswith(" answers") for name in sizes)
    headings = ["answers", "factorize s"]
    for m in methods:
        headings += [f"{m} s", f"{m} ×", f"{m} MB"]
        headings += [f"{_PEER} / {m}"] if _beside_peer(m, methods) else []
    beside = ""
    if _PEER in methods:
        beside = (
            f"{_PEER} / …: how many times as fast as crowd-kit's DawidSkene on the same crowd; "
        )
    table = Table(
        "Time and memory against the number of answers",
        headings,
        note="Seconds from DataFrame to labels; ×: as a multiple of pandas.factorize on the three columns, in the "
        f"same process; MB: what memory rises above the frame; {beside}medians over seeds. The last row is the "
        "slope of log seconds against log answers from 100,000 answers on "
        "(from all, if there are fewer than two such): 1 is a cost that follows the answers.",
    )
    for name in dict.fromkeys(row["set"] for row in rows):
        alike = [row for row in rows if row["set"] == name]
        cells = [name.replace(" answers", ""), number(_median(alike, "factorize_seconds"), ".3f")]
        for method in methods:
            same = [row for row in alike if row["method"] == method]
            cells.append(number(_median(same, "seconds"), ".3f"))
            multiples = [
                {"×": row["seconds"] / row["factorize_seconds"]}
                for row in same
                if row.get("factorize_seconds")
            ]
            cells.append(number(_median(multiples, "×"), ".1f"))
            cells.append(number(_median(same, "peak_mb"), ".0f"))
            if _beside_peer(method, methods):
                cells.append(number(_median(_ratios(alike, same), "ratio"), ".1f"))
        table.rows.append(cells)
    if not plain:  # shapes, not sizes
        table.title = "Time and memory"
        table.note = table.note.split(" The last row")[0]
        return table
    cells = ["slope", ""]
    for method in methods:
        points = scaling_points(rows, method)
        large = [p for p in points if p[0] >= 90_000]
        chosen = large if len(large) > 1 else points
        if len({n for n, _, _ in chosen}) > 1:
            slope = statistics.slope([n for n, _, _ in chosen], [s for _, s, _ in chosen])
            cells += [number(slope, ".2f"), "", ""]
        else:
            cells += [DASH, "", ""]
        cells += [""] if _beside_peer(method, methods) else []
    table.rows.append(cells)
    return table


def _beside_peer(method: str, methods: Sequence[str]) -> bool:
    return _PEER in methods and method != _PEER


def _ratios(alike: Sequence[Row], same: Sequence[Row]) -> list[Row]:
    """Return what the peer takes in units of a method's runs, seed by seed."""
    took = {
        row["seed"]: row["seconds"] for row in alike if row["method"] == _PEER and "seconds" in row
    }
    return [
        {"ratio": took[row["seed"]] / row["seconds"]}
        for row in same
        if row["seed"] in took and row.get("seconds")
    ]


def _median(rows: Sequence[Row], key: str) -> float:
    values = [row[key] for row in rows if key in row]
    return float(np.median(values)) if values else float("nan")


def scaling_points(rows: Sequence[Row], method: str) -> list[tuple[int, float, float]]:
    """Return (answers, seconds, MB) of a method's runs, by size; of several seeds the median."""
    mine = [row for row in rows if row["method"] == method and row["status"] == "ok"]
    points = []
    for name in dict.fromkeys(row["set"] for row in mine):
        same = [row for row in mine if row["set"] == name]
        sizes, seconds, memory = (_median(same, key) for key in ("n_answers", "seconds", "peak_mb"))
        points.append((round(sizes), seconds, memory))
    return sorted(points)


def _samplers(rows: Sequence[Row]) -> Table | None:
    done = [row for row in rows if row["status"] == "ok"]
    if not done:
        return None
    steps = list(done[0]["gradient_error"])
    table = Table(
        "Samplers",
        ["model", "sampler", "acceptance", "ESS/s", "steps/s", *(f"error, {s}" for s in steps), "noise"],
        note="Error: of the gradient's model half, relative to its exact value, after so many steps from one label "
        "everywhere; noise: the same of as many independent exact draws, which no sampler can beat by more than luck. "
        "ESS/s: effective samples of the number of first-class answers per second, all chains together.",
        text_columns={0, 1},
    )  # fmt: skip
    for row in done:
        table.rows.append(
            [
                row["model"],
                row["sampler"],
                "every" if row["acceptance"] is None else f"{row['acceptance']:.2f}",
                f"{row['ess_per_second']:,.0f}",
                f"{row['steps_per_second']:,.0f}",
                *(f"{row['gradient_error'][s]:.3f}" for s in steps),
                f"{row['noise']:.3f}",
            ]
        )
    return table


def _failures(rows: Sequence[Row]) -> Table | None:
    failed = [row for row in rows if row["status"] != "ok"]
    if not failed:
        return None
    table = Table("Runs without a result", ["method", "what", "why", "runs", "sets"])
    table.text_columns = {0, 1, 2, 4}
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for row in failed:
        key = (
            str(row.get("method", row.get("sampler", row.get("strategy")))),
            _STATUS.get(row["status"], str(row["status"])),
            str(row["reason"]),
        )
        grouped.setdefault(key, []).append(str(row.get("set", row.get("model"))))
    for key, sets in grouped.items():
        table.rows.append([*key, str(len(sets)), ", ".join(dict.fromkeys(sets))])
    return table


def _warnings(rows: Sequence[Row]) -> list[str]:
    said = [
        f"{row['set']}, {row['method']}: {' '.join(str(text).split())}"
        for row in rows
        for text in row.get("warnings", [])
    ]
    return list(dict.fromkeys(said))


def _mean(column: pd.Series, form: str, scale: float = 1, geometric: bool = False) -> str:
    """Return the mean over the sets that have a value; if some have none, the number of the others in brackets."""
    there = column.dropna()
    if there.empty:
        return DASH
    mean = np.exp(np.log(there).mean()) if geometric else scale * there.mean()
    text = number(float(mean), form)
    return text if len(there) == len(column) else f"{text} ({len(there)})"


def _sets(n: int) -> str:
    return f"{n} set" if n == 1 else f"{n} sets"

"""The suites ``labelling``, ``suspects`` and ``coverage``: what is decided from a model, beside what others decide."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deem_crowd.exceptions import DataWarning, ParameterError
from deem_crowd_benchmarks.buying import doubts, market, strategies
from deem_crowd_benchmarks.running import runs
from deem_crowd_benchmarks.running.runs import Row
from deem_crowd_benchmarks.sets.label_set import Source

SUITES = ("labelling", "suspects", "coverage")
LAWS = ("law:many-workers", "law:difficulty", "law:spammers", "law:ten-classes")
"""What the suites run on where no data are named."""
_MOST_CELLS = 10**7
"""Tasks × workers up to which methods that need a dense table are run."""

Report = Callable[[str, Row], None]


def rows(
    suite: str,
    sources: Sequence[Source],
    names: Sequence[str] | None,
    seeds: Sequence[int],
    folder: Path,
    begin: Callable[[int], None],
    report: Report,
) -> list[Row]:
    """Run a suite; each row is written as soon as it is there, and what ``folder`` holds already is not run again.

    Parameters
    ----------
    suite : 'labelling', 'suspects' or 'coverage'
    sources : list of Source
    names : list of str, optional
        Strategies or methods; all that are installed if omitted.
    seeds : list of int
    folder : Path
    begin, report : callable

    Returns
    -------
    list of dict
        ``decision``, the suite; ``set``, ``kind``, ``strategy``, ``seed``, ``status``, ``reason``, and the measures.

    Raises
    ------
    ParameterError, UnsupportedError
        For a name that is none, or whose package is not installed.
    """
    chosen = _names(suite, names)
    drawn = suite == "labelling"
    plan = [
        (source, seed)
        for source in sources
        for seed in (seeds if drawn or source.drawn else seeds[:1])
    ]
    begin(len(plan) * len(chosen))
    done = {_key(row): row for row in runs.read_rows(folder) if "decision" in row}
    made = []
    for source, seed in plan:
        runner: Any = None
        for name in chosen:
            row: Row = {
                "decision": suite,
                "set": source.name,
                "kind": source.kind,
                "strategy": name,
                "seed": seed,
            }
            if _key(row) in done:
                row = done[_key(row)]
            else:
                runner = runner or _runner(suite, source, seed)
                row |= _measured(runner, name)
                runs.write_rows(folder, [row])
            report(f"{source.name} · {name}", row)
            made.append(row)
    return made


def _names(suite: str, names: Sequence[str] | None) -> list[str]:
    if suite == "labelling":
        return strategies.available(names)
    known = list(doubts.SUSPECTS if suite == "suspects" else doubts.COVERAGE)
    for name in names or ():
        if name not in known:
            raise ParameterError(f"there is no method {name!r}; there are: {', '.join(known)}.")
    return [name for name in known if doubts.there(name) and (names is None or name in names)]


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(part) for part in ("decision", "kind", "set", "strategy", "seed"))


def _runner(suite: str, source: Source, seed: int) -> Callable[[str], dict[str, Any]]:
    """Return what measures a strategy or method on a label set."""
    label_set = source.load(seed)
    if suite == "labelling":
        shop = market.Market.of(label_set, seed)

        def bought(name: str) -> dict[str, Any]:
            curve = market.simulate(shop, strategies.STRATEGIES[name](), seed)
            return {
                "n_tasks": curve.n_tasks,
                "area": curve.area,
                "answers": curve.answers.tolist(),
                "accuracy": curve.accuracy.tolist(),
            }

        return bought
    scored = doubts.Scored(label_set)
    measure = doubts.suspects if suite == "suspects" else doubts.coverage

    def judged(name: str) -> dict[str, Any]:
        cells = scored.answers.n_tasks * scored.answers.n_workers
        if name == "cleanlab" and cells > _MOST_CELLS:
            raise ParameterError(f"a dense table of {cells:,} cells is too large")
        return {k: v if v == v else None for k, v in measure(scored, name).items()}

    return judged


def _measured(runner: Callable[[str], dict[str, Any]], name: str) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # said of few answers, again and again
            return {"status": "ok", "reason": "", **runner(name)}
    except Exception as error:  # other packages may fail in any way
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}


def of_decisions(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield each suite with its rows that have a result."""
    for suite in SUITES:
        mine = [row for row in rows if row.get("decision") == suite and row["status"] == "ok"]
        if mine:
            yield suite, mine

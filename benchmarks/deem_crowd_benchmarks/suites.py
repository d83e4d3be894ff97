"""What ``deem-crowd benchmark`` runs, from Python: named suites, or any data and methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deem_crowd.exceptions import ParameterError
from deem_crowd.plugins import registry
from deem_crowd.plugins.discovery import hint
from deem_crowd.runtime import extras
from deem_crowd_benchmarks import mixing
from deem_crowd_benchmarks.buying import decisions
from deem_crowd_benchmarks.pages import reports
from deem_crowd_benchmarks.pages.summary import SCALE, Summary
from deem_crowd_benchmarks.peers import consensus_peers, feature_peers
from deem_crowd_benchmarks.running import runs
from deem_crowd_benchmarks.running.isolation import Limits
from deem_crowd_benchmarks.running.methods import Method
from deem_crowd_benchmarks.running.runs import Row
from deem_crowd_benchmarks.sets import label_sets
from deem_crowd_benchmarks.sets.label_set import LabelSet, Source
from deem_crowd_benchmarks.sets.label_sets import CrowdOf

Data = str | Path | LabelSet | Source
Report = Callable[[str, Row], None]
"""Called as each run ends, with what it was and its row."""


@dataclass(frozen=True)
class Suite:
    """A named benchmark."""

    description: str
    data: tuple[Data, ...] | None
    """None: the caller has to say."""
    methods: str | tuple[str | Method, ...] | None
    """None: every aggregator that is installed and needs nothing but answers."""
    seeds: int = 1


SIZES = (10**4, 10**5, 10**6, 10**7)


def _large(crowd: CrowdOf) -> Source:
    return Source(crowd.title, SCALE, crowd, drawn=True, large=True)


SUITES = {
    "quick": Suite(
        "classifiers on scikit-learn's data and five laws; a minute",
        ("sklearn:wine", "sklearn:breast-cancer", "sklearn-soft:wine", "law:independent", "law:copies",
         "law:heavy-tail", "law:spammers", "law:difficulty"),
        "deem, ds, mv, wawa",
    ),
    "crowd": Suite("every aggregator on a folder of crowds (--data)", None, None),
    "ensemble": Suite(
        "every aggregator on classifiers: a folder (--data), or scikit-learn's data",
        ("sklearn", "sklearn-soft"),
        None,
    ),
    "weak": Suite(
        "labelling functions, which abstain: a folder (--data), or four laws",
        ("law:weak",),
        "deem, plain=deem(auto_hyperparameters=false), ds, mv, onecoin-ds",
        seeds=3,
    ),
    "judges": Suite(
        "panels of judges that share errors or items: a folder (--data), or four laws",
        ("law:judges",),
        "deem, plain=deem(auto_hyperparameters=false), ds, mv, onecoin-ds",
        seeds=3,
    ),
    "laws": Suite("every law of known truth", ("law",), "deem, ds, mv, wawa", seeds=3),
    "scaling": Suite(
        "seconds and memory from 10,000 to 10,000,000 answers",
        tuple(_large(CrowdOf(n)) for n in SIZES),
        "deem, plain=deem(auto_hyperparameters=false), ds, mv",
    ),
    "shapes": Suite(
        "seconds and memory of a million answers of other shapes",
        tuple(
            _large(crowd)
            for crowd in (
                CrowdOf(10**6),
                CrowdOf(10**6, n_classes=2),
                CrowdOf(10**6, n_classes=10),
                CrowdOf(10**6, strings=True),
                CrowdOf(10**6, heavy_tail=True),
            )
        ),
        "deem, plain=deem(auto_hyperparameters=false), ds, mv",
    ),
    "many-classes": Suite(
        "seconds and memory of 100 to 5,000 classes",
        tuple(
            _large(CrowdOf(n, n_classes=k)) for n, k in ((10**5, 100), (10**6, 100), (10**6, 5000))
        ),
        "deem, plain=deem(auto_hyperparameters=false), ds",
    ),
    "labelling": Suite(
        "buys recorded answers one round after the other, by every strategy (--data, or four laws)",
        decisions.LAWS,
        None,
        seeds=3,
    ),
    "suspects": Suite("wrong answers found, against gold (--data, or four laws)", decisions.LAWS, None),
    "coverage": Suite("risk against coverage (--data, or four laws)", decisions.LAWS, None),
    "clusterings": Suite(
        "consensus of sources without common names: clusterings, and renamed classes",
        ("clusterings", "renamed:sklearn"),
        (
            "clusterings",
            Method("clusterings, K given", consensus_peers.Consensus),
            Method("clusterings averaged, K given", consensus_peers.Consensus, {"average": True}),
            Method("k-means on co-association", consensus_peers.CoAssociationKMeans),
            *(
                Method(solver.upper(), consensus_peers.ClusterEnsembles, {"solver": solver})
                for solver in ("cspa", "hgpa", "mcla", "hbgf", "nmf")
            ),
            Method("HBGF (ccHBGF)", consensus_peers.HybridBipartite),
            Method("best single, by gold", consensus_peers.BestSingle, sees_gold=True),
        ),
    ),
    "features": Suite(
        "labels from answers and features: simulated crowds about scikit-learn's data, or folders (--data)",
        ("features",),
        (
            Method("deem, features", "deem"),
            Method("deem", feature_peers.WithoutFeatures),
            "mv",
            Method("classifier on votes", feature_peers.ClassifierOnVotes),
            Method("CROWDLAB", feature_peers.CrowdLab),
            Method("CROWDLAB, 4 rounds", feature_peers.CrowdLab, {"rounds": 4}),
            Method("Raykar (scikit-activeml)", feature_peers.Raykar),
            Method("crowd layer (scikit-activeml)", feature_peers.CrowdLayer),
            Method("classifier on gold", feature_peers.ClassifierOnGold, sees_gold=True),
        ),
    ),
    "samplers": Suite("acceptance, effective samples a second, gradient error", (), ""),
}  # fmt: skip


def everything() -> str:
    """Return the names of the aggregators that need answers alone, under common names; DEEM first."""
    names = sorted(registry.aggregators(), key=lambda name: (name != "deem", name))
    return ", ".join(name for name in names if name not in ("gold-mv", "clusterings"))


def benchmark(
    suite: str | None = None,
    *,
    data: Data | Sequence[Data] | None = None,
    methods: str | Sequence[str | Method] | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path = "benchmark",
    limit_seconds: float | None = 600,
    limit_gb: float | None = 8,
    jobs: int = 1,
    threads: int | None = None,
    retry: bool = False,
    report: Report = lambda name, row: None,
    begin: Callable[[int], None] = lambda total: None,
) -> Summary:
    """Run aggregators on label sets and write ``results.jsonl``, ``report.md`` and ``report.html``.

    A call that finds results of the same runs in ``out`` goes on from there.

    Parameters
    ----------
    suite : str, optional
        A name in ``SUITES``: what is run where ``data``, ``methods`` and ``seeds`` do not say; 'quick' if nothing does.
    data : optional
        See :func:`deem_crowd_benchmarks.sets.label_sets.sources`.
    methods : optional
        See :func:`deem_crowd_benchmarks.running.methods.methods`; the first one is the reference of comparisons.
    seeds : int or list of int, optional
        How many (0, 1, …), or which.
    out : path
        The folder of results; it is made if it is not there.
    limit_seconds, limit_gb : float, optional
        Of each run; None is no limit. Memory counts in 10⁹ bytes, of the whole process.
    jobs : int
        Runs at a time.
    threads : int, optional
        Of each run; by default the cores divided by ``jobs``.
    retry : bool
        Do again what failed before.
    report, begin : callable
        Called as each run ends, and before the first with the number of all.

    Returns
    -------
    Summary

    Raises
    ------
    ParameterError
        If a name or number makes no sense.
    DataError
        If a label set cannot be had.
    OverwriteError
        If ``out`` holds anything but the results of a benchmark.
    UnsupportedError
        If the packages of the extra ``benchmarks`` are not installed.
    """
    extras.require("benchmarks", "benchmarks")
    from deem_crowd_benchmarks.running.methods import methods as methods_of

    plan = _suite(suite, data, methods)
    folder = Path(out)
    runs.require_own(folder)  # before the work, not after it
    if plan.data == () and data is None:
        rows = _mixing(folder, methods, _seeds(seeds, plan), begin, report)
        return reports.write_report(folder, rows=rows)
    if suite is not None and suite in decisions.SUITES:
        told = label_sets.sources(data if data is not None else plan.data or ())
        names = _split(methods, suite)
        measured = decisions.rows(suite, told, names, _seeds(seeds, plan), folder, begin, report)
        return reports.write_report(folder, rows=measured)
    _check(limit_seconds, limit_gb, jobs, threads)
    chosen = methods if methods is not None else plan.methods
    wanted = methods_of(everything() if chosen is None else chosen)
    where = data if data is not None else plan.data
    if where is None:
        raise ParameterError(f"suite {suite!r} needs data: a folder of label sets (--data).")
    todo = runs.plan(label_sets.sources(where), wanted, _seeds(seeds, plan))
    begin(len(todo))
    limits = Limits(limit_seconds, None if limit_gb is None else limit_gb * 1e9)
    rows = runs.perform(
        todo,
        folder,
        limits=limits,
        jobs=jobs,
        threads=threads or max(1, runs.cores() // jobs),
        retry=retry,
        report=lambda run, row: report(f"{run.source.name} · {run.method.label}", row),
    )
    return reports.write_report(folder, wanted[0].label, rows)


def _suite(name: str | None, data: object, methods: object) -> Suite:
    if name is None:
        quick = SUITES["quick"]
        return (
            quick if data is None else Suite("", None, quick.methods if methods is None else None)
        )
    if name not in SUITES:
        raise ParameterError(
            f"there is no suite {name!r}{hint(name, SUITES)}; there are: {', '.join(SUITES)}."
        )
    return SUITES[name]


def _seeds(given: int | Sequence[int] | None, suite: Suite) -> list[int]:
    seeds = suite.seeds if given is None else given
    numbers = list(range(seeds)) if isinstance(seeds, int) else [int(s) for s in seeds]
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise ParameterError(f"seeds={given!r}: a number from 1, or different numbers from 0.")
    return numbers


def _check(seconds: float | None, gb: float | None, jobs: int, threads: int | None) -> None:
    for name, value in (
        ("limit_seconds", seconds),
        ("limit_gb", gb),
        ("jobs", jobs),
        ("threads", threads),
    ):
        if value is not None and not value > 0:
            raise ParameterError(f"{name}={value!r} has to be above 0.")


def _split(names: object, suite: str) -> list[str] | None:
    """Return names that are given with commas."""
    if names is not None and not isinstance(names, str):
        raise ParameterError(f"the suite {suite!r} takes names, with commas.")
    return None if names is None else [n.strip() for n in names.split(",") if n.strip()]


def _mixing(
    folder: Path, names: object, seeds: list[int], begin: Callable[[int], None], report: Report
) -> list[Row]:
    wanted = _split(names, "samplers")
    if wanted is None:
        wanted = list(registry.samplers())
    begin(len(wanted) * len(mixing.MODELS) * len(seeds))
    measured = []
    for seed in seeds:
        for row in mixing.rows(wanted, seed):
            report(f"{row['model']} · {row['sampler']}", row)
            measured.append(row)
    runs.write_rows(folder, measured)
    return measured

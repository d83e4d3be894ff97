"""The demonstration: DEEM beside majority vote and Dawid-Skene, on real classifiers' answers about real data."""

from __future__ import annotations

from collections.abc import Iterator

from deem_crowd_benchmarks.running import comparison
from deem_crowd_benchmarks.sets import ensembles

METHODS = ("deem", "ds", "mv")


def run(
    seed: int = 0, methods: tuple[str, ...] = METHODS
) -> Iterator[tuple[ensembles.Ensemble, list[comparison.Result]]]:
    """Yield, for each data set, the ensemble made under ``seed`` and what each method made of its answers.

    Nothing is chosen afterwards: the recipes of the classifiers are fixed, and all results are returned.
    """
    # The first fit of a process pays for libraries that set themselves up; it should not be a measured one.
    warm_up = ensembles.make_ensemble("wine", seed).answers
    comparison.compare(warm_up, methods)
    for name in ensembles.DATASETS:
        ensemble = ensembles.make_ensemble(name, seed)
        yield ensemble, comparison.compare(ensemble.answers, methods, ensemble.gold)

"""Run several aggregators on the same answers. One that fails is a row with its error; the others go on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DataError, DataWarning, FindingsWarning, first_few
from deem_crowd.insight.reliability import wilson
from deem_crowd.plugins import contract, registry
from deem_crowd_benchmarks.running import measures
from deem_crowd_benchmarks.sets.scorable import scorable


@dataclass(frozen=True)
class Result:
    """What became of one method."""

    method: str
    labels: pd.Series | None = None
    """Index ``task``, shape (N,); None if the method failed."""
    probas: pd.DataFrame | None = None
    """Index ``task``, columns the classes, shape (N, K); None if the method gives none."""
    seconds: float | None = None
    """Wall-clock time of the fit, imports not counted."""
    accuracy: float | None = None
    """On all tasks with gold, ties split fairly; a task that was left open is wrong. None without gold."""
    log_loss: float | None = None
    """On all tasks with gold, in nats; None without gold or probabilities."""
    coverage: float | None = None
    """The share of tasks that have a label, of those with gold where there is gold; None if the method failed."""
    error: str = ""
    """Why it failed; empty if it did not."""
    warnings: tuple[str, ...] = ()
    """What it said about the data or about convergence."""


def compare(
    data: pd.DataFrame, methods: Iterable[str], gold: pd.Series | None = None
) -> list[Result]:
    """Run ``methods``, by their names in the registry, on the same answers.

    Parameters
    ----------
    data : DataFrame, R rows
        Long format: ``task``, ``worker``, ``label``, one row per (task, worker).
    methods : names of aggregators
    gold : Series, optional
        True labels, index task. They are for scoring alone; no method sees them.

    Returns
    -------
    list of Result
        One per method, in the order given.

    Raises
    ------
    DataError
        If gold can score nothing: it is of other tasks, or of classes that no worker gave; or if it is to score data
        that lack a column.
    """
    if gold is not None:
        for column in ("task", "label"):
            if column not in data.columns:
                raise DataError(f"no column {column!r}; found {first_few(data.columns)}.")
        tasks, given = (pd.Index(data[c].unique(), tupleize_cols=False) for c in ("task", "label"))
        scorable(gold, tasks, given, "gold")
    return list(each(data, methods, gold))


def each(
    data: pd.DataFrame | Answers,
    methods: Iterable[str],
    gold: pd.Series | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Result]:
    """As :func:`compare`, but yield each result as soon as it is there; ``parameters`` are by method.

    Soft answers come as ``Answers``; a method that takes no probabilities gets their likeliest classes.
    """
    for method in methods:
        yield _run(data, method, gold, (parameters or {}).get(method, {}))


def _run(
    data: pd.DataFrame | Answers, method: str, gold: pd.Series | None, parameters: Mapping[str, Any]
) -> Result:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            returned, seconds = _fit(data, method, parameters)
            result = Result(
                method, returned.labels, returned.probas, seconds, *_scores(returned, gold)
            )
            against = "" if gold is None else returned.against_probabilities()  # which scores go by
            other = "" if gold is None else _other_names(returned.labels, gold)
            for said in filter(None, (returned.open(), against, other)):
                warnings.warn(said, DataWarning, stacklevel=1)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a peer may fail in any way
            result = Result(method, error=contract.described(error))
    messages = tuple(dict.fromkeys(str(w.message) for w in caught if matters(w.category)))
    return Result(**{**result.__dict__, "warnings": messages})


def _fit(
    data: pd.DataFrame | Answers, method: str, parameters: Mapping[str, Any]
) -> tuple[contract.Returned, float]:
    aggregator = registry.create(method, **parameters)
    if isinstance(data, Answers):
        own: Any = contract.rows_for(aggregator, data)
        tasks, classes = data.tasks.take(np.unique(data.task)), data.classes
    else:
        own = data.copy()  # what a method does to its frame is its own affair
        if not getattr(aggregator, "takes_soft", False):
            own = contract.without_categories(own)
        tasks = pd.Index(data["task"].unique(), tupleize_cols=False)
        classes = pd.Index(data["label"].unique(), tupleize_cols=False)
    start = time.perf_counter()
    labels = aggregator.fit_predict(own)
    seconds = time.perf_counter() - start
    try:
        return contract.checked(labels, contract.probabilities(aggregator), tasks, classes), seconds
    except ValueError as error:
        raise contract.refusal(method, str(error)) from error


def _scores(
    returned: contract.Returned, gold: pd.Series | None
) -> tuple[float | None, float | None, float]:
    """Return accuracy, log-loss and coverage."""
    if gold is None:
        return None, None, float(returned.labels.notna().mean())
    hits, answered = measures.scored(returned.labels, returned.probas, gold)
    if not len(hits):
        return np.nan, np.nan, np.nan
    loss = None if returned.probas is None else measures.log_loss(returned.probas, gold)
    return float(hits.mean()), loss, float(answered.mean())


def _other_names(labels: pd.Series, gold: pd.Series) -> str:
    """Return what to say where fewer labels are right than by guessing, but most are once classes are renamed."""
    known = gold.reindex(labels.index).dropna()
    if known.empty:
        return ""
    said = measures.of_labels(labels, gold)
    right, renamed = said["label_accuracy"], said["clustering_accuracy"]
    _, most = wilson(right * len(known), len(known))
    least, _ = wilson(renamed * len(known), len(known))
    # no evidence of other names: one label for all tasks, once renamed, is right as often as the commonest class
    commonest = known.value_counts(normalize=True).max()
    if not (most < 1 / known.nunique() and renamed > 0.5 and least > commonest):
        return ""
    return (
        f"gold seems to have other names for the classes: {100 * right:.0f} % of {len(known):,} labels are right "
        f"by name, and {100 * renamed:.0f} % if each class is renamed to the class of gold that fits best. If the "
        "sources have no common names, go by the second figure; otherwise give gold the names that the answers use."
    )


def matters(category: type[Warning]) -> bool:
    """Tell whether a warning is about the data or the fit, not about somebody's code.

    What stands out among the workers is left to ``aggregate`` and ``report``: it says nothing of how methods compare.
    """
    if issubclass(category, FindingsWarning):
        return False
    return issubclass(category, DataWarning) or category.__name__ == "ConvergenceWarning"

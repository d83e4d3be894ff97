"""Whom and what to ask next: DEEM's strategies, and those of other packages where these are installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.decide import criteria, next_tasks
from deem_crowd.decide.answer_shares import in_line_with_answers
from deem_crowd.decide.consensus import Consensus
from deem_crowd.exceptions import DataWarning, ParameterError, UnsupportedError
from deem_crowd_benchmarks.buying.market import IntArray, State, Strategy

OURS = (
    "least_confidence",
    "margin",
    "entropy",
    "fusion",
    "expected_error_reduction",
    "expected_information",
    "least_confidence_per_answer",
)
"""Strategies of :func:`deem_crowd.decide.next_tasks`."""


def ours(name: str) -> Strategy:
    """Return a strategy of :func:`deem_crowd.decide.next_tasks`."""

    def choose(state: State, n: int) -> IntArray:
        tasks = state.market.tasks
        closed = np.setdiff1d(np.arange(len(tasks)), state.open_tasks)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # fewer than n are left
            ranked = next_tasks(
                state.model,
                n,
                name,  # type: ignore[arg-type]
                exclude=tasks.take(closed),
                random_state=int(state.rng.integers(1, 2**31)),
            )
        return state.next_rows(tasks.get_indexer(pd.Index(ranked["task"])).astype(np.int64))

    return choose


def at_random(state: State, n: int) -> IntArray:
    """Choose tasks at random."""
    return state.next_rows(state.rng.permutation(state.open_tasks)[:n])


def evenly(state: State, n: int) -> IntArray:
    """Choose the tasks with fewest answers, ties at random: what a campaign without a model does."""
    counts = np.bincount(state.market.task[state.bought], minlength=len(state.market.tasks))
    open_ = state.rng.permutation(state.open_tasks)
    return state.next_rows(open_[np.argsort(counts[open_], kind="stable")][:n])


def by_pairs(state: State, n: int) -> IntArray:
    """Choose pairs of a task and a worker by expected information, among the answers that can be had."""
    return _pairs(state, n, certain_last=False)


def by_workers(state: State, n: int) -> IntArray:
    """Choose the least certain tasks, and for each the worker whose answer is expected to tell most."""
    return _pairs(state, n, certain_last=True)


def _pairs(state: State, n: int, certain_last: bool) -> IntArray:
    market, consensus = state.market, Consensus.of(state.model)
    every = np.arange(len(consensus.workers))
    plain = consensus.required_tables()
    tables = in_line_with_answers(consensus, plain, every).of(every)
    average = plain.mean(np.ones(len(every)))
    left = np.flatnonzero(~state.bought)
    place = consensus.workers.get_indexer(market.workers)[market.worker[left]]
    row = consensus.tasks.get_indexer(market.tasks)[market.task[left]]
    posterior = consensus.posterior[row]
    value = np.zeros(len(left))
    for worker in np.unique(place):
        mine = place == worker
        table = average if worker < 0 else tables[worker]
        value[mine] = criteria.expected_information(posterior[mine], table)
    confidence = posterior.max(axis=1).round(12) if certain_last else np.zeros(len(left))
    order = np.lexsort((state.rng.random(len(left)), -value.round(12), confidence))
    _, first = np.unique(market.task[left[order]], return_index=True)
    return left[order[np.sort(first)]][:n]


def active_lab(state: State, n: int) -> IntArray:
    """Choose tasks by cleanlab's ActiveLab; the predictions it needs beside the answers are DEEM's posterior.

    Goh and Mueller, ActiveLab: Active Learning with Re-Labeling by Multiple Annotators (2023).
    """
    from cleanlab.multiannotator import get_active_learning_scores

    matrix = label_matrix(state)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        scores, _ = get_active_learning_scores(matrix, state.posterior)
    open_ = state.open_tasks
    order = np.lexsort((state.rng.random(len(open_)), np.asarray(scores)[open_]))
    return state.next_rows(open_[order][:n])


def interval_estimation(state: State, n: int) -> IntArray:
    """Choose pairs by scikit-activeml's IEThresh; the predictions it needs are DEEM's posterior.

    Donmez, Carbonell and Schneider, Efficiently learning the accuracy of labeling sources (KDD 2009).
    """
    from skactiveml.pool.multiannotator import IntervalEstimationThreshold

    return _activeml(IntervalEstimationThreshold, state, n)


def single_annotator(state: State, n: int) -> IntArray:
    """Choose tasks by scikit-activeml's uncertainty sampling, workers at random, by its SingleAnnotatorWrapper."""
    from skactiveml.pool import UncertaintySampling
    from skactiveml.pool.multiannotator import SingleAnnotatorWrapper

    def build(**options: Any) -> Any:
        inner = UncertaintySampling(
            method="least_confident", missing_label=-1, random_state=options["random_state"]
        )
        return SingleAnnotatorWrapper(inner, missing_label=-1, random_state=options["random_state"])

    return _activeml(build, state, n)


STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "random": lambda: at_random,
    "even": lambda: evenly,
    **{name: (lambda name=name: ours(name)) for name in OURS},  # type: ignore[misc]
    "pairs": lambda: by_pairs,
    "least_confidence_pairs": lambda: by_workers,
    "activelab": lambda: active_lab,
    "iethresh": lambda: interval_estimation,
    "activeml-uncertainty": lambda: single_annotator,
}
"""All strategies by name; the first one is what others are compared with."""

NEEDS = {
    "activelab": "cleanlab",
    "iethresh": "skactiveml",
    "activeml-uncertainty": "skactiveml",
}
"""The module that a strategy of another package needs."""


def available(names: Sequence[str] | None = None) -> list[str]:
    """Return names of strategies, random first; without ``names`` all whose packages are installed.

    Raises
    ------
    ParameterError
        If there is no such strategy.
    UnsupportedError
        If its package is not installed.
    """
    if names is None:
        return [name for name in STRATEGIES if _there(name)]
    for name in names:
        if name not in STRATEGIES:
            raise ParameterError(
                f"there is no strategy {name!r}; there are: {', '.join(STRATEGIES)}."
            )
        if not _there(name):
            package = {"skactiveml": "scikit-activeml"}.get(NEEDS[name], NEEDS[name])
            raise UnsupportedError(f"strategy {name!r} needs {package}: pip install {package}.")
    return ["random", *(name for name in dict.fromkeys(names) if name != "random")]


def label_matrix(state: State) -> pd.DataFrame:
    """Return what is bought as codes, tasks × workers who answered, NaN where there is no answer."""
    market, rows = state.market, state.answers
    code = market.classes.get_indexer(pd.Index(rows["label"]))
    wide = np.full((len(market.tasks), len(market.workers)), np.nan)
    wide[market.task[state.bought], market.worker[state.bought]] = code
    there = ~np.isnan(wide).all(axis=0)
    return pd.DataFrame(wide[:, there], index=market.tasks, columns=market.workers[there])


def _there(name: str) -> bool:
    return name not in NEEDS or importlib.util.find_spec(NEEDS[name]) is not None


def _activeml(build: Any, state: State, n: int) -> IntArray:
    """Ask a query strategy of scikit-activeml for pairs among the answers that can be had."""
    from skactiveml.classifier import SklearnClassifier

    market = state.market
    said = np.full((len(market.tasks), len(market.workers)), -1)
    code = market.classes.get_indexer(pd.Index(market.rows["label"]))
    said[market.task[state.bought], market.worker[state.bought]] = code[state.bought]
    can = np.zeros(said.shape, dtype=bool)
    can[market.task[~state.bought], market.worker[~state.bought]] = True
    candidates = state.open_tasks
    features = np.arange(len(market.tasks), dtype=float)[:, None]
    posterior = state.posterior
    classes = list(range(len(market.classes)))
    lookup = SklearnClassifier(_lookup(posterior), classes=classes, missing_label=-1)
    lookup.fit(features, posterior.argmax(axis=1))
    query = build(missing_label=-1, random_state=int(state.rng.integers(2**31)))
    options: dict[str, Any] = {"candidates": candidates, "annotators": can[candidates]}
    options |= {"batch_size": min(n, len(candidates)), "clf": lookup, "fit_clf": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = query.query(features, said, **options)
    row = np.full(said.shape, -1)
    row[market.task, market.worker] = np.arange(len(market.rows))
    return row[pairs[:, 0], pairs[:, 1]].astype(np.int64)


def _lookup(posterior: Any) -> Any:
    """Return a scikit-learn classifier whose probabilities are those of the task that a row names."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Lookup(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def __init__(self, posterior: Any) -> None:
            self.posterior = posterior

        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            self.classes_ = np.arange(self.posterior.shape[1])
            return self

        def predict_proba(self, X: Any) -> Any:
            return self.posterior[np.asarray(X)[:, 0].astype(int)]

        def predict(self, X: Any) -> Any:
            return self.predict_proba(X).argmax(axis=1)

    return Lookup(posterior)

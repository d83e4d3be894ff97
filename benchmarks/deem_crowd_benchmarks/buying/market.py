"""Buying the recorded answers of a label set one after the other, and how accuracy grows with what was bought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.estimators.aggregator import DEEMAggregator
from deem_crowd_benchmarks.sets.label_set import LabelSet

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MOST_TASKS = 500
"""Tasks of a simulation; of larger sets so many are drawn."""
PER_TASK = 5.0
"""The budget, in answers a task."""
ROUNDS = 20


@dataclass(frozen=True)
class Market:
    """The answers that can be bought, about tasks with gold.

    Attributes
    ----------
    rows : DataFrame, R rows
        ``task``, ``worker``, ``label``, each (task, worker) once, in the order in which the answers to a task come if
        nobody in particular is asked.
    task, worker : integers, shape (R,)
        Codes of ``tasks`` and ``workers``.
    tasks, workers, classes : Index
    gold : Series, index task
    """

    rows: pd.DataFrame
    task: IntArray
    worker: IntArray
    tasks: pd.Index
    workers: pd.Index
    classes: pd.Index
    gold: pd.Series

    @classmethod
    def of(cls, label_set: LabelSet, seed: int, most_tasks: int = MOST_TASKS) -> Market:
        """Draw the tasks, and the order of the answers to each; the same for every strategy of a seed."""
        rng = np.random.default_rng(seed)
        rows = label_set.answers.drop_duplicates(["task", "worker"], keep="last")
        rows = rows[rows["task"].isin(label_set.gold.index)]
        tasks = pd.Index(rows["task"].unique())
        if len(tasks) > most_tasks:
            tasks = tasks.take(np.sort(rng.choice(len(tasks), most_tasks, replace=False)))
            rows = rows[rows["task"].isin(tasks)]
        rows = rows.iloc[rng.permutation(len(rows))].reset_index(drop=True)
        workers = pd.Index(rows["worker"].unique())
        return cls(
            rows[["task", "worker", "label"]],
            tasks.get_indexer(rows["task"]).astype(np.int64),
            workers.get_indexer(rows["worker"]).astype(np.int64),
            tasks,
            workers,
            pd.Index(sorted(rows["label"].unique(), key=str)),
            label_set.gold.reindex(tasks),
        )


@dataclass
class State:
    """What is bought so far, and what the model says of it.

    Attributes
    ----------
    market : Market
    bought : booleans, shape (R,)
    model : DEEMAggregator
        Fitted to what is bought.
    rng : numpy Generator
        Of the strategy.
    """

    market: Market
    bought: npt.NDArray[np.bool_]
    model: DEEMAggregator
    rng: np.random.Generator
    shown: dict[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> pd.DataFrame:
        """The answers that are bought."""
        return self.market.rows[self.bought]

    @property
    def open_tasks(self) -> IntArray:
        """Tasks with answers left to buy, as codes."""
        return np.unique(self.market.task[~self.bought])

    @property
    def posterior(self) -> FloatArray:
        """p(label | answers) of all tasks over all classes of the market, shape (N, K)."""
        probas = self.model.probas_.reindex(
            index=self.market.tasks, columns=self.market.classes, fill_value=0.0
        )
        return probas.to_numpy(dtype=np.float64)

    def next_rows(self, tasks: IntArray) -> IntArray:
        """Return the row of the next answer to each of some distinct tasks; tasks without one fall away."""
        left = np.flatnonzero(~self.bought)
        first = np.full(len(self.market.tasks), -1, dtype=np.int64)
        first[self.market.task[left[::-1]]] = left[::-1]
        rows = first[tasks]
        return rows[rows >= 0]


Strategy = Callable[[State, int], IntArray]
"""Takes the state and n; returns up to n distinct rows to buy, of distinct tasks."""


@dataclass(frozen=True)
class Curve:
    """Accuracy against answers.

    Attributes
    ----------
    answers : integers, shape (T + 1,)
        Bought at each fit; the first is one a task.
    accuracy : shape (T + 1,)
        Of DEEM's labels of all tasks.
    n_tasks : int
    """

    answers: IntArray
    accuracy: FloatArray
    n_tasks: int

    @property
    def area(self) -> float:
        """Mean accuracy along the budget, by trapezoids."""
        if len(self.answers) < 2:
            return float(self.accuracy[0])
        return float(
            np.trapezoid(self.accuracy, self.answers) / (self.answers[-1] - self.answers[0])
        )


def simulate(
    market: Market,
    strategy: Strategy,
    seed: int,
    *,
    per_task: float = PER_TASK,
    rounds: int = ROUNDS,
    step: int | None = None,
) -> Curve:
    """Buy answers until the budget or the market is at its end; the model learns what is new after each round.

    Starts from one answer a task.

    Parameters
    ----------
    market : Market
    strategy : callable
        See :data:`Strategy`; what it leaves of a round is filled up at random.
    seed : int
        Of the strategy's generator.
    per_task : float
        The budget: so many answers a task in the mean.
    rounds : int
        In which the budget is spent.
    step : int, optional
        Answers a round, instead of ``rounds``; 1 buys them one at a time.
    """
    rng = np.random.default_rng([seed, 1])
    n = len(market.tasks)
    bought = np.zeros(len(market.rows), dtype=bool)
    bought[np.unique(market.task, return_index=True)[1]] = True
    budget = min(int(per_task * n), len(market.rows))
    size = max(1, round((budget - n) / rounds)) if step is None else step
    model = DEEMAggregator(progress=False).partial_fit(market.rows[bought])
    answers, accuracy = [int(bought.sum())], [_accuracy(model, market)]
    while bought.sum() < budget:
        wanted = min(size, budget - int(bought.sum()))
        state = State(market, bought, model, rng)
        rows = strategy(state, wanted)[:wanted]
        if len(rows) < wanted:
            left = np.setdiff1d(np.flatnonzero(~bought), rows)
            rows = np.concatenate([rows, rng.permutation(left)[: wanted - len(rows)]])
        bought = bought.copy()
        bought[rows] = True
        model = model.partial_fit(market.rows.iloc[np.sort(rows)])
        answers.append(int(bought.sum()))
        accuracy.append(_accuracy(model, market))
    return Curve(np.array(answers), np.array(accuracy), n)


def _accuracy(model: DEEMAggregator, market: Market) -> float:
    labels = pd.Series(model.labels_).reindex(market.tasks)
    return float((labels.to_numpy() == market.gold.to_numpy()).mean())

"""Cleaning labels: ask about the most suspect, learn from what is said, stop when it no longer pays."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.decide import checks
from deem_crowd.decide.consensus import Consensus
from deem_crowd.decide.oracles import Oracle
from deem_crowd.decide.source import read_answers, remembered
from deem_crowd.decide.suspects import suspect_labels
from deem_crowd.exceptions import DataWarning, FormError, counted
from deem_crowd.runtime.warning import warn


@dataclass(frozen=True)
class Cleaned:
    """What cleaning has brought.

    Attributes
    ----------
    aggregator : DEEMAggregator
        Fitted to all answers, with what the oracle said as known labels.
    labels : Series
        ``agg_label``, index ``task``, of all tasks.
    gold : Series
        What the oracle said, index ``task``, in the order of asking.
    history : DataFrame
        A row a round: ``asked`` and ``corrected`` (the label was another) in it, ``expected``, the number of
        corrections expected before asking, ``changed``, labels of tasks not asked about that changed with the refit.
    stopped : str
        Why it ended: 'budget', 'gain' (no question is worth its cost) or 'tasks' (all were asked about).
    """

    aggregator: Any
    labels: pd.Series
    gold: pd.Series
    history: pd.DataFrame
    stopped: str

    def __repr__(self) -> str:
        asked, corrected, changed = (
            int(self.history[name].sum()) for name in ("asked", "corrected", "changed")
        )
        return (
            f"Cleaned({counted(asked, 'question')} in {counted(len(self.history), 'round')}, "
            f"{counted(corrected, 'label')} corrected, {changed:,} others changed by the refits; "
            f"stopped={self.stopped!r})"
        )


def clean(
    agg: Any,
    oracle: Any,
    budget: int,
    *,
    answers: Any = None,
    cost: float = 0.0,
    per_round: int | None = None,
    record: dict[Hashable, Any] | None = None,
) -> Cleaned:
    """Ask an oracle about the labels most likely wrong, and fit the model again with what it says.

    Asking about a task is expected to correct 1 − (posterior of its label) labels. Each round asks about the tasks
    where this is most, and refits incrementally, so that other tasks learn from it. The fits leave out features; a
    warning says so if the labels of ``agg`` rest on any.

    Parameters
    ----------
    agg : fitted DEEMAggregator
        It is not changed; :attr:`Cleaned.aggregator` is a copy.
    oracle : callable, Series or mapping
        From task to its true label; a callable returns None where it cannot say. It is asked once a task.
    budget : int
        Most questions.
    answers : DataFrame or Answers, optional
        What ``agg`` was fitted to; needed where it comes from a file.
    cost : float
        Of a question, in units of one corrected label: it ends when no question is expected to correct more.
    per_round : int, optional
        Questions between two fits; a tenth of the budget if omitted.
    record : dict, optional
        What is known already, from task to label; every new answer is written into it at once, so that nothing is lost
        if the program is interrupted.

    Raises
    ------
    OracleError
        If the oracle fails or names a label that is none; its ``record`` holds what it said before.
    NotFittedError, ParameterError, DataError, FormError
    """
    checks.count("budget", budget, 0)
    checks.non_negative("cost", cost)
    step = max(1, budget // 10) if per_round is None else checks.count("per_round", per_round)
    consensus = Consensus.of(agg, answers)
    if answers is None:
        answers = getattr(agg, "answers_", remembered(agg))
    consensus.required_answers("clean")
    if not hasattr(agg, "partial_fit") or not isinstance(agg.labels_, pd.Series):
        raise FormError(
            f"clean refits the model with known labels, which a {type(agg).__name__} cannot: pass a DEEMAggregator."
        )
    if consensus.source is not None and consensus.source.features:
        warn(
            "the labels rest on features, which the fits of clean leave out: they may get worse. Fit again with "
            "features= and with gold=cleaned.gold.",
            DataWarning,
        )
    given = read_answers(answers, agg)
    asker = Oracle(oracle, consensus.classes, record, consensus.tasks)
    asked: dict[Hashable, Any] = {}
    settled = set(consensus.tasks[consensus.posterior.max(axis=1, initial=0.0) >= 1.0])
    rows: list[dict[str, float]] = []
    model, previous = agg, agg.labels_
    stopped = "budget"
    while len(asked) < budget:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # ``stopped`` says it
            suspects = suspect_labels(model, step + len(asked) + len(settled))
        suspects = suspects[~suspects["task"].isin([*asked, *settled])]
        if suspects.empty:
            stopped = "tasks"
            break
        batch = suspects[suspects["score"] > cost].head(min(step, budget - len(asked)))
        if batch.empty:
            stopped = "gain"
            break
        said = asker.ask(batch["task"])
        asked |= said
        known = {task: label for task, label in asked.items() if label is not None}
        model = _refitted(model, given, known, first=not rows)
        current = model.labels_
        differs = current != previous
        rows.append(
            {
                "asked": len(batch),
                "expected": float(batch["score"].sum()),
                "corrected": int(
                    sum(said[t] is not None and previous[t] != said[t] for t in batch["task"])
                ),
                "changed": int(differs[~current.index.isin(list(said))].sum()),
            }
        )
        previous = current
    gold = {task: label for task, label in asked.items() if label is not None}
    history = pd.DataFrame(rows, columns=["asked", "expected", "corrected", "changed"])
    index = pd.Index(list(gold), name="task", tupleize_cols=False)
    told = pd.Series(list(gold.values()), index=index, name="agg_label", dtype=previous.dtype)
    return Cleaned(model, model.labels_, told, history, stopped)


def _refitted(model: Any, answers: Answers, known: dict[Hashable, Any], first: bool) -> Any:
    """Return a copy of a model, fitted to the same answers with more known labels."""
    known_labels = pd.DataFrame(
        {
            "task": pd.Index(list(known), tupleize_cols=False),
            "label": pd.Series(list(known.values()), dtype=None if known else object),
        }
    )
    if first:
        parameters = {name: copy.copy(value) for name, value in model.get_params().items()}
        fresh = type(model)(**parameters)
        return fresh.partial_fit(answers, gold=known_labels)
    model = copy.copy(model)
    nothing = replace(
        answers,
        task_ptr=np.zeros(1, dtype=answers.task_ptr.dtype),
        worker=answers.worker[:0],
        label=None if answers.label is None else answers.label[:0],
        soft=None if answers.soft is None else answers.soft[:0],
        tasks=answers.tasks[:0],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # nothing new is said of the same answers
        return model.partial_fit(nothing, gold=known_labels)

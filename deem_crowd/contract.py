"""What an aggregator returns, checked: one rule for every command that runs somebody else's method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.exceptions import DeemCrowdError, PluginError, first_few


def fault(labels: Any, tasks: pd.Index, classes: Iterable[Any]) -> str:
    """Say what is wrong with what ``fit_predict`` returned; empty if nothing is.

    Parameters
    ----------
    labels
        It should be a Series of labels, index task.
    tasks : Index
        The tasks that have answers.
    classes : iterable
        The labels that workers gave.
    """
    if not isinstance(labels, pd.Series):
        return f"fit_predict returned a {type(labels).__name__}, not a Series of labels"
    for given, what in ((labels.index, "ids of tasks"), (labels, "labels")):
        if kinds := _unhashable(given):
            return f"fit_predict returned {what} that are not hashable ({kinds})"
    if not labels.index.is_unique:
        repeated = labels.index[labels.index.duplicated()].unique()
        return f"{len(repeated)} tasks have more than one label ({first_few(repeated)})"
    if len(lost := tasks[~tasks.isin(labels.index)]):
        return f"{len(lost)} tasks have no label ({first_few(lost)})"
    answered = labels[labels.index.isin(tasks)]
    if len(missing := answered.index[answered.isna()]):
        return f"{len(missing)} tasks have a missing label ({first_few(missing)})"
    if len(strange := answered[~answered.isin(list(classes))]):
        values = strange.unique()
        return (
            f"{len(values)} labels are none that a worker gave ({first_few(values)}), "
            f"for {len(strange)} tasks"
        )
    return ""


def improper(probas: pd.DataFrame, tasks: pd.Index) -> str:
    """Say what is wrong with the probabilities of ``tasks``, shape (N, K); empty if nothing is.

    Each task has to have a row; rows have to be finite, not below −1e-6, and sum to 1 within 1e-3.
    """
    if kinds := _unhashable(probas.index):
        return f"their ids of tasks are not hashable ({kinds})"
    if not probas.index.is_unique or not probas.columns.is_unique:
        return "their index or their columns hold one name twice"
    if len(lost := tasks[~tasks.isin(probas.index)]):
        return f"{len(lost)} tasks have none ({first_few(lost)})"
    rows = probas.reindex(tasks)
    try:
        values = rows.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        return f"they are not numbers: {error}"
    bad = ~(np.isfinite(values).all(axis=1) & (values >= -1e-6).all(axis=1))
    bad |= ~(np.abs(values.sum(axis=1) - 1) < 1e-3)
    if bad.any():
        return f"those of {int(bad.sum())} tasks are no distribution ({first_few(rows.index[bad])})"
    return ""


def probabilities(aggregator: Any) -> pd.DataFrame | None:
    """Return the ``probas_`` of a fitted aggregator, shape (N, K), if it has any."""
    probas = getattr(aggregator, "probas_", None)
    return probas if isinstance(probas, pd.DataFrame) else None


def require(method: str, wrong: str) -> None:
    """Check that nothing is ``wrong`` with what a method returned.

    Raises
    ------
    PluginError
    """
    if wrong:
        raise PluginError(f"method {method!r} returned no proper result: {wrong}.")


def described(error: BaseException) -> str:
    """Return what an error says, in one line of at most 500 characters, with its type unless it is one of our own."""
    try:
        text = " ".join(str(error)[:5000].split())
    except Exception:  # somebody else's __str__
        text = "(its message cannot be shown)"
    text = text if len(text) <= 500 else text[:499] + "…"
    if isinstance(error, DeemCrowdError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _unhashable(values: Iterable[Any]) -> str:
    """Return the types of the first few values that cannot be hashed."""
    kinds: list[str] = []
    for value in values:
        try:
            hash(value)
        except TypeError:
            kinds.append(type(value).__name__)
    return ", ".join(dict.fromkeys(kinds))


def rows_for(aggregator: Any, answers: Answers) -> Answers | pd.DataFrame:
    """Return the answers in the form that an aggregator takes.

    Answers as they are for one that says ``takes_soft``; for others a long frame, in which a soft answer is its
    likeliest
    class (of equal ones the first).
    """
    if getattr(aggregator, "takes_soft", False):
        return answers
    if answers.soft is None:
        return answers.to_frame()
    return pd.DataFrame(
        {
            "task": answers.tasks.take(answers.task),
            "worker": answers.workers.take(answers.worker),
            "label": answers.classes.take(answers.soft.argmax(axis=1)),
        }
    )

"""What an aggregator returns, checked: one rule for every command that runs somebody else's method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import index
from deem_crowd.data.answers import Answers
from deem_crowd.data.lookup import as_index
from deem_crowd.exceptions import DeemCrowdError, PluginError, counted, counted_of, first_few

_CLEAR = 1e-5
"""By how much a class has to be likelier than the returned label, so that neither a tie nor float32 rounding counts."""


class Returned(NamedTuple):
    """What a method returned, a row for each task that has answers."""

    labels: pd.Series
    """Shape (N,), index task; missing where the method leaves a task open."""
    probas: pd.DataFrame | None
    """Shape (N, K), index task; the same for each class where a task is open and has none. None if it gives none."""

    def open(self) -> str:
        """Say which tasks have no label; empty if all have one."""
        lacking = self.labels.index[self.labels.isna().to_numpy()]
        if not len(lacking):
            return ""
        said = counted_of(len(lacking), len(self.labels), "task", "has", "have")
        counts = "counts" if len(lacking) == 1 else "count"
        return f"{said} no label ({first_few(lacking)}) and {counts} as wrong."

    def against_probabilities(self) -> str:
        """Say which labels are not the likeliest class of their task; empty if all are."""
        if self.probas is None:
            return ""
        values = self.probas.to_numpy()
        given = self.labels.notna().to_numpy()
        columns = self.probas.columns.to_flat_index()
        column = columns.get_indexer(pd.Index(self.labels, dtype=object, tupleize_cols=False))
        there = np.where(given, values[np.arange(len(values)), column], np.inf)
        apart = self.labels.index[there < values.max(axis=1, initial=0.0) - _CLEAR]
        if not len(apart):
            return ""
        their = "its" if len(apart) == 1 else "their"
        return (
            f"{counted_of(len(apart), len(values), 'label', 'is', 'are')} not the likeliest class in {their} row of "
            f"probas_ ({first_few(apart)}), and scores are computed from probas_."
        )


def checked(labels: Any, probas: Any, tasks: pd.Index, classes: Iterable[Any]) -> Returned:
    """Return labels and probabilities of ``tasks``, shape (N,), as :func:`fault` and :func:`improper` allow them.

    A method may leave tasks open here: whoever scores it counts them as wrong.

    Raises
    ------
    ValueError
        Says what is wrong with them.
    """
    if wrong := fault(labels, tasks, classes, abstains=True):
        raise ValueError(wrong)
    given = labels.set_axis(labels.index.to_flat_index())
    given = given if _among(tasks, given.index).all() else given.astype(object)
    whole = given.reindex(tasks)
    if probas is None:
        return Returned(whole, None)
    if wrong := improper(probas, whole, tasks):
        raise ValueError(wrong)
    rows = probas.reindex(tasks).astype(np.float64)
    rows[rows.isna().all(axis=1)] = 1 / len(rows.columns)
    return Returned(whole, rows)


def fault(labels: Any, tasks: pd.Index, classes: Iterable[Any], abstains: bool = False) -> str:
    """Say what is wrong with what ``fit_predict`` returned; empty if nothing is.

    Parameters
    ----------
    labels
        It should be a Series of labels, index task.
    tasks : Index
        The tasks that have answers.
    classes : iterable
        The labels that workers gave.
    abstains : bool
        Whether tasks may be left open, without a label or with a missing one; not all of them.
    """
    if not isinstance(labels, pd.Series):
        return f"fit_predict returned a {type(labels).__name__}, not a Series of labels"
    for given, what in ((labels.index, "ids of tasks"), (labels, "labels")):
        if kinds := _unhashable(given):
            return f"fit_predict returned {what} that are not hashable ({kinds})"
    labels = labels.set_axis(labels.index.to_flat_index())
    if not labels.index.is_(tasks) and not labels.index.is_unique:
        repeated = labels.index[labels.index.duplicated()].unique()
        return f"more than one label for {counted(len(repeated), 'task')} ({first_few(repeated)})"
    given = labels.notna().to_numpy()
    whole = labels.index.is_(tasks) and given.all()
    there = labels if whole else labels[_among(labels.index, tasks) & given]
    if len(tasks) and not len(there):
        return f"none of {len(tasks)} tasks has a label; its index holds {first_few(labels.index)}"
    if not abstains and len(lost := tasks[~_among(tasks, there.index)]):
        return (
            f"no label for {counted(len(lost), 'task')} ({first_few(lost)}); a method that leaves tasks open has "
            "to say abstains = True"
        )
    found = _among(as_index(there), pd.Index(classes, tupleize_cols=False))
    if len(strange := there[~found]):
        values = strange.unique()
        return (
            f"{counted(len(values), 'label')} that no worker gave ({first_few(values)}), "
            f"for {counted(len(strange), 'task')}"
        )
    return ""


def improper(probas: Any, labels: pd.Series, tasks: pd.Index) -> str:
    """Say what is wrong with the probabilities of ``tasks``, shape (N, K); empty if nothing is.

    Each task that has a label has to have a row, and each label a column; rows have to be finite, not below −1e-6, and
    sum to 1 within 1e-3.
    """
    if not isinstance(probas, pd.DataFrame):
        return f"probas_ is a {type(probas).__name__}, not a DataFrame (index task, a column for each label)"
    if kinds := _unhashable(probas.index):
        return f"its probabilities have ids of tasks that are not hashable ({kinds})"
    probas = probas.set_axis(probas.index.to_flat_index(), axis=0)
    probas = probas.set_axis(probas.columns.to_flat_index(), axis=1)
    if not probas.index.is_unique or not probas.columns.is_unique:
        return "the index or the columns of its probabilities hold one name twice"
    labelled = tasks[_among(tasks, labels.index[labels.notna().to_numpy()])]
    if len(lost := labelled[~_among(labelled, probas.index)]):
        return f"probabilities: none for {counted(len(lost), 'task')} ({first_few(lost)})"
    given = pd.Index(labels.dropna().unique())
    if len(lost := given[~_among(given, probas.columns)]):
        have = "has" if len(lost) == 1 else "have"
        return f"probabilities: {len(lost)} of its labels {have} no column ({first_few(lost)})"
    rows = probas.reindex(tasks)
    rows = rows[rows.notna().any(axis=1).to_numpy() | _among(tasks, labelled)]
    try:
        if np.iscomplexobj(values := rows.to_numpy()):
            raise TypeError(f"they are {values.dtype}")
        values = values.astype(np.float64)
    except (TypeError, ValueError) as error:
        return f"probabilities: they are not real numbers: {error}"
    bad = ~(np.isfinite(values).all(axis=1) & (values >= -1e-6).all(axis=1))
    bad |= ~(np.abs(values.sum(axis=1) - 1) < 1e-3)
    if bad.any():
        return f"probabilities: no distribution for {counted(int(bad.sum()), 'task')} ({first_few(rows.index[bad])})"
    return ""


def probabilities(aggregator: Any) -> Any:
    """Return the ``probas_`` of a fitted aggregator, None if it has none; :func:`improper` checks them."""
    return getattr(aggregator, "probas_", None)


def require(method: str, wrong: str) -> None:
    """Check that nothing is ``wrong`` with what a method returned.

    Raises
    ------
    PluginError
    """
    if wrong:
        raise refusal(method, wrong)


def refusal(method: str, wrong: str) -> PluginError:
    """Return the error that names a method and what is wrong with what it returned."""
    return PluginError(f"method {method!r} returned no proper result: {wrong}.")


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


def _among(values: pd.Index, known: pd.Index) -> npt.NDArray[np.bool_]:
    """Tell which values are among others; pandas compares strings with nothing but strings."""
    if values.dtype != known.dtype:
        values, known = values.astype(object), known.astype(object)
    return index.among(values, known)


def _unhashable(values: pd.Index | pd.Series) -> str:
    """Return the types of the values that cannot be hashed."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.dtype.categories
    if isinstance(values.dtype, pd.StringDtype) or getattr(values.dtype, "kind", "O") in "iufb":
        return ""
    kinds = (type(value).__name__ for value in values if not index.is_hashable(value))
    return ", ".join(dict.fromkeys(kinds))


def rows_for(aggregator: Any, answers: Answers) -> Answers | pd.DataFrame:
    """Return the answers in the form that an aggregator takes.

    Answers as they are for one that says ``takes_soft``; for others a long frame, in which a soft answer is its
    likeliest class (of equal ones the first).
    """
    if getattr(aggregator, "takes_soft", False):
        return answers
    if answers.soft is None:
        return without_categories(answers.to_frame())
    frame = pd.DataFrame(
        {
            "task": answers.tasks.take(answers.task),
            "worker": answers.workers.take(answers.worker),
            "label": answers.classes.take(answers.soft.argmax(axis=1)),
        }
    )
    return without_categories(frame)


def without_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the values of its columns of categories, on which crowd-kit's aggregators fail."""
    kinds = {
        name: kind.categories.dtype
        for name, kind in frame.dtypes.items()
        if isinstance(kind, pd.CategoricalDtype)
    }
    return frame.astype(kinds) if kinds else frame

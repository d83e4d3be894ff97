"""Arguments that several decisions share, checked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.index import is_hashable
from deem_crowd.data.lookup import are_among
from deem_crowd.data.masks import refuse_masked
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    ParameterError,
    counted,
    first_few,
)
from deem_crowd.runtime.warning import warn

_SUM_TOLERANCE = 1e-3


def count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of at least ``least``.

    Raises
    ------
    ParameterError
    """
    if not isinstance(value, (int, np.integer)) or value is True or value < least:
        raise ParameterError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def share(name: str, value: Any) -> float:
    """Return a number above 0 and below 1.

    Raises
    ------
    ParameterError
    """
    if not isinstance(value, (int, float, np.number)) or not 0 < float(value) < 1:
        raise ParameterError(f"{name} must be a number between 0 and 1, not {value!r}.")
    return float(value)


def non_negative(name: str, value: Any) -> float:
    """Return a finite number of at least 0.

    Raises
    ------
    ParameterError
    """
    number = float(value) if isinstance(value, (int, float, np.number)) else -1.0
    if not 0 <= number < np.inf:
        raise ParameterError(f"{name} must be a number of at least 0, not {value!r}.")
    return number


def ids(name: str, values: Iterable[Hashable] | None, what: str = "task") -> list[Hashable]:
    """Return ids as a list; none of None.

    Raises
    ------
    FormError
        If it is a single id, or a table: the letters of a text and the columns of a table are no ids. If an id has no
        hash, such as a list.
    """
    if values is None:
        return []
    if isinstance(values, (str, bytes, pd.DataFrame)) or not isinstance(values, Iterable):
        hint = f": [{values!r}]" if np.ndim(values) == 0 else ""
        if isinstance(values, pd.DataFrame) and what in values:
            hint = f": {name}=frame[{what!r}]"
        raise FormError(f"{name} is a {type(values).__name__}; pass a list of {what} ids{hint}.")
    values = list(values)
    try:
        set(values)
    except TypeError:
        wrong = [value for value in values if not is_hashable(value)]
        raise FormError(
            f"{name} holds {counted(len(wrong), 'value')} that cannot be a {what} id: {first_few(wrong)}. Pass one "
            f"flat list of {what} ids; an id of several parts is a tuple."
        ) from None
    return values


def refuse_repeats(name: str, tasks: pd.Index, classes: pd.Index) -> None:
    """Refuse a table with several rows of one task, or several columns of one label.

    Raises
    ------
    DataError
    """
    for values, what, part in ((tasks, "task", "row"), (classes, "label", "column")):
        twice = values[values.duplicated()].unique()
        if len(twice):
            raise DataError(
                f"{name} gives {counted(len(twice), what)} more than one {part}: {first_few(twice)}. Keep one of each."
            )


def refuse_missing(name: str, values: pd.Index) -> None:
    """Refuse ids that are missing.

    Raises
    ------
    DataError
    """
    missing = values[values.isna()]
    if len(missing):
        raise DataError(
            f"{name} holds {counted(len(missing), 'missing id')}: {first_few(missing)}. Leave missing ids out."
        )


def refuse_other_kind(name: str, values: pd.Index, known: pd.Index, what: str = "task") -> None:
    """Refuse ids that name no task (or worker) but look like one as text: 7 where the task is '7'.

    Raises
    ------
    DataError
    """
    strange = {str(value): value for value in values[~are_among(values, known)]}
    texts = known.astype(str)
    found = np.asarray(texts.isin(list(strange)))
    alike = known[found]
    if len(alike):
        given = [strange[text] for text in texts[found]]
        raise DataError(
            f"{name} holds {counted(len(given), 'id')} of another kind than the {what}s of the model: "
            f"{first_few(given, 3)} instead of {first_few(alike, 3)}. Convert them to the dtype of the {what}s, "
            f"{known.dtype}."
        )


def left_out(exclude: Iterable[Hashable] | None, tasks: pd.Index) -> npt.NDArray[np.bool_]:
    """Tell which tasks are excluded, shape (N,), with a warning where ids are given and none is a task's.

    Raises
    ------
    FormError, DataError
    """
    values = pd.Index(ids("exclude", exclude), tupleize_cols=False)
    refuse_other_kind("exclude", values, tasks)
    found = are_among(tasks, values.unique())
    if len(values) and not found.any():
        warn(
            f"exclude names {counted(len(values), 'task')} that the model does not know ({first_few(values, 3)}), and "
            f"so leaves none out. Its tasks are called {first_few(tasks, 3)}.",
            DataWarning,
        )
    return found


def distributions(posterior: npt.NDArray[np.float64], tasks: pd.Index) -> None:
    """Refuse a posterior, shape (N, K), with rows that are no distributions.

    Raises
    ------
    DataError
    """
    if not posterior.size:
        return
    total = posterior.sum(axis=1)
    wrong = np.flatnonzero(
        ~(np.abs(total - 1.0) <= _SUM_TOLERANCE) | (posterior < -_SUM_TOLERANCE).any(axis=1)
    )
    if len(wrong):
        raise DataError(
            f"probas_ holds {counted(len(wrong), 'row that is no distribution', 'rows that are no distributions')} "
            f"(tasks {first_few(tasks.take(wrong))}; sums {first_few(total[wrong])}). One column a "
            "label, rows that sum to 1."
        )


def generator(random_state: Any) -> np.random.Generator:
    """Return a generator from a seed, None (0), or a generator.

    Raises
    ------
    ParameterError
    """
    try:
        return np.random.default_rng(0 if random_state is None else random_state)
    except (TypeError, ValueError):
        raise ParameterError(
            f"random_state must be a whole number of at least 0 or None, not {random_state!r}."
        ) from None


def classifier(name: str, value: Any, *methods: str) -> None:
    """Refuse what is no scikit-learn classifier with these methods.

    Raises
    ------
    ParameterError
    """
    if isinstance(value, type):
        raise ParameterError(
            f"{name} is the class {value.__name__}; pass an instance: {value.__name__}()."
        )
    absent = [method for method in ("fit", "get_params", *methods) if not hasattr(value, method)]
    if absent:
        raise ParameterError(
            f"{name} must be a scikit-learn classifier; a {type(value).__name__} has no {' and no '.join(absent)}."
        )


def matrix(features: Any) -> Any:
    """Return features as an array, or as a CSR array where they are sparse."""
    if not hasattr(features, "tocsr"):
        refuse_masked(features, "features", "Fill them in: X.filled(…).")
        return np.asarray(features)
    from scipy import sparse

    return sparse.csr_array(features)

"""Classes that are steps of a scale: the median and the mean beside the likeliest class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.index import numbers_in_text
from deem_crowd.exceptions import DataError, first_few
from deem_crowd.insight.agreement import has_order
from deem_crowd.insight.results import AnswersLike, Model, Results, is_deem, results_of
from deem_crowd.selection.candidates import IN_ORDER, SAYS_ORDER

FOUND = "The answers put the classes in an order:"


def median_labels(model: Model, answers: AnswersLike = None) -> pd.Series:
    """Return the posterior median of each task: of all classes the one with the least expected absolute error.

    Parameters
    ----------
    model : DEEMAggregator or DEEM
        Fitted; its classes are numbers or an ordered categorical.
    answers : DataFrame, Answers or array, optional
        What the model was fitted to; only a model that comes from a file needs it.

    Returns
    -------
    Series ``median``, index ``task``, length N
        Classes; missing for tasks without a label.

    Raises
    ------
    DataError
        If classes have no order.
    """
    results = _ordered(model, answers)
    reached = results.posterior.cumsum(axis=1) >= 0.5 - 1e-9
    place = np.where(results.label >= 0, reached.argmax(axis=1), -1)
    classes = results.answers.classes
    values = pd.Series(classes.take(np.maximum(place, 0)), index=results.answers.tasks)
    return values.where(place >= 0).rename("median")


def mean_labels(model: Model, answers: AnswersLike = None) -> pd.Series:
    """Return the posterior mean of each task: the number with the least expected squared error.

    Parameters and errors are those of :func:`median_labels`; of an ordered categorical the steps 0, 1, … are averaged
    if its categories are not numbers.

    Returns
    -------
    Series ``mean``, index ``task``, length N, float64
        NaN for tasks without a label.
    """
    results = _ordered(model, answers)
    classes = results.answers.classes
    numbers = pd.to_numeric(pd.Series(classes.astype(object)), errors="coerce").to_numpy(np.float64)
    values = np.arange(len(classes), dtype=np.float64) if np.isnan(numbers).any() else numbers
    mean = np.where(results.label >= 0, results.posterior @ values, np.nan)
    return pd.Series(mean, index=results.answers.tasks, name="mean")


def _ordered(model: Model, answers: AnswersLike) -> Results:
    results = results_of(model, answers)
    classes = results.answers.classes
    asked = results.model.get_params().get("ordered") is True  # then no comes before yes
    if not has_order(classes) and not (asked and classes.inferred_type == "boolean"):
        raise DataError(
            f"the classes have no order ({first_few(classes)}), so that there is no middle. Pass numbers, or an "
            "ordered categorical: df['label'] = pd.Categorical(df['label'], ['low', 'mid', 'high'], ordered=True)."
        )
    return results


def found(results: Results) -> str | None:
    """Return what to say where the default has found an order of the classes that nobody gave; else None."""
    used = [one for one in results.candidates if one.name == IN_ORDER and one.weight > 0]
    if not used:
        return None
    order, classes = used[0].why.partition(SAYS_ORDER)[2], results.answers.classes
    if getattr(results.model, "label_names", None) == "own":  # its numbers follow from the fit
        return f"{FOUND} {order}, and the fit uses it. If they have none, fit with ordered=False."
    numbers = _numbers(classes)
    other, scale = "", f"ratings, {_as_ratings(classes)}"
    if numbers is None:
        steps = order if all(repr(name) in order for name in classes.tolist()) else "…"
        scale = (
            "steps of a scale, pass an ordered categorical, and see median_ and mean_: "
            f"df['label'] = pd.Categorical(df['label'], [{steps}], ordered=True)"
        )
    else:
        rising = classes.take(np.argsort(numbers))
        if order not in (first_few(rising, 99), first_few(rising[::-1], 99)):
            other = ", which is not that of the numbers"
    return f"{FOUND} {order}{other}, and the fit uses it. If they are {scale}; if not, fit with ordered=False."


def _numbers(classes: pd.Index) -> npt.NDArray[np.float64] | None:
    """Return the numbers that classes are, or stand for as texts; None if they are names."""
    if has_order(classes):
        return classes.to_numpy(np.float64)
    return numbers_in_text(classes)


def _as_ratings(classes: pd.Index) -> str:
    """Return how to say that classes that are numbers, or texts of numbers, have an order."""
    text = "" if has_order(classes) else "convert them, df['label'] = pd.to_numeric(df['label']), "
    return f"{text}fit with ordered=True, and see median_ and mean_"


def hint(results: Results) -> str | None:
    """Return what to try where labels are numbers, which may be ratings, and no order was asked for or seen; else None.

    The answers do not always show whether numbers are ratings or names of classes (``selection/class_order.py``), and
    only classes that are said to be ordered have a median and a mean.
    """
    classes = results.answers.classes
    asked = results.model.get_params().get("ordered")
    if (
        asked is not None
        or found(results)
        or len(classes) < 3
        or isinstance(classes, pd.CategoricalIndex)
    ):
        return None
    if _numbers(classes) is None or is_deem(results.model):
        return None
    return f"Labels are numbers: if they are ratings, {_as_ratings(classes)}"

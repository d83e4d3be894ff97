"""What DEEMAggregator does with answers once they are read: from answers to fitted attributes, and to predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data import gold as known_labels
from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers
from deem_crowd.estimators import featured, fitted
from deem_crowd.estimators import fit as inference
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.incremental.all_tasks import AllTasks
from deem_crowd.estimators.incremental.growth import GROWN_WITH, UPDATE, add_answers, going_on
from deem_crowd.estimators.incremental.memory import Memory
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.estimators.probabilities import (
    LABELS,
    PROBABILITIES,
    GrownToCome,
    ProbabilitiesToCome,
    ToCome,
)
from deem_crowd.estimators.settings import recipe
from deem_crowd.exceptions import DataError, DataWarning, counted, counted_of, first_few
from deem_crowd.model.named_classes import NamedPosterior
from deem_crowd.runtime.progress import watched
from deem_crowd.runtime.warning import warn
from deem_crowd.selection.pairs import Pairs


def planned(parameters: Mapping[str, Any]) -> recipe.Recipe:
    """Return the recipe of a fit; raises and warns as :func:`deem_crowd.estimators.settings.recipe.recipe` does."""
    return recipe.recipe(parameters, parameters["n_iter"], None)


def trained(
    seen: Memory,
    parameters: Mapping[str, Any],
    plan: recipe.Recipe,
    present: FittedModel | SparseModel | None = None,
    keep: bool = False,
    features: Any = None,
) -> tuple[dict[str, Any], Pairs | None]:
    """Return the fitted attributes for all answers seen, and how often workers agree in pairs if that was counted.

    Parameters
    ----------
    seen : Memory
    parameters : mapping
        Of the constructor.
    plan : Recipe
        What :func:`planned` makes of them.
    present : FittedModel or SparseModel, optional
        Where training may go on from.
    keep : bool
        Whether the model keeps what a fit of more answers may go on from.
    features : optional
        As in :meth:`DEEMAggregator.fit`.
    """
    answers = seen.answers
    gold = known_labels.positions(seen.known, answers, kept=keep)
    with watched("deem", plan.unit, parameters["progress"]) as progress:
        if features is None:
            model, posterior = inference.fit_any(answers, plan, gold, progress, present, keep)
        else:
            bare = replace(plan, class_balance=None)  # these come in with the features
            model, posterior = inference.fit_answers(answers, bare, gold, progress)
    counts = None
    if isinstance(model, FittedModel):
        counts, model = model.pairs, replace(model, pairs=None)
        if not keep:
            model = replace(model, warm_starts={}, growth=None)
    made = None
    if features is not None:
        assert isinstance(model, FittedModel)
        assert isinstance(posterior, np.ndarray)
        model, posterior, made, gold = featured.add_features(
            answers, gold, features, parameters, model, posterior, answers.classes
        )
    labels, probas = output(answers, posterior, gold)
    result = attributes(model, labels, probas, answers.workers, answers.classes)
    return (result if made is None else {**result, featured.FEATURES: made}), counts


def further(
    state: Mapping[str, Any],
    parameters: Mapping[str, Any],
    before: Memory,
    answers: Answers,
    told: pd.DataFrame | None,
) -> tuple[Memory, dict[str, Any] | None, FittedModel | SparseModel | None]:
    """Add answers to those that a model has seen.

    Parameters
    ----------
    state : mapping
        The attributes of a fitted object.
    parameters : mapping
        Its parameters, as they are now.
    before : Memory
        What it has seen.
    answers : Answers
        Those to add.
    told : DataFrame, optional
        Known labels that came with them, in columns ``task`` and ``label``.

    Returns
    -------
    seen : Memory
        All answers.
    result : dict, or None
        The fitted attributes, where the new answers could be added to the model: they are a few.
    present : FittedModel or SparseModel, or None
        Else where training may go on from.
    """
    known = known_labels.followed(before.known, told, parameters["duplicates"])
    model, grown = state["_fitted"][0], None
    if _may_grow(model, state, parameters):
        grown = add_answers(model, before, answers, known)
    if grown is None:
        seen = before.with_pairs(answers, known, parameters["duplicates"])
        _refuse_other_kind(told, seen)
        return seen, None, going_on(state["_fitted"], before, seen, answers.n_answers)
    model, seen, how = grown
    _refuse_other_kind(told, seen)
    if told is not None:
        told = told[told["label"].notna()]
        silent = seen.numbers(told["task"]) < 0
        if silent.any():
            known_labels.warn_of_silent(told["task"].to_numpy()[silent], kept=True)
    shown = GrownToCome(AllTasks(model, seen))
    result = attributes(model, shown, shown, seen.workers, seen.base.classes)
    return seen, {**result, UPDATE: how}, None


def _refuse_other_kind(told: pd.DataFrame | None, seen: Memory) -> None:
    """Refuse known labels of one call if none of their tasks is there, and they read like tasks that are: '7' and 7."""
    if told is None:
        return
    tasks = told["task"][told["label"].notna()]
    if len(tasks) and (seen.numbers(tasks) < 0).all():
        known_labels.refuse_other_kind(tasks.to_numpy(), seen.tasks)


def _may_grow(model: Any, state: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Tell whether a model may take a few answers more: it was fitted so, with the same parameters."""
    shaped = any(parameters[name] is not None for name in ("groups", "class_balance"))
    keeps = isinstance(model, FittedModel) and model.growth is not None
    return keeps and not shaped and bool(state.get(GROWN_WITH) == parameters)


def predicted(
    state: Mapping[str, Any], answers: Answers, unknown_workers: str, features: Any = None
) -> tuple[pd.Series, pd.DataFrame | ProbabilitiesToCome]:
    """Return labels and probabilities of tasks from the attributes of a fitted object.

    Raises
    ------
    DataError
        If an answer names a class that was not there in fit, or a worker was not and ``unknown_workers`` is 'error'.
    UnsupportedError
        If there are features, and the model knows none.
    """
    model, workers, classes = state["_fitted"]
    known_classes = ids.class_places(classes, answers.classes).astype(np.int64)
    unknown = np.flatnonzero(known_classes < 0)
    if len(unknown):
        raise DataError(
            f"column 'label' holds {counted(len(unknown), 'label that was', 'labels that were')} not there in fit: "
            f"{first_few(answers.classes.take(unknown))}. Known labels: {first_few(classes, 10)}."
        )
    known_workers = workers.get_indexer(answers.workers)
    strangers = np.flatnonzero(known_workers < 0)
    if len(strangers):
        message = (
            f"{counted_of(len(strangers), answers.n_workers, 'worker', 'was', 'were')} not there in fit: "
            f"{first_few(answers.workers.take(strangers))}"
        )
        if unknown_workers == "error":
            raise DataError(
                f"{message}. Fit with their answers, or pass unknown_workers='average'."
            )
        warn(f"{message}. They count as the average worker.", DataWarning)
    posterior, settled = model.posterior(answers, known_workers, known_classes), None
    if features is not None:
        told = featured.require(state)
        assert isinstance(posterior, np.ndarray)
        posterior, there = told.posterior(
            posterior, answers, features, known_workers, known_classes
        )
        settled = np.where(there, 0, -1)
    return output(answers.select(classes=(known_classes, classes)), posterior, settled)


def attributes(
    model: FittedModel | SparseModel,
    labels: pd.Series | GrownToCome,
    probas: pd.DataFrame | ToCome,
    workers: pd.Index,
    classes: pd.Index,
) -> dict[str, Any]:
    """Return the fitted attributes that show a model and what it said."""
    return {
        LABELS: labels,
        PROBABILITIES: probas,
        "skills_": pd.Series(model.skills, index=workers, name="skill"),
        "priors_": pd.Series(model.priors, index=classes, name="prior"),
        "loss_history_": model.log_likelihood(),
        "_fitted": (model, workers, classes),
    }


def output(
    answers: Answers,
    posterior: npt.NDArray[np.float64] | NamedPosterior,
    gold: npt.NDArray[np.int64] | None,
) -> tuple[pd.Series, pd.DataFrame | ProbabilitiesToCome]:
    """Return labels and probabilities under the caller's own ids and dtypes."""
    best = fitted.best_class(posterior, answers, gold)
    unlabelled = int((best < 0).sum())
    if unlabelled:
        warn(
            f"{counted(unlabelled, 'task has', 'tasks have')} no answers: the label is missing, the probabilities are "
            f"the prior ({first_few(answers.tasks.take(np.flatnonzero(best < 0)))}).",
            DataWarning,
        )
    labels = ids.take(answers.classes, best, "agg_label")
    labels.index = answers.tasks
    if isinstance(posterior, NamedPosterior):
        return labels, ProbabilitiesToCome(posterior, answers.tasks, answers.classes)
    shown = pd.DataFrame(posterior, index=answers.tasks, columns=answers.classes, copy=False)
    return labels, shown

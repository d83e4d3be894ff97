"""What a fitted object says and the answers it says it of, in one form for both public classes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from deem_crowd.data import gold as known_labels
from deem_crowd.data.answers import Answers
from deem_crowd.data.lookup import as_index
from deem_crowd.exceptions import DataError, FormError, MissingAnswersError, first_few
from deem_crowd.runtime.cached import cached_property
from deem_crowd.selection.candidates import COPIES

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from deem_crowd.estimators.aggregator import DEEMAggregator
    from deem_crowd.estimators.deem import DEEM
    from deem_crowd.model.worker_tables import WorkerTables
    from deem_crowd.selection.candidates import Candidate

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Model: TypeAlias = "DEEMAggregator | DEEM"
AnswersLike = pd.DataFrame | Answers | npt.ArrayLike | None


def is_deem(model: object) -> TypeIs[DEEM]:
    """Tell whether an object is a :class:`deem_crowd.DEEM`, without loading that class and scikit-learn for others."""
    return _is_a(model, "deem", "DEEM")


def _is_a(model: object, module: str, name: str) -> bool:
    """Tell whether an object is of a class of the estimators, which is loaded where there is such an object."""
    loaded = sys.modules.get(f"deem_crowd.estimators.{module}")
    return loaded is not None and isinstance(model, getattr(loaded, name))


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """A fitted model's labels, skills and tables, with its answers.

    Attributes
    ----------
    model : DEEMAggregator or DEEM
    answers : Answers
        About N tasks, by D workers, over K classes.
    label : integers, shape (N,)
        The class of each task, −1 for tasks without one.
    posterior : shape (N, K)
    priors : shape (K,)
    skills : shape (D,)
    tables : WorkerTables
        Of D workers over K classes.
    history : list of float
        Log-likelihood per task, pass by pass.
    known : integers, shape (N,), or None
        Labels that were given to fit, −1 where there was none.
    """

    model: Model
    answers: Answers
    label: IntArray
    posterior: FloatArray
    priors: FloatArray
    skills: FloatArray
    tables: WorkerTables
    history: list[float]
    known: IntArray | None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the model was chosen among, none where it was named: ``selection_`` without the time its frame takes."""
        chosen: tuple[Candidate, ...] = _fitted(self.model).candidates
        return chosen

    @property
    def counts_copies_less(self) -> bool:
        """Whether the chosen model has found that sources repeat others, and lets their answers count less."""
        return any(one.name == COPIES and one.weight > 0 for one in self.candidates)

    @property
    def named_groups(self) -> IntArray | None:
        """The number of the group of each worker that the model was told of, shape (D,), −1 for none; or None."""
        groups = getattr(self.model, "groups", None)
        if not groups:
            return None
        group_of = np.full(self.answers.n_workers, -1, dtype=np.int64)
        for number, members in enumerate(groups.values()):
            named = pd.Index(list(members), dtype=object, tupleize_cols=False)
            place = self.answers.workers.get_indexer(named)
            group_of[place[place >= 0]] = number
        return group_of

    @cached_property
    def intervals(self) -> FloatArray:
        """95 % intervals of the skills, shape (D, 2)."""
        return np.asarray(self.model.skill_intervals_)

    @property
    def confidence(self) -> FloatArray:
        """The posterior of each task's label, shape (N,); of a task without one the largest."""
        if self.posterior.shape[1] == 0:
            return np.zeros(len(self.posterior))
        rows = np.arange(len(self.label))
        picked = self.posterior[rows, np.maximum(self.label, 0)]
        return np.where(self.label >= 0, picked, self.posterior.max(axis=1))

    @property
    def n_answers_of_worker(self) -> IntArray:
        """Answers of each worker, shape (D,)."""
        worker = torch.from_numpy(self.answers.worker.copy())  # torch warns of read-only arrays
        return torch.bincount(worker, minlength=self.answers.n_workers).numpy()

    @property
    def n_answers_of_task(self) -> IntArray:
        """Answers to each task, shape (N,)."""
        return np.diff(self.answers.task_ptr).astype(np.int64)

    @property
    def match(self) -> FloatArray:
        """How far each answer says its task's label, shape (R,): 0 or 1, or the mass of a soft answer."""
        label = self.label[self.answers.task]
        if self.answers.soft is None:
            return ((self.answers.hard_label == label) & (label >= 0)).astype(np.float64)
        mass = self.answers.soft[np.arange(len(label)), np.maximum(label, 0)]
        return np.where(label >= 0, mass, 0.0)

    @property
    def hard_answer(self) -> IntArray:
        """The class that each answer names, shape (R,); of a soft one the likeliest."""
        return hard_answer(self.answers)

    @property
    def chance(self) -> FloatArray:
        """How often each worker would be right by chance, keeping to the frequencies of their labels, shape (D,)."""
        return self.tables.chance(self.priors)

    def gold(self, known: Any) -> IntArray | None:
        """Return known labels in any form as a class for each task, shape (N,), −1 where unknown.

        Raises
        ------
        DataError, FormError, MissingColumnError
        """
        if known is None:
            return None
        if isinstance(known, np.ndarray | list | tuple):
            return known_labels.class_vector(known, self.answers, "gold")
        return known_labels.positions(known_labels.pairs(known), self.answers)

    def unseen(self, truth: IntArray) -> IntArray:
        """Return known labels, shape (N,), with −1 for those that were given to fit: it has them right in any case."""
        return truth if self.known is None else np.where(self.known >= 0, -1, truth)


def results_of(model: Model | Results, answers: AnswersLike = None) -> Results:
    """Read the results of a fitted object through its public attributes.

    Parameters
    ----------
    model : DEEMAggregator or DEEM
        Results are returned as they are.
    answers : DataFrame, Answers or array, optional
        The answers that the model was fitted to; needed where the object does not remember them, after ``load``.

    Raises
    ------
    NotFittedError
    FormError
        For other objects.
    MissingAnswersError
        If the answers are neither remembered nor given.
    DataError
        If the answers given name tasks, workers or labels that the model does not know.
    """
    if isinstance(model, Results):
        return model
    if not (_is_a(model, "aggregator", "DEEMAggregator") or is_deem(model)):
        raise FormError(
            f"tables, plots and reports are made of a fitted DEEMAggregator or DEEM; this is a {type(model).__name__}."
        )
    if not model.__sklearn_is_fitted__():
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(f"this {type(model).__name__} is not fitted yet: call fit first.")
    remembered = model.__dict__.get("_fitted_on")
    if answers is not None:
        return _of_array(model, answers) if is_deem(model) else _of_frame(model, answers)
    if remembered is None:
        raise MissingAnswersError(
            f"this {type(model).__name__} does not have its answers (a file of a model holds none). Pass them: "
            "deem_crowd.insight.tables.tasks(model, answers=df), and likewise workers and pair_agreement there, "
            "contested.contested, findings.summary, each plot, and report."
        )
    settled, known = remembered.answers, remembered.known
    results = _of_array(model, None) if is_deem(model) else _of_frame(model, settled)
    if isinstance(known, pd.DataFrame):
        known = known_labels.positions(known, settled, again=True)
    if known is None or not (known >= 0).any():
        return results
    clamped = results.posterior.copy()
    clamped[known >= 0] = np.eye(settled.n_classes)[known[known >= 0]]
    label = np.where(known >= 0, known, results.label)
    return replace(results, posterior=clamped, label=label, known=known)


def _of_array(model: DEEM, answers: Any) -> Results:
    """Return the results of answers in any form, or of those of the fit."""
    if answers is None:
        label, posterior, read = model.labels_, model.probas_, model.__dict__["_fitted_on"].answers
    else:
        posterior, label, read = model._reread(answers)
    log_likelihood = model.history_.get("log_likelihood")
    if log_likelihood is None:
        log_likelihood = [-loss for loss in model.history_.get("loss", [])]
    return Results(
        model,
        read,
        np.asarray(label, dtype=np.int64),
        posterior,
        model.priors_,
        model.skills_,
        _fitted(model).worker_tables(),
        list(log_likelihood),
        None,
    )


def _of_frame(model: DEEMAggregator, answers: Any) -> Results:
    if not isinstance(answers, Answers):
        answers = model._read(answers)
    labels, probas = model.labels_, model.probas_
    workers, classes = model.skills_.index, model.priors_.index
    axes = (
        ("tasks", probas.index, answers.tasks),
        ("workers", workers, answers.workers),
        ("labels", classes, answers.classes),
    )
    for what, of_model, of_answers in axes:
        if of_answers.is_(of_model):
            continue
        strange = of_answers[of_model.get_indexer(of_answers) < 0]
        if len(strange):
            raise DataError(
                f"the answers name {len(strange)} {what} that the model was not fitted to: {first_few(strange)}. Pass "
                "the answers that the model was fitted to."
            )
    if len(answers.workers) != len(workers) or not answers.workers.equals(workers):
        worker = workers.get_indexer(answers.workers).astype(np.int32)[answers.worker]
        answers = replace(answers, worker=worker, workers=workers)
    answers = coded_classes(answers, classes)
    codes = classes.get_indexer(as_index(labels))
    codes = np.where(labels.isna().to_numpy(), -1, codes).astype(np.int64)
    posterior = probas.to_numpy()
    if not answers.tasks.is_(probas.index):
        row = probas.index.get_indexer(answers.tasks)
        codes, posterior = codes[row], posterior[row]
    return Results(
        model,
        answers,
        codes,
        posterior,
        model.priors_.to_numpy(),
        model.skills_.to_numpy(),
        _fitted(model).worker_tables(),
        list(model.loss_history_),
        None,
    )


def _fitted(model: Model) -> Any:
    """Return what a fitted object holds: a FittedModel, or one with sparse tables."""
    fitted = model.__dict__["_fitted"]
    return fitted[0] if isinstance(fitted, tuple) else fitted


def hard_answer(answers: Answers) -> IntArray:
    """Return the class that each answer names, shape (R,); of a soft one the likeliest."""
    if answers.soft is None:
        return answers.hard_label.astype(np.int64)
    return answers.soft.argmax(axis=1).astype(np.int64)


def coded_classes(answers: Answers, classes: pd.Index) -> Answers:
    """Return answers whose classes are coded by another index, which holds all of theirs."""
    if len(answers.classes) == len(classes) and answers.classes.equals(classes):
        return answers
    place = classes.get_indexer(answers.classes)
    if answers.soft is None:
        label = place.astype(np.int32)[answers.hard_label]
        return replace(answers, label=label, classes=classes)
    soft = np.zeros((answers.n_answers, len(classes)))
    soft[:, place] = answers.soft
    return replace(answers, soft=soft, classes=classes)

"""What a fitted aggregator says, in the form in which decisions are taken from it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.data.lookup import are_among, as_index, followed_by
from deem_crowd.decide import checks
from deem_crowd.decide.source import Source, model_of, read_answers, remembered
from deem_crowd.exceptions import DataError, FormError, ParameterError, counted, first_few
from deem_crowd.model.worker_tables import FullTables, WorkerTables
from deem_crowd.runtime.cached import cached_property

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_KNOWN = "Leave out workers without answers: nothing is known of them."


@dataclass(frozen=True)
class Given:
    """The R answers that were given, in the codes of a :class:`Consensus`.

    Attributes
    ----------
    task, worker, label : integers, shape (R,)
        The most probable class where an answer is a distribution.
    """

    task: IntArray
    worker: IntArray
    label: IntArray


@dataclass(frozen=True, eq=False)
class Consensus:
    """The posterior of N tasks over K classes, and D workers' tables.

    Attributes
    ----------
    posterior : shape (N, K)
        p(label | answers); rows sum to 1.
    labels : integers, shape (N,)
        The class each task was given, −1 for tasks without one.
    tasks, classes : Index, lengths N, K
    priors : shape (K,)
        Class prior, which is the posterior of a task that nobody answered.
    workers : Index, length D
        Empty where no tables are known.
    errors : DataFrame, array or WorkerTables, optional
        Workers' confusion matrices: as ``errors_`` of an aggregator, of shape (D, K, K) as
        [worker, answer, label], or to be read in parts.
    answers : Given, optional
    source : Source, optional
        The model and its answers, where it is a DEEM or DEEMAggregator.
    """

    posterior: FloatArray
    labels: IntArray
    tasks: pd.Index
    classes: pd.Index
    priors: FloatArray
    workers: pd.Index
    errors: Any = None
    answers: Given | None = None
    source: Source | None = None

    @classmethod
    def of(cls, source: Any, answers: Any = None) -> Consensus:
        """Read a fitted aggregator.

        Parameters
        ----------
        source : DEEMAggregator, DEEM, any aggregator with ``probas_``, DataFrame or Consensus
            Beside ``probas_`` (index task, columns label) the attributes ``labels_``, ``priors_`` and ``errors_`` are
            read where they exist; a DataFrame is taken as ``probas_`` itself.
        answers : DataFrame, Answers or array, optional
            The answers the model was fitted to. A DEEM or DEEMAggregator that was fitted here has them, one that comes
            from a file does not. Other aggregators may offer them as ``answers_``.

        Raises
        ------
        NotFittedError, FormError, DataError, ParameterError
        """
        if isinstance(source, Consensus):
            return source if answers is None else source.with_answers(read_answers(answers, source))
        probas = source if isinstance(source, pd.DataFrame) else getattr(source, "probas_", None)
        if isinstance(probas, pd.DataFrame):
            consensus = cls._from_frame(source, probas)
            if answers is None:
                answers = getattr(source, "answers_", remembered(source))
            return (
                consensus
                if answers is None
                else consensus.with_answers(read_answers(answers, source))
            )
        if model_of(source) is not None or hasattr(source, "confusion_"):
            return cls._from_arrays(source, answers)
        if hasattr(source, "fit") and not isinstance(source, type):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"this {type(source).__name__} is not fitted yet: call fit first.")
        raise FormError(
            f"{_named(source)} holds no posterior: pass a fitted DEEMAggregator or DEEM, an aggregator with "
            "probas_, or the frame probas_ (index task, one column a label)."
        )

    @classmethod
    def _from_frame(cls, source: Any, probas: pd.DataFrame) -> Consensus:
        if not all(map(pd.api.types.is_numeric_dtype, probas.dtypes)):
            raise FormError(
                f"a frame with columns {first_few(probas.columns)} is no probas_ (index task, one column of "
                "probabilities a label). Of answers: pass DEEMAggregator().fit(answers)."
            )
        tasks, classes = probas.index.to_flat_index(), probas.columns
        checks.refuse_repeats("probas_", tasks, classes)
        posterior = probas.to_numpy(dtype=np.float64)
        checks.distributions(posterior, tasks)
        labels = posterior.argmax(axis=1) if posterior.size else np.full(len(tasks), -1)
        stated = getattr(source, "labels_", None)
        if isinstance(stated, pd.Series) and len(stated) == len(tasks):
            labels = classes.get_indexer(as_index(stated.reindex(tasks)))
        priors = getattr(source, "priors_", None)
        if isinstance(priors, pd.Series):
            prior = priors.reindex(classes).fillna(0.0).to_numpy(dtype=np.float64)
        else:
            prior = posterior.mean(axis=0) if len(tasks) else np.full(len(classes), np.nan)
        known = Source.of(source)
        errors: Any = None
        workers = pd.Index([])
        if known is not None:
            errors, workers = known.model.worker_tables(), known.workers
        elif (stated := getattr(source, "errors_", None)) is not None:
            errors, workers = stated, stated.index.get_level_values(0).unique()
        return cls(
            posterior,
            labels.astype(np.int64),
            tasks,
            classes,
            prior,
            workers,
            errors,
            source=known,
        )

    @classmethod
    def _from_arrays(cls, source: Any, answers: Any) -> Consensus:
        seen, model = remembered(source), model_of(source)
        if answers is not None and model is not None:
            posterior, labels, read = source._reread(answers)
        elif answers is not None:
            read = read_answers(answers, source)
            posterior, labels = source.predict_proba(read), source.predict(read)
        elif seen is not None:  # what fit found, with the labels that it knew
            read, posterior, labels = seen, source.probas_, source.labels_
        else:
            raise ParameterError(
                f"this {type(source).__name__} does not have its answers (a file of a model holds none): pass "
                "answers=, the array or Answers it was fitted to."
            )
        classes: pd.Index = read.classes
        if len(classes) != np.shape(posterior)[1]:
            classes = pd.RangeIndex(np.shape(posterior)[1])
        consensus = cls(
            np.asarray(posterior, dtype=np.float64),
            np.asarray(labels, dtype=np.int64),
            read.tasks,
            classes.rename("label"),
            np.asarray(source.priors_, dtype=np.float64),
            read.workers,
            source.confusion_ if model is None else model.worker_tables(),
            source=Source.of(source, read, reread=answers is not None),
        )
        return consensus.with_answers(read)

    # -------------------------------------------------------------- with more

    def with_answers(self, answers: Answers) -> Consensus:
        """Return the consensus together with the answers behind it.

        Raises
        ------
        DataError
            If they name tasks, workers or labels that the model does not know.
        """
        worker_index = self.workers if len(self.workers) else answers.workers
        places = []
        for name, ids, place in (
            ("task", answers.tasks, self.tasks.get_indexer(answers.tasks)),
            ("worker", answers.workers, worker_index.get_indexer(answers.workers)),
            ("label", answers.classes, self.classes.get_indexer(answers.classes)),
        ):
            strange = np.flatnonzero(place < 0)
            if len(strange):
                raise DataError(
                    f"answers name {counted(len(strange), name)} that the model was not fitted to: "
                    f"{first_few(ids.take(strange))}. Fit it to these answers first."
                )
            places.append(place.astype(np.int64))
        task, worker, label = places
        said = answers.hard_label if answers.soft is None else answers.soft.argmax(axis=1)
        given = Given(task[answers.task], worker[answers.worker], label[said])
        source = None if self.source is None else replace(self.source, answers=answers)
        return replace(self, answers=given, workers=worker_index, source=source)

    def with_unanswered(self, tasks: Iterable[Hashable], features: Any = None) -> Consensus:
        """Return the consensus with further tasks that nobody answered; their posterior is the class prior.

        Where labels rest on features, it is what ``features`` say: a frame, or an array of all tasks, these last.

        Raises
        ------
        DataError, FormError
            If one of them is there already, or features are not those of the fit.
        """
        fresh = pd.Index(checks.ids("unanswered", tasks), tupleize_cols=False).unique()
        if not len(fresh):
            return self
        checks.refuse_missing("unanswered", fresh)
        tasks = followed_by(self.tasks, fresh).rename(self.tasks.name)
        # 1, 1.0 and True are one id, whatever the dtypes
        there = fresh[are_among(fresh, self.tasks) | tasks.duplicated()[self.n_tasks :]]
        if len(there):
            raise DataError(
                f"unanswered names {counted(len(there), 'task that has', 'tasks that have')} a posterior already: "
                f"{first_few(there)}. Leave such tasks out."
            )
        checks.refuse_other_kind("unanswered", fresh, self.tasks)
        told = np.tile(self.priors / self.priors.sum(), (len(fresh), 1))
        labels = np.full(len(fresh), -1, dtype=np.int64)
        if features is not None and self.source is not None:
            told, labels = self.source.told_by_features(told, tasks, features)
        return replace(
            self,
            posterior=np.vstack([self.posterior, told]),
            labels=np.concatenate([self.labels, labels]),
            tasks=tasks,
        )

    # --------------------------------------------------------------- readings

    @property
    def n_tasks(self) -> int:
        """N."""
        return len(self.tasks)

    @property
    def confidence(self) -> FloatArray:
        """Posterior of each task's label, shape (N,); the largest one where it has no label."""
        if not self.posterior.size:
            return np.zeros(self.n_tasks)
        best = self.labels.copy()
        without = best < 0
        best[without] = self.posterior[without].argmax(axis=1)
        return np.asarray(self.posterior[np.arange(self.n_tasks), best])

    @cached_property
    def n_answers(self) -> IntArray | None:
        """How many answers each task has, shape (N,); None if the answers are not known."""
        if self.answers is None:
            return None
        return np.bincount(self.answers.task, minlength=self.n_tasks).astype(np.int64)

    @cached_property
    def tables(self) -> WorkerTables | None:
        """p(answer | label) of D workers over K classes; None if none are known."""
        if self.errors is None or not len(self.workers):
            return None
        if isinstance(self.errors, pd.DataFrame):
            return FullTables.from_frame(self.errors, self.workers, self.classes)
        if not hasattr(self.errors, "cells"):
            return FullTables(np.asarray(self.errors, dtype=np.float64))
        read: WorkerTables = self.errors
        return read

    @property
    def knows_workers(self) -> bool:
        """Whether there are tables of workers."""
        return self.tables is not None

    @cached_property
    def evidence(self) -> FloatArray | None:
        """What the model says, for ranking, shape (N, K); None where there is no model of one hidden unit.

        Tasks of known label and tasks without answers keep their posterior, and all tasks where it rests on features,
        which the model of the answers does not know. See :meth:`deem_crowd.estimators.fitted.FittedModel.evidence`.
        """
        if self.source is None or self.source.answers is None:
            return None
        if self.source.features:
            return self.posterior
        read = self.source.answers
        told = self.source.model.evidence(
            read,
            self.source.workers.get_indexer(read.workers).astype(np.int64),
            self.source.classes.get_indexer(read.classes).astype(np.int64),
        )
        if told is None:
            return None
        evidence = self.posterior.copy()
        place = self.tasks.get_indexer(read.tasks)
        open_ = (np.diff(read.task_ptr) > 0) & (evidence[place].max(axis=1, initial=0.0) < 1.0)
        evidence[place[open_]] = told[open_]
        return evidence

    def typical_table(self) -> FloatArray:
        """Return p(answer | label) of the worker who gives the next answer, if nobody says who, shape (K, K).

        The mean of all workers' tables, each by its number of answers where these are known.

        Raises
        ------
        ParameterError
            If no tables are known.
        """
        tables = self.required_tables()
        n_workers = tables.shape[0]
        if self.answers is None or not len(self.answers.worker):
            return tables.mean(np.ones(n_workers))
        weights = np.bincount(self.answers.worker, minlength=n_workers)
        return tables.mean(weights.astype(np.float64))

    def table_of(self, worker: Hashable) -> FloatArray:
        """Return the table of one worker, shape (K, K) as [answer, label].

        Raises
        ------
        DataError
            If the model does not know the worker.
        """
        place = self.places_of(pd.Index([worker], tupleize_cols=False))
        return self.required_tables().of(place)[0]

    def places_of(self, workers: pd.Index) -> IntArray:
        """Return which workers of the model these are, shape (len(workers),).

        Raises
        ------
        DataError
            If the model does not know one of them.
        """
        place = self.workers.get_indexer(workers)
        strangers = workers.take(np.flatnonzero(place < 0))
        if len(strangers) == 1:
            raise DataError(
                f"worker {first_few(strangers)} is not one of the {counted(len(self.workers), 'worker')} of the model: "
                f"{first_few(self.workers)}. {_KNOWN}"
            )
        if len(strangers):
            raise DataError(
                f"{counted(len(strangers), 'worker is', 'workers are')} not among the {len(self.workers)} of the "
                f"model: {first_few(strangers)}. The model has {first_few(self.workers)}. {_KNOWN}"
            )
        return place.astype(np.int64)

    def required_tables(self) -> WorkerTables:
        """Return the workers' tables.

        Raises
        ------
        ParameterError
            If none are known.
        """
        if self.tables is None:
            raise ParameterError(
                "what a further answer is worth follows from the workers' confusion matrices, and there are none: pass "
                "a fitted aggregator with errors_, or a strategy that needs the posterior alone, such as "
                "'least_confidence'."
            )
        return self.tables

    def required_answers(self, purpose: str) -> Given:
        """Return the answers.

        Raises
        ------
        ParameterError
            If they are not known; ``purpose`` says what they are for.
        """
        if self.answers is None:
            raise ParameterError(
                f"{purpose} needs the answers, which are not there (a file of a model holds none): pass answers=, the "
                "frame the model was fitted to."
            )
        return self.answers


def _named(source: Any) -> str:
    if isinstance(source, type):
        return f"the class {source.__name__}"
    return f"a {type(source).__name__}"

"""DEEMAggregator: DataFrames in, Series out, with crowd-kit's habits."""

from __future__ import annotations

import inspect
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import attr
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from crowdkit.aggregation.base import BaseClassificationAggregator
from crowdkit.aggregation.utils import named_series_attrib
from sklearn.exceptions import NotFittedError

from deem_crowd.data import gold as known_labels
from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.data.gold import Gold
from deem_crowd.estimators import (
    declaration,
    featured,
    fitted,
    inputs,
    model_files,
    packing,
    recipe,
    stored_ids,
)
from deem_crowd.estimators import fit as inference
from deem_crowd.estimators.checkpoint import Reader
from deem_crowd.estimators.decisions import Decisions
from deem_crowd.estimators.declaration import parameter
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.growth import GROWN_WITH, UPDATE, add_answers
from deem_crowd.estimators.insights import Insights
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.estimators.memory import FITTED_ON, MEMORY, Memory, exclusive
from deem_crowd.estimators.parameters import Parameters
from deem_crowd.estimators.probabilities import PROBABILITIES, Probabilities, ProbabilitiesToCome
from deem_crowd.estimators.rules import Choice, Number
from deem_crowd.estimators.saving import Persistent
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    first_few,
)
from deem_crowd.model.named_classes import NamedPosterior
from deem_crowd.progress import watched
from deem_crowd.training import likelihood as training
from deem_crowd.warning import warn

if TYPE_CHECKING:
    from typing_extensions import Self


Model = FittedModel | SparseModel

_ORDER = (
    "n_iter",
    "tol",
    "subtypes",
    "gauge",
    "penalty",
    "init_method",
    "use_weighted",
    "auto_hyperparameters",
    "ordered",
    "hidden_dim",
    "sampler",
    "cd_k",
    "sampler_steps",
    "sampler_oh_mode",
    "deterministic",
    "learning_rate",
    "learning_rate_schedule",
    "momentum",
    "batch_size",
    "restart",
    "early_stopping",
    "validation_fraction",
    "use_preprocessing",
    "preprocessing_layers",
    "preprocessing_layer_widths",
    "preprocessing_activation",
    "preprocessing_init",
    "preprocessing_one_hot",
    "preprocessing_use_softmax",
    "preprocessing_jitter",
    "missing",
    "duplicates",
    "unknown_workers",
)
"""Of the constructor; what is added comes after."""


@declaration.named_parameters
@declaration.documented
@attr.s(
    eq=False,
    repr=False,
    auto_attribs=True,
    collect_by_mro=True,
    field_transformer=declaration.in_order(*_ORDER),
)
class DEEMAggregator(
    Probabilities,
    Insights,
    Decisions,
    featured.WithFeatures,
    Persistent,
    Parameters,
    BaseClassificationAggregator,
):
    r"""Consensus labels, worker skills and confusion matrices by an exact energy model of the answers.

    One multinomial hidden unit, the true label, explains the answers that exist; a missing answer is absent
    from the energy, the partition function, the votes and the counts. The likelihood is maximised exactly
    (no sampling):

    .. math:: \log p(x_n) = \log \sum_h e^{b_h + \sum_{i \in O(n)} W_{i, x_{ni}, h}} - \log Z_{O(n)}

    Source of the model: Maymon, Buznah, Shaham, arXiv 2601.20556; with normalised tables it is Dawid and
    Skene's (1979), here with what all workers have in common as a prior for each.

    Attributes
    ----------
    labels_ : Series ``agg_label``, index ``task``, length N
        In the dtype of the input labels.
    probas_ : DataFrame, index ``task``, columns ``label``, shape (N, K)
        p(label | answers). Tasks without answers get the class prior.
    skills_ : Series, index ``worker``, length D
        Chance of the right answer, in [0, 1].
    priors_ : Series, index ``label``, length K
        Class prior.
    errors_ : DataFrame, index (``worker``, ``label``), columns the true label, shape (D·K, K)
        Confusion matrices.
    loss_history_ : list of float
        Log-likelihood per task, in nats, at each pass; higher is better.
    update_ : str
        After ``partial_fit``: whether all answers were fitted, or what was updated.

    Examples
    --------
    >>> import pandas as pd
    >>> from deem_crowd import DEEMAggregator
    >>> df = pd.DataFrame(
    ...     [["t1", "ann", "cat"], ["t1", "bob", "cat"], ["t1", "cid", "dog"],
    ...      ["t2", "ann", "dog"], ["t2", "bob", "dog"], ["t2", "cid", "dog"]],
    ...     columns=["task", "worker", "label"],
    ... )
    >>> DEEMAggregator().fit_predict(df).to_dict()
    {'t1': 'cat', 't2': 'dog'}
    """

    n_iter: int = parameter(
        training.Settings.n_iter,
        Number(0, whole=True),
        doc="Most passes over the answers; 0 gives the weighted-vote start.",
    )
    missing: Missing = parameter(
        "error",
        Choice(("error", "drop")),
        doc="What to do with rows whose label is missing.",
    )
    duplicates: Duplicates = parameter(
        "last",
        Choice(("error", "last", "first")),
        doc="Which answer counts where a worker answered a task twice, or that this is an error.",
    )
    unknown_workers: str = parameter(
        "average",
        Choice(("average", "error")),
        doc="Workers that predict has not seen in fit: average ones, with the table of all workers, or an error.",
    )

    skills_: pd.Series[Any] = named_series_attrib(name="skill")
    priors_: pd.Series[Any] = named_series_attrib(name="prior")
    loss_history_: list[float] = attr.ib(init=False)

    also_called: ClassVar[dict[str, str]] = {"epochs": "n_iter"}
    takes_soft = True
    """That ``fit`` takes :class:`deem_crowd.Answers` with probabilities; the benchmark asks for it."""

    # ---------------------------------------------------------------- fitting

    def fit(
        self,
        data: Any,
        gold: Gold = None,
        *,
        task: Hashable | None = None,
        worker: Hashable | None = None,
        label: Hashable | None = None,
        features: Any = None,
        true_labels: Gold = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        data : DataFrame, or whatever ``deem_crowd_adapters.to_answers`` takes
            One row an answer: columns ``task``, ``worker``, ``label``, of any dtypes; other columns are ignored.
            :class:`deem_crowd.Answers`, tables of polars and Arrow, lists of dicts, a Hugging Face ``Dataset``, a frame
            that was pivoted to tasks × workers, files and exports of labelling tools are taken, too.
        gold : Series, dict or DataFrame, optional
            Labels that are known, by task (a frame has columns ``task`` and ``label``): those tasks have their hidden
            unit clamped, and all others learn from them. From eight on, held-out ones also choose between readings of
            the answers and correct one (``selection_`` says how); that takes five to eight times as long. Missing
            values mean unknown.
        task, worker, label : hashable, optional
            What these columns are called in ``data`` (and in ``gold``, if it has such columns).
        features : DataFrame, array, scipy sparse matrix or torch tensor, optional
            Of the tasks, shape (N, p): a classifier of them is learned together with the labels (``classifier_``). A
            frame is indexed by task (or has a column ``task``) and may lack tasks; anything else has one row a task, in
            order of first appearance. ``features_use_`` says how they are used, and why.
        true_labels : optional
            The former name of ``gold``.

        Returns
        -------
        DEEMAggregator
            self. If the call fails or is interrupted, the object is as it was.

        Raises
        ------
        MissingColumnError, DataError, FormError, ParameterError, MemoryNeedError
        """
        gold = declaration.renamed("true_labels", true_labels, "gold", gold)
        seen = Memory(self._read(data, task, worker, label), known_labels.pairs(gold, task, label))
        found = self._trained(seen, None, features=features)
        # One assignment, so that an interrupt leaves either the old state or the new one.
        gone = (MEMORY, UPDATE, GROWN_WITH, featured.FEATURES)
        kept = {k: v for k, v in self.__dict__.items() if k not in gone}
        self.__dict__ = {**kept, **found, FITTED_ON: seen}
        return self

    def partial_fit(
        self,
        data: Any,
        gold: Gold = None,
        *,
        task: Hashable | None = None,
        worker: Hashable | None = None,
        label: Hashable | None = None,
        true_labels: Gold = None,
    ) -> Self:
        """Add answers: new tasks, new workers, more answers to old tasks.

        The answers of earlier calls are remembered (some 30 bytes each, and ids). A few more, up to a twentieth of
        those that all were last fitted to, are added to the model: the tables of the workers and the labels of the
        tasks that they touch, and from half a percent on then the labels of all tasks. That ends near where
        :meth:`fit` on all answers would, in a fraction of the time. With more answers, new classes, known labels, an
        answer that replaces another, or changed parameters the model is fitted to all of them, from its present
        weights as far as its end does not depend on its start; models of several units or with layers, and of many
        classes, are fitted anew. ``update_`` says how the last call went about it.

        Parameters
        ----------
        data : DataFrame or Answers
            As in :meth:`fit`. Where a worker answered a task before, ``duplicates`` says which answer stands.
        gold : Series, dict or DataFrame, optional
            Further labels that are known; those of earlier calls stay known.
        true_labels : optional
            The former name of ``gold``.

        Returns
        -------
        DEEMAggregator
            self. If the call fails or is interrupted, the object is as it was.

        Raises
        ------
        ParameterError
            If the model comes from :meth:`fit` or a file, which remember no answers.
        MissingColumnError, DataError, FormError, MemoryNeedError
        """
        gold = declaration.renamed("true_labels", true_labels, "gold", gold)
        with exclusive(self):
            before = Memory.before(self.__dict__)
            answers, known = (
                self._read(data, task, worker, label),
                known_labels.pairs(gold, task, label),
            )
            present = None if before is None else self.__dict__["_fitted"][0]
            added = None if before is None else self._added(before, answers, known)
            if added is not None:
                seen, found = added
            else:
                seen = (
                    Memory(answers, known)
                    if before is None
                    else before.with_pairs(answers, known, self.duplicates)
                )
                found = self._trained(seen, present, keep=True)
                found |= {UPDATE: "all answers were fitted", GROWN_WITH: self.get_params()}
            self.__dict__ = {**self.__dict__, **found, MEMORY: seen, FITTED_ON: seen}
        return self

    def fit_predict(
        self,
        data: Any,
        gold: Gold = None,
        *,
        task: Hashable | None = None,
        worker: Hashable | None = None,
        label: Hashable | None = None,
        features: Any = None,
        true_labels: Gold = None,
    ) -> pd.Series:
        """Fit and return ``labels_``: a Series ``agg_label``, index ``task``, in the dtype of the input labels.

        Tasks stand in order of first appearance. See :meth:`fit`.
        """
        gold = declaration.renamed("true_labels", true_labels, "gold", gold)
        self.fit(data, gold, task=task, worker=worker, label=label, features=features)
        return self.__dict__["labels_"].copy()

    def fit_predict_proba(
        self,
        data: Any,
        gold: Gold = None,
        *,
        task: Hashable | None = None,
        worker: Hashable | None = None,
        label: Hashable | None = None,
        features: Any = None,
        true_labels: Gold = None,
    ) -> pd.DataFrame:
        """Fit and return ``probas_``, shape (N, K): rows sum to 1. See :meth:`fit`."""
        gold = declaration.renamed("true_labels", true_labels, "gold", gold)
        self.fit(data, gold, task=task, worker=worker, label=label, features=features)
        return self.probas_.copy()

    # -------------------------------------------------------------- predicting

    def predict(
        self,
        data: Any,
        contested: str = "keep",
        *,
        task: Hashable | None = None,
        worker: Hashable | None = None,
        label: Hashable | None = None,
        features: Any = None,
    ) -> pd.Series:
        """Return the labels of tasks, new ones as well, from the answers of the workers known since fit.

        The model stays as it is. Workers it has not seen count as the average worker, with a warning.

        Parameters
        ----------
        data, task, worker, label
            As in :meth:`fit`.
        contested : 'keep' or 'missing'
            What becomes of labels that need another look, for the reasons of ``contested_``.
        features : optional
            Of these tasks, as in :meth:`fit`, of a model that was fitted with features. Things without any answer are
            for ``classifier_.predict``.

        Raises
        ------
        NotFittedError, MissingColumnError, DataError, ParameterError, UnsupportedError
        """
        drops = self._drops_contested(contested)
        self._require_fitted()
        answers = self._read(data, task, worker, label)
        if not drops:
            return self._predict(answers, features)[0]
        labels, found = self._predict(answers, features)
        probas = found if isinstance(found, pd.DataFrame) else found.frame
        classes = probas.columns
        codes = classes.get_indexer(pd.Index(labels, tupleize_cols=False))
        codes = np.where(labels.isna(), -1, codes)
        marks = self._contested_of(answers, codes, probas.to_numpy(), classes)
        settled = ids.take(classes, np.where(marks, -1, codes), "agg_label")
        settled.index = labels.index
        return settled

    def predict_proba(
        self,
        data: Any,
        *,
        task: Hashable | None = None,
        worker: Hashable | None = None,
        label: Hashable | None = None,
        features: Any = None,
    ) -> pd.DataFrame:
        """Return p(label | answers), shape (N, K), as :meth:`predict` finds it."""
        self._require_fitted()
        found = self._predict(self._read(data, task, worker, label), features)[1]
        return found if isinstance(found, pd.DataFrame) else found.frame

    @property
    def errors_(self) -> pd.DataFrame:
        """Confusion matrices: index (``worker``, ``label`` answered), columns the true label, shape (D·K, K).

        Each worker's columns sum to 1.
        """
        if "_fitted" not in self.__dict__:
            raise AttributeError("errors_ is there after fit")
        model, workers, classes = self.__dict__["_fitted"]
        full = model.full_confusion()
        d, k = len(workers), len(classes)
        index = pd.MultiIndex(
            levels=[workers, classes],
            codes=[np.repeat(np.arange(d), k).tolist(), np.tile(np.arange(k), d).tolist()],
            names=["worker", "label"],
        )
        columns = classes.rename(None)  # as crowd-kit has it, so that stack().reset_index() works
        return pd.DataFrame(full.reshape(d * k, k), index=index, columns=columns)

    @property
    def selection_(self) -> pd.DataFrame | None:
        """What the model was chosen among, a row a candidate; None where it was named.

        Columns ``candidate``; ``score``, a lower bound of the log evidence in nats per answer; ``difference`` and
        ``standard_error``, how much likelier it makes a task's answers than one table a worker does, in nats;
        ``agreement``, how far its labels are those of the others; ``weight``, what it counts; ``why``.
        """
        if "_fitted" not in self.__dict__:
            raise AttributeError("selection_ is there after fit")
        model, _, _ = self.__dict__["_fitted"]
        found: pd.DataFrame | None = model.selection()
        return found

    @property
    def skill_intervals_(self) -> pd.DataFrame:
        """A 95 % interval of each worker's skill: index ``worker``, columns ``low``, ``high``, shape (D, 2).

        From the curvature of the likelihood, so that answers to tasks of unsure label say less.
        """
        if "_fitted" not in self.__dict__:
            raise AttributeError("skill_intervals_ is there after fit")
        model, workers, _ = self.__dict__["_fitted"]
        return pd.DataFrame(model.skill_intervals(), index=workers, columns=["low", "high"])

    # ------------------------------------------------------------- parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, as scikit-learn's ``clone`` and searches expect."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments.

        Raises
        ------
        ParameterError
            For a name that is none.
        """
        known = self.get_params()
        for name in params:
            if name not in known:
                raise declaration.unknown_parameter(type(self).__name__, name, known)
        self.__dict__.update(params)
        return self

    # ---------------------------------------------------------------- helpers

    def _state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        if "_fitted" not in self.__dict__:
            return None
        model, workers, classes = self.__dict__["_fitted"]
        content, tensors = model_files.pack(model)
        labels, probas = self.__dict__["labels_"], self.__dict__[PROBABILITIES]
        codes = np.where(
            labels.isna(), -1, classes.get_indexer(pd.Index(labels, tupleize_cols=False))
        )
        named = {"task": labels.index, "worker": workers, "label": classes}
        ids_ = {name: stored_ids.plain_index(index, name) for name, index in named.items()}
        tensors["labels"] = torch.from_numpy(codes.astype(np.int64))
        if isinstance(probas, ProbabilitiesToCome):
            tensors |= model_files.pack_named(probas.posterior)
        else:  # a frame may be read-only
            tensors["probas"] = torch.from_numpy(np.array(probas, order="C"))
        return {**content, "ids": ids_}, tensors

    @classmethod
    def _restore(cls, reader: Reader) -> dict[str, Any]:
        model = model_files.unpack(reader)
        probas: Any
        if isinstance(model, SparseModel):
            probas = model_files.unpack_named(reader, model.n_classes)
        else:
            probas = packing.shares(reader, "probas", (None, model.n_classes), axis=1)
        codes = reader.tensor("labels", (len(probas),), torch.int64).numpy()
        stored = reader.get("ids", dict)
        lengths = {"task": len(probas), "worker": len(model.skills), "label": model.n_classes}
        tasks, workers, classes = (
            stored_ids.read_index(stored.get(name), length, reader, name)
            for name, length in lengths.items()
        )
        if len(codes) and not (codes.min() >= -1 and codes.max() < model.n_classes):
            raise reader.damaged("labels are no classes")
        labels = ids.take(classes, codes, "agg_label")
        labels.index = tasks
        shown = (
            ProbabilitiesToCome(probas, tasks, classes)
            if isinstance(probas, NamedPosterior)
            else pd.DataFrame(probas, index=tasks, columns=classes)
        )
        return _attributes(model, labels, shown, workers, classes)

    def __sklearn_is_fitted__(self) -> bool:
        return "_fitted" in self.__dict__

    def _trained(
        self,
        seen: Memory,
        present: Model | None,
        keep: bool = False,
        features: Any = None,
    ) -> dict[str, Any]:
        """Return the fitted attributes for all answers seen; ``keep`` what a fit of more answers may go on from."""
        answers = seen.answers
        gold = known_labels.positions(seen.known, answers)
        plan = recipe.recipe(self.get_params(), self.n_iter, None)
        with watched("deem", plan.unit, self.progress) as progress:
            if features is None:
                model, posterior = inference.fit_any(answers, plan, gold, progress, present, keep)
            else:
                model, posterior = inference.fit_answers(answers, plan, gold, progress)
        if not keep and isinstance(model, FittedModel):
            model = replace(model, warm_starts={}, growth=None)
        made = None
        if features is not None:
            assert isinstance(model, FittedModel)
            assert isinstance(posterior, np.ndarray)
            model, posterior, made, gold = featured.add_features(
                answers, gold, features, self.get_params(), model, posterior, answers.classes
            )
        labels, probas = _output(answers, posterior, gold)
        found = _attributes(model, labels, probas, answers.workers, answers.classes)
        return found if made is None else {**found, featured.FEATURES: made}

    def _added(
        self, before: Memory, answers: Answers, known: pd.DataFrame | None
    ) -> tuple[Memory, dict[str, Any]] | None:
        """Return all answers and the fitted attributes where a few more can be added to the model, else None."""
        model = self.__dict__["_fitted"][0]
        growth = model.growth if isinstance(model, FittedModel) else None
        if growth is None or known is not None or self.groups is not None:
            return None
        if self.__dict__.get(GROWN_WITH) != self.get_params():
            return None
        assert isinstance(model, FittedModel)
        found = add_answers(model, before, answers)
        if found is None:
            return None
        model, seen, how = found
        classes = seen.base.classes
        labels = ids.take(classes, model.growth.label.numpy(), "agg_label")
        labels.index = seen.tasks
        posterior = model.growth.posterior.to(torch.float64).numpy()
        probas = pd.DataFrame(posterior, index=seen.tasks, columns=classes)
        return seen, {**_attributes(model, labels, probas, seen.workers, classes), UPDATE: how}

    def _read(
        self,
        data: Any,
        task: Hashable | None = None,
        worker: Hashable | None = None,
        label: Hashable | None = None,
    ) -> Answers:
        declaration.check(self.get_params(), type(self))
        return inputs.read(
            data, self.missing, self.duplicates, task=task, worker=worker, label=label
        )

    def _require_fitted(self) -> None:
        if "_fitted" not in self.__dict__:
            raise NotFittedError("this DEEMAggregator is not fitted yet: call fit(df) first.")

    def _predict(
        self, answers: Answers, features: Any = None
    ) -> tuple[pd.Series, pd.DataFrame | ProbabilitiesToCome]:
        model, workers, classes = self.__dict__["_fitted"]
        known_classes = classes.get_indexer(answers.classes)
        unknown = np.flatnonzero(known_classes < 0)
        if len(unknown):
            raise DataError(
                f"column 'label' holds {len(unknown)} labels that were not there in fit: "
                f"{first_few(answers.classes.take(unknown))}. Known labels: {first_few(classes, 10)}."
            )
        known_workers = workers.get_indexer(answers.workers)
        strangers = np.flatnonzero(known_workers < 0)
        if len(strangers):
            message = (
                f"{len(strangers)} of {answers.n_workers} workers were not there in fit: "
                f"{first_few(answers.workers.take(strangers))}"
            )
            if self.unknown_workers == "error":
                raise DataError(
                    f"{message}. Fit with their answers, or pass unknown_workers='average'."
                )
            warn(f"{message}. They count as the average worker.", DataWarning)
        posterior, settled = model.posterior(answers, known_workers, known_classes), None
        if features is not None:
            told = featured.require(self.__dict__)
            assert isinstance(posterior, np.ndarray)
            posterior, there = told.posterior(posterior, answers, features)
            settled = np.where(there, 0, -1)
        return _output(answers.select(classes=(known_classes, classes)), posterior, settled)


def of_model(
    parameters: dict[str, Any],
    model: fitted.FittedModel,
    answers: Answers,
    posterior: npt.NDArray[np.float64],
) -> DEEMAggregator:
    """Return an object of a model that was fitted by several processes, with labels of some tasks."""
    made = DEEMAggregator(**parameters)
    labels, probas = _output(answers, posterior, None)
    found = _attributes(
        replace(model, warm_starts={}), labels, probas, answers.workers, answers.classes
    )
    made.__dict__.update(found)
    return made


def _attributes(
    model: Model,
    labels: pd.Series,
    probas: pd.DataFrame | ProbabilitiesToCome,
    workers: pd.Index,
    classes: pd.Index,
) -> dict[str, Any]:
    """Return the fitted attributes that show a model and what it said."""
    return {
        "labels_": labels,
        PROBABILITIES: probas,
        "skills_": pd.Series(model.skills, index=workers, name="skill"),
        "priors_": pd.Series(model.priors, index=classes, name="prior"),
        "loss_history_": model.log_likelihood(),
        "_fitted": (model, workers, classes),
    }


def _output(
    answers: Answers,
    posterior: npt.NDArray[np.float64] | NamedPosterior,
    gold: npt.NDArray[np.int64] | None,
) -> tuple[pd.Series, pd.DataFrame | ProbabilitiesToCome]:
    """Return labels and probabilities under the caller's own ids and dtypes."""
    best = fitted.best_class(posterior, answers, gold)
    unlabelled = int((best < 0).sum())
    if unlabelled:
        warn(
            f"{unlabelled} tasks have no answers: their label is missing, their probabilities are the prior "
            f"({first_few(answers.tasks.take(np.flatnonzero(best < 0)))}).",
            DataWarning,
        )
    labels = ids.take(answers.classes, best, "agg_label")
    labels.index = answers.tasks
    if isinstance(posterior, NamedPosterior):
        return labels, ProbabilitiesToCome(posterior, answers.tasks, answers.classes)
    return labels, pd.DataFrame(posterior, index=answers.tasks, columns=answers.classes)

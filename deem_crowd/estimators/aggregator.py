"""DEEMAggregator: DataFrames in, Series out, with crowd-kit's habits."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

import attr
import numpy as np
import pandas as pd
import torch

from deem_crowd.data import gold as known_labels
from deem_crowd.data import index as ids
from deem_crowd.data.answers import Answers, Duplicates, Missing
from deem_crowd.data.doubts import beside_model, ordered_classes
from deem_crowd.data.gold import Gold
from deem_crowd.data.lookup import as_index
from deem_crowd.estimators import aggregation, featured, inputs
from deem_crowd.estimators.crowdkit_base import BaseClassificationAggregator, named_series_attrib
from deem_crowd.estimators.files import aggregator_files
from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.estimators.files.saving import Persistent
from deem_crowd.estimators.incremental.growth import GROWN_WITH, UPDATE
from deem_crowd.estimators.incremental.memory import FITTED_ON, MEMORY, Memory, exclusive
from deem_crowd.estimators.probabilities import Probabilities, ProbabilitiesToCome
from deem_crowd.estimators.results.decisions import Decisions
from deem_crowd.estimators.results.insights import Insights
from deem_crowd.estimators.results.learned import WithFeatures
from deem_crowd.estimators.results.named_tables import NamedTables
from deem_crowd.estimators.settings import declaration
from deem_crowd.estimators.settings.parameters import Parameters
from deem_crowd.estimators.settings.rules import Choice, Number
from deem_crowd.runtime import threads
from deem_crowd.training import likelihood as training

if TYPE_CHECKING:
    from typing_extensions import Self

_ORDER = (
    "n_iter tol subtypes gauge penalty init_method use_weighted auto_hyperparameters ordered "
    "hidden_dim sampler cd_k sampler_steps sampler_oh_mode deterministic learning_rate "
    "learning_rate_schedule momentum batch_size restart early_stopping validation_fraction "
    "use_preprocessing preprocessing_layers preprocessing_layer_widths "
    "preprocessing_activation preprocessing_init preprocessing_one_hot "
    "preprocessing_use_softmax preprocessing_jitter missing duplicates unknown_workers"
)
"""Of the constructor; what is added comes after."""


@declaration.named_parameters
@declaration.documented
@attr.s(
    eq=False,
    repr=False,
    auto_attribs=True,
    collect_by_mro=True,
    field_transformer=declaration.in_order(_ORDER),
)
class DEEMAggregator(  # type: ignore[misc]  # labels_ is a property, as probas_ is
    declaration.Settable,
    Probabilities,
    NamedTables,
    Insights,
    Decisions,
    WithFeatures,
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

    n_iter: int = declaration.parameter(
        training.Settings.n_iter,
        Number(0, whole=True),
        doc="Most passes over the answers; 0 gives the weighted-vote start.",
    )
    missing: Missing = declaration.parameter(
        "error",
        Choice(("error", "drop")),
        doc="What to do with rows whose label is missing.",
    )
    duplicates: Duplicates = declaration.parameter(
        "last",
        Choice(("error", "last", "first")),
        doc="Which answer counts where a worker answered a task twice, or that this is an error.",
    )
    unknown_workers: str = declaration.parameter(
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
        parameters = self.get_params()
        seen = Memory(self._read(data, task, worker, label), known_labels.pairs(gold, task, label))
        plan = aggregation.planned(parameters)
        with threads.of_fit(seen.answers, plan, in_torch=features is not None):
            result, counts = aggregation.trained(seen, parameters, plan, features=features)
            # One assignment, so that an interrupt leaves either the old state or the new one.
            gone = (MEMORY, UPDATE, GROWN_WITH, featured.FEATURES)
            kept = {k: v for k, v in self.__dict__.items() if k not in gone}
            before, self.__dict__ = self.__dict__, {**kept, **result, FITTED_ON: seen}
            self._warn_of_findings(counts, before)
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

        The answers of earlier calls are remembered, at some 30 bytes each and the ids. A few further answers, up to a
        twentieth of those in the last full fit, update the tables of the workers who gave them and of those who
        answered the same tasks. Labels and probabilities of all tasks follow from the tables when they are read, in one
        pass over the answers. The result is close to that of :meth:`fit` on all answers, and takes a fraction of the
        time. So it is with further known labels, up to a twentieth of those in the last full fit; how much each part of
        the model counts, which known labels decide, stays as it was then. With more of either, the model is fitted anew
        to all of them. With new classes, a known label that has changed, an answer that replaces another, or changed
        parameters it is fitted to all of them, starting from its present weights where the result does not depend on
        the start, or anew if it has several units, layers or many classes. ``update_`` says what the last call did.

        Parameters
        ----------
        data : DataFrame or Answers
            As in :meth:`fit`. Where a worker answered a task before, ``duplicates`` says which answer stands.
        gold : Series, dict or DataFrame, optional
            Further labels that are known; those of tasks without answers wait for them. A later one of a task replaces
            the earlier one, and a missing value takes it back; ``duplicates`` may say otherwise.
        task, worker, label : hashable, optional
            As in :meth:`fit`.
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
            known = known_labels.pairs(gold, task, label)
            learned = "no answer is learned from" if gold is None else ""
            nothing = inputs.NOTHING if before is None else learned
            answers = self._read(data, task, worker, label, before is not None, nothing)
            parameters = self.get_params()
            seen, result, present = Memory(answers, known), None, None
            if before is not None:
                seen, result, present = aggregation.further(
                    self.__dict__, parameters, before, answers, known
                )
            if result is None:
                plan = aggregation.planned(parameters)
                with threads.of_fit(seen.answers, plan):
                    result, _ = aggregation.trained(seen, parameters, plan, present, keep=True)
                result |= {UPDATE: "all answers were fitted", GROWN_WITH: parameters}
            self.__dict__ = {**self.__dict__, **result, MEMORY: seen, FITTED_ON: seen}
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
        return self.labels_.copy()

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
        answers = self._read(data, task, worker, label, more=True)
        labels, probas = self._predicted(answers, features)
        if not drops:
            return labels
        frame = probas if isinstance(probas, pd.DataFrame) else probas.frame
        classes = frame.columns
        codes = classes.get_indexer(as_index(labels))
        codes = np.where(labels.isna(), -1, codes)
        marks = self._contested_of(answers, codes, frame.to_numpy(), classes)
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
        answers = self._read(data, task, worker, label, more=True)
        probas = self._predicted(answers, features)[1]
        return probas if isinstance(probas, pd.DataFrame) else probas.frame

    # ---------------------------------------------------------- save and load

    def _state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        return aggregator_files.pack(self.__dict__) if self.__sklearn_is_fitted__() else None

    @classmethod
    def _restore(cls, reader: Reader) -> dict[str, Any]:
        return aggregator_files.unpack(reader)

    # ---------------------------------------------------------------- helpers

    def __sklearn_is_fitted__(self) -> bool:
        return "_fitted" in self.__dict__

    def _read(
        self,
        data: Any,
        task: Hashable | None = None,
        worker: Hashable | None = None,
        label: Hashable | None = None,
        more: bool = False,
        nothing: str = inputs.NOTHING,
    ) -> Answers:
        declaration.check(self.get_params(), type(self))
        with beside_model(more), ordered_classes(self.ordered is True):
            how: Any = {"task": task, "worker": worker, "label": label, "nothing": nothing}
            return inputs.read(data, self.missing, self.duplicates, **how)

    def _require_fitted(self) -> None:
        if "_fitted" not in self.__dict__:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this DEEMAggregator is not fitted yet: call fit(df) first.")

    def _predicted(
        self, answers: Answers, features: Any
    ) -> tuple[pd.Series, pd.DataFrame | ProbabilitiesToCome]:
        layered = getattr(self.__dict__["_fitted"][0], "network", None) is not None
        with threads.of_answers(answers, layered):
            return aggregation.predicted(self.__dict__, answers, self.unknown_workers, features)

"""DEEM: arrays in, arrays out, with scikit-learn's habits."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import attr
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin

from deem_crowd.data.answers import Answers, as_answers
from deem_crowd.data.gold import class_vector
from deem_crowd.estimators import featured, fitted, inputs, naming
from deem_crowd.estimators import predictions as taken
from deem_crowd.estimators.array_models import attributes, finished, trained
from deem_crowd.estimators.files import feature_files, model_files, saving, stored_ids
from deem_crowd.estimators.files.checkpoint import Reader
from deem_crowd.estimators.incremental.memory import FITTED_ON, MEMORY, Memory, exclusive
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.estimators.predictions import COLUMNS, Predictions
from deem_crowd.estimators.probabilities import PROBABILITIES
from deem_crowd.estimators.results.decisions import Decisions
from deem_crowd.estimators.results.labelling import Labelling
from deem_crowd.estimators.results.learned import WithFeatures
from deem_crowd.estimators.settings import declaration
from deem_crowd.estimators.settings.declaration import parameter
from deem_crowd.estimators.settings.parameters import Parameters
from deem_crowd.estimators.settings.rules import NONE, Choice, Number
from deem_crowd.features.rows import by_position
from deem_crowd.model.energy import Energy
from deem_crowd.model.named_classes import NamedPosterior

if TYPE_CHECKING:
    from typing_extensions import Self

_ORDER = (
    "n_classes hidden_dim cd_k deterministic learning_rate momentum epochs batch_size device "
    "init_method use_weighted ordered auto_hyperparameters model_dir random_state "
    "use_preprocessing preprocessing_layers preprocessing_layer_widths "
    "preprocessing_activation preprocessing_init preprocessing_one_hot "
    "preprocessing_use_softmax preprocessing_jitter sampler sampler_steps sampler_oh_mode "
    "subtypes learning_rate_schedule restart early_stopping validation_fraction gauge penalty "
    "tol dtype"
)
"""Of the constructor, as the published package has it; what is added comes after."""


@declaration.named_parameters
@declaration.documented
@attr.s(
    eq=False,
    repr=False,
    auto_attribs=True,
    collect_by_mro=True,
    field_transformer=declaration.in_order(_ORDER),
)
class DEEM(
    Labelling,
    Decisions,
    WithFeatures,
    saving.Persistent,
    Parameters,
    ClassifierMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Learn from the answers of D sources which of K classes each of N tasks has, without any truth.

    An energy model of the answers that exist: one multinomial hidden unit is the label, further units take up
    dependence between sources, and multinomial layers may stand in front (arXiv 2601.20556). The likelihood is exact
    wherever it is tractable; beyond that training goes by samples.

    Attributes
    ----------
    model_ : Energy
        The trained energy; not there with sparse tables of many classes.
    class_map_ : integers, shape (K',)
        The class that each group of hidden states stands for, found by agreement with majority vote; K' classes were
        answered.
    n_classes_, n_classifiers_ : int
        K and D.
    history_ : dict of lists
        ``log_likelihood`` per task at each pass, in nats; ``accuracy`` as well if fit was given ``y``. Training by
        samples notes, epoch by epoch, ``loss``, ``learning_rate``, ``acceptance``, ``step_size``,
        ``free_energy_gap``, as far as they apply, and ``log_likelihood`` where it is tractable.
    priors_, skills_, confusion_ : arrays of shapes (K,), (D,), (D, K, K)
        Class prior; each source's chance of the right answer; p(answer | label) as [source, answer, label].
    label_unit_ : int
        Which hidden unit carries the label.
    unit_scores_, unit_skills_ : arrays of shapes (H,), (H, D)
        What speaks for each unit being the label, and how well each source tells it; empty for one unit.
    labels_, probas_ : arrays of shapes (N,), (N, K)
        Of the tasks of the last fit; ``gold`` settles its tasks. A loaded model has neither.
    classes_, n_features_in_ : array 0..K-1, and D
        As scikit-learn names them.
    feature_names_in_ : array of str, shape (D,)
        The columns of the frame that was fitted; there if it was a frame and they are all text.
    is_fitted_ : bool

    Examples
    --------
    Four sources answer three tasks; −1 is an answer that was not given.

    >>> import numpy as np
    >>> from deem_crowd import DEEM
    >>> answers = np.array([[0, 0, 1, 0], [1, 1, 0, -1], [1, 1, 1, 1]])
    >>> model = DEEM().fit(answers)
    >>> model.labels_.tolist()
    [0, 1, 1]
    >>> labels, probabilities = model.predict(np.array([[0, -1, -1, 0]]), return_probs=True)
    >>> labels.tolist(), probabilities.shape
    ([0], (1, 2))
    """

    n_classes: int | None = parameter(
        None, Number(1, whole=True), NONE, doc="K; found from the data if omitted."
    )
    epochs: int | None = parameter(
        None,
        Number(0, whole=True),
        NONE,
        doc="Most passes over the answers in exact training, 500 if omitted; in training by samples passes over the "
        "tasks, as many as make 600 steps, within 20 and 600, if omitted. 0 gives the weighted-vote start.",
    )
    model_dir: str | None = parameter(
        None,
        kind="path",
        doc="Folder into which fit writes the model, as ``deem.safetensors``; see :meth:`load`.",
    )
    label_names: str = parameter(
        "common",
        Choice(("common", "own")),
        doc="'own': labels mean something only within a source, and sources may have different numbers of names; their "
        "consensus (:class:`deem_crowd.clustering.ClusteringAggregator`) gives each name a class (``mapping_``). "
        "Such a model is not extended by ``partial_fit``.",
    )

    model_: Energy = attr.ib(init=False)
    class_map_: npt.NDArray[np.int64] = attr.ib(init=False)
    n_classes_: int = attr.ib(init=False)
    n_classifiers_: int = attr.ib(init=False)
    also_called: ClassVar[dict[str, str]] = {"n_iter": "epochs"}

    history_: dict[str, list[float]] = attr.ib(init=False)
    priors_: npt.NDArray[np.float64] = attr.ib(init=False)
    skills_: npt.NDArray[np.float64] = attr.ib(init=False)
    labels_: npt.NDArray[np.int64] = attr.ib(init=False)
    classes_: npt.NDArray[np.int64] = attr.ib(init=False)
    n_features_in_: int = attr.ib(init=False)
    feature_names_in_: npt.NDArray[np.object_] = attr.ib(init=False)

    # ---------------------------------------------------------------- fitting

    def fit(
        self,
        predictions: Predictions,
        y: npt.ArrayLike | None = None,
        *,
        gold: npt.ArrayLike | None = None,
        features: Any = None,
        labels: npt.ArrayLike | None = None,
        **overrides: Any,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        predictions : array, DataFrame or Answers
            Integers, shape (N, D), −1 where a source gave no answer; or floats, shape (N, K, D), one distribution
            over the classes per source, all zeros or NaN where it gave none. A frame of pandas or polars has a row a
            task and a column a source, NaN or null where it gave no answer; its columns are remembered by name. The
            index of a pandas frame names the tasks in tables and decisions, unless it repeats an id; otherwise tasks
            go by row number.
        y : integers, shape (N,), optional
            True classes, −1 where unknown, to rate the fit by: ``history_['accuracy']`` follows them, and training
            never sees them, so that scikit-learn's cross-validation rates labels that nothing was learned from.
        gold : integers, shape (N,), optional
            Classes that are known, −1 elsewhere, to learn from: those tasks have their hidden unit clamped.
        features : array, DataFrame, scipy sparse matrix or torch tensor, shape (N, p), optional
            Of the tasks, row by row. A frame is matched by its index, to the index of a frame of answers or to the row
            numbers 0, 1, … of an array, and may lack some tasks. A classifier of them is learned together with the
            labels. ``features_use_`` says how they are used.
        labels : optional
            The former name of ``y``.
        **overrides
            Parameters of the constructor to use for this fit only.

        Returns
        -------
        DEEM
            self. If the call fails, the object is as it was.

        Raises
        ------
        DataError, FormError, ParameterError, UnsupportedError, MemoryNeedError
        """
        y = declaration.renamed("labels", labels, "y", y)
        settings = self.get_params(deep=False)
        for name in overrides:
            if name not in settings:
                raise declaration.unknown_parameter("DEEM.fit", name, settings)
        settings.update(overrides)
        declaration.check(settings, type(self))
        predictions = inputs.opened(predictions)
        answers, columns, named = naming.read(predictions, settings, gold)
        known = None if gold is None else class_vector(gold, answers, "gold")
        truth = None if y is None else class_vector(y, answers, "y")
        seen = Memory(taken.identified(answers, predictions), known)
        dense = features is not None or settings["label_names"] == "own"
        bare = settings if features is None else {**settings, "class_balance": None}
        model, posterior = trained(seen, bare, dense=dense)
        counts = None if isinstance(model, SparseModel) else model.pairs
        made, settled = None, known
        if features is not None:
            assert isinstance(model, fitted.FittedModel)
            assert isinstance(posterior, np.ndarray)
            features = by_position(features, predictions)
            model, posterior, made, settled = featured.add_features(
                answers, known, features, settings, model, posterior, np.arange(answers.n_classes)
            )
        history = dict(model.history)
        if truth is not None:
            best = fitted.best_class(posterior, answers, known)
            rated = truth >= 0
            right = best[rated] == truth[rated]
            history["accuracy"] = [float(right.mean())] if rated.any() else []
        model = finished(model, history)
        before, where = self.__dict__, settings["model_dir"]
        self._take(model, posterior, seen, columns, where, False, made, settled, named)
        self._warn_of_findings(counts, before)
        return self

    def fit_predict(
        self,
        predictions: Predictions,
        y: npt.ArrayLike | None = None,
        *,
        gold: npt.ArrayLike | None = None,
        features: Any = None,
    ) -> npt.NDArray[np.int64]:
        """Fit, and return ``labels_``, shape (N,): the known class where ``gold`` has one.

        ``y`` rates the fit and ``gold`` is learned from, as in :meth:`fit`.
        """
        self.fit(predictions, y, gold=gold, features=features)
        return self.labels_.copy()

    def partial_fit(
        self,
        predictions: Predictions,
        y: Any = None,
        *,
        gold: npt.ArrayLike | None = None,
    ) -> Self:
        """Add tasks: further rows of the same sources.

        Earlier rows are remembered. The model is fitted to all of them, starting from its present weights, and the
        result is close to that of :meth:`fit` on all rows. Models with several units, with layers, or with
        sparse tables of many classes, are fitted anew.

        Parameters
        ----------
        predictions : array, DataFrame or Answers
            As in :meth:`fit`. Rows of an array or a wide frame are new tasks; answers with ids, and long tables, may
            be about old ones. If the index of a frame repeats an earlier id, a warning says that tasks now go by row
            number.
            The first call that has answers settles K, if ``n_classes`` does not.
        y : ignored
            scikit-learn passes it; known classes are ``gold``.
        gold : integers, shape (N,), optional
            Classes that are known of these tasks, −1 elsewhere; those of earlier calls stay known.

        Returns
        -------
        DEEM
            self. If the call fails, the object is as it was.

        Raises
        ------
        ParameterError
            If the model comes from :meth:`fit` or a file, which remember nothing, or with ``label_names='own'``.
        DataError, FormError, UnsupportedError, MemoryNeedError
        """
        settings = naming.with_common(self.get_params(deep=False))
        declaration.check(settings, type(self))
        predictions = inputs.opened(predictions)
        with exclusive(self):
            before, present = Memory.before(self.__dict__), None
            unsettled = before is not None and before.answers.n_classes == 0
            if before is not None and unsettled and before.answers.n_tasks == 0:
                before = None  # a part without rows settles nothing
            if before is None:
                answers, columns = taken.read(predictions, settings["n_classes"])
                answers = taken.identified(answers, predictions)
            else:
                columns = self.__dict__.get(COLUMNS)
                # no warning of sources that are silent in a later part
                k = None if unsettled else before.answers.n_classes
                with taken.of_a_part():
                    rows = taken.in_order(predictions, self.__dict__)
                    answers = as_answers(rows, k, warn_empty=("task",))
                    self._same_sources(answers)
            known = None if gold is None else class_vector(gold, answers, "gold")
            if before is None:
                seen = Memory(answers, known)
            else:
                if not isinstance(predictions, Answers):
                    answers, earlier = taken.further(answers, predictions, before.answers)
                    answers = replace(answers, workers=earlier.workers)
                    before = Memory(earlier, before.known)
                seen = before.with_vector(answers, known)
                same = before.answers.classes.equals(seen.answers.classes)
                present = self._model() if same and not unsettled else None
            model, posterior = trained(seen, settings, present)
            self._take(model, posterior, seen, columns, settings["model_dir"], goes_on=True)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return self.is_fitted_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True  # classes 0..K-1 that sources answered
        tags.input_tags.three_d_array = True  # or distributions over them
        tags.target_tags.required = False
        tags.classifier_tags.poor_score = True  # of y nothing is learned
        return tags

    # ---------------------------------------------------------- save and load

    def _state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
        if not self.is_fitted_:
            return None
        content, tensors = model_files.pack(self._model())
        columns = self.__dict__.get(COLUMNS)
        if columns is not None:
            content["columns"] = stored_ids.plain_index(columns, "column")
        told, numbers = feature_files.pack(self.__dict__.get(featured.FEATURES))
        named, arrays = naming.packed(self.__dict__)
        return {**content, **told, **named}, {**tensors, **numbers, **arrays}

    @classmethod
    def _restore(cls, reader: Reader) -> dict[str, Any]:
        model = model_files.unpack(reader)
        state = attributes(model) | naming.unpacked(reader, len(model.skills), model.n_classes)
        made = feature_files.unpack(reader, np.arange(model.n_classes))
        if made is not None:
            state[featured.FEATURES] = made
        return state | taken.stored_names(reader, len(model.skills))

    # ---------------------------------------------------------------- helpers

    def _take(
        self,
        model: fitted.FittedModel | SparseModel,
        posterior: npt.NDArray[np.float64] | NamedPosterior,
        seen: Memory,
        columns: pd.Index | None,
        folder: Any,
        goes_on: bool = False,
        made: featured.FeatureModel | None = None,
        settled: npt.NDArray[np.int64] | None = None,
        named: dict[str, Any] | None = None,
    ) -> None:
        """Take on a model, and write it where it is to be written; at once, or not at all."""
        former = (MEMORY, COLUMNS, "feature_names_in_", featured.FEATURES, naming.NAMING)
        gone = {*former, "model_"}  # which not all models have
        fresh = {k: v for k, v in self.__dict__.items() if k not in gone}
        fresh |= attributes(model) | taken.names_of(columns)
        fresh |= {FITTED_ON: seen, PROBABILITIES: posterior, **(named or {})}
        known = seen.known if settled is None else settled
        fresh["labels_"] = fitted.best_class(posterior, seen.answers, known)
        if made is not None:
            fresh[featured.FEATURES] = made
        if goes_on:
            fresh[MEMORY] = seen
        if folder is not None:
            there = copy.copy(self)
            there.__dict__ = fresh
            there.save(saving.model_file(folder))
        self.__dict__ = fresh

"""What a fitted DEEM says of tasks, old or new: probabilities, labels, and the share of them that is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch

from deem_crowd.data.answers import Answers, as_answers
from deem_crowd.data.gold import class_vector
from deem_crowd.estimators import featured, fitted, inputs
from deem_crowd.estimators import predictions as taken
from deem_crowd.estimators.incremental.memory import FITTED_ON, Memory
from deem_crowd.estimators.naming import NAMING, Naming, under_own_names
from deem_crowd.estimators.predictions import Predictions
from deem_crowd.estimators.probabilities import PROBABILITIES
from deem_crowd.estimators.results.insights import Insights
from deem_crowd.estimators.results.readings import Readings
from deem_crowd.estimators.settings import declaration
from deem_crowd.exceptions import (
    DataError,
    DataWarning,
    FormError,
    ParameterError,
    counted,
    first_few,
)
from deem_crowd.features.rows import by_position
from deem_crowd.model import votes as initialization
from deem_crowd.model.design import DesignMatrix
from deem_crowd.model.named_classes import NamedPosterior
from deem_crowd.runtime.warning import warn

Posterior = npt.NDArray[np.float64] | NamedPosterior
"""p(label | answers): all N × K of them, or those of the classes that answers name."""


def _dense(posterior: Posterior) -> npt.NDArray[np.float64]:
    """Return all probabilities, shape (N, K)."""
    return posterior.dense() if isinstance(posterior, NamedPosterior) else posterior


class Labelling(Readings, Insights):
    """The methods of DEEM that leave it as it is."""

    n_classes_: int
    n_classifiers_: int

    @property
    def probas_(self) -> npt.NDArray[np.float64]:
        """p(label | answers) of the tasks of the last fit, shape (N, K); made when asked for of many classes.

        Raises
        ------
        MemoryNeedError
        """
        found = self.__dict__.get(PROBABILITIES)
        if found is None:
            raise AttributeError(
                "probas_ is available after fit, and files of models do not hold it"
            )
        return _dense(found)

    def __dir__(self) -> list[str]:
        """Return the names of what is there."""
        there = PROBABILITIES in self.__dict__
        return [name for name in super().__dir__() if there or name != PROBABILITIES]

    def predict_proba(
        self, predictions: Predictions, *, features: Any = None
    ) -> npt.NDArray[np.float64]:
        """Return p(label | answers) for tasks old or new, shape (N, K).

        A task without answers gets the class prior. ``features`` are those of the tasks, as in :meth:`fit`, of a model
        that was fitted with some.

        Raises
        ------
        NotFittedError, DataError, FormError, UnsupportedError
        """
        features = by_position(features, predictions)
        return _dense(self._with_features(*self._posterior(predictions), features)[0])

    def predict_log_proba(
        self, predictions: Predictions, *, features: Any = None
    ) -> npt.NDArray[np.float64]:
        """Return log p(label | answers), shape (N, K), float64; see :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(predictions, features=features))

    def _with_features(
        self,
        posterior: Posterior,
        answers: Answers,
        workers: npt.NDArray[np.int64],
        features: Any,
    ) -> tuple[Posterior, npt.NDArray[np.int64] | None]:
        """Return the posterior with features, and 0 for tasks that these give a label, answers or not, else −1."""
        if features is None:
            return posterior, None
        told = featured.require(self.__dict__)
        posterior, there = told.posterior(_dense(posterior), answers, features, workers)
        return posterior, np.where(there, 0, -1)

    @overload
    def predict(
        self,
        predictions: Predictions,
        return_probs: Literal[False] = False,
        align_to: npt.ArrayLike | None = None,
        contested: str = "keep",
        *,
        features: Any = None,
    ) -> npt.NDArray[np.int64]: ...

    @overload
    def predict(
        self,
        predictions: Predictions,
        return_probs: Literal[True],
        align_to: npt.ArrayLike | None = None,
        contested: str = "keep",
        *,
        features: Any = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]: ...

    @overload
    def predict(
        self,
        predictions: Predictions,
        return_probs: bool,
        align_to: npt.ArrayLike | None = None,
        contested: str = "keep",
        *,
        features: Any = None,
    ) -> npt.NDArray[np.int64] | tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]: ...

    def predict(
        self,
        predictions: Predictions,
        return_probs: bool = False,
        align_to: npt.ArrayLike | None = None,
        contested: str = "keep",
        *,
        features: Any = None,
    ) -> npt.NDArray[np.int64] | tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the most probable class of each task, shape (N,); −1 for tasks without answers.

        Parameters
        ----------
        predictions : array, DataFrame or Answers
            As in :meth:`fit`, of the same D sources. The columns of a frame are put in the order of the fit.
        return_probs : bool
            Return (labels, probabilities) instead; both carry the same mapping.
        align_to : integers, shape (N,) or (N, D), optional
            Rename the classes, for this call, by the Hungarian algorithm so that they agree best with these labels;
            of a matrix of answers, of these tasks or of others of the same sources, with its majority vote. The call
            changes nothing: ``class_map_`` is found in fit.
        contested : 'keep' or 'missing'
            What becomes of labels that need another look, for the reasons of ``contested_``: −1 if 'missing'.
        features : optional
            Of these tasks, as in :meth:`fit`, of a model that was fitted with features.

        Raises
        ------
        NotFittedError, DataError, FormError, ParameterError
        """
        drops = self._drops_contested(contested)
        posterior, answers, workers = self._posterior(predictions)
        features = by_position(features, predictions)
        posterior, settled = self._with_features(posterior, answers, workers, features)
        labels = fitted.best_class(posterior, answers, settled)
        if drops:
            labels = np.where(self._contested_of(answers, labels, _dense(posterior)), -1, labels)
        if align_to is not None:
            posterior = _dense(posterior)
            mapping = initialization.match(self._agreement(posterior, align_to, answers))
            renamed = np.empty_like(posterior)
            renamed[:, mapping] = posterior
            posterior = renamed
            labels = np.append(mapping, -1)[labels]
        return (labels, _dense(posterior)) if return_probs else labels

    def score(
        self,
        predictions: Predictions,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        features: Any = None,
        true_labels: npt.ArrayLike | None = None,
    ) -> float:
        """Return the accuracy on the tasks whose true class is given, under the mapping found by majority vote.

        Parameters
        ----------
        predictions : array or Answers
        y : integers, shape (N,)
            The true classes, −1 where unknown. The mapping of classes is never fitted to them.
        sample_weight : shape (N,), optional
            Weights of the tasks, 0 or more.
        features : optional
            As in :meth:`predict`.
        true_labels : optional
            The former name of ``y``.

        Raises
        ------
        NotFittedError, DataError, FormError
        """
        y = declaration.renamed("true_labels", true_labels, "y", y)
        if y is None:
            raise ParameterError("score needs y, an array of N true classes.")
        posterior, answers, workers = self._posterior(predictions)
        truth = class_vector(y, answers, "y")
        rated = truth >= 0
        if not rated.any():
            raise DataError("y holds no class (all −1): nothing can be scored.")
        weight = inputs.task_weights(sample_weight, len(truth)) * rated
        if not weight.any():
            raise DataError(
                "sample_weight is 0 for all tasks whose class y gives. Give one of them a weight, or omit it."
            )
        features = by_position(features, predictions)
        posterior, settled = self._with_features(posterior, answers, workers, features)
        best = fitted.best_class(posterior, answers, settled)
        return float(np.average(best == truth, weights=weight))

    def _same_sources(self, answers: Answers) -> None:
        if answers.n_workers != self.n_classifiers_:
            raise DataError(
                f"predictions have {counted(answers.n_workers, 'column')} (sources), the model was fitted with "
                f"{self.n_classifiers_}. Give one column per source, −1 where it did not answer."
            )

    def _posterior(
        self, predictions: Predictions
    ) -> tuple[Posterior, Answers, npt.NDArray[np.int64]]:
        """Return the posterior by the answers alone, these, and the number of each of their workers, −1 for new."""
        model = self._model()
        classes = np.arange(self.n_classes_)
        remembered: Memory | None = self.__dict__.get(FITTED_ON)
        naming: Naming | None = self.__dict__.get(NAMING)
        predictions = inputs.opened(predictions)
        if isinstance(predictions, Answers) and remembered is not None:
            if naming is not None:
                predictions = naming.renamed(predictions)
            answers, workers = taken.by_ids(predictions, remembered.answers)
            return model.posterior(answers, workers, classes), answers, workers
        if isinstance(predictions, Answers) and not np.array_equal(
            predictions.workers, np.arange(predictions.n_workers)
        ):
            warn(
                "this model was read from a file, and files of DEEM hold no ids: workers and classes are taken by "
                "position. Give them in the order of the fit, or use DEEMAggregator, whose files hold ids.",
                DataWarning,
            )
        # no warning of sources that are silent among new tasks
        predictions = taken.in_order(predictions, self.__dict__)
        if naming is None:
            answers = as_answers(predictions, self.n_classes_, warn_empty=("task",))
        else:
            answers = under_own_names(predictions, warn_empty=("task",))
        self._same_sources(answers)
        if naming is not None:
            answers = naming.renamed(answers, by_position=True)
        workers = np.arange(answers.n_workers)
        return model.posterior(answers, workers, classes), answers, workers

    def _reread(
        self, predictions: Predictions
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], Answers]:
        """Return what tables and decisions go by: p(label | answers), labels, and the answers in the model's order.

        Raises
        ------
        DataError
            Also if the answers name workers that the model does not know.
        """
        predictions = inputs.opened(predictions)
        posterior, answers, workers = self._posterior(predictions)
        remembered: Memory | None = self.__dict__.get(FITTED_ON)
        if not isinstance(predictions, Answers):
            ids = (
                self.__dict__.get(taken.COLUMNS)
                if remembered is None
                else remembered.answers.workers
            )
            answers = answers if ids is None else replace(answers, workers=ids)
            answers = taken.identified(answers, predictions)
        elif remembered is not None:
            strange = answers.workers.take(np.flatnonzero(workers < 0))
            if len(strange):
                raise DataError(
                    f"answers name {counted(len(strange), 'worker')} that the model was not fitted to: "
                    f"{first_few(strange)}. Fit it to these answers first."
                )
            answers = answers.select(workers=(workers, remembered.answers.workers))
        return _dense(posterior), fitted.best_class(posterior, answers), answers

    def _agreement(
        self,
        posterior: npt.NDArray[np.float64],
        align_to: npt.ArrayLike,
        answers: Answers,
    ) -> npt.NDArray[np.float64]:
        """Return how much of the posterior falls on each class of a reference, shape (K, K) as [class, reference]."""
        if np.ndim(align_to) < 2:
            return initialization.agreement(posterior, class_vector(align_to, answers, "align_to"))
        naming: Naming | None = self.__dict__.get(NAMING)
        if naming is None:
            voters = as_answers(align_to, answers.n_classes, warn_empty=())
        else:
            voters = under_own_names(align_to, warn_empty=())
        if voters.n_tasks != len(posterior):
            # other tasks of the same sources: their own labels say which class is which
            if voters.n_workers != self.n_classifiers_:
                raise FormError(
                    f"align_to has {counted(voters.n_workers, 'column')} (sources), the model was fitted with "
                    f"{self.n_classifiers_}."
                )
            posterior = _dense(self._posterior(voters)[0])
        if naming is not None:
            voters = naming.renamed(voters, by_position=True)
        design = DesignMatrix(voters, torch.device("cpu"), torch.float64)
        return posterior.T @ initialization.vote_shares(design).numpy()

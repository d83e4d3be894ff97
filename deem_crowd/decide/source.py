"""A fitted DEEM or DEEMAggregator behind a decision, and the answers it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.estimators import inputs
from deem_crowd.estimators.featured import FeatureModel, in_use
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.incremental.memory import FITTED_ON, Memory
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.features import rows as feature_rows

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Source:
    """A fitted model, the ids it goes by, and the answers.

    Attributes
    ----------
    model : FittedModel or SparseModel
    workers, classes : Index
        In the model's order.
    answers : Answers, optional
    features : FeatureModel, optional
        Where its labels also rest on features of the tasks, which the model of the answers does not know.
    """

    model: FittedModel | SparseModel
    workers: pd.Index
    classes: pd.Index
    answers: Answers | None = None
    features: FeatureModel | None = None

    @classmethod
    def of(
        cls, fitted: Any, answers: Answers | None = None, *, reread: bool = False
    ) -> Source | None:
        """Return that of a DEEM or DEEMAggregator; None of anything else, and where the ids are not known.

        A DEEM has those of ``answers``, else of what it was fitted to, if it has them. With ``reread`` its posterior is
        computed from these answers anew, without features.
        """
        model = getattr(fitted, "__dict__", {}).get("_fitted")
        if isinstance(model, tuple):
            return replace(cls(*model), features=in_use(fitted.__dict__))
        seen = remembered(fitted) if answers is None else answers
        if seen is not None and (model := model_of(fitted)) is not None:
            told = None if reread else in_use(fitted.__dict__)
            return cls(model, seen.workers, seen.classes, features=told)
        return None

    def told_by_features(
        self, prior: FloatArray, tasks: pd.Index, features: Any
    ) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Return what features say of M tasks that nobody answered, and the likeliest class; the prior and −1 without.

        Parameters
        ----------
        prior : shape (M, K)
        tasks : Index
            All N + M tasks, these last.
        features : DataFrame with rows for some of them, or array of N + M rows

        Returns
        -------
        posterior : shape (M, K)
        label : integers, shape (M,)

        Raises
        ------
        FormError, DataError
        """
        label = np.full(len(prior), -1, dtype=np.int64)
        if self.features is None:
            return prior, label
        features, fresh = feature_rows.in_pandas(features, tasks), tasks[-len(prior) :]
        if isinstance(features, pd.DataFrame):
            about = features.get("task", features.index)
            features = features[about.isin(fresh)]
            if features.empty:
                return prior, label
        else:
            features = feature_rows.read(features, tasks).x[-len(prior) :]
        none = np.zeros(0, dtype=np.int64)
        nobody, classes = (none, pd.Index([])), (none, self.classes)
        silent = Answers.from_codes((none, fresh), nobody, classes, classes=self.classes)
        told, there = self.features.posterior(prior, silent, features)
        label[there] = told[there].argmax(axis=1)
        return told, label


def model_of(fitted: Any) -> FittedModel | SparseModel | None:
    """Return the model of a fitted DEEM; None of anything else."""
    model = getattr(fitted, "__dict__", {}).get("_fitted")
    return model if isinstance(model, FittedModel | SparseModel) else None


def remembered(source: Any) -> Answers | None:
    """Return the answers that a DEEM or DEEMAggregator was fitted to; None where it does not have them."""
    seen: Memory | None = getattr(source, "__dict__", {}).get(FITTED_ON)
    return None if seen is None else seen.answers


def read_answers(answers: Any, source: Any) -> Answers:
    """Return answers in any form as Answers, read as the aggregator reads them."""
    if isinstance(answers, Answers):
        return answers
    duplicates: Any = getattr(source, "duplicates", "last")
    if inputs.is_foreign(answers):
        return inputs.read(answers, getattr(source, "missing", "error"), duplicates)
    if isinstance(answers, pd.DataFrame):
        return Answers.from_frame(answers, missing="drop", duplicates=duplicates)
    read = Answers.from_soft if np.ndim(answers) == 3 else Answers.from_dense
    return read(answers, getattr(source, "n_classes_", None), warn_empty=())

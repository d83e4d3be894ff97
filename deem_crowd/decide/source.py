"""A fitted DEEM or DEEMAggregator behind a decision, and the answers it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from deem_crowd.data.answers import Answers
from deem_crowd.estimators import inputs
from deem_crowd.estimators.featured import rests_on_features
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.incremental.memory import FITTED_ON, Memory
from deem_crowd.estimators.many_classes import SparseModel


@dataclass(frozen=True, eq=False)
class Source:
    """A fitted model, the ids it goes by, and the answers.

    Attributes
    ----------
    model : FittedModel or SparseModel
    workers, classes : Index
        In the model's order.
    answers : Answers, optional
    features : bool
        Whether its labels also rest on features of the tasks, which the model of the answers does not know.
    """

    model: FittedModel | SparseModel
    workers: pd.Index
    classes: pd.Index
    answers: Answers | None = None
    features: bool = False

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
            return replace(cls(*model), features=rests_on_features(fitted.__dict__))
        seen = remembered(fitted) if answers is None else answers
        if seen is not None and (model := model_of(fitted)) is not None:
            told = not reread and rests_on_features(fitted.__dict__)
            return cls(model, seen.workers, seen.classes, features=told)
        return None


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

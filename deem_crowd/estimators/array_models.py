"""What DEEM does with answers once they are read: the model of them, and the attributes that show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deem_crowd.estimators import fit as inference
from deem_crowd.estimators.fitted import FittedModel
from deem_crowd.estimators.incremental.memory import Memory
from deem_crowd.estimators.many_classes import SparseModel
from deem_crowd.estimators.settings import recipe
from deem_crowd.model.named_classes import NamedPosterior
from deem_crowd.runtime.progress import watched
from deem_crowd.training import likelihood as training


def trained(
    seen: Memory,
    settings: dict[str, Any],
    present: FittedModel | SparseModel | None = None,
    dense: bool = False,
) -> tuple[FittedModel | SparseModel, npt.NDArray[np.float64] | NamedPosterior]:
    """Return the model of all answers seen, and its posterior, shape (N, K).

    Parameters
    ----------
    seen : Memory
    settings : dict
        Parameters of the constructor.
    present : FittedModel or SparseModel, optional
        Where training may go on from.
    dense : bool
        Whether tables have K² numbers a source even where classes are many: what features and names need.
    """
    epochs = settings["epochs"]
    n_iter = training.Settings.n_iter if epochs is None else epochs
    plan = recipe.recipe(settings, n_iter, epochs)
    with watched("deem", plan.unit, settings["progress"]) as progress:
        if not dense:
            return inference.fit_any(seen.answers, plan, seen.known, progress, present)
        return inference.fit_answers(seen.answers, plan, seen.known, progress)


def finished(
    model: FittedModel | SparseModel, history: dict[str, list[float]]
) -> FittedModel | SparseModel:
    """Return a model with its history, that no fit goes on from."""
    if isinstance(model, SparseModel):
        return replace(model, history=history)
    return replace(model, history=history, warm_starts={})


def attributes(model: FittedModel | SparseModel) -> dict[str, Any]:
    """Return the fitted attributes that show a model."""
    shown = {} if isinstance(model, SparseModel) else {"model_": model.energy}
    return {
        **shown,
        "class_map_": model.class_map,
        "n_classes_": model.n_classes,
        "n_classifiers_": len(model.skills),
        "n_features_in_": len(model.skills),
        "classes_": np.arange(model.n_classes),
        "history_": model.history,
        "priors_": model.priors,
        "skills_": model.skills,
        "_fitted": model if isinstance(model, SparseModel) else replace(model, pairs=None),
    }

"""Labels and probabilities under the caller's ids, made when they are asked for where that is more than a fit needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from deem_crowd.data import index as ids
from deem_crowd.estimators.incremental.all_tasks import AllTasks
from deem_crowd.model.named_classes import NamedPosterior
from deem_crowd.runtime.cached import cached_property

LABELS, PROBABILITIES = "labels_", "probas_"
"""Where a fitted object holds them in its ``__dict__``: as a Series and a frame, or as what these can be made of."""


@dataclass(frozen=True, eq=False)
class ProbabilitiesToCome:
    """What a frame of probabilities can be made of.

    Attributes
    ----------
    posterior : NamedPosterior
        Of N tasks over K classes.
    tasks, classes : Index
    """

    posterior: NamedPosterior
    tasks: pd.Index
    classes: pd.Index

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The frame, shape (N, K).

        Raises
        ------
        MemoryNeedError
        """
        return pd.DataFrame(self.posterior.dense(), index=self.tasks, columns=self.classes)


@dataclass(frozen=True, eq=False)
class GrownToCome:
    """What labels and probabilities can be made of, where these may change more often than they are asked for.

    Attributes
    ----------
    said : AllTasks
        Of N tasks over K classes.
    """

    said: AllTasks

    @cached_property
    def series(self) -> pd.Series:
        """The labels under the caller's ids, length N."""
        memory = self.said.memory
        labels = ids.take(memory.base.classes, self.said.label.numpy(), "agg_label")
        labels.index = memory.tasks
        return labels

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The probabilities, float64, shape (N, K)."""
        memory = self.said.memory
        values = self.said.posterior.to("cpu", torch.float64).numpy()
        return pd.DataFrame(values, index=memory.tasks, columns=memory.base.classes)


ToCome = ProbabilitiesToCome | GrownToCome


def labels_of(state: Mapping[str, Any]) -> pd.Series:
    """Return the labels among the attributes of a fitted object."""
    found = state[LABELS]
    return found.series if isinstance(found, GrownToCome) else found


class Probabilities:
    """``labels_`` and ``probas_`` of a fitted aggregator."""

    @property
    def labels_(self) -> pd.Series:
        """The labels: a Series ``agg_label``, index ``task``, length N."""
        if LABELS not in self.__dict__:
            raise AttributeError("labels_ is available after fit")
        return labels_of(self.__dict__)

    @labels_.setter
    def labels_(self, labels: pd.Series) -> None:
        self.__dict__[LABELS] = labels

    @property
    def probas_(self) -> pd.DataFrame:
        """p(label | answers): index ``task``, columns ``label``, shape (N, K); made when asked for of many classes."""
        found = self.__dict__.get(PROBABILITIES)
        if found is None:
            raise AttributeError("probas_ is available after fit")
        return found.frame if isinstance(found, ToCome) else found

    @probas_.setter
    def probas_(self, frame: pd.DataFrame) -> None:
        self.__dict__[PROBABILITIES] = frame

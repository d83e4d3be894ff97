"""Probabilities as a frame, made when they are asked for where N·K numbers are more than a fit needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch

from deem_crowd.model.named_classes import NamedPosterior

PROBABILITIES = "probas_"
"""Where a fitted object holds them in its ``__dict__``: as a frame, or as what one can be made of."""


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
class TensorOfProbabilities:
    """A tensor that a frame of probabilities can be made of, where these change faster than they are asked for.

    Attributes
    ----------
    posterior : Tensor, shape (N, K)
    tasks, classes : Index
    """

    posterior: torch.Tensor
    tasks: pd.Index
    classes: pd.Index

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The frame, float64, shape (N, K)."""
        values = self.posterior.to("cpu", torch.float64).numpy()
        return pd.DataFrame(values, index=self.tasks, columns=self.classes)


ToCome = ProbabilitiesToCome | TensorOfProbabilities


class Probabilities:
    """``probas_`` of a fitted aggregator."""

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

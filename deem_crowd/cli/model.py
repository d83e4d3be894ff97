"""The model that ``next``, ``suspects``, ``keep`` and ``report`` fit: the default, with the parameters of ``--set``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from deem_crowd.cli import shell
from deem_crowd.exceptions import ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from deem_crowd.data.answers import Answers
    from deem_crowd.estimators.aggregator import DEEMAggregator


def fitted(
    answers: Answers, gold: pd.Series | None, given: list[str] | None, features: Any = None
) -> DEEMAggregator:
    """Return a :class:`DEEMAggregator` with the parameters NAME=VALUE that are ``given``, fitted to all the rest.

    Raises
    ------
    typer.BadParameter
        Of a parameter that there is none of, or of its value.
    DeemCrowdError
    """
    from deem_crowd.estimators.aggregator import DEEMAggregator

    if not answers.n_answers:
        features = None  # there is nothing to learn them with
    parameters = shell.method_parameters(given, ["deem"])["deem"]
    try:
        return DEEMAggregator(**parameters).fit(answers, gold, features=features)
    except ParameterError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
